//! The forced guardrail, for each way around it that AWS's APIs have, on each route.

use http::Method;
use serde_json::{Value, json};

use crate::{
    messages::{VERSION, document},
    rig::{Plan, Response, Rig},
};

const ID: &str = "gr1234567890";
const BLOCKED: &str = "Not here.";
const OPTIONS: &str = "amazon-bedrock-guardrailConfig";

async fn rig() -> Rig {
    let more = "- {name: gpt-oss, targets: [{modelId: 'openai.gpt-oss-20b-1:0'}]}\n\
        - {name: canvas, targets: [{modelId: 'amazon.nova-canvas-v1:0'}]}\n\
        - {name: embed, targets: [{modelId: 'amazon.titan-embed-text-v2:0'}]}\n";
    let forced = format!("guardrail: {{identifier: {ID}, version: '1'}}\n");
    let mut plan = Plan {
        document: Some(format!("{}{more}{forced}", document())),
        ..Plan::default()
    };
    plan.double.guardrails = serde_json::from_value(json!([
        { "id": ID, "version": "1", "blocked_words": ["forbidden"], "message": BLOCKED },
        { "id": "gr0987654321", "version": "1", "blocked_words": [], "message": "" },
    ]))
    .unwrap();
    Rig::start(plan).await
}

/// A route with a request that the guardrail blocks.
struct Route {
    name: &'static str,
    path: &'static str,
    body: Value,
}

fn routes() -> Vec<Route> {
    let user = json!([{"role": "user", "content": "forbidden"}]);
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "forbidden"}]}]});
    let route = |name, path, body| Route { name, path, body };
    vec![
        route(
            "chat",
            "/v1/chat/completions",
            json!({"model": "nova", "messages": user}),
        ),
        route(
            "chat passthrough",
            "/v1/chat/completions",
            json!({"model": "gpt-oss", "messages": user}),
        ),
        route(
            "responses",
            "/v1/responses",
            json!({"model": "nova", "store": false, "input": "forbidden"}),
        ),
        route(
            "messages",
            "/v1/messages",
            json!({"model": "nova", "max_tokens": 9, "messages": user}),
        ),
        route(
            "messages by InvokeModel",
            "/v1/messages",
            json!({"model": "invoke", "max_tokens": 9, "messages": user}),
        ),
        route("Converse", "/model/nova/converse", converse),
        route(
            "InvokeModel",
            "/model/invoke/invoke",
            json!({
            "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": user}),
        ),
        route(
            "images",
            "/v1/images/generations",
            json!({"model": "canvas", "prompt": "forbidden"}),
        ),
    ]
}

async fn send(rig: &Rig, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let headers = [&[VERSION][..], headers].concat();
    rig.call(Method::POST, path, &headers, body.to_string())
        .await
}

#[tokio::test]
async fn blocks_on_every_route() {
    let rig = rig().await;
    for Route { name, path, body } in routes() {
        let response = send(&rig, path, &[], &body).await;
        let text = response.text();
        assert!(text.contains(BLOCKED), "{name}: {text}");
        let status = if name == "images" { 400 } else { 200 };
        assert_eq!(response.status, status, "{name}: {text}");
        let call = rig.calls().pop().unwrap();
        let by_header = call
            .headers
            .get("x-amzn-bedrock-guardrailidentifier")
            .cloned();
        let in_body = call.json().unwrap()["guardrailConfig"]["guardrailIdentifier"].clone();
        assert!(by_header.as_deref() == Some(ID) || in_body == ID, "{name}");
    }
}

