//! Targets with `assumeRole`: which credentials sign a call, and the behavior for a rejected role.

use std::time::Duration;

use awsdouble::{Config, Fault, FaultAction, allow_bedrock};
use gateway::{ServeError, Server};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rig::{
    ACCESS_KEY, MODEL, Plan, Response, Rig, SECRET_KEY, ask, ask_stream, eventually, now_seconds,
};

const ROLE: &str = "arn:aws:iam::210987654321:role/Models";
/// A model that only the role may call.
const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const READY: &str =
    "bedrock_gateway_role_credentials_ready{role=\"arn:aws:iam::210987654321:role/Models\"}";

fn invoke(model: &str) -> Value {
    json!({ "Effect": "Allow", "Action": "bedrock:InvokeModel*",
        "Resource": format!("arn:aws:bedrock:*::foundation-model/{model}") })
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// An account with a user that may call one model, and a role in another account that may call another model.
fn accounts() -> Config {
    let assume = json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE });
    let user = policy(&[invoke(MODEL), assume]);
    let trust = json!({ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": "arn:aws:iam::123456789012:root" },
        "Condition": { "StringEquals": { "sts:ExternalId": "agreed" } } });
    Config::default()
        .with_user("dev", ACCESS_KEY, SECRET_KEY, user)
        .with_role(ROLE, policy(&[trust]), policy(&[invoke(CLAUDE)]))
}

/// Aliases for a target with the role and a fallback without it (`both`), and for each of them (`far`, `near`).
fn document(external_id: &str) -> String {
    let far = format!(
        "modelId: '{CLAUDE}', assumeRole: {{roleArn: '{ROLE}', externalId: {external_id}, sessionName: chat}}"
    );
    format!(
        "models:
- {{name: both, targets: [{{{far}}}, {{modelId: '{MODEL}', priority: 1}}]}}
- {{name: far, targets: [{{{far}}}]}}
- {{name: near, targets: [{{modelId: '{MODEL}'}}]}}
"
    )
}

async fn start(document: String) -> Rig {
    let rig = Rig::start(Plan {
        document: Some(document),
        double: accounts(),
        ..Plan::default()
    })
    .await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    rig
}

/// Model and caller (role or user) of each Bedrock call; the caller is empty if authentication failed.
fn calls(rig: &Rig) -> Vec<(String, String)> {
    let all = rig.double.calls().into_iter();
    let bedrock = all.filter(|call| call.model.is_some());
    bedrock
        .map(|call| {
            let identity = call.identity.map_or_else(String::new, |identity| {
                identity.role_arn.unwrap_or(identity.arn)
            });
            (call.model.unwrap(), identity)
        })
        .collect()
}

fn by_role() -> (String, String) {
    (CLAUDE.to_owned(), ROLE.to_owned())
}

fn unidentified() -> (String, String) {
    (CLAUDE.to_owned(), String::new())
}

fn by_user() -> (String, String) {
    (
        MODEL.to_owned(),
        "arn:aws:iam::123456789012:user/dev".to_owned(),
    )
}

async fn converse(rig: &Rig, alias: &str) -> Response {
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let path = format!("/model/{alias}/converse");
    rig.call(Method::POST, &path, &[], body.to_string()).await
}

