//! Anthropic Messages: Claude with InvokeModel, all other models with Converse.

mod client;

use http::Method;
use serde_json::{Value, json};

pub(crate) use self::client::{ask, collect_message, events};
use crate::rig::{MODEL, Plan, Rig};

pub(crate) const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
pub(crate) const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// A configuration with Claude on InvokeModel, on Converse and on the Anthropic endpoint, and Nova.
pub(crate) fn document() -> String {
    format!(
        "clients: {{anonymous: true}}\nmodels:\n\
         - {{name: invoke, targets: [{{modelId: '{CLAUDE}'}}]}}\n\
         - {{name: converse, targets: [{{modelId: '{CLAUDE}', api: Converse}}]}}\n\
         - {{name: endpoint, targets: [{{modelId: '{CLAUDE}', api: Anthropic}}]}}\n\
         - {{name: nova, targets: [{{modelId: '{MODEL}'}}]}}\n"
    )
}

#[tokio::test]
async fn forwards_claudes_request_and_response_unchanged() {
    let rig = Rig::laptop().await;
    let body = r#"{"model":"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "max_tokens":100,
 "messages":[{"role":"user","content":[{"type":"text","text":"\u00e9 ü 日本語 \"q\""}]}],"temperature":1.0,"metadata":{"user_id":"u"}}"#;
    let plain = rig
        .call(Method::POST, "/v1/messages", &[VERSION], body)
        .await;
    assert_eq!(plain.status, 200, "{}", plain.text());
    let call = &rig.double.calls_of("InvokeModel")[0];
    let expected = body.replacen(
        r#""model":"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "#,
        r#""anthropic_version":"bedrock-2023-05-31","#,
        1,
    );
    assert_eq!(call.body, expected);
    assert!(call.path.ends_with("-v1%3A0/invoke"), "{}", call.path);
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(plain.headers["content-type"], "application/json");
    assert_eq!(plain.headers["request-id"], plain.headers["x-request-id"]);
    assert!(plain.headers.contains_key("x-amzn-requestid"));
    let message = plain.json();
    assert_eq!(message["type"], "message");
    assert!(message["id"].as_str().unwrap().starts_with("msg_bdrk_"));
    assert_eq!(message["content"][0]["text"], "é ü 日本語 \"q\"");

    let streaming = body.replacen("{\"model", "{\"stream\": true,\"model", 1);
    let streamed = rig
        .call(Method::POST, "/v1/messages", &[VERSION], streaming)
        .await;
    assert_eq!(
        streamed.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(
        !streamed.text().contains("amazon-bedrock"),
        "{}",
        streamed.text()
    );
    let events = events(&streamed.text());
    assert_eq!(collect_message(&events), message);
    let upstream = rig.double.calls_of("InvokeModelWithResponseStream");
    assert_eq!(upstream[0].body, expected);
    // The gateway counts tokens while it forwards the response; the label is the foundation model.
    let model = CLAUDE.strip_prefix("us.").unwrap();
    let tokens = rig
        .metric(&format!(
            "gen_ai_client_token_usage_sum{{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"{model}\",gen_ai_token_type=\"output\"}}"
        ))
        .await;
    let output = message["usage"]["output_tokens"].as_f64().unwrap();
    assert_eq!(
        tokens,
        Some(2.0 * output),
        "{}",
        rig.admin("/metrics").await.text()
    );
}

