//! Bedrock's OpenAI and Anthropic endpoints, on the runtime host and on mantle.

use awsdouble::{Double, Fault, FaultAction};
use serde_json::{Value, json};

use crate::client::*;

const KEY: &str = "bedrock-api-key-0123456789";

fn mantle(double: &Double) -> String {
    double.mantle_url().trim_start_matches("http://").to_owned()
}

/// Decodes a body with chunked transfer encoding.
fn unchunked(head: &str, body: &str) -> String {
    if !head.contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else {
            break;
        };
        if size == 0 {
            break;
        }
        let Some((piece, after)) = after.split_at_checked(size) else {
            break;
        };
        whole.push_str(piece);
        rest = after.trim_start_matches("\r\n");
    }
    whole
}

async fn runtime(double: &Double, path: &str, body: &Value) -> (u16, String) {
    let body = body.to_string();
    let (status, head, body) = signed(double, "bedrock", "POST", path, &[], &body).await;
    (status, unchunked(&head, &body))
}

async fn on_mantle(double: &Double, path: &str, body: &Value) -> (u16, String) {
    let (body, address) = (body.to_string(), mantle(double));
    let (status, head, body) =
        signed_at(&address, "bedrock-mantle", "POST", path, &[], &body).await;
    (status, unchunked(&head, &body))
}

fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// Parses the `data:` lines of a stream.
fn data(stream: &str) -> Vec<Value> {
    stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn chat_completions_respond_and_stream_on_both_hosts() {
    let (double, _) = irsa().await;
    let (status, body) = runtime(
        &double,
        "/openai/v1/chat/completions",
        &chat("openai.gpt-oss-120b-1:0", "hello you\n@reason why"),
    )
    .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        parsed(&body)["choices"][0]["message"]["content"],
        "<reasoning>why</reasoning>hello you"
    );
    let mut request = chat(
        "openai.gpt-oss-120b",
        "hello you\n@reason why\n@tool get {\"a\":1}",
    );
    request["stream"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    let (status, body) = on_mantle(&double, "/v1/chat/completions", &request).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    let chunks = data(&body);
    let received = |pointer: &str| -> String {
        chunks
            .iter()
            .filter_map(|chunk| chunk.pointer(pointer)?.as_str())
            .collect()
    };
    assert_eq!(received("/choices/0/delta/content"), "hello you");
    assert_eq!(received("/choices/0/delta/reasoning"), "why");
    assert_eq!(
        received("/choices/0/delta/tool_calls/0/function/arguments"),
        r#"{"a":1}"#
    );
    // Mantle counts tool calls from one.
    let index = chunks
        .iter()
        .find_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0/index"));
    assert_eq!(index, Some(&json!(1)));
    assert!(chunks.last().unwrap()["usage"]["completion_tokens"].as_u64() > Some(1));
    let call = &double.calls_of("ChatCompletions")[1];
    assert_eq!(
        (call.service.as_str(), call.model.as_deref()),
        ("bedrock-mantle", Some("openai.gpt-oss-120b"))
    );
    assert_eq!(call.stream.as_ref().unwrap().ended, "complete");
}

#[tokio::test]
async fn responses_number_their_events_and_accept_their_reasoning_again() {
    let (double, _) = irsa().await;
    let model = "global.openai.gpt-5.6-sol";
    let mut request = json!({"model": model, "input": "hello you\n@reason why\n@tool get {\"a\":1}",
        "include": ["reasoning.encrypted_content"], "stream": true,
        "tools": [{"type": "function", "name": "get", "parameters": {"type": "object"}}]});
    let (status, body) = runtime(&double, "/openai/v1/responses", &request).await;
    assert_eq!(status, 200, "{body}");
    let events = data(&body);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number), "{event}");
    }
    let of = |kind: &str| -> Vec<&Value> {
        events
            .iter()
            .filter(|event| event["type"] == kind)
            .collect()
    };
    let text: String = of("response.output_text.delta")
        .iter()
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "hello you");
    let whole = &of("response.completed")[0]["response"];
    let items: Vec<&str> = whole["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(items, ["reasoning", "message", "function_call"]);
    // Added items have the ids and indexes of the final output.
    for (index, item) in whole["output"].as_array().unwrap().iter().enumerate() {
        let added = of("response.output_item.added")[index];
        assert_eq!(
            (&added["item"]["id"], &added["output_index"]),
            (&item["id"], &json!(index))
        );
    }
    request["stream"] = json!(false);
    let (_, plain) = runtime(&double, "/openai/v1/responses", &request).await;
    assert_eq!(&parsed(&plain), whole);
    let output = whole["output"].as_array().unwrap().clone();
    let mut next: Vec<Value> = vec![json!({"role": "user", "content": "x"})];
    next.extend(output);
    next.push(json!({"type": "function_call_output", "call_id": whole["output"][2]["call_id"], "output": "7"}));
    let replay = json!({"model": model, "input": next});
    let (status, body) = runtime(&double, "/openai/v1/responses", &replay).await;
    assert_eq!(status, 200, "{body}");
    let mut changed = replay.clone();
    changed["input"][1]["summary"][0]["text"] = json!("why not");
    let (status, body) = runtime(&double, "/openai/v1/responses", &changed).await;
    assert_eq!(
        (status, parsed(&body)["error"]["code"].as_str()),
        (400, Some("invalid_encrypted_content"))
    );
}

