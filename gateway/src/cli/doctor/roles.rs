//! Roles that targets name: whether each can be assumed, and the session a target's test call is signed with.

use std::{collections::BTreeMap, time::Duration};

use api::{GatewayConfig, config::AssumeRole};
use credentials::{ActiveCredentials, Handle};

use super::finding::{Finding, Findings};
use crate::sessions::link;

/// Sessions of the roles that could be assumed.
#[derive(Debug, Default)]
pub(super) struct Roles(BTreeMap<AssumeRole, (Handle, ActiveCredentials)>);

impl Roles {
    /// Assumes them all with the base credentials, at once.
    pub(super) async fn assume(
        config: &GatewayConfig,
        base: &Handle,
        limit: Duration,
        findings: &mut Findings,
    ) -> Self {
        let attempts = config.target_roles().into_iter().map(|(role, field)| {
            let started = base.assume(link(role), &field);
            async move {
                let outcome = match started {
                    Ok(handle) => match handle.wait_ready(limit).await {
                        Ok(credentials) => Ok((handle, credentials)),
                        Err(problem) => Err(format!("{}: {}", problem.reason, problem.message)),
                    },
                    Err(error) => Err(error.to_string()),
                };
                (role, field, outcome)
            }
        });
        let mut sessions = BTreeMap::new();
        for (role, field, outcome) in futures::future::join_all(attempts).await {
            let check = format!("role:{}", role.role_arn);
            match outcome {
                Ok(session) => {
                    findings.add(Finding::ok(check, format!("assumed, for {field}")));
                    sessions.insert(role.clone(), session);
                }
                Err(problem) => findings.add(Finding::error(
                    check,
                    format!("{field}: {problem}"),
                    format!(
                        "let the role's trust policy name the caller (and the external id), and the caller have sts:AssumeRole on the role: \
                         `bedrock-gateway iam --role-arn {} --kind role` prints the role",
                        role.role_arn
                    ),
                )),
            }
        }
        Self(sessions)
    }

    /// The session of a role; none where it could not be assumed, which has been told.
    pub(super) fn of(&self, role: &AssumeRole) -> Option<&(Handle, ActiveCredentials)> {
        self.0.get(role)
    }
}
