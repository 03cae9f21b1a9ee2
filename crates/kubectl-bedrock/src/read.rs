//! Collects the objects of a BedrockAccess. What the caller may not read becomes a note; only the BedrockAccess itself is
//! required.

use std::collections::BTreeMap;

use api::{
    names,
    v1alpha1::{BedrockAccess, policy::BedrockAccessPolicy},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};

use crate::cluster::{Cluster, api_error, failed, is_missing};

/// A BedrockAccess with the objects that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) access: BedrockAccess,
    /// Owned objects except ServiceAccounts' tokens and Secrets, in the order of [`kinds`].
    pub(crate) owned: Vec<DynamicObject>,
    /// Gateway pods.
    pub(crate) pods: Vec<Pod>,
    /// Pods with the label for a sidecar.
    pub(crate) sidecars: Vec<Pod>,
    /// Policies that apply to the namespace; `None` if they cannot be read.
    pub(crate) policies: Option<Vec<String>>,
    /// What could not be read.
    pub(crate) notes: Vec<String>,
}

impl Endpoint {
    /// Without the objects that belong to it.
    pub(crate) fn alone(access: BedrockAccess) -> Self {
        Self {
            access,
            owned: Vec::new(),
            pods: Vec::new(),
            sidecars: Vec::new(),
            policies: None,
            notes: Vec::new(),
        }
    }
}

/// Kinds of owned objects. Not every cluster serves the last four.
pub(crate) fn kinds() -> Vec<ApiResource> {
    let other = |group: &str, kind: &str, plural: &str| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
    };
    let routes = "gateway.networking.k8s.io";
    vec![
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        other("monitoring.coreos.com", "PodMonitor", "podmonitors"),
        other("cert-manager.io", "Certificate", "certificates"),
        other(routes, "HTTPRoute", "httproutes"),
        other(routes, "BackendTLSPolicy", "backendtlspolicies"),
    ]
}

/// The BedrockAccess of this name, or all of the namespace, or all of the cluster.
///
/// # Errors
/// The object does not exist, or the API server rejects the request.
pub(crate) async fn objects(
    cluster: &Cluster,
    name: Option<&str>,
    all_namespaces: bool,
) -> anyhow::Result<Vec<BedrockAccess>> {
    let namespaced = Api::<BedrockAccess>::namespaced(cluster.client.clone(), &cluster.namespace);
    if let Some(name) = name {
        return Ok(vec![access(cluster, name).await?]);
    }
    let api = if all_namespaces {
        Api::all(cluster.client.clone())
    } else {
        namespaced
    };
    let listed = api.list(&ListParams::default()).await;
    let listed = listed.map_err(|error| failed("list BedrockAccess objects", &error))?;
    Ok(listed.items)
}

/// The BedrockAccess of this name.
///
/// # Errors
/// The object does not exist, or the API server rejects the request.
pub(crate) async fn access(cluster: &Cluster, name: &str) -> anyhow::Result<BedrockAccess> {
    let namespace = &cluster.namespace;
    let api = Api::<BedrockAccess>::namespaced(cluster.client.clone(), namespace);
    match api.get(name).await {
        Ok(access) => Ok(access),
        Err(error) if is_missing(&error) && !is_unknown_kind(&error) => anyhow::bail!(
            "no BedrockAccess {name} in namespace {namespace}; `kubectl bedrock status -A` lists all"
        ),
        Err(error) => Err(failed(&format!("read BedrockAccess {name}"), &error)),
    }
}

/// Whether the cluster does not serve the kind at all.
fn is_unknown_kind(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.message.contains("could not find the requested resource"))
}

/// The objects of these BedrockAccess objects. Each kind is listed once for each namespace.
pub(crate) async fn endpoints(cluster: &Cluster, objects: Vec<BedrockAccess>) -> Vec<Endpoint> {
    let mut by_namespace: BTreeMap<String, Vec<BedrockAccess>> = BTreeMap::new();
    for access in objects {
        let namespace = access.namespace().unwrap_or_default();
        by_namespace.entry(namespace).or_default().push(access);
    }
    let policies = policies(cluster).await;
    let mut endpoints = Vec::new();
    for (namespace, objects) in by_namespace {
        let mut notes = Vec::new();
        let owned = owned(cluster, &namespace, &mut notes).await;
        let pods = pods(cluster, &namespace, names::ACCESS_LABEL, &mut notes).await;
        let sidecars = pods_of_sidecars(cluster, &namespace, &mut notes).await;
        let applying = applying(cluster, &namespace, policies.as_ref()).await;
        for access in objects {
            let name = access.name_any();
            let labelled = |labels: &BTreeMap<String, String>, label: &str| {
                labels.get(label).is_some_and(|value| *value == name)
            };
            let mut own: Vec<DynamicObject> = owned.clone();
            own.retain(|object| labelled(object.labels(), names::ACCESS_LABEL));
            let mut gateways = pods.clone();
            gateways.retain(|pod| labelled(pod.labels(), names::ACCESS_LABEL));
            let mut injected = sidecars.clone();
            injected.retain(|pod| labelled(pod.labels(), names::INJECT_LABEL));
            endpoints.push(Endpoint {
                access,
                owned: own,
                pods: gateways,
                sidecars: injected,
                policies: applying.clone(),
                notes: notes.clone(),
            });
        }
    }
    endpoints
}