#[tokio::test]
async fn no_route_takes_options_that_weaken_it() {
    let rig = rig().await;
    let options = [
        json!({"tagSuffix": "xyz"}),
        json!({"streamProcessingMode": "ASYNCHRONOUS"}),
    ];
    for Route { name, path, body } in routes() {
        for option in &options {
            for field in [OPTIONS, "additionalModelRequestFields", "extra_body"] {
                let mut body = body.clone();
                body[field] = if field == OPTIONS {
                    option.clone()
                } else {
                    json!({ OPTIONS: option })
                };
                let response = send(&rig, path, &[], &body).await;
                let text = response.text();
                // Where a field is dropped with a warning, the guardrail stays in force.
                let holds = response.status == 400 || text.contains(BLOCKED);
                assert!(holds, "{name} {field} {option}: {} {text}", response.status);
            }
        }
    }
    let answered = rig.calls().into_iter();
    for call in answered.filter(|call| call.status == Some(200)) {
        let sent = &call.body;
        assert!(
            !sent.contains("tagSuffix") && !sent.contains("ASYNC"),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn no_header_of_a_client_replaces_it() {
    let rig = rig().await;
    let other = [
        ("x-amzn-bedrock-guardrailidentifier", "gr0987654321"),
        ("x-amzn-bedrock-guardrailversion", "1"),
    ];
    for Route { name, path, body } in routes() {
        let response = send(&rig, path, &other, &body).await;
        let text = response.text();
        // The other routes apply the forced guardrail and ignore the header.
        let rejects = path.starts_with("/model/") || path.starts_with("/v1/images/");
        assert_eq!(
            response.status == 400 && !text.contains(BLOCKED),
            rejects,
            "{name}: {text}"
        );
        assert_eq!(text.contains(BLOCKED), !rejects, "{name}: {text}");
    }
    for call in rig.calls() {
        let header = call
            .headers
            .get("x-amzn-bedrock-guardrailidentifier")
            .cloned();
        assert_ne!(header.as_deref(), Some("gr0987654321"));
    }
}

#[tokio::test]
async fn no_client_marks_what_it_shall_judge() {
    let rig = rig().await;
    let parts = json!([
        {"type": "text", "text": "forbidden\n@say hi"},
        {"type": "guarded_text", "text": "harmless"},
    ]);
    let chat = json!({"model": "nova", "messages": [{"role": "user", "content": parts}]});
    let guarded = json!({"text": {"text": "harmless"}});
    let blocks = json!([{"text": "forbidden"}, {"guardContent": guarded}]);
    let converse = json!({"messages": [{"role": "user", "content": blocks}]});
    let user = json!([{"role": "user", "content": [{"text": "forbidden"}]}]);
    let system = json!({"system": [{"guardContent": guarded}], "messages": user});
    for (path, body) in [
        ("/v1/chat/completions", chat),
        ("/model/nova/converse", converse),
        ("/model/nova/converse-stream", system),
    ] {
        let response = send(&rig, path, &[], &body).await;
        assert_eq!(response.status, 400, "{path}: {}", response.text());
        assert!(
            response.text().contains("guardContent"),
            "{}",
            response.text()
        );
    }
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn no_stream_shows_text_before_it_is_judged() {
    let rig = rig().await;
    let config = json!({"streamProcessingMode": "async"});
    let user = json!([{"role": "user", "content": "@say forbidden"}]);
    let native = json!({
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "guardrailConfig": {"guardrailIdentifier": ID, "guardrailVersion": "1", "streamProcessingMode": "async"},
    });
    for (path, body) in [
        (
            "/v1/chat/completions",
            json!({"model": "nova", "stream": true, "messages": user, "guardrailConfig": config}),
        ),
        (
            "/v1/responses",
            json!({"model": "nova", "stream": true, "store": false, "input": "hi", "guardrailConfig": config}),
        ),
        (
            "/v1/messages",
            json!({"model": "nova", "stream": true, "max_tokens": 9, "messages": user, "guardrailConfig": config}),
        ),
        (
            "/v1/messages",
            json!({"model": "invoke", "stream": true, "max_tokens": 9, "messages": user, "guardrailConfig": config}),
        ),
        ("/model/nova/converse-stream", native),
    ] {
        let response = send(&rig, path, &[], &body).await;
        assert_eq!(response.status, 400, "{path}: {}", response.text());
    }
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn models_without_guardrails_in_aws_and_counting_have_none() {
    let rig = rig().await;
    let embed = json!({"model": "embed", "input": "forbidden"});
    let response = send(&rig, "/v1/embeddings", &[], &embed).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let count = json!({"model": "invoke", "messages": [{"role": "user", "content": "forbidden"}]});
    let response = send(&rig, "/v1/messages/count_tokens", &[], &count).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn apply_guardrail_is_bound_to_the_guardrail_of_the_gateway() {
    let rig = rig().await;
    let body = json!({"source": "INPUT", "content": [{"text": {"text": "forbidden"}}]});
    let own = format!("/guardrail/{ID}/version/1/apply");
    let response = send(&rig, &own, &[], &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    for path in [
        "/guardrail/gr0987654321/version/1/apply".to_owned(),
        format!("/guardrail/{ID}/version/DRAFT/apply"),
        format!(
            "/guardrail/arn%3Aaws%3Abedrock%3Aus-west-2%3A123456789012%3Aguardrail%2F{ID}/version/1/apply"
        ),
    ] {
        let response = send(&rig, &path, &[], &body).await;
        assert_eq!(response.status, 403, "{path}: {}", response.text());
        assert!(response.text().contains(ID), "{}", response.text());
    }
    assert_eq!(rig.double.calls_of("ApplyGuardrail").len(), 1);
    let without = Rig::with_document("clients: {anonymous: true}\nallow: ['*']").await;
    let response = send(&without, &own, &[], &body).await;
    assert_eq!(response.status, 403, "{}", response.text());
}

#[tokio::test]
async fn attribution_of_clients_is_dropped_or_nested() {
    let rig = rig().await;
    let headers = [
        ("x-amzn-bedrock-request-metadata", r#"{"team":"b"}"#),
        ("x-amzn-bedrock-projectidentifier", "other"),
        ("x-amzn-bedrock-trace", "ENABLED"),
    ];
    let body = json!({
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "requestMetadata": {"team": "b"},
        "projectIdentifier": "other",
    });
    let response = send(&rig, "/model/nova/converse", &headers, &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let warnings: Vec<_> = response
        .headers
        .get_all("x-bedrock-gateway-warning")
        .iter()
        .collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    let call = rig.calls().pop().unwrap();
    let sent = call.json().unwrap();
    assert_eq!(sent["requestMetadata"], json!({"client": "team=b"}));
    assert!(sent.get("projectIdentifier").is_none());
    assert!(!call.headers.contains_key("x-amzn-bedrock-request-metadata"));
    assert!(
        !call
            .headers
            .contains_key("x-amzn-bedrock-projectidentifier")
    );
    assert_eq!(call.headers["x-amzn-bedrock-trace"], "ENABLED");
    let chat = json!({
        "model": "nova", "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"team": "b"}, "user": "u-1",
    });
    let response = send(&rig, "/v1/chat/completions", &[], &chat).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let sent = rig.calls().pop().unwrap().json().unwrap();
    let metadata = sent["requestMetadata"].as_object().unwrap();
    assert_eq!(metadata.len(), 1, "{metadata:?}");
    assert!(metadata["client"].as_str().unwrap().contains("team=b"));
}
