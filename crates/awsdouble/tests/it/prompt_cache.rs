//! The prompt cache over HTTP: usage in each API, and lifetimes by the double's clock.

use aws_sdk_bedrockruntime::types::ConverseStreamOutput;
use awsdouble::Double;
use serde_json::{Value, json};

use crate::client::*;

const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const KEY: [(&str, &str); 1] = [("authorization", "Bearer bedrock-api-key-0123456789")];

/// A text of this number of tokens.
fn words(tokens: usize) -> String {
    "word".repeat(tokens)
}

/// A request with 1100 tokens for an hour, 1200 for five minutes and 10 others.
fn claude() -> Value {
    let block = |tokens: usize, ttl: &str| {
        json!({"type": "text", "text": words(tokens),
        "cache_control": {"type": "ephemeral", "ttl": ttl}})
    };
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "system": [block(1100, "1h")],
        "messages": [{"role": "user", "content": [block(1200, "5m"), {"type": "text", "text": words(10)}]}]})
}

/// The same for Converse.
fn converse() -> Value {
    let point = |ttl: &str| json!({"cachePoint": {"type": "default", "ttl": ttl}});
    json!({"system": [{"text": words(1100)}, point("1h")],
        "messages": [{"role": "user", "content": [{"text": words(1200)}, point("5m"), {"text": words(10)}]}]})
}

async fn call(double: &Double, operation: &str, body: &Value) -> Value {
    let target = format!("/model/{MODEL}/{operation}");
    let (status, _, text) = http(double, "POST", &target, &KEY, &body.to_string()).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn converse_reports_reads_and_writes_by_lifetime() {
    let (double, _) = irsa().await;
    let usage = &call(&double, "converse", &converse()).await["usage"];
    assert_eq!(usage["cacheWriteInputTokens"], 2300);
    assert_eq!(
        usage["cacheDetails"],
        json!([{"inputTokens": 1100, "ttl": "1h"}, {"inputTokens": 1200, "ttl": "5m"}])
    );
    assert_eq!(usage["inputTokens"], 10);
    let usage = &call(&double, "converse", &converse()).await["usage"];
    assert_eq!(usage["cacheReadInputTokens"], 2300);
    assert_eq!(usage["cacheWriteInputTokens"], 0);
    assert!(usage.get("cacheDetails").is_none());
    let output = usage["outputTokens"].as_u64().unwrap();
    assert_eq!(usage["totalTokens"], 2310 + output);
}

#[tokio::test]
async fn invoke_model_reports_them_with_the_names_of_anthropic() {
    let (double, _) = irsa().await;
    let usage = &call(&double, "invoke", &claude()).await["usage"];
    assert_eq!(usage["cache_creation_input_tokens"], 2300);
    assert_eq!(
        usage["cache_creation"],
        json!({"ephemeral_5m_input_tokens": 1200, "ephemeral_1h_input_tokens": 1100})
    );
    let usage = &call(&double, "invoke", &claude()).await["usage"];
    assert_eq!(usage["cache_read_input_tokens"], 2300);
    assert_eq!(usage["cache_creation_input_tokens"], 0);
    assert_eq!(usage["input_tokens"], 10);
}

#[tokio::test]
async fn mantle_reports_them_in_the_first_event_of_a_stream() {
    let (double, _) = irsa().await;
    let mut body = claude();
    body.as_object_mut().unwrap().remove("anthropic_version");
    body["model"] = json!("anthropic.claude-opus-4-8");
    body["stream"] = json!(true);
    let address = double.mantle_url().trim_start_matches("http://").to_owned();
    let headers = [KEY[0], ("anthropic-version", "2023-06-01")];
    for (read, hour) in [(0, 1100), (2300, 0)] {
        let path = "/anthropic/v1/messages";
        let (status, _, text) = http_at(&address, "POST", path, &headers, &body.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix("data: "));
        let start: Value = serde_json::from_str(line.unwrap()).unwrap();
        let usage = &start["message"]["usage"];
        assert_eq!(usage["cache_read_input_tokens"], read, "{start}");
        assert_eq!(usage["cache_creation"]["ephemeral_1h_input_tokens"], hour);
    }
}

#[tokio::test]
async fn a_stream_of_converse_reports_them_at_its_end() {
    use aws_sdk_bedrockruntime::types::{
        CachePointBlock, CachePointType, ContentBlock, ConversationRole, Message,
    };

    let (double, _) = irsa().await;
    let point = CachePointBlock::builder()
        .r#type(CachePointType::Default)
        .build()
        .unwrap();
    let message = Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(words(1200)))
        .content(ContentBlock::CachePoint(point))
        .build()
        .unwrap();
    for (read, written) in [(0, 1200), (1200, 0)] {
        let request = bedrock(&double, user()).converse_stream().model_id(MODEL);
        let mut reply = request.messages(message.clone()).send().await.unwrap();
        let mut usage = None;
        while let Some(event) = reply.stream.recv().await.unwrap() {
            if let ConverseStreamOutput::Metadata(metadata) = event {
                usage = metadata.usage().cloned();
            }
        }
        let usage = usage.unwrap();
        assert_eq!(usage.cache_read_input_tokens(), Some(read));
        assert_eq!(usage.cache_write_input_tokens(), Some(written));
    }
}

#[tokio::test]
async fn lifetimes_follow_the_clock_of_the_double() {
    let (double, _) = irsa().await;
    call(&double, "converse", &converse()).await;
    for (after, read, written) in [
        (200, 2300, 0),
        // The read has renewed both.
        (450, 2300, 0),
        (451 + 300, 1100, 1200),
        (451 + 300 + 3601, 0, 2300),
    ] {
        double.set_clock_skew(after);
        let usage = &call(&double, "converse", &converse()).await["usage"];
        assert_eq!(usage["cacheReadInputTokens"], read, "after {after} s");
        assert_eq!(usage["cacheWriteInputTokens"], written, "after {after} s");
    }
}
