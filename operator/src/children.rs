//! The kinds of objects an operator makes, and how they are cached.
//!
//! Children are documents to the operator, whatever their kind: what is compared is the JSON, and a further kind is one
//! more line here and one more field in `Resources`.

mod packed;

use std::{collections::BTreeMap, fmt, sync::Arc};

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

pub(crate) use packed::Child;

use crate::{cache::Cache, discovery::Served};

/// A kind of object that an operator makes for an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ChildKind {
    /// The account the gateway runs as.
    ServiceAccount,
    /// The gateway's configuration document.
    ConfigMap,
    /// Who may reach the gateway's pods.
    NetworkPolicy,
    /// The gateway's pods.
    Deployment,
    /// The gateway's address.
    Service,
    /// How many of the gateway's pods may be missing.
    PodDisruptionBudget,
    /// Decides on the number of the gateway's pods.
    HorizontalPodAutoscaler,
    /// Where Prometheus finds the gateway's pods; not every cluster serves it.
    PodMonitor,
}

/// Caches of what the operator watches besides the accesses themselves.
#[derive(Clone)]
pub(crate) struct Stores {
    /// One cache a kind, of objects that carry the access label.
    pub(crate) children: BTreeMap<ChildKind, Cache<Child>>,
    /// Gateway pods, cut down to what the status needs.
    pub(crate) pods: Cache<Pod>,
    /// Pods that ask for a sidecar, cut down likewise.
    pub(crate) sidecars: Cache<Pod>,
    /// Which kinds the cluster serves of those that not every cluster does.
    served: Served,
    /// Set once all caches hold their first list.
    filled: Arc<OnceCell<()>>,
}

impl ChildKind {
    /// All kinds, in the order they are applied.
    pub(crate) const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Deployment,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::PodMonitor,
    ];

    /// Whether the kind is no part of Kubernetes, so that a cluster may not serve it.
    pub(crate) fn is_optional(self) -> bool {
        self == Self::PodMonitor
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
        }
    }

    /// API for objects of this kind in a namespace.
    pub(crate) fn api(self, client: Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client, namespace, &self.resource())
    }
}

impl fmt::Display for ChildKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Stores {
    pub(crate) fn new(
        children: BTreeMap<ChildKind, Cache<Child>>,
        pods: Cache<Pod>,
        sidecars: Cache<Pod>,
        served: Served,
    ) -> Self {
        Self {
            children,
            pods,
            sidecars,
            served,
            filled: Arc::default(),
        }
    }

    /// Waits until every cache holds its first complete list.
    ///
    /// # Errors
    /// When a watch has ended, which happens only on shutdown.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        // A store wakes only the last of several waiters
        // (kube-runtime's `DelayedInit` is a oneshot channel), so one waits and the cell wakes the rest.
        self.filled
            .get_or_try_init(|| async {
                let always = |kind: &&ChildKind| !kind.is_optional();
                for kind in ChildKind::ALL.iter().filter(always) {
                    if let Some(store) = self.children.get(kind) {
                        store.wait_until_ready().await?;
                    }
                }
                self.pods.wait_until_ready().await?;
                self.sidecars.wait_until_ready().await
            })
            .await
            .copied()
    }

    /// Whether the cluster serves a kind.
    pub(crate) fn serves(&self, kind: ChildKind) -> bool {
        !kind.is_optional() || self.served.borrow().contains(&kind)
    }

    /// A child by its name.
    pub(crate) fn child(
        &self,
        kind: ChildKind,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<DynamicObject>> {
        let child = self.children.get(&kind)?.get(namespace, name)?;
        child.open().ok().map(Arc::new)
    }

    /// Every child that carries the label of an access.
    pub(crate) fn children_of(
        &self,
        namespace: &str,
        access: &str,
    ) -> Vec<(ChildKind, Arc<Child>)> {
        self.children
            .iter()
            .flat_map(|(kind, cache)| {
                let children = cache.of(namespace, access);
                children.into_iter().map(|child| (*kind, child))
            })
            .collect()
    }

    /// The gateway pods of an access, by name.
    pub(crate) fn pods_of(&self, namespace: &str, access: &str) -> Vec<Arc<Pod>> {
        self.pods.of(namespace, access)
    }

    /// The pods that ask for the sidecar of an access, by name.
    pub(crate) fn sidecars_of(&self, namespace: &str, access: &str) -> Vec<Arc<Pod>> {
        self.sidecars.of(namespace, access)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// What is watched: only objects that carry the access label.
pub(crate) fn labelled() -> watcher::Config {
    watcher::Config::default().labels(names::ACCESS_LABEL)
}

/// Keeps of a pod what the status needs, so that memory follows the number of pods and not their size.
pub(crate) fn trim_pod(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
}
