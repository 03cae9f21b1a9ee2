//! Which `BedrockAccess` objects a changed object affects, and the requests to reconcile them.

use std::sync::Arc;

use api::{names, v1alpha1::BedrockAccess};
use futures::{Stream, StreamExt};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use kube_runtime::reflector::{ObjectRef, Store};

use crate::{access::Guarded, policy::NamespaceMetadata, queue::Queue};

/// Records requested reconciles in the [`Queue`] before the controller gets them.
pub(crate) struct ReconcileRequests(Arc<Queue>);

impl ReconcileRequests {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// Each signal requests a reconcile of every object.
    pub(crate) fn all<S>(&self, signals: S) -> impl Stream<Item = ()> + Send + 'static
    where
        S: Stream<Item = ()> + Send + 'static,
    {
        let queue = Arc::clone(&self.0);
        signals.inspect(move |()| queue.add_all())
    }

    /// Each changed object requests a reconcile of the objects that `affected` returns for it.
    pub(crate) fn each<K, I>(
        &self,
        affected: impl Fn(K) -> I + Send + Sync + 'static,
    ) -> impl Fn(K) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static
    where
        I: IntoIterator<Item = ObjectRef<Guarded>>,
    {
        let queue = Arc::clone(&self.0);
        move |object| {
            let references = affected(object).into_iter();
            references.inspect(|access| queue.add(access)).collect()
        }
    }
}

/// The objects in a namespace; its labels select the policies that apply to them.
pub(crate) fn in_namespace(
    access_store: Store<Guarded>,
) -> impl Fn(NamespaceMetadata) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    move |namespace| {
        let name = namespace.metadata.name;
        access_store
            .state_filter(|access| access.namespace() == name)
            .iter()
            .map(|access| ObjectRef::from_obj(access.as_ref()))
            .collect()
    }
}

/// The `BedrockAccess` that the label of an object names, otherwise its owner. The owner reference alone is not
/// sufficient: pods have another owner, and an owned object may have lost its reference.
pub(crate) fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<Guarded>> {
    let labelled = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(names::ACCESS_LABEL));
    let kind = BedrockAccess::kind(&());
    let owned = || {
        let owners = metadata.owner_references.iter().flatten();
        owners
            .filter(|owner| owner.kind == kind)
            .map(|owner| &owner.name)
            .next()
    };
    let name = labelled.or_else(owned)?;
    Some(ObjectRef::new(name).within(metadata.namespace.as_deref()?))
}
