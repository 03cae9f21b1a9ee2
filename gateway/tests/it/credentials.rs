//! AWS credentials that expire, are revoked or are missing.

use awsdouble::{Config, Fault, TokenIssuer, allow_bedrock};
use serde_json::Value;

use crate::rig::{MODEL, Plan, Rig, ask, eventually, now, now_seconds};

const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";

/// A gateway with the environment that the operator sets in a pod. The directory contains the token.
pub(crate) async fn web_identity(subject: &str) -> (Rig, tempfile::TempDir) {
    let issuer = TokenIssuer::generate("https://kubernetes.default.svc").unwrap();
    let double = Config::default().with_issuer(issuer.issuer(), issuer.jwks());
    let trust = double.irsa_trust(issuer.issuer(), "team-a", "chat");
    let double = double.with_role(ROLE, trust, allow_bedrock());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let token = issuer
        .service_account_token("team-a", subject, "sts.amazonaws.com", now(), now() + 600)
        .unwrap();
    std::fs::write(&file, token).unwrap();
    let rig = Rig::start(Plan {
        double,
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            ("AWS_ROLE_ARN".into(), ROLE.into()),
            (
                "AWS_WEB_IDENTITY_TOKEN_FILE".into(),
                file.to_str().unwrap().into(),
            ),
        ],
        ..Plan::default()
    })
    .await;
    (rig, directory)
}

