//! Coexistence with the EKS pod identity webhook: removes tokens that it gave to containers and that belong to the
//! sidecar, and sets the annotation that makes it skip containers.
//! <https://github.com/aws/amazon-eks-pod-identity-webhook>

use api::names;
use serde_json::Value;

use super::others;
use crate::{
    access::build::sidecar::Token,
    sidecar::pod::{Container, Pod, is_named},
};

/// Removes every token of the EKS webhook from all containers but the sidecar and returns warnings for the user. The
/// result does not depend on whether the webhook uses IRSA or Pod Identity, or on whether it runs before or after this
/// webhook.
pub(super) fn take_tokens(pod: &mut Pod, own: Token) -> Vec<String> {
    let mut warnings = Vec::new();
    for container in others(pod) {
        // Both tokens, not only the first match.
        let taken = Token::ALL.map(|token| take(container, &token));
        if taken.contains(&true) {
            warnings.push(format!(
                "container {}: the token of the pod's ServiceAccount (eks.amazonaws.com/role-arn or a Pod Identity association) is reserved for the sidecar and was removed from this container",
                container.name
            ));
        }
    }
    for token in Token::ALL.iter().filter(|token| **token != own) {
        let mounted = pod.all().any(|container| mounts(container, token.volume));
        if let Some(volumes) = pod.spec.volumes.as_mut().filter(|_| !mounted) {
            volumes.retain(|volume| {
                !is_named(volume, token.volume) || volume.get("projected").is_none()
            });
        }
    }
    warnings
}

/// Removes what the EKS webhook added to a container; returns whether it found anything.
fn take(container: &mut Container, token: &Token) -> bool {
    let mut directories = vec![token.directory.to_owned()];
    let mut found = false;
    if let Some(mounts) = &mut container.volume_mounts {
        mounts.retain(|mount| {
            let ours = is_named(mount, token.volume);
            if ours {
                found = true;
                let path = mount.get("mountPath").and_then(Value::as_str);
                directories.extend(path.map(ToOwned::to_owned));
            }
            !ours
        });
    }
    let refers_to_token = container.value(token.file_variable).is_some_and(|file| {
        directories
            .iter()
            .any(|directory| file.starts_with(directory))
    });
    if refers_to_token && let Some(env) = &mut container.env {
        env.retain(|entry| {
            !is_named(entry, token.file_variable) && !is_named(entry, token.other_variable)
        });
        found = true;
    }
    found
}

/// Whether a container mounts a volume.
pub(super) fn mounts(container: &Container, volume: &str) -> bool {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| is_named(mount, volume))
}

/// Makes the EKS webhook skip containers.
pub(super) fn skip(pod: &mut Pod, containers: &[String]) {
    let before = pod.annotation(names::SKIP_CONTAINERS_ANNOTATION);
    let mut skipped: Vec<String> = before
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    for name in containers {
        if !skipped.contains(name) {
            skipped.push(name.clone());
        }
    }
    pod.annotate(names::SKIP_CONTAINERS_ANNOTATION, skipped.join(","));
}