#[tokio::test]
async fn messages_are_streamed_as_named_events() {
    let (double, _) = irsa().await;
    let body = json!({"model": "us.anthropic.claude-opus-4-7", "max_tokens": 100, "stream": true,
        "messages": [{"role": "user", "content": "hello you"}]});
    let version = [("anthropic-version", "2023-06-01"), ("x-api-key", KEY)];
    let (status, head, body) = http(
        &double,
        "POST",
        "/anthropic/v1/messages",
        &version,
        &body.to_string(),
    )
    .await;
    let body = unchunked(&head, &body);
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let events = data(&body);
    let names: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(names, kinds);
    assert_eq!((kinds[0], kinds[2]), ("message_start", "ping"));
    assert_eq!(events.last().unwrap(), &json!({"type": "message_stop"}));
    let plain = json!({"model": "anthropic.claude-haiku-4-5", "max_tokens": 100,
        "messages": [{"role": "user", "content": "hello you"}]});
    let (status, head, body) = signed_at(
        &mantle(&double),
        "bedrock-mantle",
        "POST",
        "/anthropic/v1/messages",
        &[("anthropic-version", "2023-06-01")],
        &plain.to_string(),
    )
    .await;
    assert_eq!(status, 200, "{head} {body}");
    assert_eq!(parsed(&body)["content"][0]["text"], "hello you");
}

#[tokio::test]
async fn rejects_a_wrong_endpoint_signature_or_model_like_aws() {
    let (double, _) = irsa().await;
    let at = mantle(&double);
    let runtime_chat = "/openai/v1/chat/completions";
    let (status, body) = runtime(
        &double,
        runtime_chat,
        &chat("us.anthropic.claude-opus-4-7", "x"),
    )
    .await;
    assert_eq!(
        (status, parsed(&body)["error"]["code"].clone()),
        (404, json!("model_not_found"))
    );
    let (status, body) = on_mantle(
        &double,
        "/v1/chat/completions",
        &chat("openai.gpt-5.6-sol", "x"),
    )
    .await;
    assert_eq!(status, 400);
    assert_eq!(
        parsed(&body),
        json!({"error": {"code": "validation_error", "param": null, "type": "invalid_request_error",
            "message": "The model 'openai.gpt-5.6-sol' does not support the '/v1/chat/completions' API"}})
    );
    let ask = json!({"model": "openai.gpt-5.6-sol", "input": "x"});
    let (_, body) = on_mantle(&double, "/v1/responses", &ask).await;
    assert!(body.contains("isn't supported on this route"), "{body}");
    let (status, _) = on_mantle(&double, "/openai/v1/responses", &ask).await;
    assert_eq!(status, 200);
    // Mantle accepts its own signing name and the runtime's.
    let body = ask.to_string();
    for (service, expected) in [("bedrock-mantle", 200), ("bedrock", 200), ("mantle", 401)] {
        let (status, _, reply) =
            signed_at(&at, service, "POST", "/openai/v1/responses", &[], &body).await;
        assert_eq!(status, expected, "{service}: {reply}");
    }
    let request = chat("openai.gpt-oss-20b-1:0", "x").to_string();
    let (status, _, reply) = signed(
        &double,
        "bedrock-mantle",
        "POST",
        runtime_chat,
        &[],
        &request,
    )
    .await;
    assert_eq!(status, 401, "{reply}");
    // A well-formed id that is not listed does not exist.
    let target = "/model/anthropic.claude-opus-99/invoke";
    let (status, _, reply) = signed(&double, "bedrock", "POST", target, &[], "{}").await;
    assert_eq!(
        (status, parsed(&reply)["message"].as_str()),
        (400, Some("The provided model identifier is invalid."))
    );
}

