//! `/v1/responses` on a real socket: plain and streamed, errors, disconnecting clients.

use std::time::Duration;

use awsdouble::{Fault, FaultAction};
use http::Method;
use serde_json::{Value, json};

use crate::{
    errors::EXCEPTIONS,
    rig::{MODEL, Plan, Response, Rig, eventually, read_until, signed_blocks},
};

const PATH: &str = "/v1/responses";
const DISCONNECTED: &str =
    "bedrock_gateway_requests_total{route=\"/v1/responses\",status=\"499\",reason=\"client_left\"}";

fn ask(prompt: &str, stream: bool) -> Value {
    json!({"model": MODEL, "input": prompt, "stream": stream})
}

pub(crate) async fn post(rig: &Rig, body: &Value) -> Response {
    rig.call(Method::POST, PATH, &[], body.to_string()).await
}

/// The events of a stream without comments; checks the sequence numbers.
fn events(response: &Response) -> Vec<Value> {
    let text = response.text();
    let mut events = Vec::new();
    for event in text.split_terminator("\n\n") {
        if event.starts_with(':') {
            continue;
        }
        let (name, data) = event.split_once('\n').unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", event["type"].as_str().unwrap()));
        assert_eq!(event["sequence_number"], events.len(), "{text}");
        events.push(event);
    }
    events
}

pub(crate) fn output_text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn plain_and_streamed_responses_are_equal_and_not_stored() {
    let rig = Rig::laptop().await;
    let prompt = "Grüße \"you\" – 5 € 🦊";
    let whole = post(&rig, &ask(prompt, false)).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let warning = whole.headers["x-bedrock-gateway-warning"].to_str().unwrap();
    assert!(warning.contains("nothing is stored"), "{warning}");
    assert!(whole.headers.contains_key("x-amzn-requestid"));
    let response = whole.json();
    assert_eq!(response["status"], "completed");
    assert_eq!(response["store"], false);
    assert!(response["id"].as_str().unwrap().starts_with("resp_"));
    assert_eq!(output_text(&response), prompt);

    let streamed = post(&rig, &ask(prompt, true)).await;
    assert!(streamed.headers.contains_key("x-bedrock-gateway-warning"));
    let events = events(&streamed);
    assert_eq!(events[0]["type"], "response.created");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(output_text(&last["response"]), prompt);
    assert_eq!(last["response"]["usage"], response["usage"]);
    assert!(!streamed.text().contains("[DONE]"));
}

async fn check_aws_exceptions(empty_body: bool) {
    let rig = Rig::laptop().await;
    for (code, status, expected) in EXCEPTIONS {
        for (operation, stream) in [("Converse", false), ("ConverseStream", true)] {
            rig.double.clear_faults();
            let action = FaultAction::Error {
                status,
                code: code.to_owned(),
                message: format!("AWS's message for {code}"),
                empty_body,
            };
            rig.double.inject(Fault::new(operation, action));
            let response = post(&rig, &ask("hi", stream)).await;
            let error = response.error();
            assert_eq!(response.status, expected, "{code}: {error}");
            assert_eq!(error["code"], code);
            let message = format!("AWS's message for {code}");
            assert!(
                error["message"].as_str().unwrap().starts_with(&message),
                "{error}"
            );
            assert!(error["aws_request_id"].is_string(), "{code}: {error}");
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
async fn each_aws_exception_within_a_stream_is_an_error_event_and_a_failed_response() {
    let rig = Rig::laptop().await;
    for (code, status, kind, failure) in [
        (
            "ThrottlingException",
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
        ),
        (
            "ModelStreamErrorException",
            424,
            "server_error",
            "server_error",
        ),
        (
            "InternalServerException",
            500,
            "server_error",
            "server_error",
        ),
        (
            "ServiceUnavailableException",
            503,
            "service_unavailable_error",
            "server_error",
        ),
        (
            "ValidationException",
            400,
            "invalid_request_error",
            "invalid_prompt",
        ),
        (
            "ModelTimeoutException",
            408,
            "timeout_error",
            "server_error",
        ),
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
        let response = post(&rig, &ask("a long enough answer to break", true)).await;
        assert_eq!(
            response.status, 200,
            "the headers were sent before the exception"
        );
        let events = events(&response);
        let [.., error, failed] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(error["type"], "error");
        assert_eq!(error["code"], code);
        assert_eq!(error["error"]["type"], kind);
        assert_eq!(error["error"]["status"], status);
        let message = format!("AWS's message for {code}");
        assert!(
            error["message"].as_str().unwrap().starts_with(&message),
            "{error}"
        );
        assert!(error["error"]["aws_request_id"].is_string());
        assert_eq!(failed["type"], "response.failed");
        assert_eq!(failed["response"]["status"], "failed");
        assert_eq!(failed["response"]["error"]["code"], failure);
    }
}

#[tokio::test]
async fn an_error_after_the_stream_has_started_is_a_complete_failed_stream() {
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| settings.ping_interval = Duration::from_millis(100)),
        ..Plan::default()
    })
    .await;
    rig.double.inject(Fault::new(
        "ConverseStream",
        FaultAction::Delay { milliseconds: 400 },
    ));
    let prompt = ask("@error ValidationException too wrong", true);
    let response = post(&rig, &prompt).await;
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with(": ping"), "{}", response.text());
    let types: Vec<Value> = events(&response)
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(
        types,
        [
            "response.created",
            "response.in_progress",
            "error",
            "response.failed"
        ]
    );
}

