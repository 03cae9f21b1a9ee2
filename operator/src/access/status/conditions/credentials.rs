//! `CredentialsReady`: the AWS credentials of the gateway pods, as the pods report them.
//!
//! A pod is ready only while it has credentials, so no report of a ready pod is needed. Pods that are not ready are
//! queried for the reason.

use api::v1alpha1::condition;

use super::ConditionOutcome;
use crate::access::observe::PodState;

/// Reasons of a gateway that do not concern credentials.
const OTHER_REASONS: [&str; 7] = [
    "Pending",
    "Starting",
    "NotReady",
    "Ready",
    "Draining",
    "ConfigInvalid",
    "ConfigMissing",
];

pub(crate) fn outcome(pods: &[PodState]) -> ConditionOutcome {
    let failing: Vec<_> = pods
        .iter()
        .filter_map(|pod| Some((pod, failure(pod)?)))
        .collect();
    if let Some((pod, (reason, message))) = failing.first() {
        return ConditionOutcome::no(
            reason,
            format!(
                "{} of {} gateway pods cannot get AWS credentials; {}: {message}",
                failing.len(),
                pods.len(),
                pod.name
            ),
        );
    }
    if pods.iter().any(|pod| pod.ready) {
        return ConditionOutcome::yes(
            condition::REASON_READY,
            "The gateway pods have AWS credentials.",
        );
    }
    if pods.is_empty() {
        return ConditionOutcome::unknown(
            condition::REASON_NO_PODS,
            "No gateway pod is running, so credentials cannot be checked.",
        );
    }
    ConditionOutcome::unknown(
        condition::REASON_PENDING,
        "Waiting for the first gateway pod to report its AWS credentials.",
    )
}

/// Reason and message of a running pod without credentials.
fn failure(pod: &PodState) -> Option<(&str, &str)> {
    let report = pod
        .report
        .as_ref()
        .filter(|report| !report.ready && !pod.ready)?;
    (!OTHER_REASONS.contains(&report.reason.as_str()))
        .then_some((report.reason.as_str(), report.message.as_str()))
}
