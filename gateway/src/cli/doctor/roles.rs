//! Checks that the roles of targets can be assumed, and keeps their credentials for the test calls.

use std::{collections::BTreeMap, time::Duration};

use api::{GatewayConfig, config::AssumeRole};
use credentials::{ActiveCredentials, Handle};

use super::finding::{Finding, Findings};
use crate::upstream::aws_credentials::{link, session_tags};

/// Credentials of the assumed roles.
#[derive(Debug, Default)]
pub(super) struct Roles(BTreeMap<AssumeRole, (Handle, ActiveCredentials)>);

impl Roles {
    /// Assumes all target roles concurrently, with the base credentials.
    pub(super) async fn assume(
        config: &GatewayConfig,
        base: &Handle,
        timeout: Duration,
        findings: &mut Findings,
    ) -> Self {
        let tags = session_tags(config);
        let attempts = config.target_roles().into_iter().map(|(role, field)| {
            let started = base.assume(link(role, &tags), &field);
            async move {
                let outcome = match started {
                    Ok(handle) => match handle.wait_ready(timeout).await {
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
                    findings.add(Finding::ok(check, format!("assumed for {field}")));
                    sessions.insert(role.clone(), session);
                }
                Err(problem) => findings.add(Finding::error(
                    check,
                    format!("{field}: {problem}"),
                    format!(
                        "name the caller (and the external ID) in the role's trust policy, and allow the caller sts:AssumeRole on the role: \
                         `bedrock-gateway iam --role-arn {} --kind role` prints the role",
                        role.role_arn
                    ),
                )),
            }
        }
        Self(sessions)
    }

    /// Credentials of a role; none if it could not be assumed, for which a finding exists.
    pub(super) fn get(&self, role: &AssumeRole) -> Option<&(Handle, ActiveCredentials)> {
        self.0.get(role)
    }
}
