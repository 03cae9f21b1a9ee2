//! `SidecarsUpToDate`, and the counts behind it.

use api::{
    names,
    v1alpha1::{condition, status::SidecarsStatus},
};

use super::ConditionOutcome;
use crate::access::{
    build::sidecar::template, observe::sidecars::SidecarState, validate::Validated,
};

/// Counts and condition; `None` if the spec enables no sidecars.
pub(crate) fn outcome(
    access: Option<&Validated>,
    pods: &[SidecarState],
) -> Option<(SidecarsStatus, ConditionOutcome)> {
    let access = access?;
    let current = template(access)?.hash;
    let count = |wanted: &dyn Fn(&SidecarState) -> bool| {
        let found = pods.iter().filter(|pod| wanted(pod)).count();
        i32::try_from(found).unwrap_or(i32::MAX)
    };
    let counts = SidecarsStatus {
        total: count(&|sidecar| sidecar.hash.is_some()),
        ready: count(&|sidecar| sidecar.hash.is_some() && sidecar.pod.ready),
        outdated: count(&|sidecar| sidecar.hash.as_ref().is_some_and(|hash| *hash != current)),
        missing: count(&|sidecar| sidecar.hash.is_none()),
    };
    let outcome = if counts.missing > 0 {
        ConditionOutcome::no(
            condition::REASON_NOT_INJECTED,
            format!(
                "{} pods with the label {}={} have no sidecar. Sidecars are injected only when a pod is created: replace these pods.",
                counts.missing,
                names::INJECT_LABEL,
                access.name
            ),
        )
    } else if counts.outdated > 0 {
        ConditionOutcome::no(
            condition::REASON_OUTDATED,
            format!(
                "{} of {} sidecars were injected with an outdated image, identity or setting. Replace their pods (kubectl rollout restart).",
                counts.outdated, counts.total
            ),
        )
    } else {
        ConditionOutcome::yes(
            condition::REASON_UP_TO_DATE,
            format!("{} sidecars are up to date", counts.total),
        )
    };
    Some((counts, outcome))
}
