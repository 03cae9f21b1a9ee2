//! IAM policies for a gateway: the permission policy and the trust policy of its role, as JSON, Terraform,
//! CloudFormation or ACK manifests.
//!
//! No I/O. An unknown value (an account, or the destination regions of an unlisted inference profile) becomes a wildcard,
//! and a condition restricts the statement. All partitions are supported.
//!
//! # Example
//! Build a [`GatewayConfig`](crate::GatewayConfig), then:
//! ```
//! # use api::{GatewayConfig, RoleArn, iam};
//! # let config = GatewayConfig::from_yaml("region: us-east-1\nmodels: [{name: fast, targets: [{modelId: amazon.nova-lite-v1:0}]}]").unwrap();
//! # let role: RoleArn = "arn:aws:iam::123456789012:role/BedrockRole".parse().unwrap();
//! # let (issuer, audience, namespace, service_account) = ("https://oidc.example/id/1", "sts.amazonaws.com", "team-a", "chat");
//! let permissions = iam::Permissions::new(&config).account(role.arn().account());
//! let permission_policy: String = iam::permission_policy(&permissions)?;
//! let trust = iam::Trust::irsa(&role, issuer, audience, &[(namespace, service_account)]);
//! let trust_policy: String = iam::trust_policy(&trust)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! With `assumeRoles`, the permission policy belongs to the last role of the chain, and the role before it needs
//! [`chain_policy`]. The role of a target has its own policy ([`Permissions::of_target_role`]). The policy of the signing
//! role allows assuming it.

mod document;
mod permission;
mod render;
mod resource;
mod trust;

pub use document::{Document, Effect, Statement, Values};
pub use permission::{Feature, PermissionError, Permissions, chain_policy, permission_document};
pub use render::{Format, PodIdentityAssociation, RenderError, RoleDraft, render};
pub use trust::{GitHubFilter, Service, Trust, TrustError, trust_document};

/// Maximum size of all inline policies of a role in characters, without white space.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const INLINE_POLICY_MAX_CHARACTERS: usize = 10_240;
/// Maximum size of a managed policy in characters, without white space.
pub const MANAGED_POLICY_MAX_CHARACTERS: usize = 6_144;
/// Default quota for the size of a trust policy in characters, without white space.
pub const TRUST_POLICY_MAX_CHARACTERS: usize = 2_048;

/// The permission policy as JSON. Equal input gives the same bytes.
///
/// # Errors
/// See [`permission_document`].
pub fn permission_policy(permissions: &Permissions<'_>) -> Result<String, PermissionError> {
    permission_document(permissions).map(|document| document.to_json())
}

/// The trust policy as JSON. Equal input gives the same bytes.
///
/// # Errors
/// See [`trust_document`].
pub fn trust_policy(trust: &Trust) -> Result<String, TrustError> {
    trust_document(trust).map(|document| document.to_json())
}

#[cfg(test)]
mod tests;
