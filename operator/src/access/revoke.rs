//! What becomes of an access that no policy allows: it keeps its objects, and none of them serves.
//!
//! The ServiceAccount loses its role, the gateway is scaled to zero, its autoscaler goes, and the configuration
//! tells every gateway that still runs, as sidecars do, to refuse requests. All of it comes back with the next
//! policy that allows it. An existing ServiceAccount is not ours to change, and IAM is out of reach: whoever the
//! role trusts can still take it on by other ways.

use std::sync::Arc;

use api::{
    GatewayConfig,
    config::{AccessReference, ConfigError},
    names,
    v1alpha1::BedrockAccess,
};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
};
use serde_json::{Map, Value, json};

use super::{
    Context, Error,
    apply::ApplyError,
    build::BuildError,
    observe::Observed,
    validate::{Scale, ValidateError, Validated, validate},
};
use crate::{
    children::{Child, ChildKind},
    cluster_keys::ClusterKeys,
    settings::Settings,
};

/// What a gateway of a denied access answers. It names no policy: clients are not who policies are for.
fn words(namespace: &str, name: &str) -> String {
    format!(
        "BedrockAccess {namespace}/{name} is not accepted by the cluster's policies; `kubectl --namespace {namespace} describe bedrockaccess {name}` says why"
    )
}

/// The document of a gateway that serves nothing. Who may call stays, so that strangers learn nothing.
pub(super) fn document(config: GatewayConfig, namespace: &str, name: &str) -> GatewayConfig {
    GatewayConfig {
        models: Vec::new(),
        allow: Vec::new(),
        revoked: Some(words(namespace, name)),
        ..config
    }
}

/// The access as it is to be built when it is denied: what is missing around it does not hold that up.
///
/// # Errors
/// When the object itself cannot be used.
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

/// Takes away what a denied access has, where nothing can be built from it since the object itself is wrong: what
/// is there comes from what it said before.
///
/// # Errors
/// When the API server does not take it.
pub(super) async fn withdraw(access: &BedrockAccess, context: &Context) -> Result<(), Error> {
    let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
    let name = access.metadata.name.as_deref().unwrap_or_default();
    for (kind, child) in context.stores.children_of(namespace, name) {
        let owners = child.owner_references();
        if !owners
            .iter()
            .any(|owner| Some(&owner.uid) == access.metadata.uid.as_ref())
        {
            continue;
        }
        match kind {
            ChildKind::ConfigMap => {
                let opened = child.open().map_err(|source| {
                    let name = child.name_any();
                    Error::Apply(ApplyError::Read { kind, name, source })
                })?;
                silence(&opened, namespace, name, context).await?;
            }
            ChildKind::Deployment
            | ChildKind::HorizontalPodAutoscaler
            | ChildKind::ServiceAccount => {
                if child.meta().deletion_timestamp.is_none() {
                    delete(kind, &child, namespace, context).await?;
                }
            }
            ChildKind::NetworkPolicy
            | ChildKind::Service
            | ChildKind::PodDisruptionBudget
            | ChildKind::PodMonitor => {}
        }
    }
    Ok(())
}

/// Puts a document that serves nothing under every key of a configuration.
async fn silence(
    child: &DynamicObject,
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
    let silent = |error: ConfigError| Error::Build(BuildError::Config(error));
    let held = child.data.get("data").and_then(Value::as_object);
    let mut data = Map::new();
    for (key, text) in held.into_iter().flatten() {
        // Region and clients stay, so that a running gateway takes the document over.
        let before = text.as_str().map(GatewayConfig::from_yaml);
        let base = before
            .and_then(Result::ok)
            .unwrap_or_else(|| config.clone());
        let yaml = document(base, namespace, name).to_yaml().map_err(silent)?;
        data.insert(key.clone(), Value::String(yaml));
    }
    if held == Some(&data) {
        return Ok(());
    }
    let kind = ChildKind::ConfigMap;
    let object = json!({
        "apiVersion": "v1",
        "kind": kind.as_str(),
        "metadata": {
            "name": child.name_any(),
            "labels": child.metadata.labels,
            "ownerReferences": child.metadata.owner_references,
        },
        "data": data,
    });
    context.metrics.wrote(kind.as_str(), "apply");
    kind.api(context.client.clone(), namespace)
        .patch(
            &child.name_any(),
            &PatchParams::apply(names::FIELD_MANAGER).force(),
            &Patch::Apply(&object),
        )
        .await
        .map_err(|source| {
            Error::Apply(ApplyError::Write {
                kind,
                name: child.name_any(),
                source,
            })
        })?;
    Ok(())
}

async fn delete(
    kind: ChildKind,
    child: &Child,
    namespace: &str,
    context: &Context,
) -> Result<(), Error> {
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: child.uid(),
        resource_version: None,
    });
    let name = child.name_any();
    context.metrics.wrote(kind.as_str(), "delete");
    let api = kind.api(context.client.clone(), namespace);
    match api.delete(&name, &parameters).await {
        Ok(_) => Ok(()),
        // Gone already, or another object by now.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        Err(source) => Err(Error::Apply(ApplyError::Delete { kind, name, source })),
    }
}
