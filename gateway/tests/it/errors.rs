//! Failing requests and their errors.

use awsdouble::{Fault, FaultAction};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{MODEL, Plan, Rig, ask, ask_stream};

struct Case {
    name: &'static str,
    method: Method,
    path: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    message: &'static str,
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn gateway_errors_name_the_fix() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nlimits: {maxBodyBytes: 2000}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]",
    )
    .await;
    let chat = "/v1/chat/completions";
    for case in [
        Case {
            name: "unknown model",
            method: Method::POST,
            path: chat,
            body: ask("gpt-4", "hi").to_string(),
            status: 404,
            code: "model_not_found",
            message: "you may use: fast",
        },
        Case {
            name: "malformed JSON",
            method: Method::POST,
            path: chat,
            body: "{\"model\": \"fast\",\n \"messages\": [}".to_owned(),
            status: 400,
            code: "invalid_json",
            message: "line 2",
        },
        Case {
            name: "empty body",
            method: Method::POST,
            path: chat,
            body: String::new(),
            status: 400,
            code: "invalid_json",
            message: "JSON",
        },
        Case {
            name: "no model",
            method: Method::POST,
            path: chat,
            body: json!({ "messages": [] }).to_string(),
            status: 400,
            code: "missing_required_parameter",
            message: "/v1/models",
        },
        Case {
            name: "unsupported field",
            method: Method::POST,
            path: chat,
            body: json!({ "model": "fast", "n": 2, "messages": [{ "role": "user", "content": "hi" }] }).to_string(),
            status: 400,
            code: "unsupported_parameter",
            message: "n",
        },
        Case {
            name: "body over the limit",
            method: Method::POST,
            path: chat,
            body: ask("fast", &"x".repeat(3000)).to_string(),
            status: 413,
            code: "body_too_large",
            message: "2000",
        },
        Case {
            name: "unknown path",
            method: Method::POST,
            path: "/v1/completion",
            body: String::new(),
            status: 404,
            code: "unknown_path",
            message: "/v1/chat/completions",
        },
        Case {
            name: "wrong method",
            method: Method::GET,
            path: chat,
            body: String::new(),
            status: 405,
            code: "method_not_allowed",
            message: "use POST",
        },
        Case {
            name: "wrong method of a list",
            method: Method::DELETE,
            path: "/v1/models/fast",
            body: String::new(),
            status: 405,
            code: "method_not_allowed",
            message: "use GET",
        },
    ] {
        let response = rig.call(case.method, case.path, &[], case.body).await;
        let text = response.text();
        let error = response.error();
        assert_eq!(response.status, case.status, "{}: {text}", case.name);
        assert_eq!(error["code"], case.code, "{}: {text}", case.name);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(case.message), "{}: {text}", case.name);
        assert_eq!(
            error["request_id"].as_str().unwrap(),
            response.headers["x-request-id"].to_str().unwrap(),
            "{}",
            case.name
        );
        if case.status == 405 {
            assert!(response.headers.contains_key("allow"), "{}", case.name);
        }
    }
    assert!(rig.calls().is_empty(), "no request was sent upstream");
}

/// Every exception of Bedrock Runtime with Bedrock's status and the gateway's status.
pub(crate) const EXCEPTIONS: [(&str, u16, u16); 12] = [
    ("ValidationException", 400, 400),
    ("ServiceQuotaExceededException", 400, 400),
    ("AccessDeniedException", 403, 403),
    ("UnrecognizedClientException", 403, 502),
    ("InvalidSignatureException", 403, 502),
    ("ResourceNotFoundException", 404, 404),
    ("ModelTimeoutException", 408, 408),
    ("ModelErrorException", 424, 424),
    ("ThrottlingException", 429, 429),
    ("ModelNotReadyException", 429, 429),
    ("InternalServerException", 500, 500),
    ("ServiceUnavailableException", 503, 503),
];

