//! `SidecarsUpToDate`, and the count behind it.

use api::{
    names,
    v1alpha1::{condition, status::SidecarsStatus},
};

use super::{State, Verdict};
use crate::{
    access::validate::Validated,
    sidecar::{fleet::SidecarFacts, template},
};

/// Counts and condition; `None` where the spec asks for no sidecars.
pub(in crate::access::status) fn verdict(
    access: Option<&Validated>,
    fleet: &[SidecarFacts],
) -> Option<(SidecarsStatus, Verdict)> {
    let access = access?;
    let current = template::template(access)?.hash;
    let count = |wanted: &dyn Fn(&SidecarFacts) -> bool| {
        let found = fleet.iter().filter(|facts| wanted(facts)).count();
        i32::try_from(found).unwrap_or(i32::MAX)
    };
    let counts = SidecarsStatus {
        total: count(&|facts| facts.hash.is_some()),
        ready: count(&|facts| facts.hash.is_some() && facts.pod.ready),
        outdated: count(&|facts| facts.hash.as_ref().is_some_and(|hash| *hash != current)),
        missing: count(&|facts| facts.hash.is_none()),
    };
    let verdict = if counts.missing > 0 {
        Verdict::new(
            State::False,
            condition::REASON_NOT_INJECTED,
            format!(
                "{} pods wear the label {}={} and have no sidecar: pods get it only when they are made, so replace them",
                counts.missing,
                names::INJECT_LABEL,
                access.name
            ),
        )
    } else if counts.outdated > 0 {
        Verdict::new(
            State::False,
            condition::REASON_OUTDATED,
            format!(
                "{} of {} sidecars were injected with another image, identity or setting than new pods get: replace their pods (kubectl rollout restart)",
                counts.outdated, counts.total
            ),
        )
    } else {
        Verdict::new(
            State::True,
            condition::REASON_UP_TO_DATE,
            format!("{} sidecars are what new pods get", counts.total),
        )
    };
    Some((counts, verdict))
}
