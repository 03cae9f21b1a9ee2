//! `Accepted`: the result of the policy evaluation. Not set if the cluster has no policy and none is required.

use api::v1alpha1::condition;

use super::ConditionOutcome;
use crate::policy::evaluate::Evaluation;

pub(crate) fn outcome(evaluation: &Evaluation) -> Option<ConditionOutcome> {
    match evaluation {
        Evaluation::Unrestricted => None,
        Evaluation::Allowed { policy } => Some(ConditionOutcome::yes(
            condition::REASON_ALLOWED,
            format!("allowed by BedrockAccessPolicy {policy}"),
        )),
        Evaluation::Denied(denial) => Some(ConditionOutcome::no(
            condition::REASON_NOT_ALLOWED,
            denial.to_string(),
        )),
    }
}
