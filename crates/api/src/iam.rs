//! IAM policies for a gateway: what the role that signs may do, who may take on the role, and both
//! as JSON, Terraform, CloudFormation or ACK manifests.
//!
//! Pure: it talks to nobody and invents nothing. What it needs to know and is not told (an account,
//! the destination regions of an unlisted profile) becomes a wildcard that a condition bounds.
//! Every partition works: nothing here writes `arn:aws` on its own.
//!
//! # For the operator
//! Build the [`GatewayConfig`](crate::GatewayConfig) of the access as for the ConfigMap, then:
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
//! With `assumeRoles` the permission policy belongs to the last role of the chain; the role before
//! it needs [`chain_policy`]. The role of a target has a policy of its own ([`Permissions::of_target_role`]), and the
//! one that signs for the others may assume it.

mod document;
mod permission;
mod render;
mod resource;
mod trust;

pub use document::{Document, Effect, Statement, Values};
pub use permission::{Feature, PermissionError, Permissions, chain_policy, permission_document};
pub use render::{Format, PodIdentityAssociation, RenderError, RoleDraft, render};
pub use trust::{GitHubFilter, Service, Trust, TrustError, trust_document};

/// Largest inline policy of a role in characters, white space not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const INLINE_POLICY_MAX_CHARACTERS: usize = 10_240;
/// Largest managed policy in characters, white space not counted.
pub const MANAGED_POLICY_MAX_CHARACTERS: usize = 6_144;
/// Largest trust policy where the account's quota was not raised, white space not counted.
pub const TRUST_POLICY_MAX_CHARACTERS: usize = 2_048;

/// The permission policy as JSON that a person can paste; the same bytes for equal input.
///
/// # Errors
/// See [`permission_document`].
pub fn permission_policy(permissions: &Permissions<'_>) -> Result<String, PermissionError> {
    permission_document(permissions).map(|document| document.to_json())
}

/// The trust policy as JSON that a person can paste; the same bytes for equal input.
///
/// # Errors
/// See [`trust_document`].
pub fn trust_policy(trust: &Trust) -> Result<String, TrustError> {
    trust_document(trust).map(|document| document.to_json())
}

#[cfg(test)]
mod tests;
