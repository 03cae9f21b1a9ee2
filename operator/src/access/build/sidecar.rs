//! The sidecar of a `BedrockAccess`: container, volumes, and the settings that an app needs to find it. Pure.
//!
//! Differences to a gateway pod: it listens on loopback; its identity is the pod's ServiceAccount; its volumes are
//! readable without `fsGroup` (which would change the app's volumes, too); and its user is one that no app has.

use api::names;
use k8s_openapi::{
    api::core::v1::{
        Container, EmptyDirVolumeSource, KeyToPath, LocalObjectReference, SecurityContext, Volume,
        VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use serde_json::json;

use super::{
    container::{config_volume, container, hash, probe, runtime_default},
    identity::{self, mount},
};
use crate::access::validate::{Identity, Sidecar, Validated};

/// User and group of the sidecar: an id that app images are unlikely to use, so that the app cannot read the sidecar's
/// files even in a shared process namespace.
pub(crate) const USER: i64 = 61_532;
/// Volume with the configuration.
const CONFIG_VOLUME: &str = "bedrock-gateway-config";
/// Volume with the Secret of `identity.secret`.
const SECRET_VOLUME: &str = "bedrock-gateway-identity";
/// Volume with the socket, shared by all containers.
pub(crate) const SOCKET_VOLUME: &str = "bedrock-gateway-socket";
/// Names of the ports; they should be unique within a pod.
const API_PORT: &str = "bedrock-api";
const ADMIN_PORT: &str = "bedrock-admin";
/// Startup probes, one per second, before the kubelet restarts a sidecar without credentials.
const STARTUP_PROBES: i32 = 120;

/// The sidecar of a `BedrockAccess`; the same for every pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    /// The container, without pod-specific parts.
    pub(crate) container: Container,
    /// Its volumes.
    pub(crate) volumes: Vec<Volume>,
    /// Secrets for pulling the image.
    pub(crate) image_pull_secrets: Vec<LocalObjectReference>,
    /// What the sidecar's identity means for the other containers.
    pub(crate) claim: Claim,
    /// Whether it also listens on a Unix socket in a volume that all containers share.
    pub(crate) socket: bool,
    /// Region of the models.
    pub(crate) region: String,
    /// Port of the API on loopback.
    pub(crate) port: u16,
    /// Port of health and metrics.
    pub(crate) admin_port: u16,
    /// Changes if any of the above changes.
    pub(crate) hash: String,
}

/// What the sidecar's identity means for the other containers, and for the EKS webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The token of the pod's ServiceAccount belongs to the sidecar; no other container may have it.
    Token(Token),
    /// The sidecar has its own keys and must get no token; other containers keep theirs.
    Itself,
    /// The pod's credentials are shared by all containers.
    Nothing,
}

/// What the EKS webhook adds to a container: a volume, and the variables that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) volume: &'static str,
    /// Mount path.
    pub(crate) directory: &'static str,
    /// Variable with the path of the token file.
    pub(crate) file_variable: &'static str,
    /// Variable that is set together with it.
    pub(crate) other_variable: &'static str,
}

