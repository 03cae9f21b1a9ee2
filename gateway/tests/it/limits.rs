//! Limits of an access and of its clients: what counts, what is refused and how, in each dialect.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::{
    messages::CLAUDE,
    rig::{Answer, MODEL, Plan, Rig, ask, ask_stream, eventually, now, read_until},
};

const CHAT: &str = "/v1/chat/completions";
/// What tests with a clock that stands have in common: nothing is near the end of a minute.
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// A clock that stands until it is moved.
#[derive(Clone, Debug)]
struct Still(Arc<AtomicU64>);

impl credentials::TimeSource for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Acquire))
    }
}

impl Still {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(
            now() / MINUTE * MINUTE + MINUTE / 2,
        )))
    }

    fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::AcqRel);
    }

    /// Seconds to midnight, UTC.
    fn left_of_day(&self) -> u64 {
        DAY - self.0.load(Ordering::Acquire) % DAY
    }
}

/// A gateway under a document that lets everybody ask for everything, but for these limits.
async fn limited(limits: &str) -> (Rig, Still) {
    started(&format!(
        "{{clients: {{anonymous: true}}, allow: ['*'], limits: {{{limits}}}}}"
    ))
    .await
}

async fn started(document: &str) -> (Rig, Still) {
    let clock = Still::new();
    let given = clock.clone();
    let rig = Rig::start(Plan {
        document: Some(document.to_owned()),
        settings: Box::new(move |settings| {
            settings.clock = credentials::SharedTimeSource::new(given);
        }),
        ..Plan::default()
    })
    .await;
    (rig, clock)
}

fn seconds(headers: &HeaderMap) -> u64 {
    headers["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn openai_clients_see_how_the_limits_stand_and_a_refusal_that_their_packages_understand() {
    let (rig, clock) = limited("requestsPerMinute: 2, tokensPerMinute: 100000").await;
    let first = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let header = |answer: &Answer, name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header(&first, "x-ratelimit-limit-requests"), "2");
    assert_eq!(header(&first, "x-ratelimit-remaining-requests"), "1");
    assert_eq!(header(&first, "x-ratelimit-reset-requests"), "1m30s");
    assert_eq!(header(&first, "x-ratelimit-limit-tokens"), "100000");
    assert_eq!(header(&first, "x-ratelimit-remaining-tokens"), "100000");
    assert_eq!(header(&first, "x-ratelimit-reset-tokens"), "0s");
    let used = first.json()["usage"]["total_tokens"].as_u64().unwrap();

    let second = rig.chat(&ask_stream(MODEL, "hi")).await;
    assert_eq!(second.status, 200);
    assert_eq!(header(&second, "x-ratelimit-remaining-requests"), "0");
    let left = (100_000 - used).to_string();
    assert_eq!(header(&second, "x-ratelimit-remaining-tokens"), left);

    let refused = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let error = refused.error();
    assert_eq!(error["type"], "requests");
    assert_eq!(error["code"], "rate_limit_exceeded");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("this gateway")
            && message.contains("2 requests per minute (requestsPerMinute)"),
        "{message}"
    );
    // 30 seconds to the next minute, and a moment until the first of the two weighs less than one.
    assert_eq!(seconds(&refused.headers), 31);
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), "0");
    assert!(!refused.headers.contains_key("x-should-retry"));
    assert_eq!(rig.double.calls_of("Converse").len(), 1);
    let metric = "bedrock_gateway_limit_refusals_total{limit=\"requestsPerMinute\",scope=\"access\",client=\"anonymous\"}";
    assert_eq!(rig.metric(metric).await, Some(1.0));

    clock.pass(30);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 429);
    clock.pass(1);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    // What calls no model counts for nothing.
    let listed = rig.get("/v1/models").await;
    assert_eq!(listed.status, 200);
    assert!(!listed.headers.contains_key("x-ratelimit-limit-requests"));
}

#[tokio::test]
async fn tokens_of_answers_and_streams_are_charged_as_bedrock_counted_them() {
    for body in [ask(MODEL, "hi"), ask_stream(MODEL, "hi")] {
        let (rig, clock) = limited("tokensPerMinute: 1").await;
        assert_eq!(rig.chat(&body).await.status, 200);
        let refused = rig.chat(&body).await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.error()["type"], "tokens");
        assert_eq!(refused.error()["code"], "rate_limit_exceeded");
        assert_eq!(refused.headers["x-ratelimit-remaining-tokens"], "0");
        clock.pass(seconds(&refused.headers));
        assert_eq!(rig.chat(&body).await.status, 200);
    }
}

