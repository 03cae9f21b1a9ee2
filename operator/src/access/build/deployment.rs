//! The gateway's Deployment: restricted Pod Security, probes on the admin port, a grace period that fits the drain.
//!
//! A change of role, ServiceAccount, token or region changes the pod template and so replaces the pods. Models, limits
//! and clients are in the mounted configuration, which the gateway reloads, so they do not.

use std::collections::BTreeMap;

use api::{config::DEFAULT_DRAIN_SECONDS, names};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction,
            Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
            SeccompProfile, SecretVolumeSource, SecurityContext, SleepAction,
            TopologySpreadConstraint, Volume,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    ADMIN_PORT, Empty,
    identity::{self, mount, variable},
    labels_of, metadata, selector, tracing,
};
use crate::access::validate::{Identity, Scale, Validated};

/// User and group of the gateway, as in distroless images; also the group of its volumes, since the token must be
/// readable without root.
const USER: i64 = 65_532;
const CONFIG_VOLUME: &str = "config";
const API_KEYS_VOLUME: &str = "api-keys";
const LIMIT_STORE_VOLUME: &str = "limit-store";
const API_PORT: &str = "http";
/// How long a pod continues to serve after the start of its termination, until every kube-proxy has removed it.
const PRE_STOP_SECONDS: i64 = 5;
/// Time after the drain to flush logs and exit.
const EXIT_SECONDS: i64 = 5;
const HOSTNAME_KEY: &str = "kubernetes.io/hostname";
const ZONE_KEY: &str = "topology.kubernetes.io/zone";

pub(super) fn build(access: &Validated) -> Deployment {
    let name = access.child_name();
    let none = Empty::new();
    let gateway = &access.gateway;
    let mut annotations = gateway.pod_annotations.clone();
    annotations.insert(
        names::RESTART_HASH_ANNOTATION.to_owned(),
        restart_hash(access),
    );
    Deployment {
        metadata: metadata(access, &name, &none, &none),
        spec: Some(DeploymentSpec {
            replicas: match access.scale {
                Scale::Fixed(replicas) => Some(replicas),
                Scale::Automatic { .. } => None,
            },
            revision_history_limit: Some(3),
            progress_deadline_seconds: Some(600),
            selector: LabelSelector {
                match_labels: Some(selector(access)),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels_of(access, &gateway.pod_labels)),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(access, &name)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn pod(access: &Validated, name: &str) -> PodSpec {
    let gateway = &access.gateway;
    let mut parts = identity::parts(access);
    parts.volumes.insert(0, config_volume(name));
    parts
        .mounts
        .insert(0, mount(CONFIG_VOLUME, names::CONFIG_DIRECTORY));
    if let Some(secret) = &access.api_keys_secret {
        parts.volumes.push(api_keys_volume(secret));
        parts
            .mounts
            .push(mount(API_KEYS_VOLUME, names::API_KEYS_DIRECTORY));
    }
    if let Some(secret) = &access.limits.store_secret {
        parts.volumes.push(limit_store_volume(secret));
        parts
            .mounts
            .push(mount(LIMIT_STORE_VOLUME, names::LIMIT_STORE_DIRECTORY));
    }
    parts.env.push(variable(
        "BEDROCK_GATEWAY_LOG",
        gateway.log_level().as_str(),
    ));
    parts.env.extend(tracing::variables(access));
    let drain_seconds = i64::try_from(DEFAULT_DRAIN_SECONDS).unwrap_or(i64::MAX);
    PodSpec {
        service_account_name: Some(access.service_account.name().to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(
            drain_seconds.saturating_add(PRE_STOP_SECONDS + EXIT_SECONDS),
        ),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            env: Some(parts.env),
            volume_mounts: Some(parts.mounts),
            ..container(access)
        }],
        volumes: Some(parts.volumes),
        node_selector: non_empty_map(&gateway.node_selector),
        tolerations: non_empty(&gateway.tolerations),
        image_pull_secrets: non_empty(&gateway.image_pull_secrets),
        affinity: gateway.affinity.clone(),
        topology_spread_constraints: non_empty(&spread(access)),
        priority_class_name: gateway.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

fn container(access: &Validated) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let arguments = [
        "serve".to_owned(),
        format!("--config={}/{}", names::CONFIG_DIRECTORY, names::CONFIG_KEY),
        format!("--listen=0.0.0.0:{}", names::GATEWAY_PORT),
        format!("--admin-listen=0.0.0.0:{}", names::GATEWAY_ADMIN_PORT),
    ];
    Container {
        name: names::GATEWAY_NAME.to_owned(),
        image: Some(access.image.clone()),
        image_pull_policy: Some(access.gateway.image_pull_policy().as_str().to_owned()),
        args: Some(arguments.to_vec()),
        ports: Some(vec![
            port(API_PORT, names::GATEWAY_PORT),
            port(ADMIN_PORT, names::GATEWAY_ADMIN_PORT),
        ]),
        resources: Some(access.gateway.resources()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        startup_probe: Some(probe("/healthz", 1, 60)),
        liveness_probe: Some(probe("/healthz", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        // The last log lines of a gateway that cannot start become part of the status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: PRE_STOP_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN_PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn config_volume(config_map: &str) -> Volume {
    Volume {
        name: CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config_map.to_owned(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn api_keys_volume(secret: &str) -> Volume {
    Volume {
        name: API_KEYS_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The gateway starts without the Secret, too: it then uses local counters.
fn limit_store_volume(secret: &str) -> Volume {
    Volume {
        name: LIMIT_STORE_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            optional: Some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The constraints of the spec; by default evenly over zones and nodes as far as possible.
fn spread(access: &Validated) -> Vec<TopologySpreadConstraint> {
    let own_pods = LabelSelector {
        match_labels: Some(selector(access)),
        ..LabelSelector::default()
    };
    match &access.gateway.topology_spread_constraints {
        Some(constraints) => constraints
            .iter()
            .cloned()
            .map(|mut constraint| {
                constraint
                    .label_selector
                    .get_or_insert_with(|| own_pods.clone());
                constraint
            })
            .collect(),
        None => [ZONE_KEY, HOSTNAME_KEY]
            .into_iter()
            .map(|key| TopologySpreadConstraint {
                topology_key: key.to_owned(),
                max_skew: 1,
                when_unsatisfiable: "ScheduleAnyway".to_owned(),
                label_selector: Some(own_pods.clone()),
                ..TopologySpreadConstraint::default()
            })
            .collect(),
    }
}

/// Changes if running pods hold outdated credentials: of another role, ServiceAccount, token, region or STS endpoint.
fn restart_hash(access: &Validated) -> String {
    let identity = match &access.identity {
        Identity::Irsa {
            role,
            session_name,
            token_expiration_seconds: _,
            audience,
        } => json!({"role": role, "session": session_name, "audience": audience}),
        Identity::PodIdentity => json!("podIdentity"),
        Identity::Secret { name } => json!({"secret": name}),
        Identity::Ambient => json!("ambient"),
    };
    let inputs = json!({
        "identity": identity,
        "assumeRoles": access.assume_roles,
        "serviceAccount": access.service_account.name(),
        "region": access.region,
        "sts": access.endpoints.sts,
    });
    let mut hash = Sha256::new();
    hash.update(inputs.to_string().as_bytes());
    hash.finalize()
        .iter()
        .take(8)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn non_empty<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn non_empty_map(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}
