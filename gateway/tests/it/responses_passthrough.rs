//! `/v1/responses` for models with this API on Bedrock: forwarded unchanged and signed.

use awsdouble::{Fault, FaultAction};
use serde_json::{Value, json};

use crate::{
    responses::{output_text, post},
    rig::Rig,
};

const DOCUMENT: &str = "clients: {anonymous: true}\nendpoints: {bedrockMantle: '{mantle}'}\nmodels:\n- {name: runtime, targets: [{modelId: 'us.openai.gpt-5.6-sol'}]}\n- {name: mantle, targets: [{modelId: 'openai.gpt-5.6-sol'}]}\n- {name: mixed, targets: [{modelId: 'us.openai.gpt-5.6-sol'}, {modelId: 'amazon.nova-lite-v1:0', priority: 1}]}";

#[tokio::test]
async fn forwards_the_request_unchanged_except_for_the_model() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (alias, model) in [
        ("runtime", "us.openai.gpt-5.6-sol"),
        ("mantle", "openai.gpt-5.6-sol"),
    ] {
        rig.double.clear_calls();
        let body = |model: &str| {
            format!(
                "{{ \"input\":\"h\\u0069\", \"model\" : \"{model}\" ,\"store\":false,\"top_logprobs\":2,\"include\":[\"message.output_text.logprobs\"],\"metadata\":{{\"n\":\"1\"}}}}"
            )
        };
        let response = rig
            .call(http::Method::POST, "/v1/responses", &[], body(alias))
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(output_text(&response.json()), "hi");
        let calls = rig.double.calls_of("CreateResponse");
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].body, body(model));
    }
}

#[tokio::test]
async fn forwards_the_stream_and_counts_the_request() {
    let rig = Rig::with_document(DOCUMENT).await;
    let response = post(
        &rig,
        &json!({"model": "runtime", "input": "hello there", "stream": true}),
    )
    .await;
    assert_eq!(response.status, 200, "{}", response.text());
    let text = response.text();
    assert!(
        text.contains("event: response.output_text.delta\n"),
        "{text}"
    );
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(output_text(&last["response"]), "hello there");
    let counted = rig
        .metric(
            "bedrock_gateway_requests_total{route=\"/v1/responses\",status=\"200\",reason=\"\"}",
        )
        .await;
    assert_eq!(counted, Some(1.0));
}

#[tokio::test]
async fn errors_of_bedrocks_endpoint_keep_status_and_message() {
    let rig = Rig::with_document(DOCUMENT).await;
    // An error about the gateway's permissions must not look like an error about the client's key.
    for (code, status, expected) in [
        ("ValidationException", 400, 400),
        ("ThrottlingException", 429, 429),
        ("AccessDeniedException", 403, 502),
    ] {
        for stream in [false, true] {
            rig.double.clear_faults();
            rig.double.inject(Fault::new(
                "CreateResponse",
                FaultAction::Error {
                    status,
                    code: code.to_owned(),
                    message: format!("Bedrock's message for {code}"),
                    empty_body: false,
                },
            ));
            let ask = json!({"model": "runtime", "input": "hi", "stream": stream});
            let response = post(&rig, &ask).await;
            assert_eq!(response.status, expected, "{}", response.text());
            let message = response.error()["message"].as_str().unwrap().to_owned();
            assert!(
                message.starts_with(&format!("Bedrock's message for {code}")),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn a_cut_stream_ends_with_an_error_event() {
    let rig = Rig::with_document(DOCUMENT).await;
    let ask = |prompt: &str| json!({"model": "runtime", "input": prompt, "stream": true});
    for prompt in [
        "@midstream-exception throttlingException 4 slow down\nhello there",
        "@end 4\nhello there",
    ] {
        let response = post(&rig, &ask(prompt)).await;
        assert_eq!(response.status, 200);
        let text = response.text();
        let last = text.trim_end().rsplit("data: ").next().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["type"], "error", "{prompt}: {text}");
        assert!(last["message"].is_string());
    }
}

#[tokio::test]
async fn fails_over_from_passthrough_to_converse() {
    let rig = Rig::with_document(DOCUMENT).await;
    rig.double
        .inject(Fault::error("CreateResponse", 503, "ServiceUnavailableException").times(9));
    let ask = json!({"model": "mixed", "input": "hello", "stream": false});
    let response = post(&rig, &ask).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(output_text(&response.json()), "hello");
    assert_eq!(rig.double.calls_of("Converse").len(), 1);
}

#[tokio::test]
async fn sends_the_forced_guardrail_in_headers_or_rejects_the_request() {
    let document = format!("{DOCUMENT}\nguardrail: {{identifier: 'abc123def456', version: '1'}}");
    let rig = Rig::with_document(&document).await;
    let mantle = post(&rig, &json!({"model": "mantle", "input": "hi"})).await;
    assert_eq!(mantle.status, 400, "{}", mantle.text());
    assert_eq!(mantle.error()["param"], "model");
    assert!(rig.double.calls_of("CreateResponse").is_empty());
}
