//! `Accepted`: the result of the policy evaluation. Not set if the cluster has no policy and none is required.

use api::v1alpha1::condition;

use super::{ConditionOutcome, ConditionStatus};
use crate::policy::evaluate::Evaluation;

pub(in crate::access::status) fn outcome(evaluation: &Evaluation) -> Option<ConditionOutcome> {
    match evaluation {
        Evaluation::Unrestricted => None,
        Evaluation::Allowed { policy } => Some(ConditionOutcome::new(
            ConditionStatus::True,
            condition::REASON_ALLOWED,
            format!("allowed by BedrockAccessPolicy {policy}"),
        )),
        Evaluation::Denied(denial) => Some(ConditionOutcome::new(
            ConditionStatus::False,
            condition::REASON_NOT_ALLOWED,
            denial.to_string(),
        )),
    }
}
