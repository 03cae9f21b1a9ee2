//! The double's configuration, the same document from YAML and from code. `sample.yaml` documents it.
//!
//! Holds the declarations of an imaginary AWS account; nothing here does I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An imaginary AWS account and what it allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Twelve digits.
    pub account: String,
    /// `aws`, `aws-us-gov` or `aws-cn`.
    pub partition: String,
    /// Regions that exist; empty: any.
    pub regions: Vec<String>,
    /// Lifetime of every issued session in seconds, whatever was asked for; without it AWS's rules hold
    /// (900 s to the role's maximum, default 3600).
    pub credential_lifetime_seconds: Option<u64>,
    /// OIDC providers known to IAM.
    pub oidc_providers: Vec<OidcProvider>,
    /// IAM roles.
    pub roles: Vec<Role>,
    /// IAM users with static keys.
    pub users: Vec<User>,
    /// Bedrock API keys.
    pub bearer_keys: Vec<BearerKey>,
    /// Container credentials (ECS and the full-URI form).
    pub containers: Vec<Container>,
    /// EKS Pod Identity associations.
    pub pod_identity_associations: Vec<PodIdentityAssociation>,
    /// Instance metadata; absent: no role is attached.
    pub instance: Option<Instance>,
    /// GitHub Actions' token endpoint.
    pub github: Option<Github>,
    /// SSO sessions: access token to the roles it opens.
    pub sso: Vec<SsoSession>,
    /// Models beside the built-in table, or changing it.
    pub models: Vec<Model>,
    /// Inference profiles beside the built-in ones.
    pub inference_profiles: Vec<InferenceProfile>,
    /// Guardrails of the account.
    pub guardrails: Vec<Guardrail>,
    /// How many calls are kept for reading back.
    pub keep_calls: usize,
}

/// A provider of web identities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// The token's `iss`, an URL.
    pub issuer: String,
    /// Audiences registered at IAM.
    #[serde(default = "default_audiences")]
    pub audiences: Vec<String>,
    /// The issuer's public keys.
    pub jwks: JwksSource,
}

/// Where a provider's keys come from. Files and URLs are read again when a token names an unknown key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JwksSource {
    /// The document itself.
    Inline {
        /// `{"keys": […]}`.
        inline: Value,
    },
    /// A file.
    File {
        /// Its path.
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
    /// Who may assume it: a policy document as JSON or as its text.
    pub trust_policy: Value,
    /// What its sessions may do: policy documents as JSON or as text.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// The longest session in seconds.
    #[serde(default = "default_max_session")]
    pub max_session_seconds: u64,
}

/// An IAM user with one access key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name without path.
    pub name: String,
    /// `AKIA…`.
    pub access_key_id: String,
    /// The secret key.
    pub secret_access_key: String,
    /// When the key was made (RFC 3339); answers `iam:ListAccessKeys`.
    #[serde(default = "default_key_created")]
    pub key_created: String,
    /// What the user may do.
    #[serde(default)]
    pub policies: Vec<Value>,
}

/// A Bedrock API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerKey {
    /// The key's text.
    pub key: String,
    /// Name of the user behind it.
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// A key past its time is refused.
    #[serde(default)]
    pub expired: bool,
}

/// Credentials that a container can fetch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Path, for example `/v2/credentials/4f2a…`.
    pub path: String,
    /// The role they stand for.
    pub role_arn: String,
    /// Needed `Authorization` header, if any.
    #[serde(default)]
    pub authorization: Option<String>,
}

/// Which role a ServiceAccount gets from Pod Identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodIdentityAssociation {
    /// Cluster name, for session tags.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// ServiceAccount name.
    pub service_account: String,
    /// The role.
    pub role_arn: String,
}

/// The instance that the metadata service speaks of. A hop limit that is too low shows as `GetToken` never
/// answering: script it with [`crate::FaultAction::Hang`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Role of its instance profile.
    pub role_arn: String,
    /// For example `us-east-1`.
    #[serde(default = "default_region")]
    pub region: String,
}

/// GitHub's OIDC provider as a workflow sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub request_token: String,
    /// For example `repo:octo/site:ref:refs/heads/main`.
    pub subject: String,
    /// Further claims of the token.
    #[serde(default)]
    pub claims: BTreeMap<String, Value>,
}

/// An SSO access token and what it opens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsoSession {
    /// The bearer token from the SSO cache file.
    pub access_token: String,
    /// Permission set name.
    pub role_name: String,
    /// The role that its sessions have.
    pub role_arn: String,
}

/// A foundation model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Model id.
    pub id: String,
    /// Row of the family table that rules it; by the id when absent.
    #[serde(default)]
    pub family: Option<String>,
    /// Regions that have it; empty: all.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Whether it can be called without an inference profile.
    #[serde(default = "yes")]
    pub on_demand: bool,
    /// Prefixes of the inference profiles that contain it (`us`, `eu`, `global` …).
    #[serde(default)]
    pub profiles: Vec<String>,
    /// Whether the account was granted access to it.
    #[serde(default = "yes")]
    pub access: bool,
}

/// An inference profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceProfile {
    /// Profile id (`us.anthropic…`) or, for application profiles, the last part of the ARN.
    pub id: String,
    /// The model behind it.
    pub model: String,
    /// Regions to which it routes; empty: only the caller's.
    #[serde(default)]
    pub regions: Vec<String>,
    /// An application profile has an ARN of `application-inference-profile/ID`.
    #[serde(default)]
    pub application: bool,
}

/// A guardrail that looks for words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// Identifier, as in a request's `guardrailIdentifier`.
    pub id: String,
    /// Version, `DRAFT` or a number.
    #[serde(default = "default_guardrail_version")]
    pub version: String,
    /// Words that make it intervene, on input and output.
    pub blocked_words: Vec<String>,
    /// What is said instead.
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
            keep_calls: 20_000,
        }
    }
}

impl Config {
    /// Reads a YAML document.
    ///
    /// # Errors
    /// When it is not YAML or a field is unknown or of the wrong type.
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

    /// Sets the lifetime of every issued session.
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

    /// The trust policy that IRSA needs for one ServiceAccount.
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

/// A permission policy that allows all of Bedrock, on both of its hosts.
pub fn allow_bedrock() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Action": ["bedrock:*", "bedrock-mantle:*"], "Resource": "*" }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_whole_configuration() {
        let config = Config::from_yaml(include_str!("../sample.yaml")).expect("the sample");
        assert_eq!(config.roles.len(), 1);
        assert!(crate::account::Account::new(config).is_ok());
        assert!(
            Config::from_yaml("acount: x").is_err(),
            "unknown fields are refused"
        );
    }
}
