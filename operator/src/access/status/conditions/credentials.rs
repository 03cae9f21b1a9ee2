//! `CredentialsReady`: what the gateway pods say about their AWS credentials.
//!
//! A pod is ready only while it can sign, so a ready pod is proof enough; one that is not ready was
//! asked for its reason.

use api::v1alpha1::condition;

use super::{State, Verdict};
use crate::access::observe::PodFacts;

/// Reasons of a gateway's that say nothing about credentials.
const OTHER_REASONS: [&str; 7] = [
    "Pending",
    "Starting",
    "NotReady",
    "Ready",
    "Draining",
    "ConfigInvalid",
    "ConfigMissing",
];

pub(in crate::access::status) fn verdict(pods: &[PodFacts]) -> Verdict {
    let failing: Vec<_> = pods
        .iter()
        .filter_map(|pod| Some((pod, failure(pod)?)))
        .collect();
    if let Some((pod, (reason, message))) = failing.first() {
        return Verdict::new(
            State::False,
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
        return Verdict::new(
            State::True,
            condition::REASON_READY,
            "the gateway pods hold AWS credentials",
        );
    }
    if pods.is_empty() {
        return Verdict::new(
            State::Unknown,
            condition::REASON_NO_PODS,
            "there is no gateway pod that could tell",
        );
    }
    Verdict::new(
        State::Unknown,
        condition::REASON_PENDING,
        "no gateway pod has said yet whether it has AWS credentials",
    )
}

/// Reason and message of a pod that runs and has no credentials.
fn failure(pod: &PodFacts) -> Option<(&str, &str)> {
    let report = pod
        .report
        .as_ref()
        .filter(|report| !report.ready && !pod.ready)?;
    (!OTHER_REASONS.contains(&report.reason.as_str()))
        .then_some((report.reason.as_str(), report.message.as_str()))
}
