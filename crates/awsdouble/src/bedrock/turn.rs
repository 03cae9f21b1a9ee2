//! One turn of a conversation, worked out but not yet written: script, guardrail, answer, usage.
//!
//! Every surface that talks to a model (Converse, InvokeModel, Bedrock's OpenAI and Anthropic endpoints) brings
//! its own rules and its own writer; what lies between is here and speaks of requests in Converse's shape.

use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value};

use super::guardrail::{Applied, Finding};
use super::prompt::{count, last_user_text};
use super::reply::{Answer, answer};
use super::script::{Script, Trouble};
use crate::error::{AwsError, ErrorBody, usual_message};
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::Shared;

/// What AWS reports as its latency; fixed, so that replies are repeatable.
pub(super) const LATENCY_MILLISECONDS: u64 = 42;

/// A turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) script: Script,
    pub(super) answer: Answer,
    pub(super) usage: Usage,
    pub(super) guardrail: Option<Finding>,
}

/// Token counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Usage {
    /// After the last cache point.
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) cache_read: usize,
    pub(super) cache_write: usize,
    /// What a script sets, by Converse's names.
    pub(super) scripted: Map<String, Value>,
}

impl Usage {
    pub(super) fn total(&self) -> usize {
        self.input + self.output + self.cache_read + self.cache_write
    }
}

impl Turn {
    /// Works out the turn of a validated request for a model.
    pub(super) async fn work_out(
        shared: &Arc<Shared>,
        call: &Call,
        model: &str,
        conversation: &Value,
        guardrail: Option<&Applied<'_>>,
    ) -> Result<Self, AwsError> {
        let script = Script::parse(&last_user_text(conversation)).map_err(AwsError::validation)?;
        fail_as_scripted(shared, call, &script).await?;
        let mut worked_out = answer(model, conversation, &script);
        let mut usage = usage(shared, model, conversation, &script, &worked_out);
        let finding = guardrail.map(|guardrail| guardrail.judge(conversation, &worked_out));
        if let Some(finding) = &finding
            && finding.intervened()
        {
            worked_out = Answer::blocked(&finding.message);
            if finding.on_input {
                // The model was not asked.
                usage = Usage::default();
            }
        }
        Ok(Self {
            script,
            answer: worked_out,
            usage,
            guardrail: finding,
        })
    }

    /// Lets a fault of streams take the place of the script's trouble.
    pub(super) fn with_fault(mut self, fault: Option<FaultAction>) -> Self {
        let trouble = match fault {
            Some(FaultAction::StreamException {
                after,
                code,
                message,
            }) => Trouble::Exception {
                after,
                code,
                message,
            },
            Some(FaultAction::StreamCut { after }) => Trouble::Cut { after },
            Some(FaultAction::StreamStall { after }) => Trouble::Stall { after },
            _ => return self,
        };
        self.script.trouble = Some(trouble);
        self
    }

    /// Whether the guardrail spoke in the model's place.
    pub(super) fn intervened(&self) -> bool {
        self.guardrail.as_ref().is_some_and(Finding::intervened)
    }
}

/// Plays the script's troubles that come before any answer.
pub(super) async fn fail_as_scripted(
    shared: &Arc<Shared>,
    call: &Call,
    script: &Script,
) -> Result<(), AwsError> {
    match &script.trouble {
        Some(Trouble::Error {
            code,
            message,
            empty_body,
        }) => {
            let message = if message.is_empty() {
                usual_message(code)
            } else {
                message.as_str()
            };
            let mut error = AwsError::named(code, message);
            if *empty_body {
                error.body = ErrorBody::Empty;
            }
            Err(error)
        }
        Some(Trouble::Hang) => {
            shared.recorder.update(call, false);
            std::future::pending().await
        }
        _ => Ok(()),
    }
}

/// Token counts. A prefix that ends at a cache point is written to the cache once and read from then on.
fn usage(shared: &Shared, model: &str, request: &Value, script: &Script, answer: &Answer) -> Usage {
    let input = count(model, request);
    let mut usage = Usage {
        input: input.plain,
        output: answer.output_tokens,
        scripted: script.usage.clone(),
        ..Usage::default()
    };
    if let Some((_, cacheable)) = input.cache_points.last() {
        let mut known = shared
            .bedrock
            .cached_prefixes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        usage.cache_read = input
            .cache_points
            .iter()
            .filter(|(prefix, _)| known.contains(prefix))
            .map(|(_, tokens)| *tokens)
            .max()
            .unwrap_or(0);
        usage.cache_write = cacheable - usage.cache_read;
        known.extend(input.cache_points.iter().map(|(prefix, _)| prefix.clone()));
    }
    for (name, field) in [
        ("inputTokens", &mut usage.input),
        ("outputTokens", &mut usage.output),
        ("cacheReadInputTokens", &mut usage.cache_read),
        ("cacheWriteInputTokens", &mut usage.cache_write),
    ] {
        let scripted = script.usage.get(name).and_then(Value::as_u64);
        if let Some(count) = scripted.and_then(|count| usize::try_from(count).ok()) {
            *field = count;
        }
    }
    usage
}
