//! Errors of Anthropic Messages, with the types and statuses of Anthropic's API.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::{
    messages::{CLAUDE, ask, document, events},
    rig::{MODEL, Plan, Rig},
};

const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// Exception with the status and the error type of the gateway's response.
const EXCEPTIONS: [(&str, u16, &str); 9] = [
    ("ValidationException", 400, "invalid_request_error"),
    ("AccessDeniedException", 403, "permission_error"),
    ("ResourceNotFoundException", 404, "not_found_error"),
    ("ThrottlingException", 429, "rate_limit_error"),
    ("ServiceQuotaExceededException", 429, "rate_limit_error"),
    ("ModelNotReadyException", 529, "overloaded_error"),
    ("ModelErrorException", 500, "api_error"),
    ("ModelTimeoutException", 504, "timeout_error"),
    ("ServiceUnavailableException", 529, "overloaded_error"),
];

#[tokio::test]
async fn each_aws_exception_has_its_anthropic_error_type_for_each_api() {
    let rig = Rig::laptop().await;
    for model in [CLAUDE, MODEL] {
        for (name, status, kind) in EXCEPTIONS {
            for script in [
                format!("@error {name} so it is"),
                format!("@error-empty {name}"),
            ] {
                for stream in [false, true] {
                    let mut body = ask(model, &script);
                    body["stream"] = Value::from(stream);
                    let response = rig.messages(&body).await;
                    assert_eq!(
                        response.status.as_u16(),
                        status,
                        "{model} {script}: {}",
                        response.text()
                    );
                    assert_eq!(response.json()["type"], "error");
                    let error = response.error();
                    assert_eq!(error["type"], kind, "{model} {script}");
                    assert_eq!(error["code"], name);
                    assert!(error["aws_request_id"].is_string());
                    assert_eq!(
                        response.headers["request-id"],
                        response.json()["request_id"].as_str().unwrap()
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn an_exception_within_a_stream_is_the_last_event_in_anthropics_format() {
    let rig = Rig::laptop().await;
    for model in [CLAUDE, MODEL] {
        for (name, kind) in [
            ("throttlingException", "rate_limit_error"),
            ("validationException", "invalid_request_error"),
            ("serviceUnavailableException", "overloaded_error"),
            ("internalServerException", "api_error"),
            ("modelStreamErrorException", "api_error"),
            ("modelTimeoutException", "timeout_error"),
        ] {
            let mut body = ask(
                model,
                &format!("@midstream-exception {name} 4 so it is\nsome words to say first"),
            );
            body["stream"] = Value::from(true);
            let response = rig.messages(&body).await;
            assert_eq!(response.status, 200);
            let events = events(&response.text());
            let last = events.last().unwrap();
            assert_eq!(events[0]["type"], "message_start");
            assert_eq!(last["type"], "error", "{model} {name}: {last}");
            assert_eq!(last["error"]["type"], kind, "{model} {name}");
            let text = last["error"]["message"].as_str().unwrap();
            assert!(text.starts_with("so it is"), "{text}");
            assert!(last["request_id"].is_string());
        }
    }
}

#[tokio::test]
async fn a_cut_stream_ends_with_an_error_and_without_message_stop() {
    let rig = Rig::laptop().await;
    for model in [CLAUDE, MODEL] {
        for script in ["@cut 4", "@end 4"] {
            let mut body = ask(model, &format!("{script}\nsome words to say first"));
            body["stream"] = Value::from(true);
            let text = rig.messages(&body).await.text();
            let last = events(&text).pop().unwrap();
            assert_eq!(
                last["error"]["type"], "overloaded_error",
                "{model} {script}"
            );
            assert!(!text.contains("message_stop"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_silent_stream_sends_pings_and_then_an_error() {
    let rig = Rig::start(Plan {
        document: Some(
            "clients: {anonymous: true}\nallow: ['*']\nlimits: {streamIdleSeconds: 1}".to_owned(),
        ),
        settings: Box::new(|settings| settings.ping_interval = Duration::from_millis(100)),
        ..Plan::default()
    })
    .await;
    for model in [CLAUDE, MODEL] {
        let mut body = ask(model, "@stall 3\nsome words to say first");
        body["stream"] = Value::from(true);
        let text = rig.messages(&body).await.text();
        assert!(
            text.contains("event: ping\ndata: {\"type\": \"ping\"}\n\n"),
            "{text}"
        );
        let last = events(&text).pop().unwrap();
        assert_eq!(last["error"]["type"], "timeout_error", "{last}");
    }
}

#[tokio::test]
async fn rejects_unauthenticated_clients_in_their_dialect() {
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-right"))),
        ..Plan::default()
    })
    .await;
    let body = ask(CLAUDE, "hi");
    for headers in [&[VERSION][..], &[VERSION, ("x-api-key", "sk-wrong")]] {
        for path in ["/v1/messages", "/v1/messages/count_tokens"] {
            let response = rig
                .call(Method::POST, path, headers, body.to_string())
                .await;
            assert_eq!(response.status, 401);
            assert_eq!(response.json()["type"], "error");
            assert_eq!(response.error()["type"], "authentication_error");
        }
        let list = rig.call(Method::GET, "/v1/models", headers, "").await;
        assert_eq!(list.error()["type"], "authentication_error");
    }
    assert!(rig.calls().is_empty());
    for own in [
        ("x-api-key", "sk-right"),
        ("authorization", "Bearer sk-right"),
    ] {
        let response = rig.messages_with(&[VERSION, own], &body).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    for call in rig.calls() {
        assert!(!call.headers.contains_key("x-api-key"));
        assert!(call.headers["authorization"].starts_with("AWS4"));
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn gateway_errors_have_anthropics_format() {
    let rig = Rig::with_document(&format!(
        "clients: {{anonymous: true}}\nlimits: {{maxBodyBytes: 2000}}\nmodels:\n\
         - {{name: nova, targets: [{{modelId: '{MODEL}'}}]}}\n\
         - {{name: embed, targets: [{{modelId: 'amazon.titan-embed-text-v2:0'}}]}}\n\
         - {{name: claude, targets: [{{modelId: '{CLAUDE}'}}]}}\n"
    ))
    .await;
    let with = |model: &str, field: &str, value: Value| {
        let mut body = ask(model, "hi");
        body[field] = value;
        body.to_string()
    };
    for (method, path, body, status, kind, message) in [
        (
            Method::POST,
            "/v1/messages",
            ask("gpt", "hi").to_string(),
            404,
            "not_found_error",
            "you may use",
        ),
        (
            Method::POST,
            "/v1/messages",
            "{".to_owned(),
            400,
            "invalid_request_error",
            "not a valid request",
        ),
        (
            Method::POST,
            "/v1/messages",
            with("nova", "max_tokens", Value::Null),
            400,
            "invalid_request_error",
            "max_tokens",
        ),
        (
            Method::POST,
            "/v1/messages",
            with("claude", "container", json!("c")),
            400,
            "invalid_request_error",
            "container",
        ),
        (
            Method::POST,
            "/v1/messages",
            with("nova", "mcp_servers", json!([1])),
            400,
            "invalid_request_error",
            "mcp_servers",
        ),
        (
            Method::POST,
            "/v1/messages",
            ask("embed", "hi").to_string(),
            400,
            "invalid_request_error",
            "/v1/embeddings",
        ),
        (
            Method::POST,
            "/v1/messages",
            ask("nova", &"x".repeat(3000)).to_string(),
            413,
            "request_too_large",
            "2000",
        ),
        (
            Method::GET,
            "/v1/messages",
            String::new(),
            405,
            "invalid_request_error",
            "POST",
        ),
        (
            Method::POST,
            "/v1/messages/batches",
            "{}".to_owned(),
            404,
            "not_found_error",
            "/v1/messages",
        ),
        (
            Method::POST,
            "/v1/complete",
            "{}".to_owned(),
            404,
            "not_found_error",
            "/v1/messages",
        ),
    ] {
        let response = rig.call(method, path, &[VERSION], body).await;
        assert_eq!(
            response.status.as_u16(),
            status,
            "{path} {message}: {}",
            response.text()
        );
        assert_eq!(response.json()["type"], "error");
        let error = response.error();
        assert_eq!(error["type"], kind, "{path} {message}");
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
        assert!(response.headers.contains_key("request-id"), "{path}");
    }
    assert!(rig.calls().is_empty());
}

/// Model, stream flag and limit are read without a parser, and a forwarded body has no other reader.
#[tokio::test]
async fn a_body_that_is_not_json_is_rejected_for_each_api() {
    let rig = Rig::with_document(&document()).await;
    for model in ["invoke", "converse", "endpoint", "nova"] {
        let ok = ask(model, "hi").to_string();
        for (part, broken) in [
            ("\"hi\"}", "\"hi\""),
            ("\"hi\"}", "\"hi\"]"),
            ("\"hi\"", "\"h\\i\""),
            ("\"hi\"", "\"h\ti\""),
            ("\"hi\"", "hi"),
            ("4000", "04000"),
            ("4000", "4000 1"),
            ("[{", "[,{"),
        ] {
            let body = ok.replace(part, broken);
            assert_ne!(body, ok, "{part}");
            for path in ["/v1/messages", "/v1/messages/count_tokens"] {
                let case = format!("{model} {path} {body}");
                let response = rig.call(Method::POST, path, &[VERSION], body.clone()).await;
                assert_eq!(response.status, 400, "{case}: {}", response.text());
                assert_eq!(response.json()["type"], "error", "{case}");
                let error = response.error();
                assert_eq!(error["type"], "invalid_request_error", "{case}");
                let message = error["message"].as_str().unwrap();
                assert!(message.contains("not a valid request"), "{case}: {message}");
                assert!(message.contains("line 1 column "), "{case}: {message}");
            }
        }
    }
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn strict_mode_rejects_dropped_fields_for_each_api() {
    let rig = Rig::with_document("clients: {anonymous: true}\nallow: ['*']\nstrict: true").await;
    for model in [CLAUDE, MODEL] {
        let mut body = ask(model, "hi");
        body["tools"] = json!([{ "name": "f", "input_schema": { "type": "object" }, "eager_input_streaming": true }]);
        let response = rig.messages(&body).await;
        assert_eq!(response.status, 400, "{model}");
        assert!(
            response.text().contains("tools[].eager_input_streaming"),
            "{}",
            response.text()
        );
    }
    let headers = [VERSION, ("anthropic-beta", "files-api-2025-04-14")];
    let response = rig.messages_with(&headers, &ask(CLAUDE, "hi")).await;
    assert_eq!(response.status, 400);
    assert!(response.text().contains("anthropic-beta"));
}
