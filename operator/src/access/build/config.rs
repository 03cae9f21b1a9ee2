//! The gateway's configuration document and the ConfigMap that contains it.

use std::collections::BTreeMap;

use api::{
    GatewayConfig,
    config::{AccessReference, Clients, Limits, Tls},
    names,
};
use k8s_openapi::api::core::v1::ConfigMap;

use super::{BuildError, metadata};
use crate::access::validate::Validated;

pub(super) fn build(access: &Validated) -> Result<ConfigMap, BuildError> {
    let gateway = access
        .gateway
        .enabled
        .then(|| (names::CONFIG_KEY, gateway_config(access)));
    let sidecar = access
        .sidecar
        .is_some()
        .then(|| (names::SIDECAR_CONFIG_KEY, sidecar_config(access)));
    let mut data = BTreeMap::new();
    for (key, config) in gateway.into_iter().chain(sidecar) {
        let config = if access.revoked {
            revoked_config(config, &access.namespace, &access.name)
        } else {
            config
        };
        config.check().map_err(BuildError::Config)?;
        let yaml = config.to_yaml().map_err(BuildError::Config)?;
        data.insert(key.to_owned(), yaml);
    }
    Ok(ConfigMap {
        metadata: metadata(access),
        data: Some(data),
        ..ConfigMap::default()
    })
}

/// The configuration of the gateway pods.
pub(crate) fn gateway_config(access: &Validated) -> GatewayConfig {
    GatewayConfig {
        access: Some(AccessReference {
            namespace: access.namespace.clone(),
            name: access.name.clone(),
        }),
        region: Some(access.region.clone()),
        endpoints: access.endpoints.clone(),
        assume_roles: access.assume_roles.clone(),
        models: access.models.clone(),
        allow: access.allow.clone(),
        s3_sources: access.s3_sources.clone(),
        guardrail: access.guardrail.clone(),
        clients: access.clients.clone(),
        tls: access.tls.as_ref().map(|_| Tls {
            cert_file: format!("{}/tls.crt", names::TLS_DIRECTORY),
            key_file: format!("{}/tls.key", names::TLS_DIRECTORY),
        }),
        limits: Limits {
            store: access.limits.store.clone(),
            ..access.limits.of_gateway()
        },
        routing: access.routing.clone(),
        attribution: access.attribution,
        audit: access.audit.clone(),
        prices: access.prices.clone(),
        ..GatewayConfig::default()
    }
}

/// The configuration of sidecars. It lists no clients: on loopback, only the pod itself can connect, and on the node's
/// network the sidecar starts with a key. It has no certificate, for the same reason. It also has no shared counter store: the store's credentials must not reach
/// the team's pods, and the pods need no route to it.
fn sidecar_config(access: &Validated) -> GatewayConfig {
    GatewayConfig {
        clients: Clients::default(),
        tls: None,
        limits: access.limits.of_gateway(),
        ..gateway_config(access)
    }
}

/// The error message of a gateway whose `BedrockAccess` is denied. It names no policy: policies are not a concern of
/// clients.
fn revocation_message(namespace: &str, name: &str) -> String {
    format!(
        "BedrockAccess {namespace}/{name} is not allowed by any BedrockAccessPolicy. For details, run: kubectl --namespace {namespace} describe bedrockaccess {name}"
    )
}

/// The configuration of a gateway that serves nothing. Client authentication stays, so that strangers learn nothing.
pub(crate) fn revoked_config(config: GatewayConfig, namespace: &str, name: &str) -> GatewayConfig {
    GatewayConfig {
        models: Vec::new(),
        allow: Vec::new(),
        revoked: Some(revocation_message(namespace, name)),
        ..config
    }
}
