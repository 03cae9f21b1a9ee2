//! Fields that change the meaning of a response are honoured or rejected by name, on every route.

use http::Method;
use serde_json::{Value, json};

use crate::{
    messages::{self, VERSION, document},
    rig::{Rig, ask},
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
    assert_eq!(rig.double.calls().len(), 1, "the others called no model");
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
    assert!(rig.double.calls().is_empty());
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
    let call = rig.double.calls_of("Converse")[0].json();
    assert_eq!(call["system"], json!([{"text": "be brief"}]));
    assert_eq!(call["inferenceConfig"]["stopSequences"], json!(["END"]));

    let response = rig.chat(&body("gpt-oss")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = rig.double.calls_of("ChatCompletions")[0].json();
    assert_eq!(
        call["messages"][0],
        json!({"role": "system", "content": "be brief"})
    );
    assert_eq!(call["stop"], json!(["END"]));
    assert!(call.get("system").is_none() && call.get("anthropic_version").is_none());

    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    let mut picture = ask("nova", "hi");
    picture["messages"][0]["content"] = json!([{"type": "image", "source": source}]);
    let mut tool = ask("nova", "hi");
    tool["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    for body in [picture, tool] {
        let response = rig.chat(&body).await;
        assert_eq!(response.status, 400, "{}", response.text());
        assert!(
            response.text().contains("/v1/messages"),
            "{}",
            response.text()
        );
    }
}