async fn owned(cluster: &Cluster, namespace: &str, notes: &mut Vec<String>) -> Vec<DynamicObject> {
    let labelled = ListParams::default().labels(names::ACCESS_LABEL);
    let lists = kinds().into_iter().map(|kind| {
        let api = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), namespace, &kind);
        let labelled = labelled.clone();
        async move { (kind, api.list(&labelled).await) }
    });
    let mut objects = Vec::new();
    for (kind, listed) in futures::future::join_all(lists).await {
        match listed {
            Ok(list) => {
                objects.extend(list.items.into_iter().map(|mut object| {
                    // Items of a list have no type of their own.
                    object.types.get_or_insert(kube::api::TypeMeta {
                        api_version: kind.api_version.clone(),
                        kind: kind.kind.clone(),
                    });
                    object
                }));
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => notes.push(format!("{}: {}", kind.plural, api_error(&error))),
        }
    }
    objects
}

/// The pods of a namespace with a label.
pub(crate) async fn pods(
    cluster: &Cluster,
    namespace: &str,
    label: &str,
    notes: &mut Vec<String>,
) -> Vec<Pod> {
    let api = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    match api.list(&ListParams::default().labels(label)).await {
        Ok(list) => list.items,
        Err(error) => {
            let note = format!("pods: {}", api_error(&error));
            if !notes.contains(&note) {
                notes.push(note);
            }
            Vec::new()
        }
    }
}

async fn pods_of_sidecars(cluster: &Cluster, namespace: &str, notes: &mut Vec<String>) -> Vec<Pod> {
    let mut pods = pods(cluster, namespace, names::INJECT_LABEL, notes).await;
    // Finished pods need no sidecar.
    pods.retain(|pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    });
    pods
}

async fn policies(cluster: &Cluster) -> Option<Vec<BedrockAccessPolicy>> {
    let api = Api::<BedrockAccessPolicy>::all(cluster.client.clone());
    let listed = api.list(&ListParams::default()).await.ok()?;
    Some(listed.items)
}

/// The names of the policies that apply to a namespace.
async fn applying(
    cluster: &Cluster,
    namespace: &str,
    policies: Option<&Vec<BedrockAccessPolicy>>,
) -> Option<Vec<String>> {
    let policies = policies?;
    let by_labels = |policy: &BedrockAccessPolicy| policy.spec.namespaces.selector.is_some();
    let labels = if policies.iter().any(by_labels) {
        let api = Api::<Namespace>::all(cluster.client.clone());
        let found = api.get(namespace).await.ok()?;
        found.metadata.labels.unwrap_or_default()
    } else {
        BTreeMap::new()
    };
    let applies =
        |policy: &&BedrockAccessPolicy| policy.spec.namespaces.include(namespace, &labels);
    Some(
        policies
            .iter()
            .filter(applies)
            .map(ResourceExt::name_any)
            .collect(),
    )
}

/// Whether the gateway container of a pod runs, ready or not.
pub(crate) fn is_running(pod: &Pod) -> bool {
    let Some(status) = &pod.status else {
        return false;
    };
    let containers = status.container_statuses.iter().flatten();
    let mut all = containers.chain(status.init_container_statuses.iter().flatten());
    let gateway = all.find(|container| container.name == names::GATEWAY_NAME);
    let state = gateway.and_then(|container| container.state.as_ref());
    state.is_some_and(|state| state.running.is_some())
}

/// Every pod of a BedrockAccess with a gateway that runs: gateway pods first, then pods with a sidecar.
pub(crate) async fn running_pods(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> anyhow::Result<Vec<Pod>> {
    let mut notes = Vec::new();
    let mut running = Vec::new();
    for label in [names::ACCESS_LABEL, names::INJECT_LABEL] {
        let selector = format!("{label}={name}");
        let mut found = pods(cluster, namespace, &selector, &mut notes).await;
        found.retain(is_running);
        running.extend(found);
    }
    if let Some(note) = notes.first().filter(|_| running.is_empty()) {
        anyhow::bail!("failed to list {note}");
    }
    Ok(running)
}

/// The name of the first pod of a BedrockAccess in which a gateway runs.
///
/// # Errors
/// No gateway runs, or pods cannot be listed.
pub(crate) async fn running_pod(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let namespace = &cluster.namespace;
    let pods = running_pods(cluster, namespace, name).await?;
    let Some(pod) = pods.first() else {
        anyhow::bail!(
            "no gateway of {namespace}/{name} runs: `kubectl bedrock status {name} -n {namespace}` shows why"
        );
    };
    Ok(pod.name_any())
}
