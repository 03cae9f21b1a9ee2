//! `TargetsHealthy`: whether gateways have ejected targets because they fail. Not set if no model has several targets. The
//! endpoint is ready without them (ADR-0029).

use std::collections::BTreeSet;

use api::{config::Target, v1alpha1::condition};

use super::ConditionOutcome;
use crate::access::{observe::PodState, readiness::EjectedTarget, validate::Validated};

/// A shorter ejection is not reported: most end before a person can read the status.
const SHORTEST_SECONDS: u64 = 60;

pub(crate) fn outcome(access: Option<&Validated>, pods: &[PodState]) -> Option<ConditionOutcome> {
    let is_used = |target: &&Target| target.weight > 0;
    let has_alternatives = |targets: &[Target]| targets.iter().filter(is_used).count() > 1;
    let mut models = access?.models.iter();
    if !models.any(|model| has_alternatives(&model.targets)) {
        return None;
    }
    if pods.is_empty() {
        return Some(ConditionOutcome::unknown(
            condition::REASON_NO_PODS,
            "No gateway pod is running, so targets cannot be checked.",
        ));
    }
    let reports: Vec<_> = pods.iter().filter_map(|pod| pod.report.as_ref()).collect();
    if reports.is_empty() {
        return Some(ConditionOutcome::unknown(
            condition::REASON_PENDING,
            "Waiting for a gateway pod to report its targets.",
        ));
    }
    let key = |target: &EjectedTarget| EjectedTarget {
        for_seconds: 0,
        ..target.clone()
    };
    let is_long = |target: &&EjectedTarget| target.for_seconds >= SHORTEST_SECONDS;
    let of_pod = |targets: &[EjectedTarget]| -> BTreeSet<_> {
        targets.iter().filter(is_long).map(key).collect()
    };
    let by_pod: Vec<_> = reports
        .iter()
        .map(|report| of_pod(&report.ejected))
        .collect();
    let all: BTreeSet<&EjectedTarget> = by_pod.iter().flatten().collect();
    let Some(first) = all.first() else {
        return Some(ConditionOutcome::yes(
            condition::REASON_READY,
            "No gateway pod has ejected a target for a minute or longer.",
        ));
    };
    let count = by_pod
        .iter()
        .filter(|targets| targets.contains(*first))
        .count();
    let role = match first.role.as_str() {
        "" => String::new(),
        role => format!(" with {role}"),
    };
    let others = match all.len() {
        1 => String::new(),
        more => format!(" (one of {more} ejected targets)"),
    };
    Some(ConditionOutcome::no(
        condition::REASON_TARGET_EJECTED,
        format!(
            "{count} of {} gateway pods have ejected {} in {}{role}{others} because it fails; requests go to the other targets of its models.",
            reports.len(),
            first.model,
            first.region
        ),
    ))
}