async fn messages(rig: &Rig, alias: &str) -> Response {
    let body = json!({ "model": alias, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    rig.call(Method::POST, "/v1/messages", &[], body.to_string())
        .await
}

#[tokio::test]
async fn signs_each_call_with_the_role_of_its_target_in_every_dialect() {
    let rig = start(document("agreed")).await;
    for response in [
        rig.chat(&ask("both", "hi")).await,
        rig.chat(&ask_stream("both", "hi")).await,
        converse(&rig, "both").await,
        messages(&rig, "both").await,
    ] {
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(calls(&rig), vec![by_role(); 4]);
    rig.double.clear_calls();
    for alias in ["near", "far", "near"] {
        let response = rig.chat(&ask(alias, "hi")).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(calls(&rig), [by_user(), by_role(), by_user()]);
}

#[tokio::test]
async fn targets_share_the_credentials_of_a_role_and_metrics_and_readiness_show_them() {
    let rig = start(document("agreed")).await;
    let exchanges = rig.double.calls_of("AssumeRole");
    assert_eq!(exchanges.len(), 1);
    assert_eq!(exchanges[0].parameters["RoleSessionName"], "chat");
    assert_eq!(rig.metric(READY).await, Some(1.0));
    let expiration = READY.replace("_ready", "_expiration_timestamp_seconds");
    let seconds = rig.metric(&expiration).await.unwrap() - now_seconds();
    assert!((3000.0..=3600.0).contains(&seconds), "{seconds}");
    let page = rig.admin("/readyz").await.json();
    assert_eq!(page["roles"], json!([{ "role": ROLE, "ready": true }]));
    assert_eq!(page["message"], Value::Null);
}

#[tokio::test]
async fn a_throttled_role_fails_over_to_the_gateways_credentials() {
    let rig = start(document("agreed")).await;
    let throttled = Fault::error("Converse", 429, "ThrottlingException");
    rig.double.inject(throttled.times(1));
    let response = converse(&rig, "both").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(calls(&rig), [unidentified(), by_user()]);
}

#[tokio::test]
async fn replaces_a_revoked_session_of_a_role_and_serves_the_request() {
    let rig = start(document("agreed")).await;
    rig.double.revoke_sessions();
    let response = converse(&rig, "far").await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(calls(&rig), [unidentified(), by_role()]);
}

#[tokio::test]
async fn a_rejected_role_is_skipped_and_reported_if_no_other_target_exists() {
    let rig = start(document("guessed")).await;
    let response = rig.chat(&ask("both", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(calls(&rig), [by_user()]);

    let started = Instant::now();
    let response = rig.chat(&ask("far", "hi")).await;
    assert_eq!(response.status, 503, "{}", response.text());
    let error = response.error();
    assert_eq!(error["code"], "credentials_unavailable");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(ROLE) && message.contains("not authorized to perform: sts:AssumeRole"),
        "{message}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("sts:ExternalId"),
        "{error}"
    );

    let response = messages(&rig, "far").await;
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.error()["message"].as_str().unwrap().contains(ROLE));

    let response = converse(&rig, "far").await;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(
        response.headers["x-amzn-errortype"],
        "ServiceUnavailableException"
    );
    assert!(response.text().contains(ROLE), "{}", response.text());
    assert!(response.headers.contains_key("x-bedrock-gateway-hint"));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "no request waits"
    );

    let page = rig.admin("/readyz").await;
    assert_eq!(page.status, 200, "the other targets are served");
    let page = page.json();
    assert_eq!(page["roles"][0]["reason"], "AccessDenied");
    let message = page["message"].as_str().unwrap();
    assert!(
        message.starts_with("no credentials for 1 of 1 target roles: sts:AssumeRole for"),
        "{message}"
    );
    assert_eq!(rig.metric(READY).await, Some(0.0));
    assert_eq!(
        rig.metric("bedrock_gateway_credentials_ready").await,
        Some(1.0)
    );
}

#[tokio::test]
async fn a_pending_role_delays_readiness_but_no_request() {
    // The STS endpoint never responds, so the first exchange does not finish.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sts = format!(
        "endpoints: {{sts: 'http://{}'}}\n",
        silent.local_addr().unwrap()
    );
    let rig = Rig::start(Plan {
        document: Some(sts + &document("agreed")),
        double: accounts(),
        ..Plan::default()
    })
    .await;
    let started = Instant::now();
    assert_eq!(rig.chat(&ask("near", "hi")).await.status, 200);
    assert_eq!(rig.chat(&ask("both", "hi")).await.status, 200);
    let response = rig.chat(&ask("far", "hi")).await;
    assert_eq!(response.status, 503, "{}", response.text());
    let message = response.error()["message"].to_string();
    assert!(
        message.contains("Pending") && message.contains(ROLE),
        "{message}"
    );
    let page = rig.admin("/readyz").await;
    assert_eq!(page.status, 503);
    assert_eq!(page.json()["reason"], "Pending");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "no request waits"
    );
    drop(silent);
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
}

#[tokio::test]
async fn a_reload_keeps_adds_and_removes_roles() {
    let near = format!("models: [{{name: near, targets: [{{modelId: '{MODEL}'}}]}}]\n");
    let rig = start(near.clone()).await;
    assert!(rig.double.calls_of("AssumeRole").is_empty());

    // Slow enough to detect a configuration that becomes active before its role has credentials.
    let delay = FaultAction::Delay { milliseconds: 300 };
    rig.double.inject(Fault::new("AssumeRole", delay).times(1));
    rig.write_config(&document("agreed"));
    eventually("the new alias is active", async || {
        let status = rig.chat(&ask("far", "hi")).await.status;
        assert_ne!(status, 503, "a target is active before its credentials");
        status == 200
    })
    .await;
    assert_eq!(rig.double.calls_of("AssumeRole").len(), 1);

    rig.write_config(&document("agreed").replace("name: near", "name: nearer"));
    eventually("the changed alias is active", async || {
        rig.chat(&ask("nearer", "hi")).await.status == 200
    })
    .await;
    assert_eq!(rig.chat(&ask("far", "hi")).await.status, 200);
    assert_eq!(rig.double.calls_of("AssumeRole").len(), 1, "kept");

    rig.write_config(&near);
    eventually("the role is removed", async || {
        rig.metric(READY).await.is_none()
    })
    .await;
    assert_eq!(rig.chat(&ask("far", "hi")).await.status, 404);
    let page = rig.admin("/readyz").await.json();
    assert_eq!(page["roles"], Value::Null);
}

#[tokio::test]
async fn rejects_a_role_with_an_api_key_at_start_and_reload() {
    let key = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-abc"),
    ];
    let key: Vec<_> = key.map(|(name, value)| (name.into(), value.into())).into();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document("agreed")).unwrap();
    let mut settings = crate::rig::settings(key.clone());
    settings.config = Some(file.path().to_owned());
    let Err(ServeError::Load(error)) = Server::bind(settings).await else {
        panic!("the gateway started");
    };
    assert_eq!(error.reason(), "credential_settings_invalid");
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("each target's assumeRole"), "{text}");

    let rig = Rig::start(Plan {
        document: Some("allow: ['*']".to_owned()),
        environment: key,
        ..Plan::default()
    })
    .await;
    // A successful reload shows that the file is watched.
    rig.write_config("allow: ['amazon.*']");
    eventually("the file is watched", async || {
        let reloads = "bedrock_gateway_config_reloads_total{result=\"success\"}";
        rig.metric(reloads).await.is_some()
    })
    .await;
    rig.write_config(&document("agreed"));
    eventually("the configuration is rejected", async || {
        rig.metric("bedrock_gateway_config_last_reload_successful")
            .await
            == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn an_api_key_in_a_mounted_secret_serves_targets_without_a_role() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("AWS_BEARER_TOKEN_BEDROCK"), "key").unwrap();
    let rig = Rig::start(Plan {
        document: Some(document("agreed")),
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            (
                "BEDROCK_GATEWAY_SECRET_DIRECTORY".into(),
                directory.path().to_str().unwrap().into(),
            ),
        ],
        double: accounts().with_bearer_key("dev", "key", allow_bedrock()),
        ..Plan::default()
    })
    .await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    let response = rig.chat(&ask("far", "hi")).await;
    assert_eq!(response.status, 503, "{}", response.text());
    let message = response.error()["message"].to_string();
    assert!(message.contains("API key cannot assume roles"), "{message}");
    let response = rig.chat(&ask("near", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
}