#[tokio::test]
async fn a_session_that_aws_does_not_know_is_replaced_at_once() {
    let (rig, _directory) = web_identity("chat").await;
    assert_eq!(rig.chat(&ask(MODEL, "one")).await.status, 200);
    rig.double.clear_calls();
    let unknown = Fault::error("Converse", 403, "UnrecognizedClientException");
    rig.double.inject(unknown.times(1));
    let response = rig.chat(&ask(MODEL, "two")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let exchanges = rig.double.calls_of("AssumeRoleWithWebIdentity").len();
    assert_eq!(exchanges, 1);
    // A role that AWS never accepts is reported with AWS's own error.
    rig.double
        .inject(Fault::error("Converse", 403, "UnrecognizedClientException"));
    let response = rig.chat(&ask(MODEL, "three")).await;
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(response.error()["code"], "UnrecognizedClientException");
}

#[tokio::test]
async fn a_revoked_session_causes_one_retry_and_no_failed_request() {
    let (rig, _directory) = web_identity("chat").await;
    assert_eq!(rig.chat(&ask(MODEL, "one")).await.status, 200);
    rig.double.revoke_sessions();
    rig.double.clear_calls();
    let response = rig.chat(&ask(MODEL, "two")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let statuses: Vec<Option<u16>> = rig
        .double
        .calls_of("Converse")
        .into_iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(statuses, [Some(403), Some(200)]);
    assert_eq!(rig.double.calls_of("AssumeRoleWithWebIdentity").len(), 1);
    assert_eq!(
        rig.metric("bedrock_gateway_credentials_forced_refreshes_total")
            .await,
        Some(1.0)
    );
}

#[tokio::test]
async fn readiness_and_metrics_show_the_credentials_and_their_expiration() {
    let (rig, _directory) = web_identity("chat").await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    let ready: Value = rig.admin("/readyz").await.json();
    assert_eq!(ready["method"], "web-identity");
    let expiration = "bedrock_gateway_credentials_expiration_timestamp_seconds";
    let seconds = rig.metric(expiration).await.unwrap() - now_seconds();
    assert!((3000.0..=3600.0).contains(&seconds), "{seconds}");
    let obtained = "bedrock_gateway_credentials_obtained_timestamp_seconds";
    let age = now_seconds() - rig.metric(obtained).await.unwrap();
    assert!((-1.0..=60.0).contains(&age), "{age}");
    let refreshes = "bedrock_gateway_credentials_refreshes_total{result=\"success\"}";
    assert_eq!(rig.metric(refreshes).await, Some(1.0));
}

#[tokio::test]
async fn readiness_reports_a_wrong_trust_policy() {
    let (rig, _directory) = web_identity("another-account").await;
    eventually("readiness reports the error", async || {
        let page = rig.admin("/readyz").await;
        page.status == 503 && page.json()["reason"] == "AccessDenied"
    })
    .await;
    let page = rig.admin("/readyz").await.json();
    assert_eq!(page["ready"], false);
    assert!(
        page["message"]
            .as_str()
            .unwrap()
            .contains("AssumeRoleWithWebIdentity"),
        "{page}"
    );
    assert_eq!(
        rig.metric("bedrock_gateway_credentials_ready").await,
        Some(0.0)
    );
}

#[tokio::test]
async fn corrects_a_skewed_clock_from_awss_date_header() {
    let rig = Rig::laptop().await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    rig.double.set_clock_skew(900);
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(rig.double.calls_of("Converse").len(), 2);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    assert_eq!(rig.double.calls_of("Converse").len(), 3);
}

#[tokio::test]
async fn requests_signed_before_another_corrected_the_clock_are_sent_again() {
    let rig = Rig::laptop().await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    rig.double.set_clock_skew(900);
    let body = ask(MODEL, "hi");
    let requests = (0..16).map(|_| rig.chat(&body));
    for response in futures::future::join_all(requests).await {
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[tokio::test]
async fn an_unknown_access_key_is_not_ready_and_a_503_with_a_hint_and_without_the_secret() {
    let rig = Rig::start(Plan {
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID".into(), "AKIAUNKNOWNUNKNOWN00".into()),
            (
                "AWS_SECRET_ACCESS_KEY".into(),
                "never-to-be-seen-again".into(),
            ),
        ],
        ..Plan::default()
    })
    .await;
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 503, "{}", response.text());
    let error = response.error();
    assert_eq!(error["code"], "credentials_unavailable");
    let page = rig.admin("/readyz").await;
    assert_eq!(page.status, 503);
    assert_eq!(page.json()["reason"], "InvalidCredentials");
    assert!(rig.calls().is_empty(), "no request was sent to Bedrock");
    assert!(
        error["hint"].as_str().unwrap().contains("access key"),
        "{error}"
    );
    assert!(!response.text().contains("never-to-be-seen-again"));
}

#[tokio::test]
async fn a_refusal_of_bedrock_is_not_ready_until_a_request_succeeds() {
    let rig = Rig::laptop().await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    let refused = Fault::error("Converse", 403, "UnrecognizedClientException");
    rig.double.inject(refused);
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..10 {
        assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 502);
        let page = rig.admin("/readyz").await;
        assert_eq!(page.status, 503, "{}", page.text());
        texts.insert(page.text());
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    let ready = "bedrock_gateway_credentials_ready";
    assert_eq!(rig.metric(ready).await, Some(0.0));
    rig.double.clear_faults();
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    assert_eq!(rig.admin("/readyz").await.status, 200);
    assert_eq!(rig.metric(ready).await, Some(1.0));
}

#[tokio::test]
async fn sends_a_bedrock_api_key_as_bearer_token_without_a_signature() {
    let rig = Rig::start(Plan {
        double: Config::default().with_bearer_key("dev", "bedrock-api-key-abc", allow_bedrock()),
        environment: vec![
            ("AWS_REGION".into(), "us-east-1".into()),
            (
                "AWS_BEARER_TOKEN_BEDROCK".into(),
                "bedrock-api-key-abc".into(),
            ),
        ],
        ..Plan::default()
    })
    .await;
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = &rig.double.calls_of("Converse")[0];
    assert_eq!(call.identity.as_ref().unwrap().kind, "bearer");
    assert!(!call.headers.contains_key("x-amz-date"));
}

#[tokio::test]
async fn early_requests_wait_for_the_first_credentials() {
    let issuer_down = Fault::error("AssumeRoleWithWebIdentity", 503, "ServiceUnavailable").times(1);
    let (rig, _directory) = web_identity("chat").await;
    rig.double.inject(issuer_down);
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
}
