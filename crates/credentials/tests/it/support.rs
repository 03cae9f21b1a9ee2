//! The simulated AWS account, its tokens, and a check of the caller identity of credentials.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sdk_sts::config::{BehaviorVersion, Region, retry::RetryConfig};
use awsdouble::{Config, Double, TokenIssuer};
use credentials::{ActiveCredentials, AssumeRoleLink, Handle, Settings, SharedTimeSource};

pub(crate) const ISSUER: &str = "https://oidc.example/id/TEAM";
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";
/// Timeout of every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Account {
    pub(crate) double: Double,
    issuer: TokenIssuer,
}

pub(crate) fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

pub(crate) fn unix_now() -> u64 {
    SharedTimeSource::default()
        .now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Account {
    pub(crate) async fn start(lifetime_seconds: Option<u64>) -> Self {
        let issuer = TokenIssuer::generate(ISSUER).unwrap();
        let text = std::fs::read_to_string(testdata().join("account.yaml")).unwrap();
        let mut config = Config::from_yaml(&text)
            .unwrap()
            .with_issuer(ISSUER, issuer.jwks());
        config.credential_lifetime_seconds = lifetime_seconds;
        Self {
            double: Double::start(config).await.unwrap(),
            issuer,
        }
    }

    /// A token of a ServiceAccount in namespace `team-a` for an audience.
    pub(crate) fn token(&self, account: &str, audience: &str, expires_in: i64) -> String {
        let now = unix_now();
        let end = now.checked_add_signed(expires_in).unwrap();
        self.issuer
            .service_account_token("team-a", account, audience, now - 7200, end)
            .unwrap()
    }

    /// Settings of a pod with a projected token in `file`.
    pub(crate) fn web_identity(&self, file: &std::path::Path) -> Settings {
        Self::settings(&[
            ("AWS_ROLE_ARN", ROLE),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_STS", &self.double.url()),
        ])
    }

    pub(crate) fn settings(variables: &[(&str, &str)]) -> Settings {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::from_env(&environment, None, Vec::new(), None, "gateway").unwrap()
    }

    fn client(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.double.url())
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(credentials)
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }

    /// The ARN that `GetCallerIdentity` returns for the credentials.
    pub(crate) async fn caller(&self, credentials: &ActiveCredentials) -> String {
        let response = self
            .client(keys(credentials).clone())
            .get_caller_identity()
            .send()
            .await
            .unwrap_or_else(|error| panic!("{}", aws_sdk_sts::error::DisplayErrorContext(error)));
        response.arn.unwrap()
    }

    /// Temporary credentials of a role, for environments that contain some.
    pub(crate) async fn session(&self) -> aws_sdk_sts::types::Credentials {
        let dev = Credentials::from_keys(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
        );
        let response = self
            .client(dev)
            .assume_role()
            .role_arn("arn:aws:iam::123456789012:role/BedrockAccessRole")
            .role_session_name("harness")
            .external_id("unique-external-id")
            .send()
            .await
            .unwrap();
        response.credentials.unwrap()
    }
}

pub(crate) fn keys(credentials: &ActiveCredentials) -> &Credentials {
    credentials.identity().data::<Credentials>().unwrap()
}

pub(crate) fn link(role_arn: &str) -> AssumeRoleLink {
    AssumeRoleLink {
        role_arn: role_arn.to_owned(),
        session_name: None,
        external_id: None,
        duration_seconds: None,
        tags: Vec::new(),
    }
}

pub(crate) async fn start(settings: Settings) -> Handle {
    credentials::start(settings, SharedTimeSource::default())
        .await
        .unwrap()
}

/// Polls until the condition is true.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen in {TIMEOUT:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
