//! The identity that signs requests, and the roles that are assumed with it.

use api::{
    Region, RoleArn,
    config::{AssumeRole, Model},
    v1alpha1::identity::{AssumeRoleSpec, IdentitySpec},
};

use super::{Identity, MAX_SESSION_NAME, Problems};

/// Default session name, shown in CloudTrail, truncated to the length that STS accepts. Kubernetes names contain only
/// characters that STS allows.
pub(super) fn session_name(namespace: &str, name: &str) -> String {
    format!("{namespace}.{name}")
        .chars()
        .take(MAX_SESSION_NAME)
        .collect()
}

/// Source of the credentials. `session_name` is the default of sessions without a name, here and below.
pub(super) fn identity(
    spec: &IdentitySpec,
    session_name: &str,
    problems: &mut Problems,
) -> Option<Identity> {
    match (&spec.irsa, &spec.pod_identity, &spec.secret, &spec.ambient) {
        (Some(irsa), None, None, None) => {
            let role = problems.parse("spec.identity.irsa.roleArn", &irsa.role_arn)?;
            Some(Identity::Irsa {
                role,
                session_name: irsa
                    .session_name
                    .clone()
                    .unwrap_or_else(|| session_name.to_owned()),
                token_expiration_seconds: irsa.token_expiration_seconds(),
                audience: irsa.audience().to_owned(),
            })
        }
        (None, Some(_), None, None) => Some(Identity::PodIdentity),
        (None, None, Some(secret), None) => Some(Identity::Secret {
            name: secret.name.clone(),
        }),
        (None, None, None, Some(_)) => Some(Identity::Ambient),
        _ => {
            problems.add(
                "spec.identity",
                "set exactly one of irsa, podIdentity, secret and ambient",
            );
            None
        }
    }
}

/// The role chain of the identity.
pub(super) fn assume_roles(
    links: &[AssumeRoleSpec],
    session_name: &str,
    problems: &mut Problems,
) -> Vec<AssumeRole> {
    links
        .iter()
        .enumerate()
        .filter_map(|(index, link)| {
            let field = format!("spec.identity.assumeRoles[{index}]");
            assume_role(link, &field, session_name, problems)
        })
        .collect()
}

/// One role, of the chain or of a target.
pub(super) fn assume_role(
    link: &AssumeRoleSpec,
    field: &str,
    session_name: &str,
    problems: &mut Problems,
) -> Option<AssumeRole> {
    Some(AssumeRole {
        role_arn: problems.parse(&format!("{field}.roleArn"), &link.role_arn)?,
        session_name: link
            .session_name
            .clone()
            .or_else(|| Some(session_name.to_owned())),
        external_id: link.external_id.clone(),
        duration_seconds: link.duration_seconds,
    })
}

/// A principal of one partition cannot assume a role of another; AWS reports this late and with an unclear error.
pub(super) fn check_partitions(
    region: Option<&Region>,
    identity: Option<&Identity>,
    assume_roles: &[AssumeRole],
    models: &[Model],
    problems: &mut Problems,
) {
    let Some(region) = region else { return };
    let expected = region.partition().id();
    let mut check = |field: String, role: &RoleArn| {
        let partition = role.arn().partition();
        if partition != expected {
            problems.add(
                field,
                format!("the role is in partition {partition}, but region {region} is in partition {expected}"),
            );
        }
    };
    if let Some(Identity::Irsa { role, .. }) = identity {
        check("spec.identity.irsa.roleArn".to_owned(), role);
    }
    for (index, link) in assume_roles.iter().enumerate() {
        check(
            format!("spec.identity.assumeRoles[{index}].roleArn"),
            &link.role_arn,
        );
    }
    for (index, model) in models.iter().enumerate() {
        for (at, target) in model.targets.iter().enumerate() {
            if let Some(role) = &target.assume_role {
                let field = format!("spec.models[{index}].targets[{at}].assumeRole.roleArn");
                check(field, &role.role_arn);
            }
        }
    }
}
