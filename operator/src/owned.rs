//! The kinds of objects that the operator owns, and their caches.
//!
//! Owned objects are handled as JSON documents, whatever their kind. A new kind needs one variant here and one field in
//! `Resources`.

mod packed;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use api::names;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use kube_runtime::{reflector::store::WriterDropped, watcher};
use tokio::sync::OnceCell;

pub(crate) use packed::OwnedObject;

use crate::{cache::Cache, discovery::Served};

/// A kind of object that the operator creates for a `BedrockAccess`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum OwnedKind {
    /// The ServiceAccount of the gateway pods.
    ServiceAccount,
    /// The gateway's configuration document, and the settings for apps.
    ConfigMap,
    /// Restricts traffic of the gateway pods.
    NetworkPolicy,
    /// The gateway's pods.
    Deployment,
    /// The gateway's address.
    Service,
    /// Limits voluntary disruptions of the gateway pods.
    PodDisruptionBudget,
    /// Sets the number of gateway pods.
    HorizontalPodAutoscaler,
    /// Lets Prometheus discover the gateway pods; not every cluster serves this kind.
    PodMonitor,
    /// Lets cert-manager create the certificate of the gateway pods; not every cluster serves this kind.
    Certificate,
    /// Lets Gateways of the Gateway API forward requests to the Service; not every cluster serves this kind.
    HttpRoute,
    /// Lets Gateways of the Gateway API verify the certificate of the gateway pods; not every cluster serves this kind.
    BackendTlsPolicy,
}

/// Caches of the watched objects other than `BedrockAccess`.
#[derive(Clone)]
pub(crate) struct Stores {
    /// One cache for each kind, of objects with the access label.
    pub(crate) owned: BTreeMap<OwnedKind, Cache<OwnedObject>>,
    /// Gateway pods, trimmed to the parts that the status needs.
    pub(crate) pods: Cache<Pod>,
    /// Pods with the sidecar label, trimmed likewise.
    pub(crate) sidecars: Cache<Pod>,
    /// The optional kinds that the cluster serves.
    served: Served,
    /// Set once all caches contain their first list.
    filled: Arc<OnceCell<()>>,
}

impl OwnedKind {
    /// All kinds, in the order in which they are applied.
    pub(crate) const ALL: [Self; 11] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Certificate,
        Self::Deployment,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::PodMonitor,
        Self::BackendTlsPolicy,
        Self::HttpRoute,
    ];

    /// Whether the kind is not part of Kubernetes itself, so that a cluster may not serve it.
    pub(crate) fn is_optional(self) -> bool {
        matches!(
            self,
            Self::PodMonitor | Self::Certificate | Self::HttpRoute | Self::BackendTlsPolicy
        )
    }

    /// Group, version and names of the kind.
    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            Self::PodMonitor => ApiResource::from_gvk(&GroupVersionKind::gvk(
                "monitoring.coreos.com",
                "v1",
                "PodMonitor",
            )),
            Self::Certificate => ApiResource::from_gvk(&GroupVersionKind::gvk(
                "cert-manager.io",
                "v1",
                "Certificate",
            )),
            Self::HttpRoute => gateway_api("HTTPRoute", "httproutes"),
            Self::BackendTlsPolicy => gateway_api("BackendTLSPolicy", "backendtlspolicies"),
        }
    }

    /// The kind's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Deployment => "Deployment",
            Self::Service => "Service",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::PodMonitor => "PodMonitor",
            Self::Certificate => "Certificate",
            Self::HttpRoute => "HTTPRoute",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
        }
    }

    /// API for objects of this kind in a namespace.
    pub(crate) fn api(self, client: Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client, namespace, &self.resource())
    }
}

/// A kind of the Gateway API.
fn gateway_api(kind: &str, plural: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

impl fmt::Display for OwnedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Stores {
    pub(crate) fn new(
        owned: BTreeMap<OwnedKind, Cache<OwnedObject>>,
        pods: Cache<Pod>,
        sidecars: Cache<Pod>,
        served: Served,
    ) -> Self {
        Self {
            owned,
            pods,
            sidecars,
            served,
            filled: Arc::default(),
        }
    }

    /// Waits until every cache contains its first complete list.
    ///
    /// # Errors
    /// When a watch has ended, which happens only on shutdown.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        // A store wakes only the last of several waiters (kube-runtime's `DelayedInit` is a oneshot channel), so only
        // one waits for it, and the cell wakes the others.
        self.filled
            .get_or_try_init(|| async {
                let always = |kind: &&OwnedKind| !kind.is_optional();
                for kind in OwnedKind::ALL.iter().filter(always) {
                    if let Some(store) = self.owned.get(kind) {
                        store.wait_until_ready().await?;
                    }
                }
                self.pods.wait_until_ready().await?;
                self.sidecars.wait_until_ready().await
            })
            .await
            .copied()
    }

    /// The optional kinds that the cluster serves.
    pub(crate) fn served(&self) -> BTreeSet<OwnedKind> {
        self.served.borrow().clone()
    }

    /// An owned object by name.
    pub(crate) fn owned_object(
        &self,
        kind: OwnedKind,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<DynamicObject>> {
        let owned = self.owned.get(&kind)?.get(namespace, name)?;
        owned.unpack().ok().map(Arc::new)
    }

    /// Every object with the label of this `BedrockAccess`.
    pub(crate) fn owned_by(
        &self,
        namespace: &str,
        access: &str,
    ) -> Vec<(OwnedKind, Arc<OwnedObject>)> {
        self.owned
            .iter()
            .flat_map(|(kind, cache)| {
                let owned = cache.of(namespace, access);
                owned.into_iter().map(|owned| (*kind, owned))
            })
            .collect()
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// Selects objects with the access label.
pub(crate) fn labelled() -> watcher::Config {
    watcher::Config::default().labels(names::ACCESS_LABEL)
}

/// Removes the parts of a pod that the status does not need, so that memory use follows the number of pods and not
/// their size.
pub(crate) fn trim_pod(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
}
