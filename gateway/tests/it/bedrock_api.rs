//! Bedrock's API: unchanged bytes, authorization, the forced guardrail, errors in AWS's format.

mod exact;
mod exceptions;
pub(crate) mod upstream;

use awsdouble::{Config, Fault, FaultAction, allow_bedrock};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, header};
use serde_json::{Value, json};

use crate::rig::{ACCESS_KEY, MODEL, Plan, Response, Rig, SECRET_KEY};
use upstream::frames_of;

const CONVERSE: &str = "/model/amazon.nova-lite-v1%3A0/converse";
const STREAM: &str = "/model/amazon.nova-lite-v1%3A0/converse-stream";

fn prompt(text: &str) -> String {
    json!({ "messages": [{ "role": "user", "content": [{ "text": text }] }] }).to_string()
}

async fn post(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    rig.call(Method::POST, path, headers, body.to_owned()).await
}

#[track_caller]
fn check_error(response: &Response, status: u16, name: &str, text: &str) {
    let body = response.text();
    assert_eq!(response.status, status, "{body}");
    assert_eq!(response.headers["x-amzn-errortype"], name, "{body}");
    assert!(response.headers.contains_key("x-amzn-requestid"), "{body}");
    let message = response.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(text), "{text:?} in {message:?}");
}

#[tokio::test]
async fn aliases_resolve_to_their_target_and_profile_arns_are_one_path_segment() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    let rig = Rig::with_document(&format!(
        "allow: ['arn:*']\nmodels: [{{name: fast, targets: [{{modelId: '{MODEL}'}}]}}]"
    ))
    .await;
    let response = post(&rig, "/model/fast/converse", &[], &prompt("hello")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.json()["output"]["message"]["content"][0]["text"],
        "hello"
    );
    let encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0";
    for id in [arn, encoded] {
        let path = format!("/model/{id}/converse");
        let response = post(&rig, &path, &[], &prompt("hello")).await;
        assert_eq!(response.status, 200, "{id}: {}", response.text());
    }
    let calls = rig.double.calls_of("Converse");
    assert_eq!(calls[0].path, CONVERSE);
    assert_eq!(calls[1].path, format!("/model/{encoded}/converse"));
    assert_eq!(calls[2].path, calls[1].path);
}

#[tokio::test]
async fn serves_each_operation_and_counts_its_tokens() {
    let rig = Rig::laptop().await;
    let claude = "anthropic.claude-3-haiku-20240307-v1:0";
    let messages = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": "one two three" }],
    })
    .to_string();
    let count =
        json!({ "input": { "converse": serde_json::from_str::<Value>(&prompt("hi")).unwrap() } });
    for (path, body) in [
        (CONVERSE.to_owned(), prompt("hello")),
        (STREAM.to_owned(), prompt("hello")),
        (format!("/model/{claude}/invoke"), messages.clone()),
        (
            format!("/model/{claude}/invoke-with-response-stream"),
            messages,
        ),
        (format!("/model/{claude}/count-tokens"), count.to_string()),
    ] {
        let response = post(&rig, &path, &[], &body).await;
        assert_eq!(
            response.status,
            200,
            "{path}: {}",
            String::from_utf8_lossy(&response.body)
        );
        assert!(response.headers.contains_key("x-amzn-requestid"), "{path}");
    }
    let page = rig.admin("/metrics").await.text();
    let sum = |operation: &str, model: &str, kind: &str| {
        let line = page.lines().find(|line| {
            line.starts_with("gen_ai_client_token_usage_sum")
                && line.contains(&format!("name=\"{operation}\""))
                && line.contains(model)
                && line.contains(&format!("type=\"{kind}\""))
        });
        line.unwrap_or_else(|| panic!("{operation} {kind} in {page}"))
            .rsplit_once(' ')
            .unwrap()
            .1
            .parse::<f64>()
            .unwrap()
    };
    // The plain and the streamed call have the same counts, so their sum is even.
    for (operation, model) in [("chat", MODEL), ("invoke_model", claude)] {
        for kind in ["input", "output"] {
            let sum = sum(operation, model, kind);
            assert!(sum > 0.0 && sum % 2.0 == 0.0, "{operation} {kind}: {sum}");
        }
    }
    assert!(page.contains("route=\"/model/{id}/invoke-with-response-stream\",status=\"200\""));
}

