//! Fields that change the meaning of a response are supported or rejected by name, on every route.

use http::Method;
use serde_json::{Value, json};

use crate::{
    messages::{self, VERSION, document},
    rig::{Plan, Rig, ask},
};

const TITAN: &str =
    r#"{"model":"nova","inputText":"hi","textGenerationConfig":{"maxTokenCount":9}}"#;

#[tokio::test]
async fn threads_get_the_errors_that_make_anthropics_sdks_send_the_whole_conversation() {
    let rig = Rig::with_document(&document()).await;
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        for model in ["invoke", "converse", "endpoint", "nova"] {
            for (thread, details) in [
                (
                    json!({"type": "create"}),
                    json!({"error_code": "thread_unsupported_request", "unsupported": ["thread"]}),
                ),
                (
                    json!({"type": "continue", "previous_message_id": "msg_1"}),
                    json!({"error_code": "thread_not_found"}),
                ),
            ] {
                let mut body = messages::ask(model, "and the second one?");
                body["thread"] = thread;
                let response = rig
                    .call(Method::POST, path, &[VERSION], body.to_string())
                    .await;
                assert_eq!(response.status, 400, "{path} {model}: {}", response.text());
                let error = &response.json()["error"];
                assert_eq!(error["type"], "invalid_request_error");
                assert_eq!(error["details"], details);
            }
        }
    }
    let mut body = messages::ask("nova", "hi");
    body["thread"] = Value::Null;
    assert_eq!(rig.messages(&body).await.status, 200);
    assert_eq!(rig.calls().len(), 1, "the others called no model");
}

