//! AWS credentials that run out, are revoked or are not there.

use awsdouble::{Config, Fault, TokenIssuer, allow_bedrock};
use serde_json::Value;

use crate::rig::{MODEL, Plan, Rig, ask, eventually, now};

const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";

/// A gateway with the environment that the operator gives a pod. The folder holds the token.
async fn web_identity(subject: &str) -> (Rig, tempfile::TempDir) {
    let issuer = TokenIssuer::generate("https://kubernetes.default.svc").unwrap();
    let double = Config::default().with_issuer(issuer.issuer(), issuer.jwks());
    let trust = double.irsa_trust(issuer.issuer(), "team-a", "chat");
    let double = double.with_role(ROLE, trust, allow_bedrock());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
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
    (rig, folder)
}

#[tokio::test]
async fn revoked_session_costs_one_retry_and_no_failed_request() {
    let (rig, _folder) = web_identity("chat").await;
    assert_eq!(rig.chat(&ask(MODEL, "one")).await.status, 200);
    rig.double.revoke_sessions();
    rig.double.clear_calls();
    let answer = rig.chat(&ask(MODEL, "two")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
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
async fn credentials_and_their_end_show_in_readiness_and_metrics() {
    let (rig, _folder) = web_identity("chat").await;
    eventually("ready", async || rig.admin("/readyz").await.status == 200).await;
    let ready: Value = rig.admin("/readyz").await.json();
    assert_eq!(ready["method"], "web-identity");
    let left = rig
        .metric("bedrock_gateway_credentials_expiry_seconds")
        .await
        .unwrap();
    assert!((3000.0..=3600.0).contains(&left), "{left}");
    let refreshes = "bedrock_gateway_credentials_refreshes_total{result=\"success\"}";
    assert_eq!(rig.metric(refreshes).await, Some(1.0));
}

#[tokio::test]
async fn wrong_trust_policy_is_told_by_readiness_and_answer() {
    let (rig, _folder) = web_identity("somebody-else").await;
    eventually("the refusal shows", async || {
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
async fn clock_that_is_off_is_corrected_by_awss_own_date() {
    let rig = Rig::laptop().await;
    rig.double.set_clock_skew(900);
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(rig.double.calls_of("Converse").len(), 2);
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    assert_eq!(rig.double.calls_of("Converse").len(), 3);
}

#[tokio::test]
async fn key_that_aws_does_not_know_is_a_502_with_a_hint_and_no_secret() {
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
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let error = answer.error();
    assert_eq!(error["code"], "UnrecognizedClientException");
    assert!(
        error["hint"].as_str().unwrap().contains("access key"),
        "{error}"
    );
    assert!(!answer.text().contains("never-to-be-seen-again"));
}

#[tokio::test]
async fn bedrock_api_key_is_sent_as_bearer_and_nothing_is_signed() {
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
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let call = &rig.double.calls_of("Converse")[0];
    assert_eq!(call.identity.as_ref().unwrap().kind, "bearer");
    assert!(!call.headers.contains_key("x-amz-date"));
}

#[tokio::test]
async fn outage_of_sts_at_the_start_is_waited_for_by_early_requests() {
    let issuer_down = Fault::error("AssumeRoleWithWebIdentity", 503, "ServiceUnavailable").times(1);
    let (rig, _folder) = web_identity("chat").await;
    rig.double.inject(issuer_down);
    let answer = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
