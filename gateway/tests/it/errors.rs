//! Requests that fail, each with the error a client and its reader need.

use awsdouble::{Fault, FaultAction};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{MODEL, Plan, Rig, ask, ask_stream};

struct Refusal {
    name: &'static str,
    method: Method,
    path: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    says: &'static str,
}

#[expect(clippy::too_many_lines, reason = "a table of cases, a row each")]
#[tokio::test]
async fn what_the_gateway_refuses_itself_names_the_way_out() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nlimits: {maxBodyBytes: 2000}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]",
    )
    .await;
    let chat = "/v1/chat/completions";
    for case in [
        Refusal {
            name: "unknown model",
            method: Method::POST,
            path: chat,
            body: ask("gpt-4", "hi").to_string(),
            status: 404,
            code: "model_not_found",
            says: "you may use: fast",
        },
        Refusal {
            name: "malformed JSON",
            method: Method::POST,
            path: chat,
            body: "{\"model\": \"fast\",\n \"messages\": [}".to_owned(),
            status: 400,
            code: "invalid_json",
            says: "line 2",
        },
        Refusal {
            name: "empty body",
            method: Method::POST,
            path: chat,
            body: String::new(),
            status: 400,
            code: "invalid_json",
            says: "JSON",
        },
        Refusal {
            name: "no model",
            method: Method::POST,
            path: chat,
            body: json!({ "messages": [] }).to_string(),
            status: 400,
            code: "missing_required_parameter",
            says: "/v1/models",
        },
        Refusal {
            name: "unsupported field",
            method: Method::POST,
            path: chat,
            body: json!({ "model": "fast", "n": 2, "messages": [{ "role": "user", "content": "hi" }] }).to_string(),
            status: 400,
            code: "unsupported_parameter",
            says: "n",
        },
        Refusal {
            name: "body over the limit",
            method: Method::POST,
            path: chat,
            body: ask("fast", &"x".repeat(3000)).to_string(),
            status: 413,
            code: "body_too_large",
            says: "2000",
        },
        Refusal {
            name: "unknown path",
            method: Method::POST,
            path: "/v1/completion",
            body: String::new(),
            status: 404,
            code: "unknown_path",
            says: "/v1/chat/completions",
        },
        Refusal {
            name: "wrong method",
            method: Method::GET,
            path: chat,
            body: String::new(),
            status: 405,
            code: "method_not_allowed",
            says: "use POST",
        },
        Refusal {
            name: "wrong method of a list",
            method: Method::DELETE,
            path: "/v1/models/fast",
            body: String::new(),
            status: 405,
            code: "method_not_allowed",
            says: "use GET",
        },
    ] {
        let answer = rig.call(case.method, case.path, &[], case.body).await;
        let text = answer.text();
        let error = answer.error();
        assert_eq!(answer.status, case.status, "{}: {text}", case.name);
        assert_eq!(error["code"], case.code, "{}: {text}", case.name);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(case.says), "{}: {text}", case.name);
        assert_eq!(
            error["request_id"].as_str().unwrap(),
            answer.headers["x-request-id"].to_str().unwrap(),
            "{}",
            case.name
        );
        if case.status == 405 {
            assert!(answer.headers.contains_key("allow"), "{}", case.name);
        }
    }
    assert!(
        rig.double.calls().is_empty(),
        "nothing of this went upstream"
    );
}

/// Every exception of Bedrock Runtime, the status it gets on the wire, and its status here.
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

async fn refused_by_aws(empty_body: bool) {
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
                message: format!("what AWS says of {code}"),
                empty_body,
            };
            rig.double.inject(Fault::new(operation, action));
            let answer = rig.chat(&body).await;
            let error = answer.error();
            assert_eq!(answer.status, expected, "{code}: {error}");
            assert_eq!(error["code"], code);
            assert_eq!(error["message"], format!("what AWS says of {code}"));
            assert!(error["aws_request_id"].is_string(), "{code}: {error}");
        }
    }
}

#[tokio::test]
async fn each_aws_exception_keeps_its_name_text_and_request_id() {
    refused_by_aws(false).await;
}

#[tokio::test]
async fn each_aws_exception_with_an_empty_body_loses_nothing() {
    refused_by_aws(true).await;
}