#[tokio::test]
async fn gateway_errors_have_the_format_of_aws() {
    let rig = Rig::with_document(
        "limits: {maxBodyBytes: 2000}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]",
    )
    .await;
    for (path, body, status, name, text) in [
        (
            "/model/gpt-4/converse",
            prompt("x"),
            404,
            "ResourceNotFoundException",
            "you may use: fast",
        ),
        (
            "/model/fast/async-invoke",
            prompt("x"),
            404,
            "UnknownOperationException",
            "unknown path",
        ),
        (
            "/guardrail/x/apply",
            prompt("x"),
            404,
            "UnknownOperationException",
            "unknown path",
        ),
        (
            "/model/fast/converse",
            prompt(&"x".repeat(3000)),
            413,
            "RequestEntityTooLargeException",
            "2000",
        ),
    ] {
        check_error(&post(&rig, path, &[], &body).await, status, name, text);
    }
    let response = rig.get("/model/fast/converse").await;
    check_error(&response, 405, "UnknownOperationException", "use POST");
    assert!(rig.calls().is_empty(), "no request was sent upstream");
}

#[tokio::test]
async fn authenticates_by_bearer_token_header_or_signature_and_forwards_none() {
    let mut plan = Plan::default();
    plan.environment
        .push(("BEDROCK_GATEWAY_API_KEY".into(), "sk/right".into()));
    let rig = Rig::start(plan).await;
    let scope =
        "/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";
    let sigv4 = |id: &str| format!("AWS4-HMAC-SHA256 Credential={id}{scope}");
    for (name, value) in [
        ("authorization", "Bearer sk/right".to_owned()),
        ("x-api-key", "sk/right".to_owned()),
        ("authorization", sigv4("sk/right")),
    ] {
        let headers = [
            (name, value.as_str()),
            ("x-amz-security-token", "token-of-a-client"),
        ];
        let response = post(&rig, CONVERSE, &headers, &prompt("hello")).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
    }
    for call in rig.double.calls_of("Converse") {
        let sent = format!("{call:?}");
        assert!(
            !sent.contains("sk/right") && !sent.contains("token-of-a-client"),
            "{sent}"
        );
        assert!(!call.headers.contains_key("x-api-key"));
    }
    for (headers, text) in [
        (vec![], "AWS_BEARER_TOKEN_BEDROCK"),
        (
            vec![("authorization", "Bearer wrong".to_owned())],
            "invalid API key",
        ),
        (
            vec![("authorization", sigv4("AKIAWRONG"))],
            "invalid API key",
        ),
        (
            vec![("authorization", "AWS4-HMAC-SHA256 nonsense".to_owned())],
            "Signature Version 4",
        ),
        (vec![("authorization", sigv4("default"))], "x-amz-date"),
        (
            vec![
                ("authorization", sigv4("default")),
                ("x-amz-date", "20260101T000000Z".to_owned()),
            ],
            "differs from the server's clock",
        ),
    ] {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let response = post(&rig, CONVERSE, &headers, &prompt("x")).await;
        check_error(&response, 401, "UnrecognizedClientException", text);
    }
}

#[tokio::test]
async fn rejected_gateway_credentials_are_a_service_unavailable_error() {
    let rig = Rig::laptop().await;
    for name in ["UnrecognizedClientException", "InvalidSignatureException"] {
        rig.double.clear_faults();
        rig.double.inject(Fault::error("Converse", 403, name));
        let response = post(&rig, CONVERSE, &[], &prompt("x")).await;
        check_error(&response, 503, "ServiceUnavailableException", name);
    }
}

#[tokio::test]
async fn retries_transient_errors_before_the_first_byte_on_the_next_target() {
    let rig = Rig::with_document(
        "models: [{name: two, targets: [{modelId: 'amazon.nova-lite-v1:0'}, {modelId: 'amazon.nova-micro-v1:0', priority: 1}]}]",
    )
    .await;
    let exception = FaultAction::StreamException {
        after: 0,
        code: "throttlingException".to_owned(),
        message: String::new(),
    };
    rig.double
        .inject(Fault::new("ConverseStream", exception).times(1));
    let response = post(&rig, "/model/two/converse-stream", &[], &prompt("hello")).await;
    assert_eq!(response.status, 200);
    let frames = frames_of(&response.body);
    assert_eq!(frames.last().unwrap().0, "metadata");
    let models: Vec<_> = rig
        .double
        .calls_of("ConverseStream")
        .into_iter()
        .map(|call| call.model.unwrap())
        .collect();
    assert_eq!(models, ["amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0"]);
}

