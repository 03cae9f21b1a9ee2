//! Targets with a role of their own: which session signs what, and what becomes of a role that is refused.

use std::time::Duration;

use awsdouble::{Config, Fault, FaultAction, allow_bedrock};
use gateway::{ServeError, Server};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rig::{ACCESS_KEY, Answer, MODEL, Plan, Rig, SECRET_KEY, ask, ask_stream, eventually};

const ROLE: &str = "arn:aws:iam::210987654321:role/Models";
/// What only the role may call.
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

/// An account whose user may call one model, and a role of another account that may call another.
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

/// Claude by the role, the same with the gateway's own credentials behind it, and each alone.
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

/// Model and role, or user, of each call of Bedrock so far; nobody where the double refused before it looked.
fn calls(rig: &Rig) -> Vec<(String, String)> {
    let all = rig.double.calls().into_iter();
    let bedrock = all.filter(|call| call.model.is_some());
    bedrock
        .map(|call| {
            let who = call.identity.map_or_else(String::new, |identity| {
                identity.role_arn.unwrap_or(identity.arn)
            });
            (call.model.unwrap(), who)
        })
        .collect()
}

fn by_role() -> (String, String) {
    (CLAUDE.to_owned(), ROLE.to_owned())
}

fn by_nobody() -> (String, String) {
    (CLAUDE.to_owned(), String::new())
}

fn by_user() -> (String, String) {
    (
        MODEL.to_owned(),
        "arn:aws:iam::123456789012:user/dev".to_owned(),
    )
}

async fn native(rig: &Rig, alias: &str) -> Answer {
    let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] });
    let path = format!("/model/{alias}/converse");
    rig.call(Method::POST, &path, &[], body.to_string()).await
}

