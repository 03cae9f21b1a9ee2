//! Variables, volumes and mounts with which a gateway's container gets its AWS credentials.
//!
//! The operator sets all of them itself, under the names that the EKS webhooks use, so that the gateway works with and
//! without these webhooks: they do not change existing entries.

use api::names;
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, ProjectedVolumeSource, SecretKeySelector, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

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

/// A variable with a value.
pub(crate) fn variable(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        ..EnvVar::default()
    }
}

/// A read-only mount.
pub(crate) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

pub(crate) fn parts(access: &Validated) -> Parts {
    let mut parts = Parts::default();
    parts
        .env
        .push(variable("AWS_REGION", access.region.as_str()));
    parts
        .env
        .push(variable("AWS_STS_REGIONAL_ENDPOINTS", "regional"));
    let endpoints = [
        (
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            &access.endpoints.bedrock_runtime,
        ),
        (
            "AWS_ENDPOINT_URL_BEDROCK_MANTLE",
            &access.endpoints.bedrock_mantle,
        ),
        ("AWS_ENDPOINT_URL_BEDROCK", &access.endpoints.bedrock),
        ("AWS_ENDPOINT_URL_STS", &access.endpoints.sts),
    ];
    for (name, url) in endpoints {
        if let Some(url) = url {
            parts.env.push(variable(name, url.as_str()));
        }
    }
    match &access.identity {
        Identity::Irsa {
            role,
            session_name,
            token_expiration_seconds,
            audience,
        } => {
            let file = format!("{}/{}", names::TOKEN_DIRECTORY, names::TOKEN_FILE_NAME);
            parts.env.push(variable("AWS_ROLE_ARN", role.as_str()));
            parts
                .env
                .push(variable("AWS_WEB_IDENTITY_TOKEN_FILE", file));
            parts
                .env
                .push(variable("AWS_ROLE_SESSION_NAME", session_name.as_str()));
            parts.volumes.push(token(
                names::TOKEN_VOLUME,
                audience,
                *token_expiration_seconds,
                names::TOKEN_FILE_NAME,
            ));
            parts
                .mounts
                .push(mount(names::TOKEN_VOLUME, names::TOKEN_DIRECTORY));
        }
        Identity::PodIdentity => {
            let file = format!("{POD_IDENTITY_DIRECTORY}/{POD_IDENTITY_VOLUME}");
            parts.env.push(variable(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                POD_IDENTITY_URI,
            ));
            parts
                .env
                .push(variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file));
            parts.volumes.push(token(
                POD_IDENTITY_VOLUME,
                POD_IDENTITY_AUDIENCE,
                POD_IDENTITY_EXPIRATION_SECONDS,
                POD_IDENTITY_VOLUME,
            ));
            parts
                .mounts
                .push(mount(POD_IDENTITY_VOLUME, POD_IDENTITY_DIRECTORY));
        }
        Identity::Secret { name } => secret(name, &mut parts),
        Identity::Ambient => return parts,
    }
    // Only the requested identity: never fall back to the node's role.
    parts
        .env
        .push(variable("AWS_EC2_METADATA_DISABLED", "true"));
    parts
}

/// Mounts the Secret as files, which the kubelet updates after a rotation. The operator cannot read Secrets, so it does
/// not know the keys in it.
fn secret(name: &str, parts: &mut Parts) {
    let file = |key: &str| format!("{}/{key}", names::IDENTITY_DIRECTORY);
    parts
        .env
        .push(variable(SECRET_DIRECTORY, names::IDENTITY_DIRECTORY));
    parts.env.push(variable("AWS_CONFIG_FILE", file("config")));
    parts
        .env
        .push(variable("AWS_SHARED_CREDENTIALS_FILE", file("credentials")));
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
    parts.volumes.push(Volume {
        name: SECRET_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.to_owned()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    });
    parts
        .mounts
        .push(mount(SECRET_VOLUME, names::IDENTITY_DIRECTORY));
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
