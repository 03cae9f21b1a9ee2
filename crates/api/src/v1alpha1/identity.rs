//! Where the gateway's AWS credentials come from.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// Lifetime of the projected token in seconds where nothing else is said, as the EKS webhook has it.
pub const DEFAULT_TOKEN_EXPIRATION_SECONDS: i64 = 86_400;

/// Where the gateway's AWS credentials come from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("[has(self.irsa), has(self.podIdentity), has(self.secret), has(self.ambient)].filter(set, set).size() == 1").message("set exactly one of irsa, podIdentity, secret and ambient")
)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySpec {
    /// IAM roles for service accounts: the pod's projected token is exchanged at STS for credentials of a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irsa: Option<IrsaSpec>,
    /// EKS Pod Identity: the agent on the node hands out credentials of the role that a pod identity association names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity: Option<PodIdentitySpec>,
    /// A Secret with access keys, a shared config profile, or a Bedrock API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<IdentitySecretSpec>,
    /// Whatever the AWS SDK finds by itself in the pod, such as the node's instance profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<AmbientSpec>,
    /// Roles to assume one after another on top of it, for models in another account; the last one signs.
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default)]
    pub assume_roles: Vec<AssumeRoleSpec>,
}

/// IAM roles for service accounts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IrsaSpec {
    /// ARN of the role; its trust policy must let the ServiceAccount in (status.trustPolicy is one that does).
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/.+$')").message("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/BedrockRole"))]
    pub role_arn: String,
    /// Name of the session in CloudTrail; left out, it is made from namespace and name of the access.
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[\w+=,.@-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Lifetime of the projected token in seconds; the kubelet replaces it when 80 % have passed.
    #[schemars(range(min = 600, max = 86_400))]
    #[serde(default = "token_expiration_seconds")]
    pub token_expiration_seconds: i64,
    /// Audience of the projected token, as the identity provider in IAM expects it.
    #[schemars(length(min = 1, max = 255))]
    #[serde(default = "sts_audience")]
    pub audience: String,
}

/// EKS Pod Identity; the role is chosen by the pod identity association in EKS, so there is nothing to set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentitySpec {}

/// A Secret in the namespace of the access.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySecretSpec {
    /// Name of the Secret. Keys that are looked at: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; config, credentials and AWS_PROFILE; AWS_BEARER_TOKEN_BEDROCK.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// Whatever the AWS SDK finds by itself in the pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmbientSpec {}

/// A role to assume, parameters as in sts:AssumeRole.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRoleSpec {
    /// ARN of the role to assume.
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/.+$')").message("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/BedrockRole"))]
    pub role_arn: String,
    /// Name of the session in CloudTrail; left out, it is made from namespace and name of the access.
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[\w+=,.@-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// The value that the role's trust policy asks for in sts:ExternalId.
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[\w+=,.@:/-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Lifetime of the credentials in seconds; AWS allows at most an hour for a role assumed from another role.
    #[schemars(range(min = 900, max = 43_200))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
}

fn token_expiration_seconds() -> i64 {
    DEFAULT_TOKEN_EXPIRATION_SECONDS
}

fn sts_audience() -> String {
    names::STS_AUDIENCE.to_owned()
}