#[tokio::test]
async fn streamed_and_plain_messages_are_equal_for_every_api() {
    let rig = Rig::with_document(&document()).await;
    for (model, operations) in [
        ("invoke", ["InvokeModel", "InvokeModelWithResponseStream"]),
        ("converse", ["Converse", "ConverseStream"]),
        ("endpoint", ["CreateMessage", "CreateMessage"]),
        ("nova", ["Converse", "ConverseStream"]),
    ] {
        rig.double.clear_calls();
        let mut body = ask(
            model,
            "let me see\n@tool weather {\"city\":\"Ulm\",\"days\":3}\n@tool now {}",
        );
        let tool = |name: &str| json!({ "name": name, "description": "d", "input_schema": { "type": "object", "properties": { "z": {}, "a": {} } } });
        body["tools"] = json!([tool("weather"), tool("now")]);
        body["system"] = json!([{ "type": "text", "text": "Be brief." }]);
        let plain = rig.messages(&body).await;
        assert_eq!(plain.status, 200, "{model}: {}", plain.text());
        let mut message = plain.json();
        assert_eq!(message["stop_reason"], "tool_use", "{model}");
        assert_eq!(
            message["model"], model,
            "the response has the client's model name"
        );
        assert_eq!(message["content"][1]["name"], "weather");
        assert_eq!(
            message["content"][1]["input"],
            json!({ "city": "Ulm", "days": 3 })
        );
        assert_eq!(message["content"][2]["input"], json!({}));

        body["stream"] = Value::from(true);
        let streamed = rig.messages(&body).await;
        let mut other = collect_message(&events(&streamed.text()));
        for one in [&mut message, &mut other] {
            one["id"] = Value::Null;
        }
        assert_eq!(other, message, "{model}");
        let calls: Vec<_> = rig
            .calls()
            .iter()
            .map(|call| call.operation.clone())
            .collect();
        assert_eq!(calls, operations, "{model}");
    }
}

/// Six turns of thinking and tools. The double rejects signed blocks that are not byte for byte the same.
async fn six_turns(rig: &Rig, model: &str, stream: bool) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    for turn in 0..6 {
        let mut content = Vec::new();
        if let Some(last) = messages.last() {
            for block in last["content"].as_array().unwrap() {
                if block["type"] == "tool_use" {
                    content.push(json!({ "type": "tool_result", "tool_use_id": block["id"],
                        "content": [{ "type": "text", "text": format!("result {turn}") }] }));
                }
            }
        }
        let redacted = if turn == 2 { "\n@reason-redacted" } else { "" };
        content.push(json!({ "type": "text", "text": format!(
            "@reason weighing \"{turn}\" — é\\n\u{2028} twice{redacted}\n@tool look {{\"z\":{turn},\"a\":1.50}}\n@tool look {{\"z\":\"b\"}}") }));
        messages.push(json!({ "role": "user", "content": content }));
        let body = json!({
            "model": model, "max_tokens": 4000, "stream": stream,
            "thinking": { "type": "enabled", "budget_tokens": 2000 },
            "tools": [{ "name": "look", "description": "d", "input_schema": { "type": "object", "properties": { "z": {}, "a": {} } } }],
            "messages": messages,
        });
        let headers = [
            VERSION,
            ("anthropic-beta", "interleaved-thinking-2025-05-14"),
        ];
        let response = rig.messages_with(&headers, &body).await;
        assert_eq!(
            response.status,
            200,
            "{model}, turn {turn}: {}",
            response.text()
        );
        let message = if stream {
            collect_message(&events(&response.text()))
        } else {
            response.json()
        };
        let content = message["content"].as_array().unwrap();
        assert_eq!(content[0]["type"], "thinking");
        assert!(!content[0]["signature"].as_str().unwrap().is_empty());
        messages.push(json!({ "role": "assistant", "content": content }));
    }
    messages
}

#[tokio::test]
async fn six_turns_of_thinking_and_tools_replay_every_signed_block_unchanged() {
    let rig = Rig::with_document(&document()).await;
    for model in ["invoke", "converse", "endpoint"] {
        for stream in [false, true] {
            rig.double.clear_calls();
            let messages = six_turns(&rig, model, stream).await;
            let last = rig.calls().pop().unwrap();
            let thinking_blocks = messages
                .iter()
                .filter(|message| message["role"] == "assistant")
                .flat_map(|message| message["content"].as_array().unwrap())
                .filter(|block| block["type"] == "thinking");
            // The last request contains the thinking of all turns except the last.
            for thinking in thinking_blocks.take(5) {
                let text = thinking["thinking"].to_string();
                let signature = thinking["signature"].to_string();
                assert!(last.body.contains(&text), "{model}: {text}");
                assert!(last.body.contains(&signature), "{model}: {signature}");
            }
        }
    }
}