impl Token {
    /// For a ServiceAccount with the annotation of a role.
    pub(crate) const IRSA: Self = Self {
        volume: names::TOKEN_VOLUME,
        directory: names::TOKEN_DIRECTORY,
        file_variable: "AWS_WEB_IDENTITY_TOKEN_FILE",
        other_variable: "AWS_ROLE_ARN",
    };
    /// For a ServiceAccount with a Pod Identity association.
    pub(crate) const POD_IDENTITY: Self = Self {
        volume: identity::POD_IDENTITY_VOLUME,
        directory: identity::POD_IDENTITY_DIRECTORY,
        file_variable: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        other_variable: "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    };
    /// Both mechanisms of the webhook.
    pub(crate) const ALL: [Self; 2] = [Self::IRSA, Self::POD_IDENTITY];
}

/// The sidecar of a `BedrockAccess`; `None` if it does not allow sidecars.
pub(crate) fn template(access: &Validated) -> Option<Template> {
    let sidecar = access.sidecar.as_ref()?;
    // Only the configuration of sidecars, not that of gateway pods.
    let item = KeyToPath {
        key: names::SIDECAR_CONFIG_KEY.to_owned(),
        path: names::SIDECAR_CONFIG_KEY.to_owned(),
        mode: None,
    };
    let config = config_volume(CONFIG_VOLUME, access, Some(vec![item]));
    let mut parts = identity::parts(access, config);
    for volume in &mut parts.volumes {
        readable(volume);
    }
    for mount in &mut parts.mounts {
        if mount.name == identity::SECRET_VOLUME {
            SECRET_VOLUME.clone_into(&mut mount.name);
        }
    }
    if sidecar.socket {
        parts.volumes.push(socket_volume());
        parts.mounts.push(VolumeMount {
            read_only: None,
            ..mount(SOCKET_VOLUME, names::SOCKET_DIRECTORY)
        });
    }
    let container = Container {
        env: Some(parts.env),
        volume_mounts: Some(parts.mounts),
        ..sidecar_container(access, sidecar)
    };
    let hash = hash(&json!([&container, &parts.volumes]));
    Some(Template {
        container,
        volumes: parts.volumes,
        image_pull_secrets: access.gateway.image_pull_secrets.clone(),
        claim: claim(&access.identity),
        socket: sidecar.socket,
        region: access.region.to_string(),
        port: sidecar.port,
        admin_port: sidecar.admin_port,
        hash,
    })
}

fn sidecar_container(access: &Validated, sidecar: &Sidecar) -> Container {
    let mut arguments = vec![
        "serve".to_owned(),
        format!(
            "--config={}/{}",
            names::CONFIG_DIRECTORY,
            names::SIDECAR_CONFIG_KEY
        ),
        format!("--listen=127.0.0.1:{}", sidecar.port),
        format!("--admin-listen=0.0.0.0:{}", sidecar.admin_port),
    ];
    if sidecar.socket {
        arguments.push(format!(
            "--listen-socket={}/{}",
            names::SOCKET_DIRECTORY,
            names::SOCKET_FILE
        ));
    }
    let ports = [(API_PORT, sidecar.port), (ADMIN_PORT, sidecar.admin_port)];
    let mut base = container(access, arguments, ports);
    let security = base.security_context.take().unwrap_or_default();
    let port = IntOrString::Int(i32::from(sidecar.admin_port));
    Container {
        restart_policy: Some("Always".to_owned()),
        resources: Some(sidecar.resources.clone()),
        security_context: Some(SecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(runtime_default()),
            ..security
        }),
        // The app starts only once credentials are available, so that the first request of a Job does not fail.
        startup_probe: Some(probe("/readyz", port.clone(), 1, STARTUP_PROBES)),
        liveness_probe: Some(probe("/healthz", port.clone(), 10, 3)),
        readiness_probe: Some(probe("/readyz", port, 5, 2)),
        ..base
    }
}

/// A socket needs no space; the app cannot write to the volume.
fn socket_volume() -> Volume {
    Volume {
        name: SOCKET_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("1Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Without `fsGroup` the files belong to root, so every user in the container must be able to read them; only the
/// sidecar mounts the volume.
fn readable(volume: &mut Volume) {
    if let Some(projected) = &mut volume.projected {
        projected.default_mode = None;
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode = None;
    }
    if volume.name == identity::SECRET_VOLUME {
        SECRET_VOLUME.clone_into(&mut volume.name);
    }
}

fn claim(identity: &Identity) -> Claim {
    match identity {
        Identity::Irsa { .. } => Claim::Token(Token::IRSA),
        Identity::PodIdentity => Claim::Token(Token::POD_IDENTITY),
        Identity::Secret { .. } => Claim::Itself,
        Identity::Ambient => Claim::Nothing,
    }
}