#[tokio::test]
async fn each_aws_exception_in_mid_stream_is_an_error_event_and_no_done() {
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
                message: format!("what AWS says of {code}"),
            },
        ));
        let answer = rig
            .chat(&ask_stream(MODEL, "a long enough answer to break"))
            .await;
        assert_eq!(answer.status, 200, "the headers were out already");
        let events = answer.events();
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        let error = &events.last().unwrap()["error"];
        assert_eq!(error["code"], code, "{events:?}");
        assert_eq!(error["status"], expected);
        assert_eq!(error["message"], format!("what AWS says of {code}"));
        assert!(error["aws_request_id"].is_string());
        assert!(!answer.text().contains("[DONE]"));
    }
}

#[tokio::test]
async fn exception_in_place_of_the_first_event_is_tried_again_unseen() {
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
    let answer = rig.chat(&ask_stream(MODEL, "hello")).await;
    assert_eq!(
        answer.events().last().unwrap(),
        "[DONE]",
        "{}",
        answer.text()
    );
    assert_eq!(rig.double.calls_of("ConverseStream").len(), 3);
}

#[tokio::test]
async fn passing_trouble_is_tried_again_and_wrong_requests_are_not() {
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
async fn next_target_answers_where_the_first_is_out_of_quota() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0', region: us-east-1}, {modelId: 'us.amazon.nova-lite-v1:0', region: us-west-2, priority: 1}]}]",
    )
    .await;
    rig.double
        .inject(Fault::error("ConverseStream", 400, "ServiceQuotaExceededException").times(1));
    let answer = rig.chat(&ask_stream("fast", "hello")).await;
    assert_eq!(
        answer.events().last().unwrap(),
        "[DONE]",
        "{}",
        answer.text()
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
async fn model_without_on_demand_throughput_is_answered_with_the_profile_to_ask_for() {
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
    assert_eq!(error["message"], message);
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("us.amazon.nova-lite-v1:0"), "{hint}");
}

#[tokio::test]
async fn upstream_that_is_not_there_or_talks_nonsense_is_a_502() {
    let rig = Rig::laptop().await;
    rig.double
        .inject(Fault::new("Converse", FaultAction::Garbage));
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.error()["code"], "upstream_unreadable");

    let rig = Rig::start(Plan {
        document: Some("clients: {anonymous: true}\nallow: ['*']\nendpoints: {bedrockRuntime: 'http://127.0.0.1:1'}".to_owned()),
        ..Plan::default()
    })
    .await;
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 502);
    let error = answer.error();
    assert_eq!(error["code"], "upstream_unreachable");
    assert!(
        error["message"].as_str().unwrap().contains("127.0.0.1:1"),
        "{error}"
    );
}

#[tokio::test]
async fn silent_upstream_is_given_up_after_its_time() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nallow: ['*']\nlimits: {upstreamSeconds: 1}",
    )
    .await;
    rig.double.inject(Fault::new("Converse", FaultAction::Hang));
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.error()["code"], "upstream_timeout");
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_sent_away_politely() {
    let rig =
        Rig::with_document("clients: {anonymous: true}\nallow: ['*']\nlimits: {maxInFlight: 1}")
            .await;
    let open = rig.open_chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let refused = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.error()["code"], "gateway_busy");
    assert_eq!(refused.headers["retry-after"], "1");
    drop(open);
    crate::rig::eventually("the place is free again", async || {
        rig.chat(&ask(MODEL, "hi")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn dropped_field_is_told_in_a_header_and_strict_mode_refuses_it() {
    let mut body = ask("fast", "hi");
    body["seed"] = Value::from(7);
    let document = "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]";
    let rig = Rig::with_document(document).await;
    for stream in [false, true] {
        body["stream"] = Value::from(stream);
        let answer = rig.chat(&body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let warning = answer.headers["x-bedrock-gateway-warning"]
            .to_str()
            .unwrap();
        assert!(warning.contains("seed"), "{warning}");
    }
    let strict = Rig::with_document(&format!("{document}\nstrict: true")).await;
    let refused = strict.chat(&body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.error()["param"], "seed");
}

#[tokio::test]
async fn what_only_the_target_that_answered_dropped_is_told_after_a_failover() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}, {modelId: 'openai.gpt-oss-20b-1:0', priority: 1, api: Converse}]}]",
    )
    .await;
    let mut body = ask("fast", "hi");
    // Nova takes stop sequences, gpt-oss takes none.
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