fn guarded() -> Plan {
    let mut double: Config = Config::from_yaml(
        "guardrails: [{id: gr1, version: '1', blocked_words: [forbidden]}, {id: gr2, version: '1', blocked_words: []}]",
    )
    .unwrap();
    double = double.with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock());
    Plan {
        document: Some("allow: ['*']\nguardrail: {identifier: gr1, version: '1'}".to_owned()),
        double,
        ..Plan::default()
    }
}

#[tokio::test]
async fn applies_the_forced_guardrail_to_every_operation_that_generates_text() {
    let rig = Rig::start(guarded()).await;
    for path in [CONVERSE, STREAM] {
        let response = post(&rig, path, &[], &prompt("say forbidden")).await;
        assert_eq!(response.status, 200);
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(text.contains("guardrail_intervened"), "{text}");
    }
    let invoke = "/model/amazon.nova-lite-v1:0/invoke";
    let response = post(&rig, invoke, &[], &prompt("say forbidden")).await;
    assert_eq!(
        response.json()["amazon-bedrock-guardrailAction"],
        "INTERVENED",
        "{}",
        response.text()
    );
    let other =
        r#"{"messages":[],"guardrailConfig":{"guardrailIdentifier":"gr2","guardrailVersion":"1"}}"#;
    check_error(
        &post(&rig, CONVERSE, &[], other).await,
        400,
        "ValidationException",
        "gr1",
    );
    let headers = [
        ("x-amzn-bedrock-guardrailidentifier", "gr2"),
        ("x-amzn-bedrock-guardrailversion", "1"),
    ];
    check_error(
        &post(&rig, invoke, &headers, &prompt("x")).await,
        400,
        "ValidationException",
        "gr1",
    );
}

#[tokio::test]
async fn apply_guardrail_works_without_a_model() {
    let rig = Rig::start(guarded()).await;
    let body =
        json!({ "source": "INPUT", "content": [{ "text": { "text": "forbidden" } }] }).to_string();
    let response = post(&rig, "/guardrail/gr1/version/1/apply", &[], &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.json()["action"], "GUARDRAIL_INTERVENED");
    assert_eq!(response.headers[header::CONTENT_TYPE], "application/json");
}

#[tokio::test]
async fn lists_models_and_profiles_of_the_client_and_counts_tokens_of_an_alias() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nallow: ['amazon.nova-lite-v1:0']\nmodels:\n\
         - {name: sonnet, targets: [{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'}]}\n",
    )
    .await;
    let list = rig.get("/inference-profiles?maxResults=1000").await;
    assert_eq!(list.status, 200, "{}", list.text());
    let profiles = list.json()["inferenceProfileSummaries"].clone();
    assert_eq!(profiles.as_array().unwrap().len(), 1, "{profiles}");
    assert_eq!(profiles[0]["inferenceProfileId"], "sonnet");
    assert_eq!(
        profiles[0]["models"][0]["modelArn"],
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0"
    );
    assert_eq!(
        rig.get("/inference-profiles/sonnet").await.json(),
        profiles[0]
    );
    let models = rig.get("/foundation-models").await.json();
    assert_eq!(models["modelSummaries"][0]["modelId"], MODEL, "{models}");
    let one = rig.get("/foundation-models/amazon.nova-lite-v1%3A0").await;
    assert_eq!(one.json()["modelDetails"]["modelId"], MODEL);
    for path in [
        "/inference-profiles/amazon.nova-lite-v1:0",
        "/foundation-models/amazon.nova-pro-v1:0",
    ] {
        let response = rig.get(path).await;
        assert_eq!(response.status, 404, "{path}: {}", response.text());
        assert_eq!(
            response.headers["x-amzn-errortype"],
            "ResourceNotFoundException"
        );
    }
    assert!(rig.calls().is_empty(), "AWS is not called");

    let body = r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}"#;
    let counted = rig
        .call(Method::POST, "/model/sonnet/count-tokens", &[], body)
        .await;
    assert_eq!(counted.status, 200, "{}", counted.text());
    assert!(counted.json()["inputTokens"].is_u64());
}

