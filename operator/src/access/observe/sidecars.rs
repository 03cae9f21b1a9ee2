//! Inventory of sidecars: the state of each pod with the sidecar label.

use api::names;
use k8s_openapi::api::core::v1::Pod;
use kube_runtime::reflector::ObjectRef;

use super::{PodState, waiting};
use crate::access::Guarded;

/// The state of a pod with the sidecar label, as far as the status needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SidecarState {
    /// State of the sidecar container.
    pub(crate) pod: PodState,
    /// Hash of the template that was injected; `None` if the pod has no sidecar.
    pub(crate) hash: Option<String>,
}

/// The `BedrockAccess` that the pod's label names.
pub(crate) fn access_of(pod: Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.metadata.labels?.remove(names::INJECT_LABEL)?;
    Some(ObjectRef::new(&name).within(pod.metadata.namespace.as_deref()?))
}

/// Removes the parts of a pod that are not needed, so that memory use follows the number of pods and not their size.
pub(crate) fn trim(pod: &mut Pod) {
    pod.spec = None;
    let metadata = &mut pod.metadata;
    metadata.managed_fields = None;
    metadata.owner_references = None;
    if let Some(labels) = &mut metadata.labels {
        labels.retain(|name, _| name == names::INJECT_LABEL);
    }
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| name == names::SIDECAR_HASH_ANNOTATION);
    }
    let Some(status) = &mut pod.status else {
        return;
    };
    status.conditions = None;
    status.container_statuses = None;
    status.ephemeral_container_statuses = None;
    if let Some(containers) = &mut status.init_container_statuses {
        containers.retain(|container| container.name == names::GATEWAY_NAME);
    }
}

/// Whether the pod counts: it has not finished and is not being deleted.
pub(crate) fn is_active(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Hash of the template that was injected.
pub(crate) fn hash_of(pod: &Pod) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(names::SIDECAR_HASH_ANNOTATION).cloned()
}

/// State of the sidecar container, not of the pod, which depends on the app.
pub(crate) fn state(pod: &Pod) -> PodState {
    let sidecar = pod
        .status
        .as_ref()
        .and_then(|status| status.init_container_statuses.as_ref())
        .into_iter()
        .flatten()
        .find(|container| container.name == names::GATEWAY_NAME);
    PodState {
        name: pod.metadata.name.clone().unwrap_or_default(),
        ready: sidecar.is_some_and(|sidecar| sidecar.ready),
        waiting: sidecar
            .and_then(|sidecar| waiting(sidecar.state.as_ref()?, sidecar.last_state.as_ref())),
        report: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "app-1", "namespace": "team-a",
                "labels": {names::INJECT_LABEL: "chat", "app": "a"},
                "annotations": {names::SIDECAR_HASH_ANNOTATION: "abc", "other": "x"},
                "managedFields": [{"manager": "m"}],
            },
            "spec": {"containers": [{"name": "app"}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1",
                "initContainerStatuses": [
                    {"name": "other", "ready": true, "restartCount": 0, "image": "", "imageID": ""},
                    {"name": "bedrock-gateway", "ready": true, "restartCount": 0, "image": "", "imageID": ""},
                ],
                "containerStatuses": [{"name": "app", "ready": false, "restartCount": 0, "image": "", "imageID": ""}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn trimmed_pod_still_shows_the_state_of_its_sidecar() {
        let mut pod = pod();
        trim(&mut pod);
        assert!(pod.spec.is_none());
        assert_eq!(pod.metadata.labels.as_ref().unwrap().len(), 1);
        assert_eq!(pod.metadata.annotations.as_ref().unwrap().len(), 1);
        assert_eq!(hash_of(&pod).as_deref(), Some("abc"));
        assert!(is_active(&pod));
        assert!(
            state(&pod).ready,
            "the sidecar is ready although the app is not"
        );
        let access = access_of(pod).unwrap();
        assert_eq!(
            (access.name.as_str(), access.namespace.as_deref()),
            ("chat", Some("team-a"))
        );
    }

    #[test]
    fn finished_pods_are_not_counted() {
        for phase in ["Succeeded", "Failed"] {
            let mut pod = pod();
            pod.status.as_mut().unwrap().phase = Some(phase.to_owned());
            assert!(!is_active(&pod), "{phase}");
        }
    }
}
