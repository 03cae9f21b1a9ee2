//! The configuration of the double, from YAML or from code. `sample.yaml` documents it.
//!
//! Declares a simulated AWS account. Does no I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A simulated AWS account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Account ID, twelve digits.
    pub account: String,
    /// `aws`, `aws-us-gov` or `aws-cn`.
    pub partition: String,
    /// Valid regions; empty: any.
    pub regions: Vec<String>,
    /// Lifetime of all issued sessions in seconds; overrides the requested duration. Default: AWS's rules (900 s to
    /// the role's maximum, default 3600 s).
    pub credential_lifetime_seconds: Option<u64>,
    /// IAM OIDC providers.
    pub oidc_providers: Vec<OidcProvider>,
    /// IAM roles.
    pub roles: Vec<Role>,
    /// IAM users with static keys.
    pub users: Vec<User>,
    /// Bedrock API keys.
    pub bearer_keys: Vec<BearerKey>,
    /// Container credentials (relative and full URIs).
    pub containers: Vec<Container>,
    /// EKS Pod Identity associations.
    pub pod_identity_associations: Vec<PodIdentityAssociation>,
    /// Instance metadata; if absent, the instance has no role.
    pub instance: Option<Instance>,
    /// The token endpoint of GitHub Actions.
    pub github: Option<Github>,
    /// SSO access tokens and their roles.
    pub sso: Vec<SsoSession>,
    /// Models in addition to the built-in ones; a model with the same id replaces a built-in one.
    pub models: Vec<Model>,
    /// Inference profiles in addition to the built-in ones.
    pub inference_profiles: Vec<InferenceProfile>,
    /// Guardrails of the account.
    pub guardrails: Vec<Guardrail>,
    /// Whether models reply to the prompt, so that a person can try a client; by default they repeat it, so that a
    /// test can check it.
    pub assistant: bool,
    /// Maximum number of recorded calls.
    pub keep_calls: usize,
}

/// An OIDC provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// The `iss` of its tokens, a URL.
    pub issuer: String,
    /// Audiences registered in IAM.
    #[serde(default = "default_audiences")]
    pub audiences: Vec<String>,
    /// The issuer's public keys.
    pub jwks: JwksSource,
}

/// The source of a provider's keys. Files are read at each exchange, URLs when a token has an unknown key id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JwksSource {
    /// An inline document.
    Inline {
        /// `{"keys": […]}`.
        inline: Value,
    },
    /// A file.
    File {
        /// The path.
        file: PathBuf,
    },
    /// An `http://` URL.
    Url {
        /// The URL.
        url: String,
    },
}

/// An IAM role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// `arn:aws:iam::123456789012:role/Name`.
    pub arn: String,
    /// The trust policy, as JSON or as text.
    pub trust_policy: Value,
    /// The permission policies, as JSON or as text.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// Maximum session duration in seconds.
    #[serde(default = "default_max_session")]
    pub max_session_seconds: u64,
}

/// An IAM user with one access key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User name without path.
    pub name: String,
    /// `AKIA…`.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Creation time of the key (RFC 3339), returned by `iam:ListAccessKeys`.
    #[serde(default = "default_key_created")]
    pub key_created: String,
    /// The permission policies.
    #[serde(default)]
    pub policies: Vec<Value>,
}

/// A Bedrock API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerKey {
    /// The key.
    pub key: String,
    /// Name of the IAM user of the key.
    pub name: String,
    /// The permission policies.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// Whether the key has expired.
    #[serde(default)]
    pub expired: bool,
}

/// Container credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Path, for example `/v2/credentials/4f2a…`.
    pub path: String,
    /// The role of the credentials.
    pub role_arn: String,
    /// Required `Authorization` header, if any.
    #[serde(default)]
    pub authorization: Option<String>,
}

/// An EKS Pod Identity association.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodIdentityAssociation {
    /// Cluster name for session tags.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// ServiceAccount name.
    pub service_account: String,
    /// The role.
    pub role_arn: String,
}

/// The EC2 instance of the metadata service. To simulate a hop limit that is too low, inject
/// [`crate::FaultAction::Hang`] for `GetToken`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Role of the instance profile.
    pub role_arn: String,
    /// Region, for example `us-east-1`.
    #[serde(default = "default_region")]
    pub region: String,
}

/// The OIDC token endpoint of a GitHub Actions workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub request_token: String,
    /// Subject of the token, for example `repo:octo/site:ref:refs/heads/main`.
    pub subject: String,
    /// Additional claims of the token.
    #[serde(default)]
    pub claims: BTreeMap<String, Value>,
}

/// An SSO access token with a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsoSession {
    /// The access token from the SSO cache file.
    pub access_token: String,
    /// Permission set name.
    pub role_name: String,
    /// The role of the permission set.
    pub role_arn: String,
}

/// A foundation model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Model id.
    pub id: String,
    /// Name of the family with its rules; default: the first family that matches the id.
    #[serde(default)]
    pub family: Option<String>,
    /// Regions with this model; empty: all.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Whether the model can be called without an inference profile.
    #[serde(default = "yes")]
    pub on_demand: bool,
    /// Prefixes of its inference profiles (`us`, `eu`, `global` …).
    #[serde(default)]
    pub profiles: Vec<String>,
    /// Whether the account has access to the model.
    #[serde(default = "yes")]
    pub access: bool,
    /// Whether the model's lifecycle status is `LEGACY`.
    #[serde(default)]
    pub legacy: bool,
}