async fn check_aws_exceptions(empty_body: bool) {
    let rig = Rig::laptop().await;
    for (code, status, expected) in EXCEPTIONS {
        for (operation, body) in [
            ("Converse", ask(MODEL, "hi")),
            ("ConverseStream", ask_stream(MODEL, "hi")),
        ] {
            rig.double.clear_faults();
            let action = FaultAction::Error {
                status,
                code: code.to_owned(),
                message: format!("AWS's message for {code}"),
                empty_body,
            };
            rig.double.inject(Fault::new(operation, action));
            let response = rig.chat(&body).await;
            let error = response.error();
            assert_eq!(response.status, expected, "{code}: {error}");
            assert_eq!(error["code"], code);
            let message = format!("AWS's message for {code}");
            assert!(
                error["message"].as_str().unwrap().starts_with(&message),
                "{error}"
            );
            assert!(error["aws_request_id"].is_string(), "{code}: {error}");
            let should_retry = response.headers.get("x-should-retry");
            if expected == 424 {
                assert_eq!(
                    should_retry.unwrap(),
                    "true",
                    "SDKs retry no 424 by themselves"
                );
            }
        }
    }
}

#[tokio::test]
async fn each_aws_exception_keeps_its_code_message_and_request_id() {
    check_aws_exceptions(false).await;
}

#[tokio::test]
async fn each_aws_exception_with_an_empty_body_keeps_its_code_message_and_request_id() {
    check_aws_exceptions(true).await;
}

#[tokio::test]
async fn each_aws_exception_within_a_stream_is_an_error_event_without_done() {
    let rig = Rig::laptop().await;
    for (code, expected) in [
        ("ThrottlingException", 429),
        ("ModelStreamErrorException", 424),
        ("InternalServerException", 500),
        ("ServiceUnavailableException", 503),
        ("ValidationException", 400),
        ("ModelTimeoutException", 408),
    ] {
        rig.double.clear_faults();
        rig.double.inject(Fault::new(
            "ConverseStream",
            FaultAction::StreamException {
                after: 3,
                code: code.to_owned(),
                message: format!("AWS's message for {code}"),
            },
        ));
        let response = rig
            .chat(&ask_stream(MODEL, "a long enough answer to break"))
            .await;
        assert_eq!(
            response.status, 200,
            "the headers were sent before the exception"
        );
        let events = response.events();
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        let error = &events.last().unwrap()["error"];
        assert_eq!(error["code"], code, "{events:?}");
        assert_eq!(error["status"], expected);
        let message = format!("AWS's message for {code}");
        assert!(
            error["message"].as_str().unwrap().starts_with(&message),
            "{error}"
        );
        assert!(error["aws_request_id"].is_string());
        assert!(!response.text().contains("[DONE]"));
    }
}

#[tokio::test]
async fn retries_an_exception_instead_of_the_first_event() {
    let rig = Rig::laptop().await;
    rig.double.inject(
        Fault::new(
            "ConverseStream",
            FaultAction::StreamException {
                after: 0,
                code: "throttlingException".to_owned(),
                message: String::new(),
            },
        )
        .times(2),
    );
    let response = rig.chat(&ask_stream(MODEL, "hello")).await;
    assert_eq!(
        response.events().last().unwrap(),
        "[DONE]",
        "{}",
        response.text()
    );
    assert_eq!(rig.double.calls_of("ConverseStream").len(), 3);
}

#[tokio::test]
async fn retries_transient_errors_but_not_invalid_requests() {
    let rig = Rig::laptop().await;
    rig.double
        .inject(Fault::error("Converse", 503, "ServiceUnavailableException").times(2));
    assert_eq!(rig.chat(&ask(MODEL, "hello")).await.status, 200);
    assert_eq!(rig.double.calls_of("Converse").len(), 3);

    rig.double.clear_calls();
    rig.double
        .inject(Fault::error("Converse", 400, "ValidationException").times(2));
    assert_eq!(rig.chat(&ask(MODEL, "hello")).await.status, 400);
    assert_eq!(rig.double.calls_of("Converse").len(), 1);
    rig.double.clear_faults();

    rig.double.clear_calls();
    rig.double
        .inject(Fault::new("Converse", FaultAction::Disconnect).times(1));
    assert_eq!(rig.chat(&ask(MODEL, "hello")).await.status, 200);
}

#[tokio::test]
async fn fails_over_to_the_next_target_if_the_quota_is_exceeded() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0', region: us-east-1}, {modelId: 'us.amazon.nova-lite-v1:0', region: us-west-2, priority: 1}]}]",
    )
    .await;
    rig.double
        .inject(Fault::error("ConverseStream", 400, "ServiceQuotaExceededException").times(1));
    let response = rig.chat(&ask_stream("fast", "hello")).await;
    assert_eq!(
        response.events().last().unwrap(),
        "[DONE]",
        "{}",
        response.text()
    );
    let calls = rig.double.calls_of("ConverseStream");
    let models: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.model.as_deref())
        .collect();
    assert_eq!(
        models,
        ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"]
    );
    assert_eq!(calls[1].region.as_deref(), Some("us-west-2"));
}

