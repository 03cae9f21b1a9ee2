//! STS: web identities, caller identity, faults.

use aws_sdk_sts::error::ProvideErrorMetadata as _;
use awsdouble::{Fault, FaultAction, TokenIssuer};

use crate::client::*;

async fn rejection(double: &awsdouble::Double, token: &str, role: &str) -> (String, String) {
    let error = sts(double, None)
        .assume_role_with_web_identity()
        .role_arn(role)
        .role_session_name("test")
        .web_identity_token(token)
        .send()
        .await
        .unwrap_err();
    (
        error.code().unwrap_or_default().to_owned(),
        error.message().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_trusted_token_returns_credentials_of_the_role() {
    let (double, issuer) = irsa().await;
    let credentials = assume(&double, &token(&issuer)).await;
    let identity = sts(&double, Some(credentials))
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    assert_eq!(
        identity.arn(),
        Some("arn:aws:sts::123456789012:assumed-role/Bedrock/test")
    );
    assert_eq!(identity.account(), Some("123456789012"));

    let calls = double.calls();
    let names: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(names, ["AssumeRoleWithWebIdentity", "GetCallerIdentity"]);
    assert_eq!(calls[0].parameters["RoleSessionName"], "test");
    assert_eq!(
        calls[0].token.as_ref().unwrap().subject.as_deref(),
        Some("system:serviceaccount:team-a:app")
    );
    assert_eq!(calls[0].issued, calls[1].identity);
    assert_eq!(calls[1].identity.as_ref().unwrap().generation, 1);
}

#[tokio::test]
async fn rejects_invalid_tokens_with_the_reason() {
    let (double, issuer) = irsa().await;
    let make = |namespace: &str, audience: &str, expires: u64| {
        issuer
            .service_account_token(namespace, "app", audience, now() - 900, expires)
            .unwrap()
    };
    let stranger = TokenIssuer::generate(ISSUER).unwrap();
    let unknown = TokenIssuer::generate("https://elsewhere.example").unwrap();
    let good = token(&issuer);
    let (payload, signature) = good.rsplit_once('.').unwrap();
    let reversed: String = signature.chars().rev().collect();
    let tampered = format!("{payload}.{reversed}");
    let rows = [
        (
            "another audience",
            make("team-a", "https://kubernetes.default.svc", now() + 600),
            "InvalidIdentityToken",
            "Incorrect token audience",
        ),
        (
            "expired",
            make("team-a", "sts.amazonaws.com", now() - 1),
            "ExpiredTokenException",
            "Token expired",
        ),
        (
            "another namespace",
            make("team-b", "sts.amazonaws.com", now() + 600),
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        ),
        (
            "another key",
            token(&stranger),
            "InvalidIdentityToken",
            "verification key",
        ),
        (
            "another issuer",
            token(&unknown),
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account for https://elsewhere.example",
        ),
        (
            "a changed signature",
            tampered,
            "InvalidIdentityToken",
            "signature",
        ),
        (
            "no token",
            "hello".to_owned(),
            "InvalidIdentityToken",
            "not a valid JWT",
        ),
    ];
    for (name, token, code, text) in rows {
        let (found, message) = rejection(&double, &token, ROLE).await;
        assert_eq!(found, code, "{name}");
        assert!(message.contains(text), "{name}: {message}");
    }
    let (code, _) = rejection(&double, &good, "arn:aws:iam::123456789012:role/Missing").await;
    assert_eq!(code, "AccessDenied");
    assert!(double.calls().iter().all(|call| call.issued.is_none()));
}

#[tokio::test]
async fn recorded_calls_contain_no_token_and_no_secret() {
    let (double, issuer) = irsa().await;
    let token = token(&issuer);
    let credentials = assume(&double, &token).await;
    let _ = sts(&double, Some(credentials.clone()))
        .get_caller_identity()
        .send()
        .await;
    let record = format!("{:?}", double.calls());
    for secret in [
        &token,
        credentials.secret_access_key(),
        credentials.session_token().unwrap(),
    ] {
        assert!(!record.contains(secret));
    }
}

#[tokio::test]
async fn rejects_out_of_range_parameters_by_name() {
    let (double, issuer) = irsa().await;
    let call = |name: &str, seconds: i32| {
        sts(&double, None)
            .assume_role_with_web_identity()
            .role_arn(ROLE)
            .role_session_name(name)
            .duration_seconds(seconds)
            .web_identity_token(token(&issuer))
            .send()
    };
    for (name, seconds, text) in [
        ("a name", 900, "roleSessionName"),
        ("test", 899, "greater than or equal to 900"),
        ("test", 7200, "MaxSessionDuration"),
    ] {
        let error = call(name, seconds).await.unwrap_err();
        assert_eq!(error.code(), Some("ValidationError"));
        assert!(error.message().unwrap().contains(text), "{error:?}");
    }
    call("test", 900).await.unwrap();
}

#[tokio::test]
async fn injected_faults_apply_to_sts_until_cleared() {
    let (double, issuer) = irsa().await;
    double.inject(Fault::error("AssumeRoleWithWebIdentity", 503, "ServiceUnavailable").times(1));
    let (code, _) = rejection(&double, &token(&issuer), ROLE).await;
    assert_eq!(code, "ServiceUnavailable");
    assume(&double, &token(&issuer)).await;
    double.inject(Fault::new(
        "AssumeRoleWithWebIdentity",
        FaultAction::Disconnect,
    ));
    let (code, _) = rejection(&double, &token(&issuer), ROLE).await;
    assert_eq!(code, "", "a reset connection is not a service error");
    double.clear_faults();
    assume(&double, &token(&issuer)).await;
    let faults: Vec<Option<String>> = double.calls().into_iter().map(|call| call.fault).collect();
    assert_eq!(
        faults,
        [
            Some("error".to_owned()),
            None,
            Some("disconnect".to_owned()),
            None
        ]
    );
}

#[tokio::test]
async fn reloads_rotated_keys_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let first = TokenIssuer::generate(ISSUER).unwrap();
    std::fs::write(&file, first.jwks().to_string()).unwrap();
    let (double, _) = irsa_with(|mut config| {
        config.oidc_providers[0].jwks = awsdouble::config::JwksSource::File { file: file.clone() };
        config
    })
    .await;
    assume(&double, &token(&first)).await;
    let second = TokenIssuer::generate(ISSUER).unwrap();
    std::fs::write(&file, second.jwks().to_string()).unwrap();
    assume(&double, &token(&second)).await;
    assert_eq!(
        rejection(&double, &token(&first), ROLE).await.0,
        "InvalidIdentityToken"
    );
}
