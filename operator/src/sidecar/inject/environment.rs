//! What the clients in a container are told: where the gateway is, and keys where they insist on some.
//!
//! What the container sets itself stays; who chose another address for a client keeps its key too.
//!
//! AWS SDKs get no bearer token, since boto3 and the SDK for Go refuse to send one over `http://`, but the
//! address of a container credential endpoint, which every SDK asks after all other places: what it gives is
//! good for the sidecar alone, and an app with AWS credentials of its own keeps using those.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use api::names;
use serde_json::{Value, json};

use super::tokens::mounts;
use crate::sidecar::{
    pod::{Container, is_named},
    template::{Claim, Template, Token},
};

/// A key that clients insist on and that nobody looks at.
pub(super) const PLACEHOLDER: &str = "not-needed";
/// Where SDKs ask for credentials.
pub(super) const CREDENTIALS_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// What they send there.
const CREDENTIALS_AUTHORIZATION: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
/// An app says by `false` that it uses the role of its node, which SDKs ask for after the above.
const NO_NODE_ROLE: &str = "AWS_EC2_METADATA_DISABLED";

/// A client's variable with its address, the address, and the variable with its key.
type Client = (&'static str, String, Option<&'static str>);

/// Tells the clients in a container where the gateway is.
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

/// Where SDKs find what to sign with.
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

/// Where the app may have an identity of its own, and the EKS webhook came after us, found its variable set
/// and mounted its token all the same: the variable is what it would have set.
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
        *entry = json!({"name": CREDENTIALS_URI, "value": crate::access::build::identity::POD_IDENTITY_URI});
    }
    env.retain(|entry| !is_named(entry, CREDENTIALS_AUTHORIZATION));
    env.push(
        json!({"name": token.file_variable, "value": format!("{}/{}", token.folder, token.volume)}),
    );
}

fn refused_key(container: &Container, variable: &str) -> String {
    format!(
        "container {}: {variable} is set, and on the node's network the sidecar takes only its own key: remove it",
        container.name
    )
}

fn warn_of_proxy(container: &Container, warnings: &mut Vec<String>) {
    let set = |name: &&str| container.variable(name).is_some();
    let proxy = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let excepted = ["NO_PROXY", "no_proxy"].iter().any(set);
    if proxy.iter().any(set) && !excepted {
        warnings.push(format!(
            "container {}: a proxy is set without NO_PROXY: set NO_PROXY=127.0.0.1, or clients look for the sidecar behind the proxy",
            container.name
        ));
    }
}

/// Tells a container where the socket is, and mounts it so that nobody but the sidecar can replace it.
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