#[tokio::test]
async fn retrieval_and_formats_of_other_services_are_rejected_by_name() {
    let rig = Rig::with_document(&document()).await;
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses"] {
        for field in ["file_ids", "knowledge_base_id", "auto_kb", "target_format"] {
            let mut body = messages::ask("nova", "hi");
            body["input"] = json!("hi");
            body[field] = json!("x");
            let response = rig.call(Method::POST, path, &[], body.to_string()).await;
            assert_eq!(response.status, 400, "{path} {field}: {}", response.text());
            let text = response.json()["error"]["message"].clone();
            assert!(text.as_str().unwrap().starts_with(field), "{text}");
        }
    }
    let query = "/v1/chat/completions?target_format=bedrock";
    let response = rig
        .call(Method::POST, query, &[], ask("nova", "hi").to_string())
        .await;
    assert_eq!(response.status, 400);
    assert_eq!(response.error()["param"], "target_format");
    let response = rig
        .call(Method::POST, "/v1/chat/completions", &[], TITAN.to_owned())
        .await;
    assert_eq!(response.status, 400);
    assert!(response.text().contains("/model/{id}/invoke"));
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn a_body_for_claude_loses_nothing_at_chat_completions() {
    let rig = Rig::with_document(&format!(
        "{}- {{name: gpt-oss, targets: [{{modelId: 'openai.gpt-oss-20b-1:0'}}]}}\n",
        document()
    ))
    .await;
    let body = |model: &str| {
        let mut body = ask(model, "hi");
        body["anthropic_version"] = json!("bedrock-2023-05-31");
        body["system"] = json!("be brief");
        body["stop_sequences"] = json!(["END"]);
        body
    };
    let response = rig.chat(&body("nova")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(!response.headers.contains_key("x-bedrock-gateway-warning"));
    let call = rig.double.calls_of("Converse")[0].json().unwrap();
    assert_eq!(call["system"], json!([{"text": "be brief"}]));
    assert_eq!(call["inferenceConfig"]["stopSequences"], json!(["END"]));

    let response = rig.chat(&body("gpt-oss")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = rig.double.calls_of("ChatCompletions")[0].json().unwrap();
    assert_eq!(
        call["messages"][0],
        json!({"role": "system", "content": "be brief"})
    );
    assert_eq!(call["stop"], json!(["END"]));
    assert!(call.get("system").is_none() && call.get("anthropic_version").is_none());

    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    let mut image = ask("nova", "hi");
    image["messages"][0]["content"] = json!([{"type": "image", "source": source}]);
    let mut tool = ask("nova", "hi");
    tool["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    for body in [image, tool] {
        let response = rig.chat(&body).await;
        assert_eq!(response.status, 400, "{}", response.text());
        assert!(
            response.text().contains("/v1/messages"),
            "{}",
            response.text()
        );
    }
}

const IDENTIFIER: &str = "x-amzn-bedrock-guardrailidentifier";
const GUARDRAIL_VERSION: &str = "x-amzn-bedrock-guardrailversion";

/// A rig with the guardrails `gr1234567890` and `gr0987654321`.
async fn guarded(document: String) -> Rig {
    let mut plan = Plan {
        document: Some(document),
        ..Plan::default()
    };
    plan.double.guardrails = serde_json::from_value(json!([
        { "id": "gr1234567890", "version": "1", "blocked_words": ["forbidden"], "message": "Not here." },
        { "id": "gr0987654321", "version": "1", "blocked_words": ["forbidden"], "message": "Not here." },
    ]))
    .unwrap();
    Rig::start(plan).await
}

#[tokio::test]
async fn guardrails_of_clients_apply_on_every_route_or_are_rejected() {
    let rig = guarded(format!(
        "{}- {{name: gpt-oss, targets: [{{modelId: 'openai.gpt-oss-20b-1:0'}}]}}\n",
        document()
    ))
    .await;
    let headers = [(IDENTIFIER, "gr1234567890"), (GUARDRAIL_VERSION, "1")];
    let config = json!({"guardrailIdentifier": "gr1234567890", "guardrailVersion": "1"});
    for (path, model, in_body, status) in [
        ("/v1/messages", "nova", true, 200),
        ("/v1/messages", "nova", false, 200),
        ("/v1/messages", "invoke", true, 200),
        ("/v1/messages", "invoke", false, 200),
        ("/v1/messages", "endpoint", true, 400),
        ("/v1/messages", "endpoint", false, 400),
        ("/v1/chat/completions", "nova", true, 200),
        ("/v1/chat/completions", "nova", false, 200),
        ("/v1/chat/completions", "gpt-oss", true, 400),
        ("/v1/chat/completions", "gpt-oss", false, 200),
        ("/v1/responses", "nova", true, 200),
        ("/v1/responses", "nova", false, 200),
    ] {
        rig.double.clear_calls();
        let mut body = if path == "/v1/responses" {
            json!({"model": model, "store": false, "input": "hi"})
        } else {
            messages::ask(model, "hi")
        };
        if in_body {
            body["guardrailConfig"] = config.clone();
        }
        let given: &[(&str, &str)] = if in_body { &[] } else { &headers };
        let response = rig.call(Method::POST, path, given, body.to_string()).await;
        let case = format!("{path} {model} {in_body}: {}", response.text());
        assert_eq!(response.status, status, "{case}");
        let calls = rig.calls();
        if status == 400 {
            assert!(calls.is_empty(), "{case}");
            continue;
        }
        let sent = calls[0].json().unwrap();
        if calls[0].operation == "Converse" {
            assert_eq!(sent["guardrailConfig"], config, "{case}");
        } else {
            assert_eq!(calls[0].headers[IDENTIFIER], "gr1234567890", "{case}");
            assert_eq!(calls[0].headers[GUARDRAIL_VERSION], "1", "{case}");
            assert!(sent.get("guardrailConfig").is_none(), "{case}");
        }
    }
    // An incomplete guardrail, and one in both forms.
    for headers in [&headers[..1], &headers[1..]] {
        for (path, model) in [
            ("/v1/messages", "nova"),
            ("/v1/messages", "invoke"),
            ("/v1/chat/completions", "gpt-oss"),
        ] {
            let body = messages::ask(model, "hi").to_string();
            let response = rig.call(Method::POST, path, headers, body).await;
            assert_eq!(response.status, 400, "{path} {model} {headers:?}");
            assert!(response.text().contains("x-amzn-bedrock-guardrail"));
        }
    }
    for model in ["nova", "invoke"] {
        let mut body = messages::ask(model, "hi");
        body["guardrailConfig"] = config.clone();
        let response = rig.messages_with(&headers, &body).await;
        assert_eq!(response.status, 400, "{model}");
    }
}

#[tokio::test]
async fn a_forced_guardrail_stays_in_force_against_headers() {
    let forced = "guardrail: {identifier: gr1234567890, version: '1'}\n";
    let rig = guarded(format!("{}{forced}", document())).await;
    let headers = [(IDENTIFIER, "gr0987654321"), (GUARDRAIL_VERSION, "1")];
    for model in ["nova", "invoke"] {
        rig.double.clear_calls();
        let response = rig
            .messages_with(&headers, &messages::ask(model, "hi"))
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
        let calls = rig.calls();
        let used = calls[0].headers.get(IDENTIFIER).map_or_else(
            || calls[0].json().unwrap()["guardrailConfig"]["guardrailIdentifier"].clone(),
            |value| json!(value),
        );
        assert_eq!(used, "gr1234567890", "{model}");
    }
}

#[tokio::test]
async fn guardrails_in_headers_are_rejected_where_no_guardrail_applies() {
    let document = "clients: {anonymous: true}\nmodels:\n\
        - {name: embed, targets: [{modelId: 'amazon.titan-embed-text-v2:0'}]}\n\
        - {name: draw, targets: [{modelId: 'amazon.nova-canvas-v1:0'}]}\n\
        - {name: rank, targets: [{modelId: 'cohere.rerank-v3-5:0'}]}";
    let rig = Rig::with_document(document).await;
    let headers = [(IDENTIFIER, "gr1234567890"), (GUARDRAIL_VERSION, "1")];
    for (path, body) in [
        ("/v1/embeddings", json!({"model": "embed", "input": "hi"})),
        (
            "/v1/images/generations",
            json!({"model": "draw", "prompt": "a cat"}),
        ),
        (
            "/v1/rerank",
            json!({"model": "rank", "query": "q", "documents": ["a"]}),
        ),
    ] {
        let response = rig
            .call(Method::POST, path, &headers, body.to_string())
            .await;
        assert_eq!(response.status, 400, "{path}: {}", response.text());
        assert!(
            response.text().contains(IDENTIFIER),
            "{path}: {}",
            response.text()
        );
        assert!(rig.calls().is_empty(), "{path} called a model");
        let response = rig.call(Method::POST, path, &[], body.to_string()).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        rig.double.clear_calls();
    }
}

#[tokio::test]
async fn fields_that_shape_the_output_are_rejected_by_name_unless_they_have_no_effect() {
    let rig = Rig::with_document(&document()).await;
    let (chat, responses, claude) = ("/v1/chat/completions", "/v1/responses", "/v1/messages");
    let logprobs = json!(["message.output_text.logprobs"]);
    for (path, field, value, harmless) in [
        (chat, "logprobs", json!(true), json!(false)),
        (chat, "top_logprobs", json!(2), json!(0)),
        (chat, "n", json!(2), json!(1)),
        (chat, "best_of", json!(2), json!(1)),
        (chat, "echo", json!(true), json!(false)),
        (chat, "suffix", json!("the end"), Value::Null),
        (
            chat,
            "audio",
            json!({"voice": "alloy", "format": "wav"}),
            Value::Null,
        ),
        (
            chat,
            "modalities",
            json!(["text", "audio"]),
            json!(["text"]),
        ),
        (chat, "moderation", json!({"model": "m"}), Value::Null),
        (chat, "guided_json", json!({"type": "object"}), Value::Null),
        (chat, "max_output_tokens", json!(5), Value::Null),
        (responses, "top_logprobs", json!(2), json!(0)),
        (responses, "include", logprobs, json!([])),
        (responses, "moderation", json!({"model": "m"}), Value::Null),
        (responses, "n", json!(2), json!(1)),
        (responses, "max_tokens", json!(5), Value::Null),
        (claude, "logprobs", json!(true), json!(false)),
        (claude, "n", json!(2), json!(1)),
        (
            claude,
            "compaction",
            json!({"type": "enabled"}),
            Value::Null,
        ),
    ] {
        let ask = |value: &Value| {
            let mut body = if path == responses {
                json!({"model": "nova", "input": "hi", "store": false})
            } else {
                messages::ask("nova", "hi")
            };
            body[field] = value.clone();
            body.to_string()
        };
        let response = rig.call(Method::POST, path, &[VERSION], ask(&value)).await;
        assert_eq!(response.status, 400, "{path} {field}: {}", response.text());
        let text = response.json()["error"]["message"].clone();
        assert!(text.as_str().unwrap().starts_with(field), "{path}: {text}");
        let response = rig
            .call(Method::POST, path, &[VERSION], ask(&harmless))
            .await;
        assert_eq!(response.status, 200, "{path} {field}: {}", response.text());
        let warned = response.headers.contains_key("x-bedrock-gateway-warning");
        assert!(!warned, "{path} {field} {harmless}");
    }
}
