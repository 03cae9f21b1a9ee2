//! `TargetRolesReady`: what the gateways say of the roles that targets name. Not set where none names one; the
//! endpoint is ready without them (ADR-0020).

use std::collections::BTreeSet;

use api::v1alpha1::condition;

use super::{State, Verdict};
use crate::access::{
    observe::PodFacts,
    readiness::{Report, RoleReport},
    validate::Validated,
};

pub(in crate::access::status) fn verdict(
    access: Option<&Validated>,
    pods: &[PodFacts],
) -> Option<Verdict> {
    let targets = access?.models.iter().flat_map(|model| &model.targets);
    let wanted: BTreeSet<&str> = targets
        .filter_map(|target| Some(target.assume_role.as_ref()?.role_arn.as_str()))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    if pods.is_empty() {
        return Some(Verdict::new(
            State::Unknown,
            condition::REASON_NO_PODS,
            "there is no gateway pod that could tell",
        ));
    }
    // One that is starting says nothing new while others serve.
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
        return Some(Verdict::new(
            State::False,
            &report.reason,
            format!(
                "no credentials for {} of {} roles of targets; {pod} for {}: {}",
                refused.len(),
                wanted.len(),
                report.role,
                report.message
            ),
        ));
    }
    Some(if known {
        Verdict::new(
            State::True,
            condition::REASON_READY,
            "the gateway pods hold credentials for every role of a target",
        )
    } else {
        Verdict::new(
            State::Unknown,
            condition::REASON_PENDING,
            "no gateway pod has said yet whether it has credentials for every role of a target",
        )
    })
}