async fn messages(rig: &Rig, alias: &str) -> Answer {
    let body = json!({ "model": alias, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    rig.call(Method::POST, "/v1/messages", &[], body.to_string())
        .await
}

#[tokio::test]
async fn each_call_is_signed_with_the_session_of_its_target_in_every_dialect() {
    let rig = start(document("agreed")).await;
    for answer in [
        rig.chat(&ask("both", "hi")).await,
        rig.chat(&ask_stream("both", "hi")).await,
        native(&rig, "both").await,
        messages(&rig, "both").await,
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(calls(&rig), vec![by_role(); 4]);
    rig.double.clear_calls();
    for alias in ["near", "far", "near"] {
        let answer = rig.chat(&ask(alias, "hi")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(calls(&rig), [by_user(), by_role(), by_user()]);
}

#[tokio::test]
async fn targets_of_one_role_share_its_session_which_shows_in_metrics_and_readiness() {
    let rig = start(document("agreed")).await;
    let exchanges = rig.double.calls_of("AssumeRole");
    assert_eq!(exchanges.len(), 1);
    assert_eq!(exchanges[0].parameters["RoleSessionName"], "chat");
    assert_eq!(rig.metric(READY).await, Some(1.0));
    let expiry = READY.replace("_ready", "_expiry_seconds");
    let left = rig.metric(&expiry).await.unwrap();
    assert!((3000.0..=3600.0).contains(&left), "{left}");
    let page = rig.admin("/readyz").await.json();
    assert_eq!(page["roles"], json!([{ "role": ROLE, "ready": true }]));
    assert_eq!(page["message"], Value::Null);
}

#[tokio::test]
async fn throttled_role_fails_over_to_the_gateways_own_credentials() {
    let rig = start(document("agreed")).await;
    let throttled = Fault::error("Converse", 429, "ThrottlingException");
    rig.double.inject(throttled.times(1));
    let answer = native(&rig, "both").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(calls(&rig), [by_nobody(), by_user()]);
}

#[tokio::test]
async fn revoked_session_of_a_role_is_replaced_and_the_request_answered() {
    let rig = start(document("agreed")).await;
    rig.double.revoke_sessions();
    let answer = native(&rig, "far").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(calls(&rig), [by_nobody(), by_role()]);
}

#[tokio::test]
async fn refused_role_is_passed_over_and_told_where_nothing_else_is_left() {
    let rig = start(document("guessed")).await;
    let answer = rig.chat(&ask("both", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(calls(&rig), [by_user()]);

    let begun = Instant::now();
    let answer = rig.chat(&ask("far", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let error = answer.error();
    assert_eq!(error["code"], "credentials_unavailable");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(ROLE) && message.contains("external id"),
        "{message}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("sts:ExternalId"),
        "{error}"
    );

    let answer = messages(&rig, "far").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.error()["message"].as_str().unwrap().contains(ROLE));

    let answer = native(&rig, "far").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(
        answer.headers["x-amzn-errortype"],
        "ServiceUnavailableException"
    );
    assert!(answer.text().contains(ROLE), "{}", answer.text());
    assert!(answer.headers.contains_key("x-bedrock-gateway-hint"));
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited");

    let page = rig.admin("/readyz").await;
    assert_eq!(page.status, 200, "the other targets are served");
    let page = page.json();
    assert_eq!(page["roles"][0]["reason"], "AccessDenied");
    let message = page["message"].as_str().unwrap();
    assert!(
        message.starts_with("no credentials for 1 of 1 roles of targets: sts:AssumeRole of"),
        "{message}"
    );
    assert_eq!(rig.metric(READY).await, Some(0.0));
    assert_eq!(
        rig.metric("bedrock_gateway_credentials_ready").await,
        Some(1.0)
    );
}

#[tokio::test]
async fn role_on_its_way_holds_up_readiness_at_the_start_and_no_request() {
    // STS is behind a listener that answers nobody, so that the first exchange goes on and on.
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
    let begun = Instant::now();
    assert_eq!(rig.chat(&ask("near", "hi")).await.status, 200);
    assert_eq!(rig.chat(&ask("both", "hi")).await.status, 200);
    let answer = rig.chat(&ask("far", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let message = answer.error()["message"].to_string();
    assert!(
        message.contains("Pending") && message.contains(ROLE),
        "{message}"
    );
    let page = rig.admin("/readyz").await;
    assert_eq!(page.status, 503);
    assert_eq!(page.json()["reason"], "Pending");
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited");
    drop(silent);
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
}

#[tokio::test]
async fn reload_keeps_adds_and_drops_roles() {
    let near = format!("models: [{{name: near, targets: [{{modelId: '{MODEL}'}}]}}]\n");
    let rig = start(near.clone()).await;
    assert!(rig.double.calls_of("AssumeRole").is_empty());

    // Slow enough that a document in force without its role's credentials would show.
    let delay = FaultAction::Delay { milliseconds: 300 };
    rig.double.inject(Fault::new("AssumeRole", delay).times(1));
    rig.write_config(&document("agreed"));
    eventually("the new alias is there", async || {
        let status = rig.chat(&ask("far", "hi")).await.status;
        assert_ne!(status, 503, "a target before its credentials");
        status == 200
    })
    .await;
    assert_eq!(rig.double.calls_of("AssumeRole").len(), 1);

    rig.write_config(&document("agreed").replace("name: near", "name: nearer"));
    eventually("the changed alias is there", async || {
        rig.chat(&ask("nearer", "hi")).await.status == 200
    })
    .await;
    assert_eq!(rig.chat(&ask("far", "hi")).await.status, 200);
    assert_eq!(rig.double.calls_of("AssumeRole").len(), 1, "kept");

    rig.write_config(&near);
    eventually("the role is gone", async || {
        rig.metric(READY).await.is_none()
    })
    .await;
    assert_eq!(rig.chat(&ask("far", "hi")).await.status, 404);
    let page = rig.admin("/readyz").await.json();
    assert_eq!(page["roles"], Value::Null);
}

#[tokio::test]
async fn role_on_top_of_an_api_key_ends_the_start_and_is_refused_by_a_reload() {
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
        panic!("started");
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
    // By a second document it is seen that files are watched.
    rig.write_config("allow: ['amazon.*']");
    eventually("the file is watched", async || {
        let reloads = "bedrock_gateway_config_reloads_total{result=\"success\"}";
        rig.write_config("allow: ['amazon.*', 'us.*']");
        rig.metric(reloads).await.is_some()
    })
    .await;
    rig.write_config(&document("agreed"));
    eventually("the document is refused", async || {
        rig.metric("bedrock_gateway_config_last_reload_successful")
            .await
            == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn api_key_of_a_mounted_secret_serves_the_targets_without_a_role() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("AWS_BEARER_TOKEN_BEDROCK"), "key").unwrap();
    let rig = Rig::start(Plan {
        document: Some(document("agreed")),
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            (
                "BEDROCK_GATEWAY_SECRET_DIRECTORY".into(),
                folder.path().to_str().unwrap().into(),
            ),
        ],
        double: accounts().with_bearer_key("dev", "key", allow_bedrock()),
        ..Plan::default()
    })
    .await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    let answer = rig.chat(&ask("far", "hi")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let message = answer.error()["message"].to_string();
    assert!(
        message.contains("API key cannot assume a role"),
        "{message}"
    );
    let answer = rig.chat(&ask("near", "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
