//! Puts the sidecar into a pod. Pure, and done twice it is done once: a webhook that ran in between may
//! have changed the pod, so what it must not have done is undone, and what it may is left.
//!
//! The token is the sidecar's alone. The EKS pod identity webhook gives tokens to every container of a
//! pod whose ServiceAccount is annotated; before us it may have done so already, after us it reads the
//! annotation that we leave, <https://github.com/aws/amazon-eks-pod-identity-webhook>.

use api::names;
use serde_json::{Value, json};

use super::{
    pod::{Container, Pod, is_named},
    refused::Refused,
    template::{Template, Token, USER},
};

/// A key that clients insist on and that nobody looks at.
const PLACEHOLDER: &str = "not-needed";
/// The variable by which the gateway learns of a key that clients have to send.
const API_KEY: &str = "BEDROCK_GATEWAY_API_KEY";
/// Containers that redirect the network of a pod: what comes before them cannot reach out, so the
/// sidecar comes after.
const MESH: [&str; 6] = [
    "istio-init",
    "istio-validation",
    "istio-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];
/// Where the API server mounts a token of its own for every container.
const API_SERVER_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Puts the sidecar into `pod` and gives warnings for whoever made it.
///
/// `new_key` makes a key for a pod on its node's network, whose loopback is not its own.
///
/// # Errors
/// When the pod cannot have the sidecar as it stands.
pub(crate) fn inject(
    pod: &mut Pod,
    template: &Template,
    new_key: &dyn Fn() -> Result<String, Refused>,
) -> Result<Vec<String>, Refused> {
    if pod
        .spec
        .os
        .as_ref()
        .is_some_and(|os| is_named(os, "windows"))
    {
        return Err(Refused::Windows);
    }
    check_ports(pod, template)?;
    check_users(pod)?;
    let again = pod.annotation(names::SIDECAR_HASH_ANNOTATION) == Some(&template.hash);
    let key = match (pod.spec.host_network, key_of(pod)) {
        (false, _) => None,
        (true, Some(key)) => Some(key),
        (true, None) => Some(new_key()?),
    };
    let mut warnings = Vec::new();
    volumes(pod, template)?;
    container(pod, template, again, key.as_deref())?;
    for secret in &template.image_pull_secrets {
        let secrets = pod.spec.image_pull_secrets.get_or_insert_default();
        if !secrets.iter().any(|entry| is_named(entry, &secret.name)) {
            secrets.push(json!({"name": secret.name}));
        }
    }
    if let Some(token) = &template.token {
        for container in others(pod) {
            if take_token(container, token) {
                warnings.push(format!(
                    "container {}: the token of the pod's ServiceAccount is the sidecar's alone, so the container no longer gets it (eks.amazonaws.com/role-arn of the ServiceAccount)",
                    container.name
                ));
            }
        }
        skip_containers(pod);
    }
    for container in others(pod) {
        environment(container, template, key.as_deref(), &mut warnings);
    }
    pod.annotate(names::SIDECAR_HASH_ANNOTATION, template.hash.clone());
    Ok(warnings)
}

/// Every container but the sidecar.
fn others(pod: &mut Pod) -> impl Iterator<Item = &mut Container> {
    pod.all_mut()
        .filter(|container| container.name != names::GATEWAY_NAME)
}

fn check_ports(pod: &Pod, template: &Template) -> Result<(), Refused> {
    for container in pod.all().filter(|one| one.name != names::GATEWAY_NAME) {
        for port in container.ports.iter().flatten() {
            let tcp = port
                .get("protocol")
                .is_none_or(|protocol| protocol == "TCP");
            let number = port.get("containerPort").and_then(Value::as_u64);
            for (own, field) in [
                (template.port, "spec.sidecar.port"),
                (template.admin_port, "spec.sidecar.adminPort"),
            ] {
                if tcp && number == Some(u64::from(own)) {
                    return Err(Refused::PortTaken {
                        container: container.name.clone(),
                        port: own,
                        field,
                    });
                }
            }
        }
    }
    Ok(())
}

/// In a shared process namespace, processes of one user can read each other's files.
fn check_users(pod: &Pod) -> Result<(), Refused> {
    if !pod.spec.share_process_namespace {
        return Ok(());
    }
    let user = |context: Option<&Value>| context?.get("runAsUser")?.as_i64();
    let common = user(pod.spec.security_context.as_ref());
    for container in pod.all().filter(|one| one.name != names::GATEWAY_NAME) {
        let own = user(container.rest.get("securityContext")).or(common);
        if own == Some(USER) {
            return Err(Refused::SameUser {
                container: container.name.clone(),
                user: USER,
            });
        }
    }
    Ok(())
}

fn volumes(pod: &mut Pod, template: &Template) -> Result<(), Refused> {
    let ours = pod
        .annotation(names::SIDECAR_HASH_ANNOTATION)
        .map(|hash| hash == template.hash);
    let volumes = pod.spec.volumes.get_or_insert_default();
    for volume in &template.volumes {
        let token = template
            .token
            .is_some_and(|token| token.volume == volume.name);
        let wanted = json!(volume);
        match volumes
            .iter_mut()
            .find(|found| is_named(found, &volume.name))
        {
            None => volumes.push(wanted),
            // Put there by us: the API server has filled in its defaults.
            Some(_) if ours == Some(true) => {}
            Some(found) if ours == Some(false) || *found == wanted => *found = wanted,
            // Put there by the EKS webhook: one volume for one token.
            Some(found) if token && found.get("projected").is_some() => *found = wanted,
            Some(_) => {
                return Err(Refused::VolumeTaken {
                    name: volume.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Puts the container in its place, or looks after one that is there.
fn container(
    pod: &mut Pod,
    template: &Template,
    again: bool,
    key: Option<&str>,
) -> Result<(), Refused> {
    let taken = |container: &Container| container.name == names::GATEWAY_NAME;
    if pod.spec.containers.iter().any(taken) {
        return Err(Refused::ContainerTaken);
    }
    let known = pod.annotation(names::SIDECAR_HASH_ANNOTATION).is_some();
    let containers = pod.spec.init_containers.get_or_insert_default();
    let found = containers.iter_mut().find(|container| taken(container));
    match found {
        Some(_) if !known => Err(Refused::ContainerTaken),
        Some(container) if again => {
            // Another webhook may have moved the image or set resources; a token for the API server,
            // which is mounted on the second round, it does not need.
            if let Some(mounts) = &mut container.volume_mounts {
                mounts.retain(|mount| {
                    mount.get("mountPath").and_then(Value::as_str) != Some(API_SERVER_TOKEN)
                });
            }
            Ok(())
        }
        Some(container) => {
            *container = sidecar(template, key)?;
            Ok(())
        }
        None => {
            let after_mesh = containers
                .iter()
                .rposition(|container| MESH.contains(&container.name.as_str()))
                .map_or(0, |index| index.saturating_add(1));
            containers.insert(after_mesh, sidecar(template, key)?);
            Ok(())
        }
    }
}

fn sidecar(template: &Template, key: Option<&str>) -> Result<Container, Refused> {
    let mut container: Container = serde_json::from_value(json!(template.container))
        .map_err(|error| Refused::Unparsable(error.to_string()))?;
    if let Some(key) = key {
        let env = container.env.get_or_insert_default();
        env.push(json!({"name": API_KEY, "value": key}));
    }
    Ok(container)
}

fn key_of(pod: &Pod) -> Option<String> {
    let mut containers = pod.spec.init_containers.iter().flatten();
    let sidecar = containers.find(|container| container.name == names::GATEWAY_NAME)?;
    sidecar.value(API_KEY).map(ToOwned::to_owned)
}

/// Takes from a container what the EKS webhook gave it; says whether there was something.
fn take_token(container: &mut Container, token: &Token) -> bool {
    let mut found = false;
    if let Some(mounts) = &mut container.volume_mounts {
        let before = mounts.len();
        mounts.retain(|mount| !is_named(mount, token.volume));
        found = mounts.len() < before;
    }
    if container.value(token.file_variable) == Some(token.file)
        && let Some(env) = &mut container.env
    {
        env.retain(|entry| {
            !is_named(entry, token.file_variable) && !is_named(entry, token.other_variable)
        });
        found = true;
    }
    found
}

/// Tells the EKS webhook to leave every container alone: ours has all it needs.
fn skip_containers(pod: &mut Pod) {
    let before = pod.annotation(names::SKIP_CONTAINERS_ANNOTATION);
    let mut skipped: Vec<String> = before
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    for container in pod.all() {
        if !skipped.contains(&container.name) {
            skipped.push(container.name.clone());
        }
    }
    pod.annotate(names::SKIP_CONTAINERS_ANNOTATION, skipped.join(","));
}

/// Tells the clients in a container where the gateway is. What the container sets itself stays; who
/// chose another address for a client keeps its key too.
fn environment(
    container: &mut Container,
    template: &Template,
    key: Option<&str>,
    warnings: &mut Vec<String>,
) {
    let base = format!("http://127.0.0.1:{}", template.port);
    let key_or_placeholder = key.unwrap_or(PLACEHOLDER);
    let clients: [(&str, String, &str); 4] = [
        ("OPENAI_BASE_URL", format!("{base}/v1"), "OPENAI_API_KEY"),
        ("ANTHROPIC_BASE_URL", base.clone(), "ANTHROPIC_API_KEY"),
        (
            "ANTHROPIC_BEDROCK_BASE_URL",
            base.clone(),
            "AWS_BEARER_TOKEN_BEDROCK",
        ),
        (
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            base,
            "AWS_BEARER_TOKEN_BEDROCK",
        ),
    ];
    let mut added: Vec<(&str, String)> = Vec::new();
    for (address, url, client_key) in clients {
        match container.variable(address) {
            Some(_) if container.value(address) != Some(&url) => continue,
            Some(_) => {}
            None => added.push((address, url)),
        }
        let there = |name: &str| added.iter().any(|(added, _)| *added == name);
        if container.variable(client_key).is_none() && !there(client_key) {
            added.push((client_key, key_or_placeholder.to_owned()));
        } else if key.is_some() && !there(client_key) && container.value(client_key) != key {
            warnings.push(format!(
                "container {}: {client_key} is set, and on the node's network the sidecar takes only its own key: remove it",
                container.name
            ));
        }
    }
    let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    if regions
        .iter()
        .all(|name| container.variable(name).is_none())
    {
        added.extend(regions.map(|name| (name, template.region.clone())));
    }
    let proxy = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let excepted = ["NO_PROXY", "no_proxy"]
        .iter()
        .any(|name| container.variable(name).is_some());
    if proxy.iter().any(|name| container.variable(name).is_some()) && !excepted {
        warnings.push(format!(
            "container {}: a proxy is set without NO_PROXY: set NO_PROXY=127.0.0.1, or clients look for the sidecar behind the proxy",
            container.name
        ));
    }
    if !added.is_empty() {
        // In front, so that the container's own variables can refer to them.
        let env = container.env.get_or_insert_default();
        let added = added
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        env.splice(0..0, added);
    }
}

#[cfg(test)]
mod tests;
