//! What the gateway tells AWS about the origin of requests.

use awsdouble::{Call, Config, allow_bedrock};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{ACCESS_KEY, MODEL, Plan, Response, Rig, SECRET_KEY, ask, ask_stream, eventually};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const EMBED: &str = "amazon.titan-embed-text-v2:0";
const ROLE: &str = "arn:aws:iam::210987654321:role/Models";

async fn start(document: &str) -> Rig {
    let access =
        "access: {namespace: team-a, name: chat}\nclients: {anonymous: true}\nallow: ['*']\n";
    Rig::with_document(&format!("{access}{document}")).await
}

async fn send(rig: &Rig, path: &str, id: &str, body: &Value) -> Response {
    let headers = [("x-request-id", id)];
    rig.call(Method::POST, path, &headers, body.to_string())
        .await
}

/// The metadata of a call, wherever the API has it.
fn metadata(call: &Call) -> Value {
    let body = call.json().unwrap();
    let header = call.headers.get("x-amzn-bedrock-request-metadata");
    header.map_or_else(
        || body["requestMetadata"].clone(),
        |text| serde_json::from_str(text).unwrap(),
    )
}

fn own(id: &str) -> Value {
    json!({ "namespace": "team-a", "bedrockAccess": "chat", "caller": "anonymous", "requestId": id })
}

fn hello() -> Value {
    json!([{"role": "user", "content": [{"text": "hi"}]}])
}

fn claude() -> Value {
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn every_call_with_metadata_has_that_of_the_gateway() {
    let rig = start("").await;
    let messages =
        json!({"model": CLAUDE, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let embed = json!({"model": EMBED, "input": ["a", "b"]});
    let converse = json!({ "messages": hello() });
    for (path, body) in [
        ("/v1/chat/completions".to_owned(), ask(MODEL, "hi")),
        ("/v1/chat/completions".to_owned(), ask_stream(MODEL, "hi")),
        ("/v1/messages".to_owned(), messages),
        ("/v1/embeddings".to_owned(), embed),
        (format!("/model/{MODEL}/converse"), converse.clone()),
        (format!("/model/{MODEL}/converse-stream"), converse),
        (format!("/model/{CLAUDE}/invoke"), claude()),
        (
            format!("/model/{CLAUDE}/invoke-with-response-stream"),
            claude(),
        ),
    ] {
        rig.double.clear_calls();
        let response = send(&rig, &path, "id-1", &body).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        for call in rig.calls() {
            assert_eq!(metadata(&call), own("id-1"), "{path} {}", call.operation);
            // AWS ignores headers that are not signed.
            if call.headers.contains_key("x-amzn-bedrock-request-metadata") {
                let signed = &call.headers["authorization"];
                assert!(
                    signed.contains("x-amzn-bedrock-request-metadata"),
                    "{signed}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_client_cannot_replace_the_metadata_of_the_gateway() {
    let rig = start("").await;
    let forged = json!({"namespace": "team-b", "caller": "x"});
    let body = json!({"messages": hello(), "requestMetadata": forged});
    let response = send(&rig, &format!("/model/{MODEL}/converse"), "id-2", &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let mut expected = own("id-2");
    expected["client"] = json!("namespace=team-b,caller=x");
    assert_eq!(metadata(&rig.calls().pop().unwrap()), expected);

    let headers = [(
        "x-amzn-bedrock-request-metadata",
        r#"{"namespace":"team-b"}"#,
    )];
    let path = format!("/model/{CLAUDE}/invoke");
    let response = rig
        .call(Method::POST, &path, &headers, claude().to_string())
        .await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(metadata(&rig.calls().pop().unwrap())["namespace"], "team-a");

    let before = rig.calls().len();
    let twice = r#"{"messages":[],"requestMetadata":{},"requestMetadata":{"namespace":"team-b"}}"#;
    let path = format!("/model/{MODEL}/converse");
    let response = rig.call(Method::POST, &path, &[], twice).await;
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(rig.calls().len(), before);
}

#[tokio::test]
async fn metadata_is_absent_without_access_and_if_it_is_turned_off() {
    let body = json!({ "messages": hello() }).to_string();
    let path = format!("/model/{MODEL}/converse");
    for rig in [
        Rig::laptop().await,
        start("attribution: {requestMetadata: false}").await,
    ] {
        rig.call(Method::POST, &path, &[], body.clone()).await;
        assert_eq!(rig.calls().pop().unwrap().body, body);
    }
}

#[tokio::test]
async fn the_project_of_a_target_reaches_each_api_that_has_one() {
    let rig = start(&format!(
        "endpoints: {{bedrockMantle: '{{mantle}}'}}
models:
- {{name: nova, targets: [{{modelId: '{MODEL}', project: proj_1}}]}}
- {{name: claude, targets: [{{modelId: '{CLAUDE}', project: proj_1}}]}}
- {{name: oss, targets: [{{modelId: 'openai.gpt-oss-120b', api: Mantle, project: proj_1}}]}}"
    ))
    .await;
    let response = send(&rig, "/v1/chat/completions", "a", &ask("nova", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = rig.calls().pop().unwrap();
    assert_eq!(call.json().unwrap()["projectIdentifier"], "proj_1");
    let response = send(&rig, "/model/claude/invoke", "b", &claude()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = rig.calls().pop().unwrap();
    assert_eq!(call.headers["x-amzn-bedrock-projectidentifier"], "proj_1");
    let response = send(&rig, "/v1/chat/completions", "c", &ask("oss", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = rig.calls().pop().unwrap();
    assert_eq!(call.service, "bedrock-mantle");
    assert_eq!(call.headers["openai-project"], "proj_1");
}

#[tokio::test]
async fn assumed_sessions_have_the_name_and_the_tags_of_their_access() {
    let allow = |actions: &Value, more: Value| {
        let mut statement = json!({ "Effect": "Allow", "Action": actions });
        for (key, value) in more.as_object().unwrap() {
            statement[key] = value.clone();
        }
        json!({ "Version": "2012-10-17", "Statement": [statement] })
    };
    let assume = json!(["sts:AssumeRole", "sts:TagSession"]);
    let trust = allow(
        &assume,
        json!({
            "Principal": { "AWS": "arn:aws:iam::123456789012:root" },
            "Condition": { "StringEquals": { "aws:RequestTag/bedrockaccess.dev/namespace": "team-a" } },
        }),
    );
    let user = allow(&assume, json!({ "Resource": ROLE }));
    let config = Config::default()
        .with_user("dev", ACCESS_KEY, SECRET_KEY, user)
        .with_role(ROLE, trust, allow_bedrock());
    let document = format!(
        "access: {{namespace: team-a, name: chat}}
clients: {{anonymous: true}}
attribution: {{sessionTags: true}}
models:
- {{name: far, targets: [{{modelId: '{MODEL}', assumeRole: {{roleArn: '{ROLE}'}}}}]}}"
    );
    let rig = Rig::start(Plan {
        document: Some(document),
        double: config,
        ..Plan::default()
    })
    .await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    let response = rig.chat(&ask("far", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = rig.double.calls_of("AssumeRole").pop().unwrap();
    assert_eq!(call.parameters["RoleSessionName"], "team-a-chat");
    let tag = |member: u8| {
        let part = |name: &str| call.parameters[&format!("Tags.member.{member}.{name}")].clone();
        (part("Key"), part("Value"))
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(tag(1), pair("bedrockaccess.dev/namespace", "team-a"));
    assert_eq!(tag(2), pair("bedrockaccess.dev/name", "chat"));
}
