//! The gateway's configuration document and the ConfigMap that carries it.

use std::collections::BTreeMap;

use api::{
    GatewayConfig,
    config::{AccessReference, Limits},
    names,
};
use k8s_openapi::api::core::v1::ConfigMap;

use super::{BuildError, metadata};
use crate::access::validate::Validated;

pub(super) fn build(access: &Validated) -> Result<ConfigMap, BuildError> {
    let config = gateway_config(access);
    config.check().map_err(BuildError::Config)?;
    let yaml = config.to_yaml().map_err(BuildError::Config)?;
    Ok(ConfigMap {
        metadata: metadata(
            access,
            &access.child_name(),
            &BTreeMap::new(),
            &BTreeMap::new(),
        ),
        data: Some(BTreeMap::from([(names::CONFIG_KEY.to_owned(), yaml)])),
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
        limits: Limits::default(),
        ..GatewayConfig::default()
    }
}
