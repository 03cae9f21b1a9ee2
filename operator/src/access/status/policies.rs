//! The IAM policies a role needs, as JSON to paste, for people without access to IAM.

use api::iam;

use crate::access::{
    build::gateway_config,
    validate::{Identity, Validated},
};

/// The trust policy of the role that the gateway's and the sidecars' tokens are exchanged for; of other identities the
/// trust is not the access's business.
pub(super) fn trust(access: &Validated) -> Option<String> {
    let accounts = access.signing_accounts();
    let trust = match &access.identity {
        Identity::Irsa { role, audience, .. } => iam::Trust::irsa(
            role,
            access.issuer.as_deref()?,
            audience,
            &accounts
                .iter()
                .map(|account| (access.namespace.as_str(), account.as_str()))
                .collect::<Vec<_>>(),
        ),
        Identity::PodIdentity => iam::Trust::PodIdentity {
            namespace: access.namespace.clone(),
            service_accounts: accounts,
            cluster_arn: None,
        },
        Identity::Secret { .. } | Identity::Ambient => return None,
    };
    iam::trust_policy(&trust)
        .inspect_err(|error| tracing::warn!(%error, "no trust policy can be made"))
        .ok()
}

/// The least permission policy of the role that signs.
pub(super) fn permission(access: &Validated) -> Option<String> {
    let config = gateway_config(access);
    let mut permissions = iam::Permissions::new(&config);
    if let Some(role) = access.signing_role() {
        permissions = permissions.account(role.arn().account());
    }
    iam::permission_policy(&permissions)
        .inspect_err(|error| tracing::warn!(%error, "no permission policy can be made"))
        .ok()
}
