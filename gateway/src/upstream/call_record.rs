//! Record of the calls to Bedrock for one request: metrics, spans, and the values of the request's log line.

use std::sync::Arc;

use bedrock::converse::TokenUsage;
use http::Uri;

use super::target::Target;
use crate::{
    http::error::GatewayError,
    telemetry::{
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
    pub(crate) aws_request_id: Option<String>,
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
            stream: false,
            span,
            current: None,
            attempts: 0,
            target: None,
            target_seed: 0,
            aws_request_id: None,
        }
    }

    /// An empty record for one of several concurrent calls of the request.
    pub(crate) fn fork(&self) -> Self {
        Self {
            stream: self.stream,
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

    /// Begins a call.
    pub(crate) fn begin(&mut self, target: &Target, url: impl FnOnce() -> Option<Uri>) {
        let Some(span) = &self.span else { return };
        let region = target.region.as_str();
        self.current = span.call(self.operation, self.stream, &target.model_id, region, url);
    }

    /// The current call failed.
    pub(crate) fn failed(&mut self, target: &Target, error: &GatewayError) {
        self.rejected(target, error.reason(), aws_request_id(error));
    }

    /// AWS rejected the current call.
    pub(crate) fn rejected(&mut self, target: &Target, reason: &str, aws_request_id: Option<&str>) {
        self.attempt(target, reason);
        self.end(reason, aws_request_id, None);
    }

    /// The current call has a response; its stream may follow.
    pub(crate) fn responded(&mut self, target: &Target, aws_request_id: Option<String>) {
        self.attempt(target, "ok");
        self.aws_request_id = aws_request_id;
    }

    /// The response of one of several calls is complete.
    pub(crate) fn complete(&mut self, usage: Option<TokenUsage>) {
        let id = self.aws_request_id.take();
        self.end("", id.as_deref(), usage);
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
        self.metrics.attempt(region, result);
        self.target = Some((target.model_id.clone(), region.to_owned()));
        self.target_seed = target.seed;
    }
}

/// AWS's id of a rejected request.
pub(crate) fn aws_request_id(error: &GatewayError) -> Option<&str> {
    match error {
        GatewayError::Service(refusal) => refusal.error.request_id.as_deref(),
        _ => None,
    }
}
