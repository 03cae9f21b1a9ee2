//! Source of the gateway's AWS credentials.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// Default of `tokenExpirationSeconds`, the same as that of the EKS webhook.
pub const DEFAULT_TOKEN_EXPIRATION_SECONDS: i64 = 86_400;

/// Source of the gateway's AWS credentials.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("[has(self.irsa), has(self.podIdentity), has(self.secret), has(self.ambient)].filter(set, set).size() == 1").message("set exactly one of irsa, podIdentity, secret and ambient")
)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySpec {
    /// IAM roles for service accounts (IRSA): the gateway exchanges its projected ServiceAccount token at STS for
    /// credentials of the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irsa: Option<IrsaSpec>,
    /// EKS Pod Identity: the agent on the node provides credentials of the role in the pod identity association.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity: Option<PodIdentitySpec>,
    /// Secret with access keys, a shared config profile or a Bedrock API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<IdentitySecretSpec>,
    /// Default credential chain of the AWS SDK in the pod, such as the instance profile of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<AmbientSpec>,
    /// Roles to assume in this order, starting with the credentials above, for example for models in another account.
    /// The last role signs the requests.
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assume_roles: Vec<AssumeRoleSpec>,
}

/// IAM roles for service accounts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IrsaSpec {
    /// ARN of the role. Its trust policy must allow the ServiceAccount; status.trustPolicy is a suitable trust policy.
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/.+$')").message("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/BedrockRole"))]
    pub role_arn: String,
    /// Role session name, which CloudTrail shows. Default: NAMESPACE.NAME of the BedrockAccess.
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[\w+=,.@-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Lifetime of the projected token in seconds. The kubelet rotates the token after 80 % of its lifetime, at the
    /// latest after 24 hours. Default: 86400.
    #[schemars(range(min = 600, max = 86_400))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expiration_seconds: Option<i64>,
    /// Audience of the projected token. It must be an audience of the identity provider in IAM.
    /// Default: sts.amazonaws.com.
    #[schemars(length(min = 1, max = 255))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// EKS Pod Identity. It has no settings, because the pod identity association in EKS determines the role.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentitySpec {}

/// A Secret in the namespace of the BedrockAccess.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentitySecretSpec {
    /// Name of the Secret. The gateway reads these keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN;
    /// config, credentials and AWS_PROFILE; or AWS_BEARER_TOKEN_BEDROCK.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// Default credential chain of the AWS SDK.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmbientSpec {}

/// A role to assume, with the parameters of sts:AssumeRole.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRoleSpec {
    /// ARN of the role to assume.
    #[schemars(length(min = 20, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/.+$')").message("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/BedrockRole"))]
    pub role_arn: String,
    /// Role session name, which CloudTrail shows. Default: NAMESPACE.NAME of the BedrockAccess.
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[\w+=,.@-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// External id that the trust policy of the role requires in sts:ExternalId.
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[\w+=,.@:/-]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Lifetime of the credentials in seconds. AWS allows at most 3600 for a role that is assumed from another role.
    /// Default: the default of STS.
    #[schemars(range(min = 900, max = 43_200))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
}

impl IrsaSpec {
    /// Lifetime of the projected token in seconds, with the default applied.
    pub fn token_expiration_seconds(&self) -> i64 {
        self.token_expiration_seconds
            .unwrap_or(DEFAULT_TOKEN_EXPIRATION_SECONDS)
    }

    /// Audience of the projected token, with the default applied.
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or(names::STS_AUDIENCE)
    }
}
