//! Tokens of a real API server, exchanged at the double for credentials with a lifetime of seconds.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use awsdouble::{Config, Double, Fault, allow_bedrock};
use kube::api::PostParams;
use localcluster::ISSUER;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    api_tier::rig::Rig as ApiRig,
    support::{eventually, gateway::Gateway, lane},
};

const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";
const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";

/// Lifetime of the credentials. All other times are in proportion to it.
fn lifetime() -> Duration {
    lane::pick(Duration::from_secs(6), Duration::from_secs(20))
}

struct Rig {
    /// Namespace on a real API server.
    api: ApiRig,
    double: Double,
    directory: tempfile::TempDir,
}

impl Rig {
    /// A namespace with two ServiceAccounts, and a double that trusts the one named `app`.
    async fn start(namespace: &str) -> Self {
        let api = ApiRig::shared(namespace).await;
        let accounts = api.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        for name in ["app", "stranger"] {
            let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            accounts
                .create(&PostParams::default(), &account)
                .await
                .unwrap();
        }
        let jwks = serde_json::from_str(&api.cluster().jwks().await.unwrap()).unwrap();
        let config = Config::default().with_issuer(ISSUER, jwks);
        let trust = config.irsa_trust(ISSUER, namespace, "app");
        let config = config
            .with_role(ROLE, trust, allow_bedrock())
            .with_credential_lifetime(lifetime().as_secs());
        let double = Double::start(config).await.unwrap();
        Self {
            api,
            double,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn token_file(&self) -> String {
        self.directory
            .path()
            .join("token")
            .to_str()
            .unwrap()
            .to_owned()
    }

    async fn token(&self, account: &str, audience: &str) -> String {
        self.api
            .cluster()
            .service_account_token(
                &self.api.namespace,
                account,
                audience,
                Duration::from_mins(10),
            )
            .await
            .unwrap()
    }

    /// Replaces the token as the kubelet does: another file, then a rename.
    async fn rotate(&self) {
        write(
            &self.token_file(),
            &self.token("app", "sts.amazonaws.com").await,
        );
    }

    async fn gateway(&self) -> Gateway {
        Gateway::start(
            &[
                ("AWS_REGION", "us-east-1"),
                ("AWS_ROLE_ARN", ROLE),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &self.token_file()),
                ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &self.double.url()),
                ("AWS_ENDPOINT_URL_STS", &self.double.url()),
            ],
            None,
        )
        .await
    }
}

