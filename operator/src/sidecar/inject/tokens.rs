//! The EKS pod identity webhook beside ours: what it gave to containers is taken away where it is the
//! sidecar's, and what it must not give is said in the annotation it reads.
//! <https://github.com/aws/amazon-eks-pod-identity-webhook>

use api::names;
use serde_json::Value;

use super::others;
use crate::sidecar::{
    pod::{Container, Pod, is_named},
    template::Token,
};

/// Takes every token of the EKS webhook's from all containers but the sidecar; gives warnings for whoever made
/// the pod. Which of its two ways it takes, and whether it comes before or after us, makes no difference then.
pub(super) fn take_tokens(pod: &mut Pod, own: Token) -> Vec<String> {
    let mut warnings = Vec::new();
    for container in others(pod) {
        // Both, not the first that is found.
        let taken = Token::ALL.map(|token| take(container, &token));
        if taken.contains(&true) {
            warnings.push(format!(
                "container {}: the token of the pod's ServiceAccount is the sidecar's alone, so the container no longer gets it (eks.amazonaws.com/role-arn or a Pod Identity association of the ServiceAccount)",
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

/// Takes from a container what the EKS webhook gave it; says whether there was something.
fn take(container: &mut Container, token: &Token) -> bool {
    let mut folders = vec![token.folder.to_owned()];
    let mut found = false;
    if let Some(mounts) = &mut container.volume_mounts {
        mounts.retain(|mount| {
            let ours = is_named(mount, token.volume);
            if ours {
                found = true;
                let path = mount.get("mountPath").and_then(Value::as_str);
                folders.extend(path.map(ToOwned::to_owned));
            }
            !ours
        });
    }
    let leads_there = container
        .value(token.file_variable)
        .is_some_and(|file| folders.iter().any(|folder| file.starts_with(folder)));
    if leads_there && let Some(env) = &mut container.env {
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

/// Tells the EKS webhook to leave containers alone.
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
