//! Helpers of the tests of commands against the double.

use std::{collections::BTreeMap, sync::Arc};

use awsdouble::{Config, Double, TokenIssuer, config::User};
use gateway::Settings;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://oidc.example/id/A";
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";
pub(crate) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY";
pub(crate) const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";
/// The inference profile that examples, guides and samples use.
pub(crate) const PROFILE: &str = "us.amazon.nova-2-lite-v1:0";

/// A policy that allows all actions.
pub(crate) fn everything() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
}

/// An account with one user.
pub(crate) fn account(policy: Value, key_created: &str) -> Config {
    let mut config = Config::default();
    config.users.push(User {
        name: "dev".to_owned(),
        access_key_id: KEY_ID.to_owned(),
        secret_access_key: SECRET.to_owned(),
        key_created: key_created.to_owned(),
        policies: vec![policy],
    });
    config
}

/// The environment of a process that talks to the double.
pub(crate) fn environment(double: &Double, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("AWS_ENDPOINT_URL".to_owned(), double.url()),
        ("AWS_ENDPOINT_URL_STS".to_owned(), double.url()),
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
    ]);
    for (name, value) in more {
        variables.insert((*name).to_owned(), (*value).to_owned());
    }
    variables
}

/// The same with the access keys of the user.
pub(crate) fn with_keys(double: &Double, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut variables = environment(double, more);
    variables.insert("AWS_ACCESS_KEY_ID".to_owned(), KEY_ID.to_owned());
    variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET.to_owned());
    variables
}

pub(crate) fn settings(variables: BTreeMap<String, String>) -> Settings {
    Settings::new(Arc::new(variables))
}

/// A file with a ServiceAccount token that is valid for an hour.
pub(crate) fn token_file(
    issuer: &TokenIssuer,
    namespace: &str,
    name: &str,
) -> tempfile::NamedTempFile {
    let now = credentials::TimeSource::now(&credentials::SharedTimeSource::default());
    let now = now
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let token = issuer
        .service_account_token(namespace, name, "sts.amazonaws.com", now - 10, now + 3600)
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token).unwrap();
    file
}

/// A configuration file.
pub(crate) fn config_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}