fn write(path: &str, token: &str) {
    let next = format!("{path}.next");
    fs::write(&next, format!("{token}\n")).unwrap();
    fs::rename(next, Path::new(path)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_twenty_seconds_serve_every_request_for_ninety() {
    let rig = Rig::start("credentials").await;
    rig.rotate().await;
    let gateway = rig.gateway().await;
    gateway.ready().await;

    let start = Instant::now();
    // 90 s with credentials of 20 s; in the default lane 27 s with credentials of 6 s.
    let mut every = tokio::time::interval(Duration::from_millis(300));
    let requests = lane::pick(90, 300_u32);
    for number in 0..requests {
        every.tick().await;
        // A different token for each exchange: rotated more often than credentials are refreshed.
        if number % lane::pick(6, 20) == 0 {
            rig.rotate().await;
        }
        let prompt = format!("request {number}");
        let answer = gateway.chat(MODEL, &prompt).await.unwrap();
        assert_eq!(
            answer.status,
            200,
            "request {number} after {:?}: {}",
            start.elapsed(),
            answer.text()
        );
        assert_eq!(answer.json()["choices"][0]["message"]["content"], prompt);
    }
    assert!(
        start.elapsed() >= Duration::from_millis(300) * (requests - 1),
        "{:?}",
        start.elapsed()
    );

    // 60–75 % of 20 s is a refresh every 12 to 15 s: 6 to 8 exchanges in 90 s, the first included. The default lane has
    // the same ratio.
    let exchanges = rig.double.calls_of("AssumeRoleWithWebIdentity");
    assert!(
        (6..=9).contains(&exchanges.len()),
        "{} exchanges",
        exchanges.len()
    );
    let tokens: BTreeSet<&str> = exchanges
        .iter()
        .map(|call| call.token.as_ref().unwrap().fingerprint.as_str())
        .collect();
    assert_eq!(
        tokens.len(),
        exchanges.len(),
        "each exchange read the file again"
    );
    assert_eq!(
        u32::try_from(rig.double.calls_of("Converse").len()),
        Ok(requests)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outage_of_sts_is_not_felt_before_the_last_credentials_expire() {
    let rig = Rig::start("outage").await;
    rig.rotate().await;
    let gateway = rig.gateway().await;
    gateway.ready().await;
    let obtained = Instant::now();

    let outage = lane::pick(Duration::from_secs(14), Duration::from_secs(45));
    rig.double.inject(Fault::error(
        "AssumeRoleWithWebIdentity",
        503,
        "ServiceUnavailable",
    ));
    let mut every = tokio::time::interval(Duration::from_millis(300));
    let mut served_until = Duration::ZERO;
    let mut refused = None;
    while obtained.elapsed() < outage {
        every.tick().await;
        let answer = gateway.chat(MODEL, "hello").await.unwrap();
        if answer.status == 200 {
            assert!(
                refused.is_none(),
                "no credentials may come back during the outage"
            );
            served_until = obtained.elapsed();
        } else if refused.is_none() {
            refused = Some(answer);
        }
    }
    // The expiry has whole seconds, so the last second may be cut short.
    assert!(
        served_until + Duration::from_secs(2) >= lifetime(),
        "served for {served_until:?} only"
    );
    let refused = refused.expect("credentials cannot outlive an outage of twice their lifetime");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(
        refused.text().contains("STS") || refused.text().contains("sts"),
        "{}",
        refused.text()
    );
    let (status, readiness) = gateway.readiness().await.unwrap();
    assert_eq!(
        (status, &readiness["ready"]),
        (503, &json!(false)),
        "{readiness}"
    );

    rig.double.clear_faults();
    gateway.ready().await;
    assert_eq!(gateway.chat(MODEL, "back").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_sts_refuses_shows_in_readiness_with_its_reason() {
    let rig = Rig::start("refused-tokens").await;
    let expired = {
        let good = rig.token("app", "sts.amazonaws.com").await;
        expired_copy(
            &good,
            &rig.api.cluster().service_account_signing_key().unwrap(),
        )
    };
    let rows = [
        (
            "another audience",
            rig.token("app", "https://elsewhere.example").await,
            "InvalidIdentityToken",
        ),
        (
            "another ServiceAccount",
            rig.token("stranger", "sts.amazonaws.com").await,
            "AccessDenied",
        ),
        ("expired", expired, "ExpiredToken"),
    ];
    for (case, token, reason) in rows {
        write(&rig.token_file(), &token);
        let gateway = rig.gateway().await;
        let readiness = eventually("the refusal shows", || async {
            let (status, body) = gateway.readiness().await?;
            match body["reason"].as_str() {
                Some(seen) if seen == reason => Ok((status, body)),
                _ => Err(format!("{case}: {status} {body}")),
            }
        })
        .await;
        assert_eq!(readiness.0, 503, "{case}");
        assert!(
            !readiness.1["message"]
                .as_str()
                .unwrap_or_default()
                .is_empty(),
            "{case}: {readiness:?}"
        );
        let answer = gateway.chat(MODEL, "hello").await.unwrap();
        assert_eq!(answer.status, 503, "{case}: {}", answer.text());
        assert!(
            !answer.text().contains(&token),
            "{case}: a token in an error"
        );
    }
    assert!(rig.double.calls_of("Converse").is_empty());
}

/// The claims of `token`, two hours earlier, signed with the cluster's own key.
pub(crate) fn expired_copy(token: &str, signing_key_pem: &str) -> String {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
    let (header, rest) = token.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.decode(rest.split_once('.').unwrap().0);
    let mut claims: serde_json::Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    for time in ["exp", "iat", "nbf"] {
        claims[time] = json!(claims[time].as_u64().unwrap() - 7200);
    }
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let body: String = signing_key_pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let key = STANDARD.decode(body).unwrap();
    let key = RsaKeyPair::from_der(&key)
        .or_else(|_| RsaKeyPair::from_pkcs8(&key))
        .unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &ring::rand::SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
