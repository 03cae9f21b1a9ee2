//! `ModelsReady`: what the built-in table of models says about the models of the spec. Not set if the table cannot judge any
//! of them: patterns, ARNs of other objects, and other partitions.
//!
//! `Ready` does not depend on it, not even for a retired model: the table is a part of the operator and may be older or
//! newer than what AWS offers this account, and a newer operator must not make an endpoint unready that serves requests.

use api::{
    catalogue::{self, Availability},
    v1alpha1::condition,
};

use super::ConditionOutcome;
use crate::{access::models::Checked, error_chain::shown};

/// The condition names this many models; the rest is counted.
const MAX_REMARKS: usize = 8;

pub(in crate::access::status) fn outcome(checked: &Checked) -> Option<ConditionOutcome> {
    if checked.count == 0 {
        return None;
    }
    let worst = checked.remarks.iter().map(|one| one.availability).max();
    // The worst first, since readers may cut a long message.
    let mut remarks: Vec<_> = checked.remarks.iter().collect();
    remarks.sort_by_key(|one| std::cmp::Reverse(one.availability));
    let message = shown(&remarks, MAX_REMARKS, "; ", |one| one.text.clone());
    Some(match worst {
        None | Some(Availability::Active) => {
            let dated = catalogue::builtin().as_of();
            ConditionOutcome::yes(
                condition::REASON_READY,
                format!("Every model can be called from its region (table of {dated})."),
            )
        }
        Some(Availability::Legacy) => {
            ConditionOutcome::yes(condition::REASON_LEGACY_MODEL, message)
        }
        Some(Availability::Unknown) => {
            ConditionOutcome::no(condition::REASON_UNKNOWN_MODEL, message)
        }
        Some(Availability::OtherRegion) => {
            ConditionOutcome::no(condition::REASON_NOT_IN_REGION, message)
        }
        Some(Availability::Retired) => {
            ConditionOutcome::no(condition::REASON_RETIRED_MODEL, message)
        }
    })
}
