//! `Accepted`: what the policies say. Not set while there is none and none is required.

use api::v1alpha1::condition;

use super::{State, Verdict};
use crate::policy::judge::Judgement;

pub(in crate::access::status) fn verdict(judgement: &Judgement) -> Option<Verdict> {
    match judgement {
        Judgement::Ungoverned => None,
        Judgement::Allowed { policy } => Some(Verdict::new(
            State::True,
            condition::REASON_ALLOWED,
            format!("BedrockAccessPolicy {policy} allows all of it"),
        )),
        Judgement::Denied(denial) => Some(Verdict::new(
            State::False,
            condition::REASON_NOT_ALLOWED,
            denial.to_string(),
        )),
    }
}
