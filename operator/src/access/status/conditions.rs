//! What the conditions say, each from the facts it rests on.

pub(super) mod accepted;
pub(super) mod credentials;
pub(super) mod gateway;
pub(super) mod monitored;
pub(super) mod ready;
pub(super) mod sidecars;
pub(super) mod target_roles;

/// The three values of a condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    True,
    False,
    Unknown,
}

/// A condition without its bookkeeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn new(state: State, reason: &str, message: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}
