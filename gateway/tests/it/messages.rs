//! Anthropic's Messages: Claude in its own language, every other model by Converse.

use http::Method;
use serde_json::{Value, json};

use crate::rig::{Answer, MODEL, Plan, Rig};

pub(crate) const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

impl Rig {
    pub(crate) async fn messages(&self, body: &Value) -> Answer {
        self.messages_with(&[VERSION], body).await
    }

    pub(crate) async fn messages_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.call(Method::POST, "/v1/messages", headers, body.to_string())
            .await
    }
}

pub(crate) fn ask(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "max_tokens": 4000, "messages": [{ "role": "user", "content": prompt }] })
}

/// A document with Claude by its own API, by Converse alone, and by the Anthropic endpoint.
fn ways() -> String {
    format!(
        "clients: {{anonymous: true}}\nmodels:\n\
         - {{name: native, targets: [{{modelId: '{CLAUDE}'}}]}}\n\
         - {{name: converse, targets: [{{modelId: '{CLAUDE}', api: Converse}}]}}\n\
         - {{name: endpoint, targets: [{{modelId: '{CLAUDE}', api: Anthropic}}]}}\n\
         - {{name: nova, targets: [{{modelId: '{MODEL}'}}]}}\n"
    )
}

/// Events of a stream, each certain to bear its own name.
#[track_caller]
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
            data
        })
        .collect()
}

/// What a client makes of a stream: the message that the events build.
#[track_caller]
fn gathered(events: &[Value]) -> Value {
    let mut message = events[0]["message"].clone();
    for event in &events[1..] {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(event["index"], content.len(), "dense indexes");
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let index = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
                let block = &mut message["content"][index];
                let delta = event["delta"].as_object().unwrap();
                for (name, piece) in delta.iter().filter(|(name, _)| *name != "type") {
                    let all = format!(
                        "{}{}",
                        block[name.as_str()].as_str().unwrap_or_default(),
                        piece.as_str().unwrap()
                    );
                    block[name.as_str()] = Value::from(all);
                }
            }
            "content_block_stop" => {
                let index = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
                let block = message["content"][index].as_object_mut().unwrap();
                if let Some(json) = block.remove("partial_json") {
                    let json = json.as_str().unwrap();
                    let json = if json.is_empty() { "{}" } else { json };
                    block.insert("input".to_owned(), serde_json::from_str(json).unwrap());
                }
            }
            "message_delta" => {
                for (name, value) in event["delta"].as_object().unwrap() {
                    message[name.as_str()] = value.clone();
                }
                for (name, value) in event["usage"].as_object().unwrap() {
                    message["usage"][name.as_str()] = value.clone();
                }
            }
            "ping" | "message_stop" => {}
            other => panic!("{other}: {event}"),
        }
    }
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    message
}

#[tokio::test]
async fn claudes_body_goes_through_byte_for_byte_and_so_do_its_answer_and_events() {
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
    assert_eq!(gathered(&events), message);
    let upstream = rig.double.calls_of("InvokeModelWithResponseStream");
    assert_eq!(upstream[0].body, expected);
    // Read in passing.
    let tokens = rig
        .metric(&format!(
            "gen_ai_client_token_usage_sum{{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"{CLAUDE}\",client=\"anonymous\",gen_ai_token_type=\"output\"}}"
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
async fn every_way_streams_what_it_says_plainly() {
    let rig = Rig::with_document(&ways()).await;
    for (model, operations) in [
        ("native", ["InvokeModel", "InvokeModelWithResponseStream"]),
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
        assert_eq!(message["content"][1]["name"], "weather");
        assert_eq!(
            message["content"][1]["input"],
            json!({ "city": "Ulm", "days": 3 })
        );
        assert_eq!(message["content"][2]["input"], json!({}));

        body["stream"] = Value::from(true);
        let streamed = rig.messages(&body).await;
        let mut other = gathered(&events(&streamed.text()));
        for one in [&mut message, &mut other] {
            one["id"] = Value::Null;
        }
        assert_eq!(other, message, "{model}");
        let calls: Vec<_> = rig
            .double
            .calls()
            .iter()
            .map(|call| call.operation.clone())
            .collect();
        assert_eq!(calls, operations, "{model}");
    }
}

/// Six turns of thinking and tools. The double takes no signed block back that changed in one byte.
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
        let answer = rig.messages_with(&headers, &body).await;
        assert_eq!(
            answer.status,
            200,
            "{model}, turn {turn}: {}",
            answer.text()
        );
        let message = if stream {
            gathered(&events(&answer.text()))
        } else {
            answer.json()
        };
        let content = message["content"].as_array().unwrap();
        assert_eq!(content[0]["type"], "thinking");
        assert!(!content[0]["signature"].as_str().unwrap().is_empty());
        messages.push(json!({ "role": "assistant", "content": content }));
    }
    messages
}

#[tokio::test]
async fn thinking_and_tools_replay_for_six_turns_without_a_signed_byte_changed() {
    let rig = Rig::with_document(&ways()).await;
    for model in ["native", "converse", "endpoint"] {
        for stream in [false, true] {
            rig.double.clear_calls();
            let messages = six_turns(&rig, model, stream).await;
            let last = rig.double.calls().pop().unwrap();
            let thoughts = messages
                .iter()
                .filter(|message| message["role"] == "assistant")
                .flat_map(|message| message["content"].as_array().unwrap())
                .filter(|block| block["type"] == "thinking");
            // All but the last turn's are in the last request.
            for thought in thoughts.take(5) {
                let text = thought["thinking"].to_string();
                let signature = thought["signature"].to_string();
                assert!(last.body.contains(&text), "{model}: {text}");
                assert!(last.body.contains(&signature), "{model}: {signature}");
            }
        }
    }
}

#[tokio::test]
async fn requests_of_claude_code_pass_where_bedrock_would_refuse_them() {
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
    let answer = rig.messages_with(&headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    gathered(&events(&answer.text()));
    let warnings: Vec<&str> = answer
        .headers
        .get_all("x-bedrock-gateway-warning")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("fine-grained-tool-streaming"));
    assert!(warnings[1].contains("eager_input_streaming"));
    let call = &rig.double.calls()[0];
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
        "the client's own stays here"
    );
    assert!(!call.headers.contains_key("anthropic-beta"));
}

