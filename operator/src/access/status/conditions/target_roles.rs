//! `TargetRolesReady`: the credentials of the roles that targets assume, as gateways report them. Not set if no target
//! has a role. The endpoint is ready without them (ADR-0020).

use std::collections::BTreeSet;

use api::v1alpha1::condition;

use super::ConditionOutcome;
use crate::access::{
    observe::PodState,
    readiness::{Report, RoleReport},
    validate::Validated,
};

pub(crate) fn outcome(access: Option<&Validated>, pods: &[PodState]) -> Option<ConditionOutcome> {
    let targets = access?.models.iter().flat_map(|model| &model.targets);
    let wanted: BTreeSet<&str> = targets
        .filter_map(|target| Some(target.assume_role.as_ref()?.role_arn.as_str()))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    if pods.is_empty() {
        return Some(ConditionOutcome::unknown(
            condition::REASON_NO_PODS,
            "No gateway pod is running, so credentials of target roles cannot be checked.",
        ));
    }
    // While other pods serve, a starting pod adds no information.
    let serving = pods.iter().any(|pod| pod.ready);
    let reports: Vec<(&str, &Report)> = pods
        .iter()
        .filter(|pod| pod.ready || !serving)
        .filter_map(|pod| Some((pod.name.as_str(), pod.report.as_ref()?)))
        .collect();
    let mut known = !reports.is_empty();
    let mut refused = Vec::new();
    for role in &wanted {
        let mut refusal = None;
        for (pod, report) in &reports {
            let of_role = |one: &&RoleReport| one.role == *role;
            let said: Vec<&RoleReport> = report.roles.iter().filter(of_role).collect();
            known &= !said.is_empty() && said.iter().all(|one| one.ready);
            let first = said.into_iter().find(|one| one.is_refused());
            refusal = refusal.or(first.map(|one| (*pod, one)));
        }
        refused.extend(refusal);
    }
    if let Some((pod, report)) = refused.first() {
        return Some(ConditionOutcome::no(
            &report.reason,
            format!(
                "{} of {} target roles have no credentials; {pod} reports for {}: {}",
                refused.len(),
                wanted.len(),
                report.role,
                report.message
            ),
        ));
    }
    Some(if known {
        ConditionOutcome::yes(
            condition::REASON_READY,
            "The gateway pods have credentials for every target role.",
        )
    } else {
        ConditionOutcome::unknown(
            condition::REASON_PENDING,
            "Waiting for a gateway pod to report credentials for every target role.",
        )
    })
}
