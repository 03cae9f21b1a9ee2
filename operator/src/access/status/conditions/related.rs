//! Owned objects whose status other controllers write.

use std::sync::Arc;

use api::v1alpha1::gateway_name;
use kube::api::DynamicObject;

use crate::owned::{OwnedKind, Stores};

/// The objects that exist, as the caches have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Related {
    pub(crate) certificate: Option<Arc<DynamicObject>>,
    pub(crate) backend_tls_policy: Option<Arc<DynamicObject>>,
    pub(crate) route: Option<Arc<DynamicObject>>,
}

impl Related {
    /// The objects of a `BedrockAccess`.
    pub(crate) fn of(stores: &Stores, namespace: &str, access: &str) -> Self {
        let name = gateway_name(access);
        let object = |kind| stores.owned_object(kind, namespace, &name);
        Self {
            certificate: object(OwnedKind::Certificate),
            backend_tls_policy: object(OwnedKind::BackendTlsPolicy),
            route: object(OwnedKind::HttpRoute),
        }
    }
}
