//! Client authentication.

use std::time::Duration;

use awsdouble::TokenIssuer;
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::rig::{MODEL, Plan, Rig, ask, now};

const AUDIENCE: &str = "bedrockaccess.dev/team-a/chat";

#[tokio::test]
async fn health_needs_no_key() {
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-right"))),
        ..Plan::default()
    })
    .await;
    for (path, status) in [("/healthz", 200), ("/health", 200), ("/v1/models", 401)] {
        let response = rig.call(Method::GET, path, &[], "").await;
        assert_eq!(response.status, status, "{path}");
        assert!(response.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn rejects_requests_without_a_valid_key_before_calling_bedrock() {
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-right"))),
        ..Plan::default()
    })
    .await;
    let chat = async |headers: &[(&str, &str)]| {
        let body = ask(MODEL, "hi").to_string();
        rig.call(Method::POST, "/v1/chat/completions", headers, body)
            .await
    };
    let missing = chat(&[]).await;
    assert_eq!(missing.status, 401);
    assert_eq!(missing.error()["code"], "missing_api_key");
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    assert_eq!(
        chat(&[("authorization", "Bearer sk-wrong")]).await.status,
        401
    );
    assert_eq!(rig.get("/v1/models").await.status, 401);
    assert!(rig.calls().is_empty());

    assert_eq!(
        chat(&[("authorization", "Bearer sk-right")]).await.status,
        200
    );
    assert_eq!(chat(&[("x-api-key", "sk-right")]).await.status, 200);
    // The client's credentials are not forwarded.
    for call in rig.calls() {
        assert!(!call.headers.contains_key("x-api-key"));
        assert!(!call.headers["authorization"].contains("sk-right"));
    }
}

#[tokio::test]
async fn after_many_failures_of_an_address_rejections_are_delayed_and_valid_keys_are_not() {
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-right"))),
        ..Plan::default()
    })
    .await;
    let seconds = async |key: &str| {
        let started = Instant::now();
        let headers = [("x-api-key", key)];
        let body = ask(MODEL, "hi").to_string();
        let path = "/v1/chat/completions";
        let response = rig.call(Method::POST, path, &headers, body).await;
        (response.status.as_u16(), started.elapsed())
    };
    let guesses = futures::future::join_all((0..40).map(|_| seconds("sk-wrong")));
    let (guesses, ()) = tokio::join!(guesses, async {
        for _ in 0..10 {
            let (status, took) = seconds("sk-right").await;
            assert_eq!(status, 200);
            assert!(took < Duration::from_millis(900), "{took:?}");
        }
    });
    assert!(guesses.iter().all(|(status, _)| *status == 401));
    let delayed = |(_, took): &&(u16, Duration)| *took >= Duration::from_secs(1);
    let delayed = guesses.iter().filter(delayed).count();
    assert!((5..=10).contains(&delayed), "{delayed} of 40");
}

#[tokio::test]
async fn admits_tokens_of_listed_service_accounts_for_their_models() {
    let issuer = TokenIssuer::generate("https://kubernetes.default.svc").unwrap();
    let service_accounts = json!({
        "issuer": issuer.issuer(),
        "audience": AUDIENCE,
        "jwks": issuer.jwks(),
        "subjects": [{ "namespace": "team-a", "name": "app", "models": ["fast"] }],
    });
    let rig = Rig::with_document(&format!(
        "clients: {{serviceAccounts: {service_accounts}}}\nmodels: [{{name: fast, targets: [{{modelId: '{MODEL}'}}]}}]\nallow: ['*']",
    ))
    .await;
    let call = async |name: &str, audience: &str, model: &str| {
        let token = issuer
            .service_account_token("team-a", name, audience, now(), now() + 600)
            .unwrap();
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body = ask(model, "hi").to_string();
        rig.call(Method::POST, "/v1/chat/completions", &headers, body)
            .await
    };
    let response = call("app", AUDIENCE, "fast").await;
    assert_eq!(response.status, 200, "{}", response.text());
    let other_model = call("app", AUDIENCE, MODEL).await;
    assert_eq!(other_model.status, 404);
    assert!(other_model.text().contains("you may use: fast"));
    let other_account = call("other", AUDIENCE, "fast").await;
    assert_eq!(other_account.status, 403);
    let other_audience = call("app", "sts.amazonaws.com", "fast").await;
    assert_eq!(other_audience.status, 401);
    assert!(
        other_audience.text().contains(AUDIENCE),
        "{}",
        other_audience.text()
    );
    let metric =
        "bedrock_gateway_requests_total{route=\"/v1/chat/completions\",status=\"200\",reason=\"\"}";
    assert_eq!(rig.metric(metric).await, Some(1.0));
}

#[tokio::test]
async fn aws_sdks_get_credentials_that_are_valid_for_this_gateway_only() {
    let open = Rig::laptop().await;
    let response = open.get("/aws/credentials").await;
    assert_eq!(response.status, 200, "{}", response.text());
    let credentials = response.json();
    for field in ["AccessKeyId", "SecretAccessKey", "Token"] {
        assert_eq!(credentials[field], "not-needed", "{credentials}");
    }
    // boto3 and other SDKs accept this format only.
    let expiration = credentials["Expiration"].as_str().unwrap();
    assert_eq!(
        expiration.len(),
        "2026-01-01T00:00:00Z".len(),
        "{credentials}"
    );

    let closed = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-right"))),
        ..Plan::default()
    })
    .await;
    let ask = async |headers: &[(&str, &str)]| {
        let path = "/aws/credentials";
        closed.call(Method::GET, path, headers, "").await
    };
    assert_eq!(ask(&[]).await.status, 401);
    let wrong = ask(&[("authorization", "Bearer sk-wrong")]).await;
    assert_eq!(wrong.status, 401);
    let credentials = ask(&[("authorization", "Bearer sk-right")]).await.json();
    assert_eq!(credentials["AccessKeyId"], "default");
    assert_eq!(credentials["SecretAccessKey"], "sk-right");
}
