//! The conditions of the status, each a pure function of the observed state.

pub(super) mod accepted;
pub(super) mod credentials;
pub(super) mod encrypted;
pub(super) mod gateway;
pub(super) mod models;
pub(super) mod monitored;
mod of_others;
pub(super) mod ready;
pub(super) mod related;
pub(super) mod routed;
pub(super) mod sidecars;
pub(super) mod target_roles;
pub(super) mod targets_healthy;

/// The three values of a condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// The result of computing a condition, without generation and transition time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConditionOutcome {
    pub(crate) state: ConditionStatus,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl ConditionOutcome {
    pub(crate) fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::True, reason, message)
    }

    pub(crate) fn no(reason: &str, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::False, reason, message)
    }

    pub(crate) fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self::new(ConditionStatus::Unknown, reason, message)
    }

    fn new(state: ConditionStatus, reason: &str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}