#[tokio::test]
async fn forced_guardrail_holds_on_every_way() {
    let guardrail = "guardrail: {identifier: gr1234567890, version: '1'}\n";
    let mut double = Plan::default().double;
    double.guardrails = serde_json::from_value(json!([
        { "id": "gr1234567890", "version": "1", "blocked_words": ["forbidden"], "message": "Not here." }
    ]))
    .unwrap();
    let rig = Rig::start(Plan {
        document: Some(format!("{}{guardrail}", ways())),
        double,
        ..Plan::default()
    })
    .await;
    for model in ["native", "converse", "nova"] {
        rig.double.clear_calls();
        let answer = rig.messages(&ask(model, "something forbidden")).await;
        assert_eq!(answer.json()["content"][0]["text"], "Not here.", "{model}");
        let call = &rig.double.calls()[0];
        let by_header = call
            .headers
            .get("x-amzn-bedrock-guardrailidentifier")
            .map(String::as_str);
        if model == "native" {
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
    // It could not be had there, so nothing is served there.
    let refused = rig.messages(&ask("endpoint", "hi")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("guardrail"), "{}", refused.text());
}

#[tokio::test]
async fn tokens_are_counted_by_bedrock_or_not_at_all() {
    let rig = Rig::with_document(&ways()).await;
    let count = async |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "how long is this?" }],
            "thinking": { "type": "enabled", "budget_tokens": 2000 },
            "tools": [{ "name": "f", "description": "d", "input_schema": { "type": "object" } }] });
        rig.call(
            Method::POST,
            "/v1/messages/count_tokens",
            &[VERSION],
            body.to_string(),
        )
        .await
    };
    let mut counts = Vec::new();
    for model in ["native", "converse"] {
        rig.double.clear_calls();
        let answer = count(model).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        counts.push(answer.json()["input_tokens"].as_u64().unwrap());
        let call = &rig.double.calls()[0];
        assert_eq!(call.operation, "CountTokens");
        // Not the profile's: Bedrock does not count by those.
        assert_eq!(
            call.model.as_deref(),
            Some("anthropic.claude-sonnet-4-5-20250929-v1:0")
        );
        assert!(answer.headers.contains_key("request-id"));
    }
    assert!(counts[0] > 10);
    assert_eq!(counts[0], counts[1]);

    let refused = count("nova").await;
    assert_eq!(refused.status, 404, "{}", refused.text());
    assert_eq!(refused.json()["type"], "error");
    assert_eq!(refused.error()["type"], "not_found_error");
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("nova")
    );
}

#[tokio::test]
async fn a_hidden_model_is_counted_for_once_the_configuration_names_it() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6";
    let rig = Rig::with_document(&format!(
        "clients: {{anonymous: true}}\nmodels:\n\
         - {{name: hidden, targets: [{{modelId: '{arn}', api: InvokeModel}}]}}\n\
         - {{name: named, targets: [{{modelId: '{arn}', baseModel: 'anthropic.claude-sonnet-4-5-20250929-v1:0'}}]}}\n"
    ))
    .await;
    let count = async |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        rig.call(
            Method::POST,
            "/v1/messages/count_tokens",
            &[VERSION],
            body.to_string(),
        )
        .await
    };
    let hidden = count("hidden").await;
    assert_eq!(hidden.status, 404);
    assert!(hidden.text().contains("baseModel"), "{}", hidden.text());
    let named = count("named").await;
    assert_eq!(named.status, 200, "{}", named.text());
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_who_asks() {
    let rig = Rig::with_document(&ways()).await;
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
    assert_eq!(ids, ["converse", "endpoint", "native"]);
    assert_eq!(page["has_more"], true);
    assert_eq!(page["last_id"], "native");
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
            "/v1/models?limit=3&after_id=native",
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
async fn stop_sequence_is_reported_wherever_it_can_be_known() {
    let rig = Rig::with_document(&ways()).await;
    for (model, sequences, expected) in [
        ("native", json!(["STOP", "END"]), json!("END")),
        ("converse", json!(["STOP", "END"]), json!("END")),
        ("nova", json!(["END"]), json!("END")),
    ] {
        for stream in [false, true] {
            let mut body = ask(model, "one two END three");
            body["stop_sequences"] = sequences.clone();
            body["stream"] = Value::from(stream);
            let answer = rig.messages(&body).await;
            let message = if stream {
                gathered(&events(&answer.text()))
            } else {
                answer.json()
            };
            assert_eq!(message["stop_reason"], "stop_sequence", "{model} {message}");
            assert_eq!(message["stop_sequence"], expected, "{model}");
        }
    }
}