#[tokio::test]
async fn accepts_requests_of_claude_code_that_bedrock_would_reject() {
    let rig = Rig::laptop().await;
    let mut body = ask(CLAUDE, "hi");
    body["stream"] = Value::from(true);
    body["system"] = json!([{ "type": "text", "text": "You are a CLI.", "cache_control": { "type": "ephemeral", "scope": "global" } }]);
    body["tools"] = json!([{ "name": "Bash", "description": "d", "eager_input_streaming": true,
        "input_schema": { "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {} } }]);
    body["context_management"] =
        json!({ "edits": [{ "type": "clear_thinking_20251015", "keep": "all" }] });
    body["metadata"] = json!({ "user_id": "user_1_account__session_2" });
    let headers = [
        VERSION,
        (
            "anthropic-beta",
            "claude-code-20250219,context-management-2025-06-27,interleaved-thinking-2025-05-14",
        ),
        ("anthropic-beta", "fine-grained-tool-streaming-2025-05-14"),
        ("authorization", "Bearer whatever"),
    ];
    let response = rig.messages_with(&headers, &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    collect_message(&events(&response.text()));
    let warnings: Vec<&str> = response
        .headers
        .get_all("x-bedrock-gateway-warning")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("fine-grained-tool-streaming"));
    assert!(warnings[1].contains("eager_input_streaming"));
    let call = &rig.calls()[0];
    let sent: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(
        sent["anthropic_beta"],
        json!([
            "context-management-2025-06-27",
            "interleaved-thinking-2025-05-14"
        ])
    );
    assert!(
        call.headers["authorization"].starts_with("AWS4"),
        "the client's credentials are not forwarded"
    );
    assert!(!call.headers.contains_key("anthropic-beta"));
}

#[tokio::test]
async fn applies_the_forced_guardrail_to_every_api() {
    let guardrail = "guardrail: {identifier: gr1234567890, version: '1'}\n";
    let mut double = Plan::default().double;
    double.guardrails = serde_json::from_value(json!([
        { "id": "gr1234567890", "version": "1", "blocked_words": ["forbidden"], "message": "Not here." }
    ]))
    .unwrap();
    let rig = Rig::start(Plan {
        document: Some(format!("{}{guardrail}", document())),
        double,
        ..Plan::default()
    })
    .await;
    for model in ["invoke", "converse", "nova"] {
        rig.double.clear_calls();
        let response = rig.messages(&ask(model, "something forbidden")).await;
        assert_eq!(
            response.json()["content"][0]["text"],
            "Not here.",
            "{model}"
        );
        let call = &rig.calls()[0];
        let by_header = call
            .headers
            .get("x-amzn-bedrock-guardrailidentifier")
            .map(String::as_str);
        if model == "invoke" {
            assert_eq!(by_header, Some("gr1234567890"));
            assert_eq!(call.headers["x-amzn-bedrock-guardrailversion"], "1");
        } else {
            let sent: Value = serde_json::from_str(&call.body).unwrap();
            assert_eq!(
                sent["guardrailConfig"]["guardrailIdentifier"],
                "gr1234567890"
            );
        }
    }
    // The Anthropic endpoint does not support guardrails, so the request is rejected.
    let rejected = rig.messages(&ask("endpoint", "hi")).await;
    assert_eq!(rejected.status, 400);
    assert!(rejected.text().contains("guardrail"), "{}", rejected.text());
}

#[tokio::test]
async fn lists_models_in_the_clients_format() {
    let rig = Rig::with_document(&document()).await;
    let list = rig
        .call(Method::GET, "/v1/models?limit=3", &[VERSION], "")
        .await;
    let page = list.json();
    let ids: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].clone())
        .collect();
    assert_eq!(ids, ["converse", "endpoint", "invoke"]);
    assert_eq!(page["has_more"], true);
    assert_eq!(page["last_id"], "invoke");
    assert_eq!(page["data"][0]["type"], "model");
    assert!(
        page["data"][0]["created_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let rest = rig
        .call(
            Method::GET,
            "/v1/models?limit=3&after_id=invoke",
            &[VERSION],
            "",
        )
        .await
        .json();
    assert_eq!(rest["data"][0]["id"], "nova");
    assert_eq!(rest["has_more"], false);
    let one = rig
        .call(Method::GET, "/v1/models/nova", &[VERSION], "")
        .await;
    assert_eq!(one.json()["display_name"], "nova");
    assert!(one.headers.contains_key("request-id"));
    let none = rig
        .call(Method::GET, "/v1/models/gpt", &[VERSION], "")
        .await;
    assert_eq!(
        (none.status.as_u16(), none.error()["type"].as_str().unwrap()),
        (404, "not_found_error")
    );
    assert_eq!(rig.get("/v1/models").await.json()["object"], "list");
}

#[tokio::test]
async fn reports_the_stop_sequence_if_it_is_known() {
    let rig = Rig::with_document(&document()).await;
    for (model, sequences, expected) in [
        ("invoke", json!(["STOP", "END"]), json!("END")),
        ("converse", json!(["STOP", "END"]), json!("END")),
        ("nova", json!(["END"]), json!("END")),
    ] {
        for stream in [false, true] {
            let mut body = ask(model, "one two END three");
            body["stop_sequences"] = sequences.clone();
            body["stream"] = Value::from(stream);
            let response = rig.messages(&body).await;
            let message = if stream {
                collect_message(&events(&response.text()))
            } else {
                response.json()
            };
            assert_eq!(message["stop_reason"], "stop_sequence", "{model} {message}");
            assert_eq!(message["stop_sequence"], expected, "{model}");
        }
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_repaired_with_a_warning_on_every_route() {
    let rig = Rig::with_document(&document()).await;
    let body = |model: &str| {
        format!(
            r#"{{"model":"{model}","max_tokens":99,"messages":[{{"role":"user","content":"cut \ud83d"}}]}}"#
        )
    };
    for (path, model) in [
        ("/v1/messages", "invoke"),
        ("/v1/messages", "converse"),
        ("/v1/chat/completions", "nova"),
    ] {
        let response = rig.call(Method::POST, path, &[VERSION], body(model)).await;
        assert_eq!(response.status, 200, "{model} {}", response.text());
        let warning = response.headers["x-bedrock-gateway-warning"].to_str();
        assert!(warning.unwrap().starts_with("body: "), "{model}");
    }
    let strict = Rig::with_document(&format!("{}strict: true", document())).await;
    let response = strict
        .call(Method::POST, "/v1/messages", &[VERSION], body("invoke"))
        .await;
    assert_eq!(response.status, 400, "{}", response.text());
}

#[tokio::test]
async fn structured_output_of_an_older_claude_is_served_by_converse() {
    let rig = Rig::laptop().await;
    let mut body = ask("anthropic.claude-3-haiku-20240307-v1:0", "hi");
    body["output_config"] = json!({"format": {"type": "json_schema",
        "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}});
    let response = rig.messages(&body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(rig.double.calls_of("Converse").len(), 1);
    let text = response.json()["content"][0]["text"].clone();
    assert!(
        serde_json::from_str::<Value>(text.as_str().unwrap()).is_ok(),
        "{text}"
    );
}

#[tokio::test]
async fn an_incomplete_conversation_is_completed_on_every_route() {
    let rig = Rig::with_document(&document()).await;
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]});
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": "r"});
    let text = json!({"type": "text", "text": "continue"});
    let user = |blocks: Value| json!({"role": "user", "content": blocks});
    let question = || user(json!([{"type": "text", "text": "q"}]));
    for (messages, changes) in [
        (
            json!([question(), call, user(json!([result, text]))]),
            false,
        ),
        (
            json!([question(), call, user(json!([text, result]))]),
            false,
        ),
        (json!([question(), call, user(json!([text]))]), true),
        (json!([question(), call]), true),
        (json!([user(json!([result, text]))]), true),
        (
            json!([
                question(),
                call,
                user(json!([result])),
                call,
                user(json!([result, text]))
            ]),
            false,
        ),
    ] {
        for model in ["invoke", "endpoint", "converse"] {
            let mut body = ask(model, "");
            body["messages"] = messages.clone();
            body["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
            let response = rig.messages(&body).await;
            assert_eq!(
                response.status,
                200,
                "{model} {messages}: {}",
                response.text()
            );
            let warned = response.headers.contains_key("x-bedrock-gateway-warning");
            assert_eq!(warned, changes, "{model} {messages}");
        }
    }
    let mut body = ask("invoke", "hi");
    body["tool_choice"] = json!({"type": "any"});
    body["betas"] = json!(["context-1m-2025-08-07"]);
    body["system"] = Value::Null;
    body["stop_sequences"] = json!(["", "END"]);
    body["messages"] = json!([question(), {"role": "assistant", "content": []}, question(),
        {"role": "assistant", "content": "So: "}]);
    for tools in [Value::Null, json!([])] {
        body["tools"] = tools;
        let response = rig.messages(&body).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
}
