//! The gateway's container: what gateway pods and sidecars have in common.

use api::names;
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction, KeyToPath,
        Probe, SeccompProfile, SecurityContext, Volume,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::access::validate::Validated;

/// The container without identity, resources and probes.
pub(super) fn container(
    access: &Validated,
    arguments: Vec<String>,
    ports: [(&str, u16); 2],
) -> Container {
    let port = |(name, number): (&str, u16)| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: names::GATEWAY_NAME.to_owned(),
        image: Some(access.image.clone()),
        image_pull_policy: Some(access.gateway.image_pull_policy().as_str().to_owned()),
        args: Some(arguments),
        ports: Some(ports.map(port).to_vec()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        // The last log lines of a gateway that cannot start become part of the status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

pub(super) fn probe(
    path: &str,
    port: IntOrString,
    period_seconds: i32,
    failure_threshold: i32,
) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port,
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

pub(super) fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

/// The volume with the gateway's configuration: all of the ConfigMap, or only these items.
pub(super) fn config_volume(
    name: &str,
    access: &Validated,
    items: Option<Vec<KeyToPath>>,
) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: access.child_name(),
            items,
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The first 64 bits of a hash, in hexadecimal.
pub(super) fn hash(inputs: &Value) -> String {
    Sha256::digest(inputs.to_string())
        .iter()
        .take(8)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
