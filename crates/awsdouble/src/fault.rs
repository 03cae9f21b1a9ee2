//! Injected faults: the calls they apply to, how often, and their effect.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// A fault to inject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only calls of this service (as in [`crate::Call::service`]).
    #[serde(default)]
    pub service: Option<String>,
    /// Only calls of this operation.
    #[serde(default)]
    pub operation: Option<String>,
    /// Number of matching calls that succeed first.
    #[serde(default)]
    pub after: u64,
    /// Number of calls that fail; if absent, all calls until the fault is cleared.
    #[serde(default)]
    pub times: Option<u64>,
    /// The effect on a call.
    pub action: FaultAction,
}

/// The effect of a fault on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// Returns an error in the service's format.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code, for example `ThrottlingException`.
        code: String,
        /// Error message; if empty, AWS's usual one.
        #[serde(default)]
        message: String,
        /// Whether the body is `{}`, with type and message in the headers only.
        #[serde(default)]
        empty_body: bool,
    },
    /// Delays the response.
    Delay {
        /// The delay.
        milliseconds: u64,
    },
    /// Never responds.
    Hang,
    /// Closes the connection without a response.
    Disconnect,
    /// Returns status 200 with an invalid body.
    Garbage,
    /// Streams: sends an exception frame after some events.
    StreamException {
        /// Number of events before it.
        after: usize,
        /// Exception type in camelCase or PascalCase.
        code: String,
        /// Error message; if empty, AWS's usual one.
        #[serde(default)]
        message: String,
    },
    /// Streams: resets the connection after some events.
    StreamCut {
        /// Number of events before it.
        after: usize,
    },
    /// Streams: sends nothing more after some events and keeps the connection open.
    StreamStall {
        /// Number of events before it.
        after: usize,
    },
}

impl FaultAction {
    /// The `kind` in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Delay { .. } => "delay",
            Self::Hang => "hang",
            Self::Disconnect => "disconnect",
            Self::Garbage => "garbage",
            Self::StreamException { .. } => "stream_exception",
            Self::StreamCut { .. } => "stream_cut",
            Self::StreamStall { .. } => "stream_stall",
        }
    }
}

impl Fault {
    /// Returns an error for every call of an operation until cleared.
    pub fn error(operation: &str, status: u16, code: &str) -> Self {
        Self::new(
            operation,
            FaultAction::Error {
                status,
                code: code.to_owned(),
                message: String::new(),
                empty_body: false,
            },
        )
    }

    /// Applies an action to every call of an operation until cleared.
    pub fn new(operation: &str, action: FaultAction) -> Self {
        Self {
            service: None,
            operation: Some(operation.to_owned()),
            after: 0,
            times: None,
            action,
        }
    }

    /// Limits the fault to a number of calls.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets a number of calls succeed first.
    #[must_use]
    pub fn after(mut self, after: u64) -> Self {
        self.after = after;
        self
    }
}

/// The active faults, oldest first; the first one that matches a call is injected.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    fn list(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.list().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.list().clear();
    }

    pub(crate) fn all(&self) -> Vec<Fault> {
        self.list().clone()
    }

    /// Takes the fault for a call and decrements its counters.
    pub(crate) fn take(&self, service: &str, operation: &str) -> Option<FaultAction> {
        let mut list = self.list();
        let mut taken = None;
        for fault in list.iter_mut() {
            let matches = fault
                .service
                .as_deref()
                .is_none_or(|wanted| wanted == service)
                && fault
                    .operation
                    .as_deref()
                    .is_none_or(|wanted| wanted == operation);
            if !matches {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                if *times == 0 {
                    continue;
                }
                *times -= 1;
            }
            taken = Some(fault.action.clone());
            break;
        }
        list.retain(|fault| fault.times != Some(0));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_applies_after_and_for_the_given_number_of_calls() {
        let faults = Faults::default();
        faults.add(
            Fault::error("Converse", 429, "ThrottlingException")
                .after(1)
                .times(2),
        );
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.take("bedrock-runtime", "Converse").is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(faults.all().is_empty());
    }

    #[test]
    fn a_fault_without_a_count_applies_until_cleared() {
        let faults = Faults::default();
        faults.add(Fault::new("AssumeRole", FaultAction::Hang));
        assert_eq!(faults.take("sts", "GetCallerIdentity"), None);
        assert_eq!(faults.take("sts", "AssumeRole"), Some(FaultAction::Hang));
        assert_eq!(faults.take("sts", "AssumeRole"), Some(FaultAction::Hang));
        faults.clear();
        assert_eq!(faults.take("sts", "AssumeRole"), None);
    }
}