#[tokio::test]
async fn budget_of_a_day_is_refused_until_midnight_utc_and_packages_are_told_not_to_try_again() {
    let (rig, clock) = limited("tokensPerDay: 1").await;
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    clock.pass(2 * MINUTE);
    let refused = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.error()["type"], "insufficient_quota");
    assert_eq!(refused.error()["code"], "insufficient_quota");
    assert_eq!(seconds(&refused.headers), clock.left_of_day());
    assert_eq!(refused.headers["x-should-retry"], "false");
}

#[tokio::test]
async fn anthropic_clients_see_how_the_limits_stand_and_a_rate_limit_error() {
    let (rig, _) = limited("requestsPerMinute: 2, tokensPerDay: 1000").await;
    let body = crate::messages::ask(CLAUDE, "hi");
    let first = rig.messages(&body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    for (name, value) in [
        ("anthropic-ratelimit-requests-limit", "2"),
        ("anthropic-ratelimit-requests-remaining", "1"),
        ("anthropic-ratelimit-tokens-limit", "1000"),
        ("anthropic-ratelimit-tokens-remaining", "1000"),
    ] {
        assert_eq!(first.headers[name], value, "{name}");
    }
    let reset = first.headers["anthropic-ratelimit-requests-reset"].to_str();
    let reset = time::OffsetDateTime::parse(
        reset.unwrap(),
        &time::format_description::well_known::Rfc3339,
    );
    assert!(reset.unwrap().second() == 0, "{reset:?}");

    // Counting tokens is a request, and uses none.
    let mut count = body.clone();
    count.as_object_mut().unwrap().remove("max_tokens");
    let headers = [("anthropic-version", "2023-06-01")];
    let path = "/v1/messages/count_tokens";
    let counted = rig.call(Method::POST, path, &headers, count.to_string());
    let counted = counted.await;
    let used = first.json()["usage"]["input_tokens"].as_u64().unwrap()
        + first.json()["usage"]["output_tokens"].as_u64().unwrap();
    let left = (1000 - used).to_string();
    assert_eq!(
        counted.headers["anthropic-ratelimit-tokens-remaining"],
        left
    );

    let refused = rig.messages(&body).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.error()["type"], "rate_limit_error");
    assert_eq!(
        refused.headers["anthropic-ratelimit-requests-remaining"],
        "0"
    );
    assert_eq!(
        refused.headers["anthropic-ratelimit-tokens-remaining"],
        left
    );
    assert_eq!(seconds(&refused.headers), 31);
    assert_eq!(
        refused.headers["request-id"],
        refused.json()["request_id"].as_str().unwrap()
    );
}

#[tokio::test]
async fn aws_sdks_get_a_throttling_exception() {
    let (rig, _) = limited("requestsPerMinute: 1").await;
    let path = format!("/model/{}/converse", MODEL.replace(':', "%3A"));
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let first = rig.call(Method::POST, &path, &[], body.to_string()).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(!first.headers.contains_key("x-ratelimit-limit-requests"));
    let refused = rig.call(Method::POST, &path, &[], body.to_string()).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.headers["x-amzn-errortype"], "ThrottlingException");
    assert_eq!(seconds(&refused.headers), 31);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("requestsPerMinute"), "{message}");
}

#[tokio::test]
async fn each_surface_that_calls_models_counts() {
    let text = json!([{ "role": "user", "content": "hi" }]);
    let rows: [(&str, Value); 9] = [
        (CHAT, ask(MODEL, "hi")),
        ("/v1/responses", json!({ "model": MODEL, "input": "hi" })),
        ("/v1/messages", crate::messages::ask(MODEL, "hi")),
        (
            "/v1/messages/count_tokens",
            json!({ "model": CLAUDE, "messages": text }),
        ),
        (
            "/v1/embeddings",
            json!({ "model": "amazon.titan-embed-text-v2:0", "input": "hi" }),
        ),
        (
            "/v1/images/generations",
            json!({ "model": "amazon.nova-canvas-v1:0", "prompt": "a fox" }),
        ),
        (
            "/v1/rerank",
            json!({ "model": "amazon.rerank-v1:0", "query": "a", "documents": ["b"] }),
        ),
        (
            "/model/amazon.nova-lite-v1%3A0/converse-stream",
            json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] }),
        ),
        (
            "/guardrail/gr-1/version/1/apply",
            json!({ "source": "INPUT", "content": [{ "text": { "text": "hi" } }] }),
        ),
    ];
    for (path, body) in rows {
        let (rig, _) = limited("requestsPerMinute: 1").await;
        let call = || rig.call(Method::POST, path, &[], body.to_string());
        assert_ne!(call().await.status, 429, "{path}");
        let refused = call().await;
        assert_eq!(refused.status, 429, "{path}: {}", refused.text());
    }
}

