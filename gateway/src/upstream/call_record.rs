//! Record of the calls to Bedrock for one request: metrics, spans, and the values of the request's log line.

use std::sync::Arc;

use api::prices::{GuardrailPrice, TierPrices};
use bedrock::converse::TokenUsage;
use http::HeaderMap;

use super::{operation::Operation, response::request_id, target::Target};
use crate::{
    http::error::GatewayError,
    measure::{self, Step},
    telemetry::{
        audit::{Attempt, AttemptLog},
        metrics::Metrics,
        traces::{CallSpan, Outcome, RequestSpan},
    },
};

/// The calls to Bedrock of one request.
#[derive(Debug)]
pub(crate) struct CallRecord {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) request_id: String,
    pub(crate) operation: &'static str,
    /// Name of the client; empty until it is authenticated.
    pub(crate) client: String,
    pub(crate) stream: bool,
    /// None without traces.
    pub(crate) span: Option<RequestSpan>,
    /// Span of the current call, until its response is complete.
    current: Option<CallSpan>,
    pub(crate) attempts: u32,
    /// Model id and region of the last call.
    pub(crate) target: Option<(String, String)>,
    /// Seed of that target; 0 before the first call.
    pub(crate) target_seed: u64,
    /// Prices of that target, if known.
    pub(crate) prices: Option<Arc<TierPrices>>,
    /// The price of its guardrail, if it has no model.
    pub(crate) guardrail_price: Option<GuardrailPrice>,
    /// Whether a call has begun.
    pub(crate) is_sent: bool,
    pub(crate) aws_request_id: Option<String>,
    /// The calls for the audit record; none without one.
    audit: Option<AttemptLog>,
    /// Index of the current call in it.
    audited: Option<usize>,
}

impl CallRecord {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        request_id: String,
        operation: &'static str,
        span: Option<RequestSpan>,
    ) -> Self {
        Self {
            metrics,
            request_id,
            operation,
            client: String::new(),
            stream: false,
            span,
            current: None,
            attempts: 0,
            target: None,
            target_seed: 0,
            prices: None,
            guardrail_price: None,
            is_sent: false,
            aws_request_id: None,
            audit: None,
            audited: None,
        }
    }

    /// An empty record for one of several concurrent calls of the request.
    pub(crate) fn fork(&self) -> Self {
        Self {
            client: self.client.clone(),
            stream: self.stream,
            audit: self.audit.clone(),
            ..Self::new(
                Arc::clone(&self.metrics),
                self.request_id.clone(),
                self.operation,
                self.span.clone(),
            )
        }
    }

    /// Adds a record of [`Self::fork`].
    pub(crate) fn join(&mut self, calls: Self) {
        let attempts = self.attempts.saturating_add(calls.attempts);
        *self = Self { attempts, ..calls };
    }

    /// Adds the calls to an audit record.
    pub(crate) fn set_audit(&mut self, attempts: AttemptLog) {
        self.audit = Some(attempts);
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, target: &Target, operation: Operation) {
        self.is_sent = true;
        self.audited = self.audit.as_ref().map(|audit| {
            let role = target.assume_role.as_ref();
            audit.begin(Attempt {
                model: target.model_id.clone(),
                region: target.region.to_string(),
                operation: operation.name(),
                service: operation.service().host_prefix(),
                role: role.map(|role| role.role_arn.to_string()),
                aws_request_id: None,
                result: "abandoned".into(),
                tokens: None,
            })
        });
        let Some(span) = &self.span else { return };
        let region = target.region.as_str();
        let url = || target.url(operation).ok();
        self.current = span.call(self.operation, self.stream, &target.model_id, region, url);
    }

    fn audited(&self, change: impl FnOnce(&mut Attempt)) {
        if let (Some(audit), Some(index)) = (&self.audit, self.audited) {
            audit.update(index, change);
        }
    }

    /// AWS has accepted the current call; its response follows.
    pub(crate) fn accepted(&self, headers: &HeaderMap) {
        self.audited(|attempt| attempt.aws_request_id = request_id(headers));
    }

    /// The current call failed.
    pub(crate) fn failed(&mut self, target: &Target, error: &GatewayError) {
        self.rejected(target, error.reason(), aws_request_id(error));
    }

    /// AWS rejected the current call.
    pub(crate) fn rejected(&mut self, target: &Target, reason: &str, aws_request_id: Option<&str>) {
        self.attempt(target, reason);
        self.audited(|attempt| {
            attempt.result = reason.to_owned().into();
            if let Some(id) = aws_request_id {
                attempt.aws_request_id = Some(id.to_owned());
            }
        });
        // A failure before the next call, such as of credentials, is none of this one.
        self.audited = None;
        self.end(reason, aws_request_id, None);
    }

    /// The current call has a response; its stream may follow.
    pub(crate) fn responded(&mut self, target: &Target, aws_request_id: Option<String>) {
        self.attempt(target, "ok");
        self.audited(|attempt| attempt.result = "ok".into());
        self.aws_request_id = aws_request_id;
    }

    /// The response of one of several calls is complete.
    pub(crate) fn complete(&mut self, usage: Option<TokenUsage>) {
        let id = self.aws_request_id.take();
        self.end("", id.as_deref(), usage);
        // The usage of the request is a sum.
        self.audited = None;
        self.aws_request_id = id;
    }

    /// The first data of a stream has arrived.
    pub(crate) fn first_chunk(&mut self) {
        if let Some(call) = &mut self.current {
            call.first_chunk();
        }
    }

    /// Ends the span of the current call.
    pub(crate) fn end(
        &mut self,
        reason: &str,
        aws_request_id: Option<&str>,
        usage: Option<TokenUsage>,
    ) {
        if let Some(usage) = usage {
            self.audited(|attempt| attempt.tokens = Some(usage.into()));
        }
        if let Some(call) = self.current.take() {
            call.end(Outcome {
                reason,
                aws_request_id,
                usage,
            });
        }
    }

    fn attempt(&mut self, target: &Target, result: &str) {
        let region = target.region.as_str();
        self.attempts = self.attempts.saturating_add(1);
        measure::step(Step::Metrics, || self.metrics.attempt(region, result));
        self.target = Some((target.model_id.clone(), region.to_owned()));
        self.target_seed = target.seed;
        self.prices.clone_from(&target.prices);
        self.guardrail_price = target.guardrail_price;
    }
}

/// AWS's id of a rejected request.
pub(crate) fn aws_request_id(error: &GatewayError) -> Option<&str> {
    match error {
        GatewayError::Service(refusal) => refusal.error.request_id.as_deref(),
        _ => None,
    }
}
