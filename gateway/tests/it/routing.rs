//! Targets: sticky conversations, ejection, timeouts with failover, and cache breaks, as clients and monitors see them.

use std::{collections::BTreeSet, time::Duration};

use awsdouble::{Fault, FaultAction};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{Response, Rig, ask, ask_stream, eventually};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// Two equal targets in different regions.
const TWO_REGIONS: &str = "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'us.amazon.nova-lite-v1:0', region: us-east-1}, {modelId: 'us.amazon.nova-lite-v1:0', region: us-west-2}]}]";

/// A target of Converse, and one that Bedrock's OpenAI endpoint serves, so that faults of Converse hit the first only.
fn two_apis(more: &str) -> String {
    format!(
        "clients: {{anonymous: true}}\nmodels: [{{name: fast, targets: [{{modelId: 'amazon.nova-lite-v1:0'}}, {{modelId: 'openai.gpt-oss-20b-1:0', priority: 1}}]}}]\n{more}"
    )
}

fn regions(rig: &Rig) -> BTreeSet<String> {
    let calls = rig.double.calls_of("Converse").into_iter();
    calls.filter_map(|call| call.region).collect()
}

#[tokio::test]
async fn requests_of_a_conversation_stay_in_one_region_on_every_replica() {
    let rig = Rig::with_document(TWO_REGIONS).await;
    let replica = Rig::with_document(TWO_REGIONS).await;
    for conversation in ["one", "two", "three"] {
        let mut both = BTreeSet::new();
        for rig in [&rig, &replica] {
            rig.double.clear_calls();
            for turn in 0..6 {
                let mut body = ask("fast", &format!("turn {turn}"));
                body["prompt_cache_key"] = json!(conversation);
                assert_eq!(rig.chat(&body).await.status, 200);
            }
            both.extend(regions(rig));
        }
        assert_eq!(both.len(), 1, "{conversation}: {both:?}");
    }
    rig.double.clear_calls();
    for _ in 0..40 {
        assert_eq!(rig.chat(&ask("fast", "hi")).await.status, 200);
    }
    assert_eq!(regions(&rig).len(), 2, "others are distributed");
    rig.write_config(&format!(
        "{TWO_REGIONS}\nrouting: {{stickyConversations: false}}"
    ));
    eventually("random regions", async || {
        rig.double.clear_calls();
        for _ in 0..20 {
            let mut body = ask("fast", "hi");
            body["prompt_cache_key"] = json!("one");
            rig.chat(&body).await;
        }
        regions(&rig).len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_conversation_of_bedrocks_own_api_stays_in_one_region() {
    let rig = Rig::with_document(TWO_REGIONS).await;
    let mut messages = vec![];
    for turn in 0..8 {
        let text = json!({ "text": format!("turn {turn}") });
        let point = json!({ "cachePoint": { "type": "default" } });
        let mut sent = messages.clone();
        sent.push(json!({ "role": "user", "content": [text, point] }));
        let body = json!({ "messages": sent }).to_string();
        let response = rig
            .call(Method::POST, "/model/fast/converse", &[], body)
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
        messages.push(json!({ "role": "user", "content": [text] }));
        messages.push(response.json()["output"]["message"].clone());
    }
    assert_eq!(regions(&rig).len(), 1);
}

#[tokio::test]
async fn a_failing_target_is_ejected_and_reported() {
    let rig = Rig::with_document(&two_apis("routing: {ejectSeconds: 300}")).await;
    let name = "bedrock_gateway_target_ejected{target_model=\"amazon.nova-lite-v1:0\",region=\"us-east-1\",role=\"\"}";
    assert_eq!(rig.metric(name).await, Some(0.0));
    rig.double
        .inject(Fault::error("Converse", 429, "ThrottlingException"));
    for _ in 0..8 {
        assert_eq!(rig.chat(&ask("fast", "hi")).await.status, 200);
    }
    assert_eq!(
        rig.double.calls_of("Converse").len(),
        5,
        "then it comes last"
    );
    assert_eq!(rig.metric(name).await, Some(1.0));
    let total = name.replace("ejected{", "ejections_total{");
    assert_eq!(rig.metric(&total).await, Some(1.0));
    let ready = rig.admin("/readyz").await;
    assert_eq!(ready.status, 200);
    let ejected = &ready.json()["ejected"][0];
    assert_eq!(ejected["model"], "amazon.nova-lite-v1:0");
    assert!(
        (295..=300).contains(&ejected["seconds"].as_u64().unwrap()),
        "{ejected}"
    );
}

#[tokio::test]
async fn health_survives_a_reload_but_not_new_settings() {
    let rig = Rig::with_document(&two_apis("routing: {ejectSeconds: 300}")).await;
    rig.double
        .inject(Fault::error("Converse", 503, "ServiceUnavailableException"));
    for _ in 0..5 {
        rig.chat(&ask("fast", "hi")).await;
    }
    let is_ejected = async || !rig.admin("/readyz").await.json()["ejected"].is_null();
    assert!(is_ejected().await);
    let reloads = "bedrock_gateway_config_reloads_total{result=\"success\"}";
    rig.write_config(&two_apis("routing: {ejectSeconds: 300}\nstrict: true"));
    eventually("a reload", async || rig.metric(reloads).await == Some(1.0)).await;
    assert!(is_ejected().await);
    rig.write_config(&two_apis("routing: {ejectSeconds: 200}"));
    eventually("new settings", async || !is_ejected().await).await;
}

#[tokio::test]
async fn a_target_without_a_first_token_is_left_for_the_next_one() {
    let rig = Rig::with_document(&two_apis("limits: {firstTokenSeconds: 1}")).await;
    rig.double
        .inject(Fault::new("ConverseStream", FaultAction::Hang));
    let response = rig.chat(&ask_stream("fast", "hello")).await;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.events().last().unwrap(),
        "[DONE]",
        "{}",
        response.text()
    );
    let attempts =
        "bedrock_gateway_upstream_attempts_total{region=\"us-east-1\",result=\"upstream_timeout\"}";
    assert_eq!(rig.metric(attempts).await, Some(1.0));
}

#[tokio::test]
async fn a_stream_without_a_first_event_is_also_requested_from_the_next_target() {
    let rig = Rig::with_document(&two_apis("routing: {hedgeAfterSeconds: 1}")).await;
    let quick = rig.chat(&ask_stream("fast", "hello")).await;
    assert_eq!(quick.events().last().unwrap(), "[DONE]");
    assert_eq!(rig.calls().len(), 1, "a quick response needs no second one");
    rig.double.inject(Fault::new(
        "ConverseStream",
        FaultAction::Delay {
            milliseconds: 30_000,
        },
    ));
    let started = tokio::time::Instant::now();
    let response = rig.chat(&ask_stream("fast", "hello")).await;
    assert_eq!(
        response.events().last().unwrap(),
        "[DONE]",
        "{}",
        response.text()
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(rig.calls().len(), 3);
}

#[tokio::test]
async fn a_stream_that_is_cut_before_its_first_event_is_repeated_elsewhere() {
    let rig = Rig::with_document(&two_apis("")).await;
    rig.double.inject(Fault::new(
        "ConverseStream",
        FaultAction::StreamCut { after: 0 },
    ));
    let response = rig.chat(&ask_stream("fast", "hello")).await;
    assert_eq!(
        response.events().last().unwrap(),
        "[DONE]",
        "{}",
        response.text()
    );
    assert_eq!(rig.double.calls_of("ConverseStream").len(), 1);
}

#[tokio::test]
async fn a_response_ends_after_its_total_time() {
    let rig =
        Rig::with_document("clients: {anonymous: true}\nallow: ['*']\nlimits: {totalSeconds: 1}")
            .await;
    let started = tokio::time::Instant::now();
    let chat = rig
        .chat(&ask_stream("amazon.nova-lite-v1:0", "@stall 2\nhello"))
        .await;
    assert!(chat.text().contains("response_timeout"), "{}", chat.text());
    let body =
        json!({ "messages": [{ "role": "user", "content": [{ "text": "@stall 2\nhello" }] }] });
    let path = "/model/amazon.nova-lite-v1:0/converse-stream";
    let own = rig.call(Method::POST, path, &[], body.to_string()).await;
    // Frames of an event stream.
    let own = String::from_utf8_lossy(&own.body);
    assert!(own.contains("longer than 1 seconds"), "{own}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// A request of a conversation with this usage of the cache.
async fn turn(rig: &Rig, system: &str, usage: Value, headers: &[(&str, &str)]) -> Response {
    let point = json!({ "type": "ephemeral" });
    let body = json!({
        "model": CLAUDE, "max_tokens": 99,
        "metadata": { "user_id": "user_1_session_2" },
        "system": [{ "type": "text", "text": system, "cache_control": point }],
        "messages": [
            { "role": "user", "content": "the first message" },
            { "role": "assistant", "content": "yes" },
            { "role": "user", "content": format!("@usage {usage}\nhello") },
        ]
    });
    rig.call(Method::POST, "/v1/messages", headers, body.to_string())
        .await
}

#[tokio::test]
async fn a_cache_break_is_counted_and_a_client_can_ask_for_its_part() {
    let rig = Rig::with_document("clients: {anonymous: true}\nallow: ['*']").await;
    let ask = [("x-bedrock-gateway-cache-report", "1")];
    let write = json!({ "cacheReadInputTokens": 0, "cacheWriteInputTokens": 5000 });
    let first = turn(&rig, "you help", write.clone(), &ask).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.headers["x-bedrock-gateway-cache"], "new");
    let read = json!({ "cacheReadInputTokens": 5000, "cacheWriteInputTokens": 10 });
    let second = turn(&rig, "you help", read, &[]).await;
    assert!(!second.headers.contains_key("x-bedrock-gateway-cache"));
    let broken = turn(&rig, "you help at 12:01", write, &ask).await;
    let report = broken.headers["x-bedrock-gateway-cache"].to_str().unwrap();
    assert_eq!(report, "changed=system; cached-tokens=5010");
    let page = rig.admin("/metrics").await.text();
    let breaks: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("bedrock_gateway_cache_breaks_total{"))
        .collect();
    assert_eq!(breaks.len(), 1, "{breaks:?}");
    assert!(
        breaks[0].contains("part=\"system\"") && breaks[0].ends_with(" 1"),
        "{breaks:?}"
    );
}

/// Tokens that conversations of 20 turns read from the cache.
async fn cached_tokens(rig: &Rig) -> u64 {
    let mut read = 0;
    for conversation in 0..10 {
        let point = json!({ "type": "ephemeral" });
        let system = format!("conversation {conversation} ").repeat(600);
        let mut messages: Vec<Value> = Vec::new();
        for turn in 0..20 {
            let text = format!("turn {turn} of conversation {conversation}");
            let block = json!({ "type": "text", "text": text, "cache_control": point });
            let mut sent = messages.clone();
            sent.push(json!({ "role": "user", "content": [block] }));
            let body = json!({
                "model": "fast", "max_tokens": 99, "messages": sent,
                "system": [{ "type": "text", "text": system, "cache_control": point }],
            });
            let response = rig
                .call(Method::POST, "/v1/messages", &[], body.to_string())
                .await;
            assert_eq!(response.status, 200, "{}", response.text());
            let response = response.json();
            read += response["usage"]["cache_read_input_tokens"]
                .as_u64()
                .unwrap();
            messages.push(json!({ "role": "user", "content": text }));
            messages.push(json!({ "role": "assistant", "content": response["content"] }));
        }
    }
    read
}

#[tokio::test]
async fn conversations_over_two_regions_read_their_cache_despite_faults() {
    let model = |targets: &str| {
        format!("clients: {{anonymous: true}}\nmodels: [{{name: fast, targets: [{targets}]}}]")
    };
    let target = |region: &str| format!("{{modelId: '{CLAUDE}', region: {region}}}");
    let (east, west) = (target("us-east-1"), target("us-west-2"));
    let one = Rig::with_document(&model(&east)).await;
    let expected = cached_tokens(&one).await;
    let two = Rig::with_document(&model(&format!("{east}, {west}"))).await;
    for call in [30, 90, 150] {
        let fault = Fault::error("InvokeModel", 429, "ThrottlingException");
        two.double.inject(fault.after(call).times(1));
    }
    let found = cached_tokens(&two).await;
    let calls = two.double.calls_of("InvokeModel");
    let regions: BTreeSet<_> = calls
        .iter()
        .filter_map(|call| call.region.clone())
        .collect();
    assert_eq!((calls.len(), regions.len()), (203, 2));
    assert!(
        expected > 0 && found * 100 >= expected * 95,
        "{found} of {expected}"
    );
}