#[tokio::test]
async fn each_host_requires_its_own_permission() {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock:*", "Resource": "arn:aws:bedrock:*::foundation-model/*"}]});
    let (double, _) = irsa_with(|mut config| {
        config.users[0].policies = vec![policy];
        config
    })
    .await;
    let request = chat("openai.gpt-oss-20b-1:0", "x");
    let (status, body) = runtime(&double, "/openai/v1/chat/completions", &request).await;
    assert_eq!(status, 401, "{body}");
    assert!(
        body.contains("bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1:123456789012:project/default"),
        "{body}"
    );
    let (status, body) = on_mantle(
        &double,
        "/v1/chat/completions",
        &chat("openai.gpt-oss-20b", "x"),
    )
    .await;
    assert_eq!(status, 401, "{body}");
    assert!(body.contains("bedrock-mantle:CreateInference"), "{body}");
}

#[tokio::test]
async fn exceptions_within_a_stream_are_error_events_of_the_api() {
    let (double, _) = irsa().await;
    let exception = |operation: &str| {
        let action = FaultAction::StreamException {
            after: 2,
            code: "ThrottlingException".to_owned(),
            message: String::new(),
        };
        double.inject(Fault::new(operation, action).times(1));
    };
    exception("ChatCompletions");
    let mut request = chat("openai.gpt-oss-120b", "hello you");
    request["stream"] = json!(true);
    let (status, body) = on_mantle(&double, "/v1/chat/completions", &request).await;
    let events = data(&body);
    assert_eq!((status, events.len()), (200, 3), "{body}");
    assert_eq!(events[2]["error"]["code"], "rate_limit_exceeded");
    assert!(!body.contains("[DONE]"));
    exception("CreateResponse");
    let request = json!({"model": "openai.gpt-oss-120b", "input": "hello", "stream": true});
    let (_, body) = on_mantle(&double, "/v1/responses", &request).await;
    assert_eq!(data(&body)[2]["type"], "error");
    exception("CreateMessage");
    let request = json!({"model": "anthropic.claude-opus-5", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let (_, head, body) = signed_at(
        &mantle(&double),
        "bedrock-mantle",
        "POST",
        "/anthropic/v1/messages",
        &[("anthropic-version", "2023-06-01")],
        &request.to_string(),
    )
    .await;
    let events = data(&unchunked(&head, &body));
    assert_eq!(
        events[2],
        json!({"type": "error", "error": {"type": "rate_limit_error",
            "message": "Too many requests, please wait before trying again."}})
    );
}

#[tokio::test]
async fn responses_accept_tools_and_items_as_mantle_does() {
    let (double, _) = irsa().await;
    let function =
        |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let namespace =
        |name: &str| json!({"type": "namespace", "name": name, "tools": [function("search")]});
    let ask = |model: &str, tools: Value| json!({"model": model, "input": "hello\n@tool mcp__docs__search {}", "tools": tools});
    let gpt = ("openai.gpt-5.6-sol", "/openai/v1/responses");
    let oss = ("openai.gpt-oss-120b", "/v1/responses");
    for ((model, path), tools, rejected) in [
        (gpt, json!([namespace("mcp__docs")]), ""),
        (
            gpt,
            json!([namespace("functions")]),
            "User-defined namespace 'functions' collides with an existing tool namespace.",
        ),
        (
            gpt,
            json!([namespace("web")]),
            "User-defined namespace 'web' collides",
        ),
        (
            gpt,
            json!([{"type": "custom", "name": "patch"}]),
            "Invalid 'tools': unknown variant `custom`, expected one of",
        ),
        (
            oss,
            json!([namespace("mcp__docs")]),
            "Invalid 'tools': unknown variant `namespace`, expected `function` or `mcp`",
        ),
        (oss, json!([function("search")]), ""),
    ] {
        let (status, body) = on_mantle(&double, path, &ask(model, tools.clone())).await;
        assert_eq!(
            status,
            if rejected.is_empty() { 200 } else { 400 },
            "{tools}: {body}"
        );
        let body = parsed(&body);
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(rejected), "{message}");
        if rejected.is_empty() && model == gpt.0 {
            let output = body["output"].as_array().unwrap();
            let call = output
                .iter()
                .find(|item| item["type"] == "function_call")
                .unwrap();
            assert_eq!(
                (&call["namespace"], &call["name"]),
                (&json!("mcp__docs"), &json!("search"))
            );
        }
    }
    for kind in [
        "additional_tools",
        "custom_tool_call",
        "tool_search_call",
        "local_shell_call",
        "agent_message",
    ] {
        let body = json!({"model": gpt.0, "input": [{"role": "user", "content": "x"}, {"type": kind, "call_id": "c"}]});
        let (status, body) = on_mantle(&double, gpt.1, &body).await;
        assert_eq!(status, 400, "{kind}");
        assert!(
            body.contains("value did not match any expected variant"),
            "{body}"
        );
    }
}
