//! `Accepted`: the result of the policy evaluation, and whether the author of restricted values is known. Not set if the
//! cluster has no policy, none is required, and the admission webhook verifies the author.

use api::v1alpha1::condition;

use super::ConditionOutcome;
use crate::{error_chain::shown, policy::evaluate::Evaluation};

/// Maximum number of values in a message.
const SHOWN: usize = 5;

pub(crate) fn outcome(evaluation: &Evaluation) -> Option<ConditionOutcome> {
    match evaluation {
        Evaluation::Unrestricted { .. } => None,
        Evaluation::Allowed { policy, .. } => Some(ConditionOutcome::yes(
            condition::REASON_ALLOWED,
            format!("allowed by BedrockAccessPolicy {policy}"),
        )),
        Evaluation::AcceptedEarlier { policy, unruled } => {
            let allowed = policy
                .as_ref()
                .map(|policy| format!("allowed by BedrockAccessPolicy {policy}; "));
            Some(ConditionOutcome::yes(
                condition::REASON_ACCEPTED_EARLIER,
                format!(
                    "{}accepted before the operator verified the author: {}. A change of the spec is denied unless the validation webhook is enabled (chart value admission.enabled), or a BedrockAccessPolicy has rules for these values.",
                    allowed.unwrap_or_default(),
                    shown(unruled, SHOWN, "; ", ToString::to_string)
                ),
            ))
        }
        Evaluation::Denied(denial) => {
            Some(ConditionOutcome::no(denial.reason(), denial.to_string()))
        }
    }
}