#[tokio::test]
async fn a_model_without_on_demand_throughput_is_an_error_that_names_the_profile() {
    let rig = Rig::laptop().await;
    let message = "Invocation of model ID amazon.nova-lite-v1:0 with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.";
    rig.double.inject(Fault::new(
        "Converse",
        FaultAction::Error {
            status: 400,
            code: "ValidationException".to_owned(),
            message: message.to_owned(),
            empty_body: false,
        },
    ));
    let error = rig.chat(&ask(MODEL, "hi")).await.error();
    let hint = error["hint"].as_str().unwrap();
    assert_eq!(error["message"], format!("{message} {hint}"));
    assert!(hint.contains("us.amazon.nova-lite-v1:0"), "{hint}");
}

#[tokio::test]
async fn an_unreachable_or_invalid_upstream_is_a_502() {
    let rig = Rig::laptop().await;
    rig.double
        .inject(Fault::new("Converse", FaultAction::Garbage));
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(response.error()["code"], "upstream_unreadable");

    let rig = Rig::start(Plan {
        document: Some("clients: {anonymous: true}\nallow: ['*']\nendpoints: {bedrockRuntime: 'http://127.0.0.1:1'}".to_owned()),
        ..Plan::default()
    })
    .await;
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 502);
    let error = response.error();
    assert_eq!(error["code"], "upstream_unreachable");
    assert!(
        error["message"].as_str().unwrap().contains("127.0.0.1:1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_upstream_times_out() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nallow: ['*']\nlimits: {upstreamSeconds: 1}",
    )
    .await;
    rig.double.inject(Fault::new("Converse", FaultAction::Hang));
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 504);
    assert_eq!(response.error()["code"], "upstream_timeout");
}

#[tokio::test]
async fn rejects_requests_above_the_in_flight_limit_with_retry_after() {
    let rig =
        Rig::with_document("clients: {anonymous: true}\nallow: ['*']\nlimits: {maxInFlight: 1}")
            .await;
    let open = rig.open_chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let rejected = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.error()["code"], "gateway_busy");
    assert_eq!(rejected.headers["retry-after"], "1");
    drop(open);
    crate::rig::eventually("the permit is released", async || {
        rig.chat(&ask(MODEL, "hi")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_dropped_field_is_a_warning_header_and_an_error_in_strict_mode() {
    let mut body = ask("fast", "hi");
    body["seed"] = Value::from(7);
    let document = "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]";
    let rig = Rig::with_document(document).await;
    for stream in [false, true] {
        body["stream"] = Value::from(stream);
        let response = rig.chat(&body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let warning = response.headers["x-bedrock-gateway-warning"]
            .to_str()
            .unwrap();
        assert!(warning.contains("seed"), "{warning}");
    }
    let strict = Rig::with_document(&format!("{document}\nstrict: true")).await;
    let rejected = strict.chat(&body).await;
    assert_eq!(rejected.status, 400);
    assert_eq!(rejected.error()["param"], "seed");
}

#[tokio::test]
async fn warns_about_fields_that_the_failover_target_dropped() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}, {modelId: 'openai.gpt-oss-20b-1:0', priority: 1, api: Converse}]}]",
    )
    .await;
    let mut body = ask("fast", "hi");
    // Nova supports stop sequences, gpt-oss does not.
    body["stop"] = Value::from("END");
    for (stream, operation) in [(false, "Converse"), (true, "ConverseStream")] {
        body["stream"] = Value::from(stream);
        let first = rig.chat(&body).await;
        assert_eq!(first.status, 200, "{}", first.text());
        assert!(!first.headers.contains_key("x-bedrock-gateway-warning"));

        rig.double
            .inject(Fault::error(operation, 400, "ServiceQuotaExceededException").times(1));
        let second = rig.chat(&body).await;
        assert_eq!(second.status, 200, "{}", second.text());
        let warning = second.headers.get("x-bedrock-gateway-warning");
        let warning = warning.map(|value| value.to_str().unwrap());
        assert!(
            warning.is_some_and(|warning| warning.contains("stop")),
            "{warning:?}, stream {stream}"
        );
    }
}
