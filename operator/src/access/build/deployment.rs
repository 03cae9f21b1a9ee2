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
            Container, KeyToPath, Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec,
            PodTemplateSpec, SleepAction, TopologySpreadConstraint, Volume,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use serde_json::json;

use super::{
    ADMIN_PORT,
    container::{config_volume, container, hash, probe, runtime_default},
    identity::{self, secret_volume},
    labels_of, metadata, selector,
};
use crate::access::validate::{Entry, Identity, Scale, Validated};

/// User and group of the gateway, as in distroless images; also the group of its volumes, since the token must be
/// readable without root.
const USER: i64 = 65_532;
const API_PORT: &str = "http";
/// How long a pod continues to serve after the start of its termination, until every kube-proxy has removed it.
const PRE_STOP_SECONDS: i64 = 5;
/// Time after the drain to flush logs and exit.
const EXIT_SECONDS: i64 = 5;
const HOSTNAME_KEY: &str = "kubernetes.io/hostname";
const ZONE_KEY: &str = "topology.kubernetes.io/zone";

pub(super) fn build(access: &Validated) -> Deployment {
    let gateway = &access.gateway;
    let mut annotations = gateway.pod_annotations.clone();
    annotations.insert(
        names::RESTART_HASH_ANNOTATION.to_owned(),
        restart_hash(access),
    );
    Deployment {
        metadata: metadata(access),
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
                spec: Some(pod(access)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn pod(access: &Validated) -> PodSpec {
    let gateway = &access.gateway;
    let mut parts = identity::parts(access, config_volume("config", access, None));
    if let Some(secret) = &access.api_keys_secret {
        parts.add(secret_volume("api-keys", secret), names::API_KEYS_DIRECTORY);
    }
    if let Some(secret) = &access.limits.store_secret {
        parts.add(limit_store_volume(secret), names::LIMIT_STORE_DIRECTORY);
    }
    if let Some(tls) = &access.tls {
        let entry = tls.entry(&access.name);
        parts.add(certificate_volume(&entry), names::TLS_DIRECTORY);
    }
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
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        containers: vec![Container {
            env: Some(parts.env),
            volume_mounts: Some(parts.mounts),
            ..gateway_container(access)
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

fn gateway_container(access: &Validated) -> Container {
    let arguments = [
        "serve".to_owned(),
        format!("--config={}/{}", names::CONFIG_DIRECTORY, names::CONFIG_KEY),
        format!("--listen=0.0.0.0:{}", names::GATEWAY_PORT),
        format!("--admin-listen=0.0.0.0:{}", names::GATEWAY_ADMIN_PORT),
    ];
    let ports = [
        (API_PORT, names::GATEWAY_PORT),
        (ADMIN_PORT, names::GATEWAY_ADMIN_PORT),
    ];
    let port = IntOrString::String(ADMIN_PORT.to_owned());
    Container {
        resources: Some(access.gateway.resources()),
        startup_probe: Some(probe("/healthz", port.clone(), 1, 60)),
        liveness_probe: Some(probe("/healthz", port.clone(), 10, 3)),
        readiness_probe: Some(probe("/readyz", port, 2, 2)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: PRE_STOP_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..container(access, arguments.to_vec(), ports)
    }
}

/// The gateway starts without the Secret, too: it then uses local counters.
fn limit_store_volume(secret: &str) -> Volume {
    let mut volume = secret_volume("limit-store", secret);
    if let Some(secret) = &mut volume.secret {
        secret.optional = Some(true);
    }
    volume
}

/// The certificate of these pods alone, and its key.
fn certificate_volume(entry: &Entry) -> Volume {
    let mut volume = secret_volume("tls", &entry.secret);
    if let Some(secret) = &mut volume.secret {
        let item = |key: &str, path: &str| KeyToPath {
            key: key.to_owned(),
            path: path.to_owned(),
            mode: None,
        };
        secret.items = Some(vec![
            item(&entry.certificate, "tls.crt"),
            item(&entry.key, "tls.key"),
        ]);
    }
    volume
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
    hash(&inputs)
}

fn non_empty<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn non_empty_map(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}
