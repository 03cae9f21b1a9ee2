//! Variables, volumes and mounts of a gateway's container: its configuration, and how it gets its AWS credentials.
//!
//! The operator sets all of them itself, under the names that the EKS webhooks use, so that the gateway works with and
//! without these webhooks: they do not change existing entries.

use api::names;
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, ProjectedVolumeSource, SecretKeySelector, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use super::tracing;
use crate::access::validate::{Identity, Validated};

/// Endpoint of the EKS Pod Identity agent,
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
pub(crate) const POD_IDENTITY_URI: &str = "http://169.254.170.23/v1/credentials";
const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";
pub(crate) const POD_IDENTITY_VOLUME: &str = "eks-pod-identity-token";
pub(crate) const POD_IDENTITY_DIRECTORY: &str =
    "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount";
const POD_IDENTITY_EXPIRATION_SECONDS: i64 = 86_400;
/// Variable with the directory of a mounted Secret.
pub(crate) const SECRET_DIRECTORY: &str = "BEDROCK_GATEWAY_SECRET_DIRECTORY";
/// Volume with the Secret.
pub(crate) const SECRET_VOLUME: &str = "aws-identity";

/// Parts of a container and its pod.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) env: Vec<EnvVar>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) mounts: Vec<VolumeMount>,
}

impl Parts {
    /// Sets a variable.
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.push(variable(name, value));
    }

    /// Adds a volume with its mount.
    pub(super) fn add(&mut self, volume: Volume, path: &str) {
        self.mounts.push(mount(&volume.name, path));
        self.volumes.push(volume);
    }
}

/// A variable with a value.
pub(super) fn variable(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        ..EnvVar::default()
    }
}

/// A read-only mount.
pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// A volume with the files of a Secret.
pub(super) fn secret_volume(name: &str, secret: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The parts of a gateway with its configuration in this volume.
pub(super) fn parts(access: &Validated, config: Volume) -> Parts {
    let mut parts = Parts::default();
    parts.add(config, names::CONFIG_DIRECTORY);
    parts.set("AWS_REGION", access.region.as_str());
    parts.set("AWS_STS_REGIONAL_ENDPOINTS", "regional");
    let endpoints = &access.endpoints;
    for (name, url) in [
        (
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            &endpoints.bedrock_runtime,
        ),
        ("AWS_ENDPOINT_URL_BEDROCK_MANTLE", &endpoints.bedrock_mantle),
        ("AWS_ENDPOINT_URL_BEDROCK", &endpoints.bedrock),
        ("AWS_ENDPOINT_URL_STS", &endpoints.sts),
    ] {
        if let Some(url) = url {
            parts.set(name, url.as_str());
        }
    }
    match &access.identity {
        Identity::Irsa {
            role,
            session_name,
            token_expiration_seconds,
            audience,
        } => {
            let (directory, file) = (names::TOKEN_DIRECTORY, names::TOKEN_FILE_NAME);
            parts.set("AWS_ROLE_ARN", role.as_str());
            parts.set("AWS_WEB_IDENTITY_TOKEN_FILE", format!("{directory}/{file}"));
            parts.set("AWS_ROLE_SESSION_NAME", session_name.as_str());
            let expiration = *token_expiration_seconds;
            parts.add(
                token(names::TOKEN_VOLUME, audience, expiration, file),
                directory,
            );
        }
        Identity::PodIdentity => {
            let (directory, file) = (POD_IDENTITY_DIRECTORY, POD_IDENTITY_VOLUME);
            parts.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", POD_IDENTITY_URI);
            parts.set(
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                format!("{directory}/{file}"),
            );
            parts.add(
                token(
                    POD_IDENTITY_VOLUME,
                    POD_IDENTITY_AUDIENCE,
                    POD_IDENTITY_EXPIRATION_SECONDS,
                    file,
                ),
                directory,
            );
        }
        Identity::Secret { name } => secret(name, &mut parts),
        Identity::Ambient => {}
    }
    if access.identity != Identity::Ambient {
        // Only the requested identity: never fall back to the node's role.
        parts.set("AWS_EC2_METADATA_DISABLED", "true");
    }
    parts.set("BEDROCK_GATEWAY_LOG", access.gateway.log_level().as_str());
    let proxy = &access.proxy;
    for (name, value) in [
        ("HTTPS_PROXY", &proxy.https_proxy),
        ("HTTP_PROXY", &proxy.http_proxy),
        ("NO_PROXY", &proxy.no_proxy),
    ] {
        if let Some(value) = value {
            parts.set(name, value.as_str());
        }
    }
    if let Some(conventions) = &access.conventions {
        parts.set("OTEL_SEMCONV_STABILITY_OPT_IN", conventions);
    }
    parts.env.extend(tracing::variables(access));
    parts
}

/// Mounts the Secret as files, which the kubelet updates after a rotation. The operator cannot read Secrets, so it does
/// not know the keys in it.
fn secret(name: &str, parts: &mut Parts) {
    let file = |key: &str| format!("{}/{key}", names::IDENTITY_DIRECTORY);
    parts.set(SECRET_DIRECTORY, names::IDENTITY_DIRECTORY);
    parts.set("AWS_CONFIG_FILE", file("config"));
    parts.set("AWS_SHARED_CREDENTIALS_FILE", file("credentials"));
    parts.env.push(EnvVar {
        name: "AWS_PROFILE".to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: name.to_owned(),
                key: "AWS_PROFILE".to_owned(),
                optional: Some(true),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    });
    parts.add(
        secret_volume(SECRET_VOLUME, name),
        names::IDENTITY_DIRECTORY,
    );
}

fn token(volume: &str, audience: &str, expiration_seconds: i64, file: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(ServiceAccountTokenProjection {
                    audience: Some(audience.to_owned()),
                    expiration_seconds: Some(expiration_seconds),
                    path: file.to_owned(),
                }),
                ..VolumeProjection::default()
            }]),
        }),
        ..Volume::default()
    }
}