/// An inference profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceProfile {
    /// Profile id (`us.anthropic…`) or, for application profiles, the last part of the ARN.
    pub id: String,
    /// The model of the profile.
    pub model: String,
    /// Destination regions; empty: the caller's region only.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Whether this is an application profile, with the ARN `application-inference-profile/ID`.
    #[serde(default)]
    pub application: bool,
}

/// A guardrail with a list of blocked words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// Identifier, as in a request's `guardrailIdentifier`.
    pub id: String,
    /// Version, `DRAFT` or a number.
    #[serde(default = "default_guardrail_version")]
    pub version: String,
    /// Blocked words, in input and output.
    pub blocked_words: Vec<String>,
    /// The message that replaces blocked content.
    #[serde(default = "default_guardrail_message")]
    pub message: String,
}

fn default_audiences() -> Vec<String> {
    vec!["sts.amazonaws.com".to_owned()]
}
fn default_max_session() -> u64 {
    3600
}
fn default_key_created() -> String {
    "2026-01-01T00:00:00Z".to_owned()
}
fn default_cluster() -> String {
    "demo".to_owned()
}
fn default_region() -> String {
    "us-east-1".to_owned()
}
fn default_guardrail_version() -> String {
    "1".to_owned()
}
fn default_guardrail_message() -> String {
    "Sorry, the guardrail blocked this content.".to_owned()
}
fn yes() -> bool {
    true
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: "123456789012".to_owned(),
            partition: "aws".to_owned(),
            regions: Vec::new(),
            credential_lifetime_seconds: None,
            oidc_providers: Vec::new(),
            roles: Vec::new(),
            users: Vec::new(),
            bearer_keys: Vec::new(),
            containers: Vec::new(),
            pod_identity_associations: Vec::new(),
            instance: None,
            github: None,
            sso: Vec::new(),
            models: Vec::new(),
            inference_profiles: Vec::new(),
            guardrails: Vec::new(),
            assistant: false,
            keep_calls: 20_000,
        }
    }
}

impl Config {
    /// Reads a YAML document.
    ///
    /// # Errors
    /// If the text is not YAML, or a field is unknown or of the wrong type.
    pub fn from_yaml(text: &str) -> Result<Self, serde_yaml::Error> {
        serde_yaml::from_str(text)
    }

    /// Adds an OIDC provider with the audience of IRSA and an inline key set.
    #[must_use]
    pub fn with_issuer(mut self, issuer: &str, jwks: Value) -> Self {
        self.oidc_providers.push(OidcProvider {
            issuer: issuer.to_owned(),
            audiences: default_audiences(),
            jwks: JwksSource::Inline { inline: jwks },
        });
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn with_role(mut self, arn: &str, trust_policy: Value, policy: Value) -> Self {
        self.roles.push(Role {
            arn: arn.to_owned(),
            trust_policy,
            policies: vec![policy],
            max_session_seconds: default_max_session(),
        });
        self
    }

    /// Adds a user with static keys.
    #[must_use]
    pub fn with_user(mut self, name: &str, id: &str, secret: &str, policy: Value) -> Self {
        self.users.push(User {
            name: name.to_owned(),
            access_key_id: id.to_owned(),
            secret_access_key: secret.to_owned(),
            key_created: default_key_created(),
            policies: vec![policy],
        });
        self
    }

    /// Adds a Bedrock API key.
    #[must_use]
    pub fn with_bearer_key(mut self, name: &str, key: &str, policy: Value) -> Self {
        self.bearer_keys.push(BearerKey {
            key: key.to_owned(),
            name: name.to_owned(),
            policies: vec![policy],
            expired: false,
        });
        self
    }

    /// Sets the lifetime of all issued sessions.
    #[must_use]
    pub fn with_credential_lifetime(mut self, seconds: u64) -> Self {
        self.credential_lifetime_seconds = Some(seconds);
        self
    }

    /// ARN of the OIDC provider of an issuer in this account.
    pub fn provider_arn(&self, issuer: &str) -> String {
        let host = issuer
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        format!(
            "arn:{}:iam::{}:oidc-provider/{host}",
            self.partition, self.account
        )
    }

    /// The IRSA trust policy for one ServiceAccount.
    pub fn irsa_trust(&self, issuer: &str, namespace: &str, service_account: &str) -> Value {
        let host = issuer
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": self.provider_arn(issuer) },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": { "StringEquals": {
                (format!("{host}:aud")): "sts.amazonaws.com",
                (format!("{host}:sub")): format!("system:serviceaccount:{namespace}:{service_account}") } } }] })
    }
}

/// A permission policy that allows all Bedrock actions, on both hosts.
pub fn allow_bedrock() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Action": ["bedrock:*", "bedrock-mantle:*"], "Resource": "*" }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_valid_configuration() {
        let config = Config::from_yaml(include_str!("../sample.yaml")).expect("the sample");
        assert_eq!(config.roles.len(), 1);
        assert!(crate::account::Account::new(config).is_ok());
        assert!(
            Config::from_yaml("acount: x").is_err(),
            "unknown fields are rejected"
        );
    }
}