#[tokio::test]
async fn a_cut_or_truncated_stream_ends_with_an_error() {
    let rig = Rig::laptop().await;
    for (prompt, code) in [
        ("@cut 3\nhello there", "stream_cut"),
        ("@end 3\nhello there", "stream_truncated"),
    ] {
        let response = post(&rig, &ask(prompt, true)).await;
        let events = events(&response);
        let [.., error, failed] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(error["code"], code);
        assert_eq!(failed["type"], "response.failed");
    }
}

#[tokio::test]
async fn cancels_the_bedrock_call_when_the_client_disconnects() {
    let rig = Rig::laptop().await;
    let body = ask("@slow 60s\nhello", true).to_string();
    let mut response = rig.open(Method::POST, PATH, &[], body).await;
    read_until(response.body_mut(), "response.in_progress").await;
    drop(response);
    eventually("the call is cancelled", async || {
        let calls = rig.double.calls_of("ConverseStream");
        let stream = calls.first().and_then(|call| call.stream.clone());
        stream.is_some_and(|stream| stream.ended == "cancelled")
    })
    .await;
    eventually("the request is counted", async || {
        rig.metric(DISCONNECTED).await == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn rejects_fields_that_require_stored_responses() {
    let rig = Rig::laptop().await;
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("background", json!(true)),
    ] {
        let mut body = ask("hi", false);
        body[field] = value;
        let response = post(&rig, &body).await;
        assert_eq!(response.status, 400, "{field}");
        let error = response.error();
        assert_eq!(error["param"], field);
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("nothing is stored"),
            "{error}"
        );
    }
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn six_turns_of_thinking_and_tools_replay_every_signed_block_unchanged() {
    let rig = Rig::laptop().await;
    let tools = json!([{"type": "function", "name": "look", "parameters": {"type": "object"}}]);
    let mut input = Vec::new();
    for turn in 0..6 {
        let prompt = format!("@reason Thought {turn} \"ü\".\n@tool look {{\"n\":{turn}}}");
        input.push(json!({"role": "user", "content": prompt}));
        let body = json!({"model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "input": input, "tools": tools,
            "reasoning": {"effort": "low"}, "store": false, "stream": turn % 2 == 1});
        let response = post(&rig, &body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let response = if turn % 2 == 1 {
            events(&response).last().unwrap()["response"].clone()
        } else {
            response.json()
        };
        let output = response["output"].as_array().unwrap();
        assert_eq!(output[0]["type"], "reasoning", "{response}");
        input.extend(output.iter().cloned());
        let call = output.last().unwrap();
        input.push(
            json!({"type": "function_call_output", "call_id": call["call_id"], "output": "seen"}),
        );
    }
    // The double rejects a block whose signature does not match its text; compare the blocks, too.
    let blocks = signed_blocks(&rig.double.calls_of("ConverseStream").pop().unwrap());
    assert_eq!(blocks.len(), 5);
    for (turn, block) in blocks.into_iter().enumerate() {
        assert_eq!(block["text"], format!("Thought {turn} \"ü\"."));
        assert!(block["signature"].is_string());
    }
}
