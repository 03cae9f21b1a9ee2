//! `spec.sidecar`: which pods may have a sidecar, and its settings.

use std::collections::BTreeSet;

use api::v1alpha1::BedrockAccessSpec;
use k8s_openapi::api::core::v1::ResourceRequirements;

use super::Problems;
use crate::settings::Settings;

/// Settings of sidecars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sidecar {
    /// ServiceAccounts whose pods may have a sidecar, sorted.
    pub(crate) service_accounts: BTreeSet<String>,
    /// CPU and memory.
    pub(crate) resources: ResourceRequirements,
    /// Port of the API on loopback.
    pub(crate) port: u16,
    /// Port of health and metrics on the pod's address.
    pub(crate) admin_port: u16,
    /// Whether it also listens on a Unix socket in a volume that all containers share.
    pub(crate) socket: bool,
}

pub(super) fn sidecar(
    spec: &BedrockAccessSpec,
    settings: &Settings,
    problems: &mut Problems,
) -> Option<Sidecar> {
    let Some(sidecar) = &spec.sidecar else {
        if !spec.gateway.enabled {
            problems.add("spec.sidecar", "enable gateway or set sidecar");
        }
        return None;
    };
    let port = number("spec.sidecar.port", sidecar.port(), problems)?;
    let admin_port = number("spec.sidecar.adminPort", sidecar.admin_port(), problems)?;
    if port == admin_port {
        problems.add(
            "spec.sidecar.adminPort",
            "must differ from port (defaults: 8000 and 9090): both are opened in the same pod",
        );
    }
    if sidecar.service_accounts.is_empty() {
        problems.add(
            "spec.sidecar.serviceAccounts",
            "must list at least one ServiceAccount whose pods may have the sidecar",
        );
    }
    Some(Sidecar {
        service_accounts: sidecar
            .service_accounts
            .iter()
            .map(|account| account.name.clone())
            .collect(),
        resources: match (
            &sidecar.resources,
            &settings.gateway_defaults.sidecar.resources,
        ) {
            (None, Some(default)) => default.clone(),
            _ => sidecar.resources(),
        },
        port,
        admin_port,
        socket: sidecar.socket,
    })
}

/// The sidecar does not run as root, so it cannot use ports below 1024.
fn number(field: &str, port: i32, problems: &mut Problems) -> Option<u16> {
    let port = u16::try_from(port).ok().filter(|port| *port >= 1024);
    if port.is_none() {
        problems.add(field, "must be a port from 1024 to 65535");
    }
    port
}
