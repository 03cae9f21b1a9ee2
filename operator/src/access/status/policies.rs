//! The IAM policies that the role needs, as JSON to copy, for users without access to IAM.

use api::iam;

use crate::access::{
    build::gateway_config,
    validate::{Identity, Validated},
};

/// The trust policy of the role for which the gateway's and the sidecars' tokens are exchanged; `None` for identities
/// whose trust the operator does not know.
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
        .inspect_err(|error| tracing::warn!(%error, "failed to build the trust policy"))
        .ok()
}

/// The least-privilege permission policy of the role that signs requests.
pub(super) fn permission(access: &Validated) -> Option<String> {
    let config = gateway_config(access);
    let mut permissions = iam::Permissions::new(&config);
    if let Some(role) = access.signing_role() {
        permissions = permissions.account(role.arn().account());
    }
    iam::permission_policy(&permissions)
        .inspect_err(|error| tracing::warn!(%error, "failed to build the permission policy"))
        .ok()
}