#[tokio::test]
async fn unknown_paths_of_aws_clients_get_awss_error_format() {
    let rig = Rig::laptop().await;
    let sdk = ("amz-sdk-invocation-id", "1");
    let signed = ("authorization", "AWS4-HMAC-SHA256 Credential=a");
    for (path, headers) in [
        ("/async-invoke", &[][..]),
        ("/rerank", &[sdk][..]),
        ("/rerank", &[signed][..]),
    ] {
        let response = rig.call(Method::POST, path, headers, "{}").await;
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(
            response.headers["x-amzn-errortype"],
            "UnknownOperationException"
        );
        let message = response.json()["message"].clone();
        assert!(message.as_str().unwrap().contains("/converse"), "{message}");
    }
    let other = rig.call(Method::POST, "/rerank", &[], "{}").await;
    assert_eq!(other.error()["code"], "unknown_path");
}

#[tokio::test]
async fn base_urls_of_bedrocks_own_endpoints_work() {
    let rig = Rig::laptop().await;
    let chat = json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]});
    let messages =
        json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (path, body, kind) in [
        ("/openai/v1/chat/completions", chat, "chat.completion"),
        ("/anthropic/v1/messages", messages, "message"),
    ] {
        let response = rig.call(Method::POST, path, &[], body.to_string()).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let body = response.json();
        assert!(body["object"] == kind || body["type"] == kind, "{body}");
        let wrong = rig.call(Method::POST, path, &[], "{}").await;
        assert_eq!(wrong.status, 400);
        assert_eq!(wrong.json()["type"] == "error", kind == "message");
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_repaired_with_a_warning_on_every_route() {
    type Body<'b> = &'b dyn Fn(&str) -> String;

    let rig = Rig::laptop().await;
    let claude = "anthropic.claude-3-haiku-20240307-v1:0";
    let messages = |text: &str| {
        format!(
            r#"{{"anthropic_version":"bedrock-2023-05-31", "max_tokens":100,"messages":[{{"role":"user","content":"{text}"}}]}}"#
        )
    };
    let converse = |text: &str| {
        format!(r#"{{"messages":[{{"role":"user", "content":[{{"text":"{text}"}}]}}]}}"#)
    };
    let count = |text: &str| format!(r#"{{"input":{{"converse":{}}}}}"#, converse(text));
    let encoded = |text: &str| {
        let body = STANDARD.encode(messages(text));
        format!(r#"{{"input":{{"invokeModel":{{"body":"{body}"}}}}}}"#)
    };
    let cut = r"cut \ud83d";
    let repaired = r"cut \ufffd";
    let whole = r"\u00e9 \ud83e\udd8a \\ud83d \ufffd";
    let path = |operation: &str| format!("/model/{claude}/{operation}");
    let routes: [(String, Body<'_>); 6] = [
        (CONVERSE.to_owned(), &converse),
        (STREAM.to_owned(), &converse),
        (path("invoke"), &messages),
        (path("invoke-with-response-stream"), &messages),
        (path("count-tokens"), &count),
        (path("count-tokens"), &encoded),
    ];
    for (path, body) in routes {
        rig.double.clear_calls();
        for (text, sent) in [(cut, repaired), (whole, whole)] {
            let response = post(&rig, &path, &[], &body(text)).await;
            let shown = String::from_utf8_lossy(&response.body);
            assert_eq!(response.status, 200, "{path} {text}: {shown}");
            let warning = response.headers.get("x-bedrock-gateway-warning");
            assert_eq!(warning.is_some(), text == cut, "{path} {text}");
            let calls = rig.calls();
            assert_eq!(calls.last().unwrap().body, body(sent), "{path}");
        }
    }
    let strict = Rig::with_document("strict: true").await;
    let response = post(&strict, CONVERSE, &[], &converse(cut)).await;
    check_error(&response, 400, "ValidationException", "surrogate");
}
