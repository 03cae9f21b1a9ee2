//! Rate limits of a BedrockAccess and of its clients: counting, rejections and headers in each dialect.

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
    rig::{MODEL, Plan, Response, Rig, ask, ask_stream, eventually, now, read_until},
};

const CHAT: &str = "/v1/chat/completions";
/// Seconds of a minute; tests with a manual clock start in the middle of a minute.
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// A clock that changes only when it is advanced.
#[derive(Clone, Debug)]
struct ManualClock(Arc<AtomicU64>);

impl credentials::TimeSource for ManualClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Acquire))
    }
}

impl ManualClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(
            now() / MINUTE * MINUTE + MINUTE / 2,
        )))
    }

    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::AcqRel);
    }

    /// Seconds until midnight UTC.
    fn seconds_to_midnight(&self) -> u64 {
        DAY - self.0.load(Ordering::Acquire) % DAY
    }
}

/// A gateway that admits all clients and models, with these limits.
async fn limited(limits: &str) -> (Rig, ManualClock) {
    start(&format!(
        "{{clients: {{anonymous: true}}, allow: ['*'], limits: {{{limits}}}}}"
    ))
    .await
}

async fn start(document: &str) -> (Rig, ManualClock) {
    let clock = ManualClock::new();
    let settings_clock = clock.clone();
    let rig = Rig::start(Plan {
        document: Some(document.to_owned()),
        settings: Box::new(move |settings| {
            settings.clock = credentials::SharedTimeSource::new(settings_clock);
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
async fn openai_clients_get_rate_limit_headers_and_a_429() {
    let (rig, clock) = limited("requestsPerMinute: 2, tokensPerMinute: 100000").await;
    let first = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let header =
        |response: &Response, name: &str| response.headers[name].to_str().unwrap().to_owned();
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

    let rejected = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(rejected.status, 429, "{}", rejected.text());
    let error = rejected.error();
    assert_eq!(error["type"], "requests");
    assert_eq!(error["code"], "rate_limit_exceeded");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("this gateway")
            && message.contains("2 requests per minute (requestsPerMinute)"),
        "{message}"
    );
    // 30 seconds to the next minute, and one second until the weight of the first request is low enough.
    assert_eq!(seconds(&rejected.headers), 31);
    assert_eq!(header(&rejected, "x-ratelimit-remaining-requests"), "0");
    assert!(!rejected.headers.contains_key("x-should-retry"));
    assert_eq!(rig.double.calls_of("Converse").len(), 1);
    let metric = "bedrock_gateway_limit_refusals_total{limit=\"requestsPerMinute\",scope=\"access\",client=\"anonymous\"}";
    assert_eq!(rig.metric(metric).await, Some(1.0));

    clock.advance(30);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 429);
    clock.advance(1);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    // Requests that call no model are not counted.
    let listed = rig.get("/v1/models").await;
    assert_eq!(listed.status, 200);
    assert!(!listed.headers.contains_key("x-ratelimit-limit-requests"));
}

#[tokio::test]
async fn charges_tokens_of_plain_and_streamed_responses_as_counted_by_bedrock() {
    for body in [ask(MODEL, "hi"), ask_stream(MODEL, "hi")] {
        let (rig, clock) = limited("tokensPerMinute: 1").await;
        assert_eq!(rig.chat(&body).await.status, 200);
        let rejected = rig.chat(&body).await;
        assert_eq!(rejected.status, 429);
        assert_eq!(rejected.error()["type"], "tokens");
        assert_eq!(rejected.error()["code"], "rate_limit_exceeded");
        assert_eq!(rejected.headers["x-ratelimit-remaining-tokens"], "0");
        clock.advance(seconds(&rejected.headers));
        assert_eq!(rig.chat(&body).await.status, 200);
    }
}

#[tokio::test]
async fn an_exceeded_daily_quota_is_rejected_until_midnight_utc_without_retries() {
    let (rig, clock) = limited("tokensPerDay: 1").await;
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    clock.advance(2 * MINUTE);
    let rejected = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(rejected.status, 429);
    assert_eq!(rejected.error()["type"], "insufficient_quota");
    assert_eq!(rejected.error()["code"], "insufficient_quota");
    assert_eq!(seconds(&rejected.headers), clock.seconds_to_midnight());
    assert_eq!(rejected.headers["x-should-retry"], "false");
}

#[tokio::test]
async fn anthropic_clients_get_rate_limit_headers_and_a_rate_limit_error() {
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

    // Counting tokens counts as a request and charges no tokens.
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

    let rejected = rig.messages(&body).await;
    assert_eq!(rejected.status, 429);
    assert_eq!(rejected.error()["type"], "rate_limit_error");
    assert_eq!(
        rejected.headers["anthropic-ratelimit-requests-remaining"],
        "0"
    );
    assert_eq!(
        rejected.headers["anthropic-ratelimit-tokens-remaining"],
        left
    );
    assert_eq!(seconds(&rejected.headers), 31);
    assert_eq!(
        rejected.headers["request-id"],
        rejected.json()["request_id"].as_str().unwrap()
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
    let rejected = rig.call(Method::POST, &path, &[], body.to_string()).await;
    assert_eq!(rejected.status, 429);
    assert_eq!(rejected.headers["x-amzn-errortype"], "ThrottlingException");
    assert_eq!(seconds(&rejected.headers), 31);
    let message = rejected.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("requestsPerMinute"), "{message}");
}

#[tokio::test]
async fn every_endpoint_that_calls_models_counts() {
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
        let rejected = call().await;
        assert_eq!(rejected.status, 429, "{path}: {}", rejected.text());
    }
}

#[tokio::test]
async fn limits_concurrent_requests_and_releases_each_permit() {
    let (rig, _) = limited("concurrentRequests: 1").await;
    let mut open = rig.open_chat(&ask_stream(MODEL, "@slow 60s\nhello")).await;
    read_until(open.body_mut(), "assistant").await;
    let rejected = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(rejected.status, 429);
    assert_eq!(rejected.error()["code"], "rate_limit_exceeded");
    assert_eq!(seconds(&rejected.headers), 1);
    // The client disconnects.
    drop(open);
    eventually("the permit is released", async || {
        rig.chat(&ask(MODEL, "hi")).await.status == 200
    })
    .await;
    // An error response releases its permit, too.
    let failed = rig.chat(&ask(MODEL, "@error ValidationException no")).await;
    assert_eq!(failed.status, 400);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
}

#[tokio::test]
async fn charges_known_tokens_when_the_client_disconnects() {
    let (rig, _) = limited("tokensPerMinute: 1").await;
    // Claude's stream starts with the token count of the prompt.
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
async fn each_key_has_its_own_limits_and_a_reload_keeps_the_counts() {
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
    let (rig, _) = start(&document(2, "")).await;
    let chat = async |key: &str, model: &str| {
        let bearer = format!("Bearer sk-{key}");
        let headers = [("authorization", bearer.as_str())];
        rig.call(Method::POST, CHAT, &headers, ask(model, "hi").to_string())
            .await
    };
    assert_eq!(chat("a", MODEL).await.status, 200);
    assert_eq!(chat("a", MODEL).await.status, 200);
    let rejected = chat("a", MODEL).await;
    assert_eq!(rejected.status, 429);
    let message = rejected.text();
    assert!(
        message.contains("the client key:a has reached"),
        "{message}"
    );
    let other = chat("b", MODEL).await;
    assert_eq!(other.status, 200);
    // The BedrockAccess and the key have one request left.
    assert_eq!(other.headers["x-ratelimit-remaining-requests"], "1");

    rig.write_config(&document(9, ", more"));
    eventually(
        "the new limits apply, and the counts are kept",
        async || {
            let response = chat("a", MODEL).await;
            response.status == 200 || response.text().contains("BedrockAccess team-a/chat")
        },
    )
    .await;
    let rejected = chat("b", MODEL).await;
    assert_eq!(rejected.status, 429);
    assert!(
        rejected
            .text()
            .contains("BedrockAccess team-a/chat has reached its limit of 4"),
        "{}",
        rejected.text()
    );
    let metric = "bedrock_gateway_limit_refusals_total{limit=\"requestsPerMinute\",scope=\"access\",client=\"key:b\"}";
    assert_eq!(rig.metric(metric).await, Some(1.0));
}
