//! One turn of a conversation, before it is written in an API's format: script, guardrail, reply, usage.
//!
//! Every API that calls a model (Converse, InvokeModel, Bedrock's OpenAI and Anthropic endpoints) has its own
//! validation and its own writer; they share this module, which works on requests in Converse's format.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::assistant;
use super::cache::{CacheUse, Scope};
use super::catalog::Rules;
use super::guardrail::{ActiveGuardrail, Finding};
use super::prompt::{Prompt, last_user_text};
use super::reply::{Reply, compose};
use super::script::{Script, ScriptedFault};
use crate::error::{AwsError, ErrorBody, usual_message};
use crate::fault::FaultAction;
use crate::ledger::Tokens;
use crate::record::Call;
use crate::server::Shared;

/// The reported latency; constant, so that responses are reproducible.
pub(super) const LATENCY_MILLISECONDS: u64 = 42;

/// A turn of a conversation.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) script: Script,
    pub(super) reply: Reply,
    pub(super) usage: Usage,
    pub(super) guardrail: Option<Finding>,
}

/// Token counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Usage {
    /// Input tokens that were neither read from the cache nor written to it.
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) cache_read: usize,
    /// Tokens written to the cache, for any lifetime.
    pub(super) cache_write: usize,
    /// Of these, tokens written for an hour.
    pub(super) cache_write_1h: usize,
    /// Values set by the script, with Converse's names.
    pub(super) scripted: Map<String, Value>,
}

impl Usage {
    fn new(used: CacheUse, script: &Script, reply: &Reply) -> Self {
        let mut usage = Self {
            input: used.plain,
            output: reply.output_tokens,
            cache_read: used.read,
            cache_write: used.written_5m + used.written_1h,
            cache_write_1h: used.written_1h,
            scripted: script.usage.clone(),
        };
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

    pub(super) fn total(&self) -> usize {
        self.input + self.output + self.cache_read + self.cache_write
    }

    /// Tokens written to the cache for an hour and for five minutes.
    pub(super) fn written(&self) -> [(&'static str, usize); 2] {
        let hour = self.cache_write_1h.min(self.cache_write);
        [("1h", hour), ("5m", self.cache_write - hour)]
    }
}

impl Turn {
    /// Builds the turn for a validated request to a model with these rules.
    pub(super) async fn build(
        shared: &Arc<Shared>,
        call: &Call,
        (model, rules): (&str, &Rules),
        conversation: &Value,
        guardrail: Option<&ActiveGuardrail<'_>>,
    ) -> Result<Self, AwsError> {
        let mut script =
            Script::parse(&last_user_text(conversation)).map_err(AwsError::validation)?;
        if shared.account.config.assistant {
            assistant::reply(&mut script, model, conversation);
        }
        fail_as_scripted(shared, call, &script).await?;
        let mut reply = compose(model, conversation, &script);
        let prompt = Prompt::read(conversation, rules);
        let used = shared.bedrock.prompt_cache.process(
            scope(call, model),
            &prompt,
            rules,
            shared.clock.now(),
        );
        let mut usage = Usage::new(used, &script, &reply);
        let finding = guardrail.map(|guardrail| guardrail.assess(conversation, &reply));
        if let Some(finding) = &finding
            && finding.intervened()
        {
            reply = Reply::blocked(&finding.message);
            if finding.on_input {
                // The model was not called.
                usage = Usage::default();
            }
        }
        Ok(Self {
            script,
            reply,
            usage,
            guardrail: finding,
        })
    }

    /// Replaces the script's fault by an injected stream fault, if any.
    pub(super) fn with_fault(mut self, fault: Option<FaultAction>) -> Self {
        let fault = match fault {
            Some(FaultAction::StreamException {
                after,
                code,
                message,
            }) => ScriptedFault::Exception {
                after,
                code,
                message,
            },
            Some(FaultAction::StreamCut { after }) => ScriptedFault::Cut { after },
            Some(FaultAction::StreamStall { after }) => ScriptedFault::Stall { after },
            _ => return self,
        };
        self.script.fault = Some(fault);
        self
    }

    /// Bills the response. A stream that begins with an exception is not billed; one that breaks later is billed as a whole.
    pub(super) fn bill(&self, shared: &Shared, call: &Call) {
        let is_rejected = matches!(
            self.script.fault,
            Some(ScriptedFault::Exception { after: 0, .. })
        );
        if !is_rejected {
            bill(shared, call, &self.usage);
        }
    }

    /// Whether the guardrail replaced the model's reply.
    pub(super) fn intervened(&self) -> bool {
        self.guardrail.as_ref().is_some_and(Finding::intervened)
    }
}

/// Bills a response with this usage.
pub(super) fn bill(shared: &Shared, call: &Call, usage: &Usage) {
    let [(_, hour), (_, minutes)] = usage.written();
    let tokens = Tokens {
        input: usage.input,
        output: usage.output,
        cache_read: usage.cache_read,
        cache_write: minutes,
        cache_write_1h: hour,
    };
    let identity = call.identity.as_ref();
    let session = identity.and_then(|one| shared.account.session(&one.access_key_id));
    let tags = session.map(|session| session.tags).unwrap_or_default();
    shared.ledger.add(call, tags, tokens, shared.clock.now());
}

/// Applies the script's faults that occur before the response.
pub(super) async fn fail_as_scripted(
    shared: &Arc<Shared>,
    call: &Call,
    script: &Script,
) -> Result<(), AwsError> {
    match &script.fault {
        Some(ScriptedFault::Error {
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
        Some(ScriptedFault::Hang) => {
            shared.recorder.update(call, false);
            std::future::pending().await
        }
        _ => Ok(()),
    }
}

/// The account, region and model of a call.
fn scope<'a>(call: &'a Call, model: &'a str) -> Scope<'a> {
    let arn = call.identity.as_ref().map(|identity| identity.arn.as_str());
    Scope {
        account: arn
            .and_then(|arn| arn.split(':').nth(4))
            .unwrap_or_default(),
        region: call.region.as_deref().unwrap_or_default(),
        model,
    }
}