#[tokio::test]
async fn open_requests_are_limited_and_each_place_is_free_again_however_it_ends() {
    let (rig, _) = limited("concurrentRequests: 1").await;
    let mut open = rig.open_chat(&ask_stream(MODEL, "@slow 60s\nhello")).await;
    read_until(open.body_mut(), "assistant").await;
    let refused = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.error()["code"], "rate_limit_exceeded");
    assert_eq!(seconds(&refused.headers), 1);
    // The client leaves.
    drop(open);
    eventually("the place is free", async || {
        rig.chat(&ask(MODEL, "hi")).await.status == 200
    })
    .await;
    // An answer that was an error gives its place back as one that was not.
    let failed = rig.chat(&ask(MODEL, "@error ValidationException no")).await;
    assert_eq!(failed.status, 400);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
}

#[tokio::test]
async fn tokens_that_are_known_are_charged_when_the_client_leaves() {
    let (rig, _) = limited("tokensPerMinute: 1").await;
    // Claude's own stream begins with the count of the prompt.
    let mut body = crate::messages::ask(CLAUDE, "@slow 60s\nhello");
    body["stream"] = Value::from(true);
    let headers = [("anthropic-version", "2023-06-01")];
    let mut open = rig
        .open(Method::POST, "/v1/messages", &headers, body.to_string())
        .await;
    read_until(open.body_mut(), "message_start").await;
    drop(open);
    eventually("the prompt is charged", async || {
        rig.messages(&crate::messages::ask("no-such-model", "hi"))
            .await
            .status
            == 429
    })
    .await;
}

#[tokio::test]
async fn each_key_has_limits_of_its_own_and_the_counts_survive_a_reload() {
    let keys = tempfile::tempdir().unwrap();
    for key in ["a", "b"] {
        std::fs::write(keys.path().join(key), format!("sk-{key}")).unwrap();
    }
    let document = |limit: u32, more: &str| {
        format!(
            "{{access: {{namespace: team-a, name: chat}}, clients: {{apiKeysDirectory: '{}', apiKeyLimits: {{requestsPerMinute: {limit}}}}}, allow: ['*'{more}], limits: {{requestsPerMinute: 4}}}}",
            keys.path().display()
        )
    };
    let (rig, _) = started(&document(2, "")).await;
    let chat = async |key: &str, model: &str| {
        let bearer = format!("Bearer sk-{key}");
        let headers = [("authorization", bearer.as_str())];
        rig.call(Method::POST, CHAT, &headers, ask(model, "hi").to_string())
            .await
    };
    assert_eq!(chat("a", MODEL).await.status, 200);
    assert_eq!(chat("a", MODEL).await.status, 200);
    let refused = chat("a", MODEL).await;
    assert_eq!(refused.status, 429);
    let message = refused.text();
    assert!(
        message.contains("the client key:a has reached"),
        "{message}"
    );
    let other = chat("b", MODEL).await;
    assert_eq!(other.status, 200);
    // The access has one left, and so has the key.
    assert_eq!(other.headers["x-ratelimit-remaining-requests"], "1");

    rig.write_config(&document(9, ", more"));
    eventually(
        "the new limits are in force, and the counts go on",
        async || {
            let answer = chat("a", MODEL).await;
            answer.status == 200 || answer.text().contains("BedrockAccess team-a/chat")
        },
    )
    .await;
    let refused = chat("b", MODEL).await;
    assert_eq!(refused.status, 429);
    assert!(
        refused
            .text()
            .contains("BedrockAccess team-a/chat has reached its limit of 4"),
        "{}",
        refused.text()
    );
    let metric = "bedrock_gateway_limit_refusals_total{limit=\"requestsPerMinute\",scope=\"access\",client=\"key:b\"}";
    assert_eq!(rig.metric(metric).await, Some(1.0));
}
