//! Environment variables for the clients in a container: the gateway's address, and keys if the clients require them.
//!
//! Variables that the container already sets stay. A container that sets another address for a client keeps its key,
//! too.
//!
//! AWS SDKs get no bearer token, since boto3 and the SDK for Go refuse to send one over `http://`. Instead they get the
//! address of a container credential endpoint, which every SDK tries last. Its credentials are valid only for the
//! sidecar, so an app with AWS credentials of its own continues to use those.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use api::names;
use serde_json::{Value, json};

use super::tokens::mounts;
use crate::{
    access::build::{
        identity::POD_IDENTITY_URI,
        sidecar::{Claim, Template, Token},
    },
    sidecar::pod::{Container, is_named},
};

/// A key for clients that require one although the sidecar does not check it.
pub(super) const PLACEHOLDER: &str = "not-needed";
/// Endpoint from which SDKs get credentials.
pub(super) const CREDENTIALS_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// Authorization header that SDKs send to this endpoint.
const CREDENTIALS_AUTHORIZATION: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
/// If an app sets this to `false`, it uses the node's role, which SDKs try after the above.
const NO_NODE_ROLE: &str = "AWS_EC2_METADATA_DISABLED";

/// Variable for a client's address, the address, and the variable for its key.
type Client = (&'static str, String, Option<&'static str>);

/// Sets the variables for the clients in a container.
pub(super) fn environment(
    container: &mut Container,
    template: &Template,
    key: Option<&str>,
    warnings: &mut Vec<String>,
) {
    let base = format!("http://127.0.0.1:{}", template.port);
    let clients: [Client; 4] = [
        (
            "OPENAI_BASE_URL",
            format!("{base}/v1"),
            Some("OPENAI_API_KEY"),
        ),
        (
            "ANTHROPIC_BASE_URL",
            base.clone(),
            Some("ANTHROPIC_API_KEY"),
        ),
        ("ANTHROPIC_BEDROCK_BASE_URL", base.clone(), None),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", base.clone(), None),
    ];
    let mut added: Vec<(&str, String)> = Vec::new();
    let mut aws = false;
    for (address, url, client_key) in clients {
        match container.variable(address) {
            Some(_) if container.value(address) != Some(&url) => continue,
            Some(_) => {}
            None => added.push((address, url)),
        }
        let Some(client_key) = client_key else {
            aws = true;
            continue;
        };
        if container.variable(client_key).is_none() {
            added.push((client_key, key.unwrap_or(PLACEHOLDER).to_owned()));
        } else if key.is_some() && container.value(client_key) != key {
            warnings.push(refused_key(container, client_key));
        }
    }
    if aws {
        added.extend(aws_credentials(container, template, &base, key, warnings));
    }
    let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    if regions
        .iter()
        .all(|name| container.variable(name).is_none())
    {
        added.extend(regions.map(|name| (name, template.region.clone())));
    }
    warn_of_proxy(container, warnings);
    if !added.is_empty() {
        // In front, so that the container's own variables can refer to them.
        let env = container.env.get_or_insert_default();
        let added = added
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        env.splice(0..0, added);
    }
}

/// Variables for the credentials with which SDKs sign.
fn aws_credentials(
    container: &mut Container,
    template: &Template,
    base: &str,
    key: Option<&str>,
    warnings: &mut Vec<String>,
) -> Vec<(&'static str, String)> {
    let uri = format!("{base}{}", names::CLIENT_CREDENTIALS_PATH);
    if key.is_some() {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"] {
            if container.variable(name).is_some() {
                warnings.push(refused_key(container, name));
            }
        }
    }
    give_back_pod_identity(container, template, &uri);
    let set = |name: &str| container.variable(name).is_some();
    if set(CREDENTIALS_URI)
        || set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || container.value(NO_NODE_ROLE) == Some("false")
    {
        return Vec::new();
    }
    let mut added = vec![(CREDENTIALS_URI, uri)];
    if let Some(key) = key {
        added.push((CREDENTIALS_AUTHORIZATION, format!("Bearer {key}")));
    }
    added
}

/// If the app may have an identity of its own, and the EKS webhook ran later, found its variable set but still mounted
/// its token: sets the variable to the value that the EKS webhook would have set.
fn give_back_pod_identity(container: &mut Container, template: &Template, ours: &str) {
    let token = Token::POD_IDENTITY;
    if matches!(template.claim, Claim::Token(_))
        || !mounts(container, token.volume)
        || container.value(CREDENTIALS_URI) != Some(ours)
    {
        return;
    }
    let env = container.env.get_or_insert_default();
    for entry in env
        .iter_mut()
        .filter(|entry| is_named(entry, CREDENTIALS_URI))
    {
        *entry = json!({"name": CREDENTIALS_URI, "value": POD_IDENTITY_URI});
    }
    env.retain(|entry| !is_named(entry, CREDENTIALS_AUTHORIZATION));
    env.push(
        json!({"name": token.file_variable, "value": format!("{}/{}", token.directory, token.volume)}),
    );
}

fn refused_key(container: &Container, variable: &str) -> String {
    format!(
        "container {}: {variable} is set, but on the node's network the sidecar accepts only its own key. Remove the variable.",
        container.name
    )
}

fn warn_of_proxy(container: &Container, warnings: &mut Vec<String>) {
    let set = |name: &&str| container.variable(name).is_some();
    let proxy = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let excepted = ["NO_PROXY", "no_proxy"].iter().any(set);
    if proxy.iter().any(set) && !excepted {
        warnings.push(format!(
            "container {}: a proxy is set without NO_PROXY. Set NO_PROXY=127.0.0.1, or clients send requests for the sidecar to the proxy.",
            container.name
        ));
    }
}

/// Sets the variable for the socket, and mounts it read-only so that only the sidecar can replace it.
pub(super) fn socket(container: &mut Container, volume: &str) {
    let mounted = mounts(container, volume);
    if !mounted {
        let mounts = container.volume_mounts.get_or_insert_default();
        mounts
            .push(json!({"name": volume, "mountPath": names::SOCKET_DIRECTORY, "readOnly": true}));
    }
    if container.variable(names::SOCKET_VARIABLE).is_none() {
        let path = Value::from(format!(
            "{}/{}",
            names::SOCKET_DIRECTORY,
            names::SOCKET_FILE
        ));
        let env = container.env.get_or_insert_default();
        env.insert(0, json!({"name": names::SOCKET_VARIABLE, "value": path}));
    }
}
