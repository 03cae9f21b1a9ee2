//! A `BedrockAccess` that no policy allows: its objects stay, but they serve no requests.
//!
//! The ServiceAccount loses its role annotation, the Deployment is scaled to zero, the autoscaler, the HTTPRoute and the
//! Certificate are deleted, and the configuration makes every gateway that still runs, such as a sidecar, reject requests.
//! All of it is restored when a policy allows the object. An existing ServiceAccount is not ours to change, and the operator
//! cannot change IAM: principals that the role trusts can still assume it in other ways.

use std::sync::Arc;

use api::{
    GatewayConfig,
    config::AccessReference,
    names,
    v1alpha1::{BedrockAccess, client_config_name},
};
use kube::{
    Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use super::{
    Context, Error,
    apply::{ApplyError, delete},
    build::{BuildError, revoked_config},
    observe::Observed,
    validate::{Scale, ValidateError, Validated, validate},
};
use crate::{cluster_keys::ClusterKeys, owned::OwnedKind, settings::Settings};

/// The denied `BedrockAccess` in the form to build. Missing references do not prevent this.
///
/// # Errors
/// When the object itself is invalid.
pub(super) fn validated(
    access: &BedrockAccess,
    observed: &Observed,
    settings: &Settings,
) -> Result<Validated, ValidateError> {
    let none = || ClusterKeys {
        issuer: String::new(),
        jwks: json!({"keys": []}),
    };
    let complete = Observed {
        existing_service_account: observed.existing_service_account.map(|_| true),
        cluster_keys: Some(
            observed
                .cluster_keys
                .clone()
                .unwrap_or_else(|| Arc::new(none())),
        ),
        ..observed.clone()
    };
    let validated = validate(access, &complete, settings)?;
    let known = observed.cluster_keys.as_ref();
    Ok(Validated {
        scale: Scale::Fixed(0),
        revoked: true,
        issuer: known.map(|keys| keys.issuer.clone()),
        ..validated
    })
}

/// Withdraws the objects of a denied `BedrockAccess` whose spec is invalid, so that nothing can be built: the existing
/// objects stem from an earlier spec.
///
/// # Errors
/// When a request to the API server fails.
pub(super) async fn withdraw(access: &BedrockAccess, context: &Context) -> Result<(), Error> {
    let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
    let name = access.metadata.name.as_deref().unwrap_or_default();
    for (kind, owned) in context.stores.owned_by(namespace, name) {
        let owners = owned.owner_references();
        if !owners
            .iter()
            .any(|owner| Some(&owner.uid) == access.metadata.uid.as_ref())
        {
            continue;
        }
        match kind {
            // The settings for apps contain nothing to withdraw.
            OwnedKind::ConfigMap if owned.name_any() == client_config_name(name) => {}
            OwnedKind::ConfigMap => {
                let unpacked = owned.unpack().map_err(|source| {
                    let name = owned.name_any();
                    ApplyError::Read { kind, name, source }
                })?;
                disable_config(&unpacked, namespace, name, context).await?;
            }
            OwnedKind::Deployment
            | OwnedKind::HorizontalPodAutoscaler
            | OwnedKind::ServiceAccount
            | OwnedKind::Certificate
            | OwnedKind::HttpRoute => {
                if owned.meta().deletion_timestamp.is_none() {
                    delete(&context.client, &context.metrics, namespace, kind, &owned).await?;
                }
            }
            OwnedKind::NetworkPolicy
            | OwnedKind::Service
            | OwnedKind::PodDisruptionBudget
            | OwnedKind::PodMonitor
            | OwnedKind::BackendTlsPolicy => {}
        }
    }
    Ok(())
}

/// Replaces every key of a ConfigMap with a configuration that serves nothing.
async fn disable_config(
    owned: &DynamicObject,
    namespace: &str,
    name: &str,
    context: &Context,
) -> Result<(), Error> {
    let config = GatewayConfig {
        access: Some(AccessReference {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        ..GatewayConfig::default()
    };
    let current = owned.data.get("data").and_then(Value::as_object);
    let mut data = Map::new();
    for (key, text) in current.into_iter().flatten() {
        // Region and clients stay, so that a running gateway accepts the document.
        let before = text.as_str().map(GatewayConfig::from_yaml);
        let base = before
            .and_then(Result::ok)
            .unwrap_or_else(|| config.clone());
        let yaml = revoked_config(base, namespace, name)
            .to_yaml()
            .map_err(BuildError::Config)?;
        data.insert(key.clone(), Value::String(yaml));
    }
    if current == Some(&data) {
        return Ok(());
    }
    let kind = OwnedKind::ConfigMap;
    let object = json!({
        "apiVersion": "v1",
        "kind": kind.as_str(),
        "metadata": {
            "name": owned.name_any(),
            "labels": owned.metadata.labels,
            "ownerReferences": owned.metadata.owner_references,
        },
        "data": data,
    });
    context.metrics.wrote(kind.as_str(), "apply");
    kind.api(context.client.clone(), namespace)
        .patch(
            &owned.name_any(),
            &PatchParams::apply(names::FIELD_MANAGER).force(),
            &Patch::Apply(&object),
        )
        .await
        .map_err(|source| ApplyError::Write {
            kind,
            name: owned.name_any(),
            source,
        })?;
    Ok(())
}
