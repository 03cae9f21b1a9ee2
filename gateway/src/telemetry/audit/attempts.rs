//! The calls to Bedrock of one request, for its audit record. Calls of one request can run at the same time.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Tokens;
use crate::telemetry::json_line::{Line, name};

/// A call to Bedrock.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) model: String,
    pub(crate) region: String,
    /// AWS's name of the operation.
    pub(crate) operation: &'static str,
    /// `bedrock-runtime` or `bedrock-mantle`.
    pub(crate) service: &'static str,
    /// ARN of the role that was assumed for the target.
    pub(crate) role: Option<String>,
    /// None if AWS did not respond.
    pub(crate) aws_request_id: Option<String>,
    /// `ok`, the reason of a failure, or `abandoned` without a result.
    pub(crate) result: Cow<'static, str>,
    pub(crate) tokens: Option<Tokens>,
}

impl Attempt {
    /// Adds the members of a record.
    pub(super) fn write_to(line: &mut Line, attempt: &Self) {
        line.text(name!("model"), &attempt.model);
        line.text(name!("region"), &attempt.region);
        line.word(name!("operation"), attempt.operation);
        line.word(name!("service"), attempt.service);
        line.some_text(name!("role"), attempt.role.as_deref());
        line.some_text(name!("aws_request_id"), attempt.aws_request_id.as_deref());
        line.text(name!("result"), &attempt.result);
        if let Some(tokens) = attempt.tokens {
            line.object(name!("tokens"), |line| tokens.write(line));
        }
    }
}

/// The calls of a request. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptLog(Arc<Mutex<Vec<Attempt>>>);

impl AttemptLog {
    fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call and returns its index.
    pub(crate) fn begin(&self, attempt: Attempt) -> usize {
        let mut attempts = self.attempts();
        // Room for one: a request usually has no more.
        let room = usize::from(attempts.is_empty());
        attempts.reserve_exact(room);
        attempts.push(attempt);
        attempts.len().saturating_sub(1)
    }

    /// Changes a call.
    pub(crate) fn update(&self, index: usize, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.attempts().get_mut(index) {
            change(attempt);
        }
    }

    pub(super) fn take(&self) -> Vec<Attempt> {
        std::mem::take(&mut *self.attempts())
    }
}
