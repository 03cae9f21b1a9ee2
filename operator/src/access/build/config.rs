//! The gateway's configuration document and the ConfigMap that carries it.

use std::collections::BTreeMap;

use api::{
    GatewayConfig,
    config::{AccessReference, Clients, Limits},
    names,
};
use k8s_openapi::api::core::v1::ConfigMap;

use super::{BuildError, metadata};
use crate::access::{revoke, validate::Validated};

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
            revoke::document(config, &access.namespace, &access.name)
        } else {
            config
        };
        config.check().map_err(BuildError::Config)?;
        let yaml = config.to_yaml().map_err(BuildError::Config)?;
        data.insert(key.to_owned(), yaml);
    }
    Ok(ConfigMap {
        metadata: metadata(
            access,
            &access.child_name(),
            &BTreeMap::new(),
            &BTreeMap::new(),
        ),
        data: Some(data),
        ..ConfigMap::default()
    })
}

/// The document that the gateways of an access read.
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
        guardrail: access.guardrail.clone(),
        clients: access.clients.clone(),
        limits: Limits {
            store: access.limits.store.clone(),
            ..Limits::default().with_rates(access.limits.rates)
        },
        ..GatewayConfig::default()
    }
}

/// The document that sidecars read. It names no clients: on loopback that lets the pod itself in and
/// nobody else, unless the sidecar is started with a key, as on the node's network. Nor does it name a store of
/// counts: what that asks for is no business of the team's pods, nor is the way to it.
fn sidecar_config(access: &Validated) -> GatewayConfig {
    GatewayConfig {
        clients: Clients::default(),
        limits: Limits::default().with_rates(access.limits.rates),
        ..gateway_config(access)
    }
}
