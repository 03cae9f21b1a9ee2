//! Injects the sidecar into a pod. Pure and idempotent: another webhook that ran between two calls may have changed the
//! pod, so changes that it must not make are reverted, and others stay.
//!
//! The token belongs to the sidecar alone. The EKS pod identity webhook gives tokens to every container of a pod whose
//! ServiceAccount is annotated. It may run before this webhook, or after it, when it reads the annotation set here:
//! <https://github.com/aws/amazon-eks-pod-identity-webhook>.

mod environment;
mod mesh;
mod processes;
mod tokens;

use api::names;
use serde_json::{Value, json};

use self::{
    environment::{environment, socket},
    mesh::{leave_probes_alone, place},
    tokens::{skip, take_tokens},
};
use super::{
    pod::{Container, Pod, is_named},
    refused::Refused,
};
use crate::access::build::sidecar::{Claim, SOCKET_VOLUME, Template};

/// Variable with the key that clients must send to the gateway.
const API_KEY: &str = "BEDROCK_GATEWAY_API_KEY";
/// Where the API server mounts its own token in every container.
const API_SERVER_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Injects the sidecar into `pod` and returns warnings for the user.
///
/// `new_key` generates a key for a pod on its node's network, where other pods share the loopback interface.
///
/// # Errors
/// When the pod cannot have the sidecar.
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
    processes::check(pod)?;
    mesh::check(pod)?;
    let again = pod.annotation(names::SIDECAR_HASH_ANNOTATION) == Some(&template.hash);
    let key = match (pod.spec.host_network, key_of(pod)) {
        (false, _) => None,
        (true, Some(key)) => Some(key),
        (true, None) => Some(new_key()?),
    };
    let mut warnings = Vec::new();
    volumes(pod, template)?;
    container(pod, template, again, key.as_deref())?;
    leave_probes_alone(pod, template.admin_port);
    for secret in &template.image_pull_secrets {
        let secrets = pod.spec.image_pull_secrets.get_or_insert_default();
        if !secrets.iter().any(|entry| is_named(entry, &secret.name)) {
            secrets.push(json!({"name": secret.name}));
        }
    }
    match template.claim {
        Claim::Token(token) => {
            warnings.extend(take_tokens(pod, token));
            let all: Vec<String> = pod.all().map(|one| one.name.clone()).collect();
            skip(pod, &all);
        }
        Claim::Itself => skip(pod, &[names::GATEWAY_NAME.to_owned()]),
        Claim::Nothing => {}
    }
    for container in others(pod).filter(|container| !mesh::is_part(container)) {
        environment(container, template, key.as_deref(), &mut warnings);
        if template.socket {
            socket(container, SOCKET_VOLUME);
        }
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

fn volumes(pod: &mut Pod, template: &Template) -> Result<(), Refused> {
    let ours = pod
        .annotation(names::SIDECAR_HASH_ANNOTATION)
        .map(|hash| hash == template.hash);
    let volumes = pod.spec.volumes.get_or_insert_default();
    for volume in &template.volumes {
        let token = matches!(template.claim, Claim::Token(token) if token.volume == volume.name);
        let wanted = json!(volume);
        match volumes
            .iter_mut()
            .find(|found| is_named(found, &volume.name))
        {
            None => volumes.push(wanted),
            // Added by this webhook: the API server has filled in its defaults.
            Some(_) if ours == Some(true) => {}
            Some(found) if ours == Some(false) || *found == wanted => *found = wanted,
            // Added by the EKS webhook: one volume for one token.
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

/// Inserts the sidecar container, or updates an existing one.
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
    let own = match containers.iter().position(taken) {
        Some(_) if !known => return Err(Refused::ContainerTaken),
        Some(index) if again => kept(containers.remove(index)),
        Some(index) => {
            containers.remove(index);
            sidecar(template, key)?
        }
        None => sidecar(template, key)?,
    };
    containers.insert(place(containers), own);
    Ok(())
}

/// Another webhook may have changed the image or the resources. The sidecar does not need a token for the API server,
/// which is mounted in the second round.
fn kept(mut container: Container) -> Container {
    if let Some(mounts) = &mut container.volume_mounts {
        mounts.retain(|mount| {
            mount.get("mountPath").and_then(Value::as_str) != Some(API_SERVER_TOKEN)
        });
    }
    container
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

#[cfg(test)]
mod tests;
