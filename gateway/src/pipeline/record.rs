//! What a request used and how it ended, written down exactly once: step 8.
//!
//! The account goes along with the request into the body of its answer. However that ends, by success,
//! by an error or by a client that left, dropping the account writes it. No prompts, no keys.

use std::{sync::Arc, time::Duration};

use bedrock::converse::TokenUsage;
use http::Uri;
use tokio::time::Instant;

use crate::{
    http::{error::GatewayError, request_guards::Permit},
    pipeline::{rate_limit::Admission, route::Target},
    server::router::State,
    telemetry::{
        metrics::{CallLabels, Metrics},
        request_id::Arrival,
        traces::{CallSpan, Called, RequestSpan},
    },
};

/// How a request ended that nobody waited for.
const CLIENT_LEFT: &str = "client_left";
/// Status written for it, as nginx does.
const CLIENT_LEFT_STATUS: u16 = 499;

/// Stands in metrics for every path that there is nothing behind.
pub(crate) const NO_ROUTE: &str = "other";
/// Stands in metrics for models that nothing but a pattern and a failed request know of.
const UNKNOWN_MODEL: &str = "other";

/// The account of one request.
#[derive(Debug)]
pub(crate) struct Account {
    calls: Calls,
    route: &'static str,
    started: Instant,
    first_byte: Option<Duration>,
    permit: Option<Permit>,
    admission: Option<Admission>,
    client: String,
    model: String,
    /// Whether the configuration names the model, so that it may stand in a metric.
    model_is_configured: bool,
    usage: Option<TokenUsage>,
    outcome: Option<Outcome>,
}

/// What became of the calls of Bedrock that a request made.
#[derive(Debug)]
pub(crate) struct Calls {
    metrics: Arc<Metrics>,
    request_id: String,
    operation: &'static str,
    stream: bool,
    /// None where traces go nowhere.
    span: Option<RequestSpan>,
    /// The span of the call that is under way, or whose answer is.
    under_way: Option<CallSpan>,
    attempts: u32,
    /// Model id and region of the last call.
    target: Option<(String, String)>,
    aws_request_id: Option<String>,
}

#[derive(Debug)]
struct Outcome {
    status: u16,
    /// Empty after success.
    reason: String,
}

impl Account {
    /// Opens the account of a request that arrived now.
    pub(crate) fn open(
        state: &State,
        arrival: &Arrival,
        route: &'static str,
        operation: &'static str,
    ) -> Self {
        let origin = state.traces().zip(arrival.origin.as_ref());
        Self {
            calls: Calls {
                metrics: state.metrics(),
                request_id: arrival.id.clone(),
                operation,
                stream: false,
                span: origin.map(|(traces, origin)| traces.begin(origin, route)),
                under_way: None,
                attempts: 0,
                target: None,
                aws_request_id: None,
            },
            route,
            started: Instant::now(),
            first_byte: None,
            permit: None,
            admission: None,
            client: String::new(),
            model: String::new(),
            model_is_configured: false,
            usage: None,
            outcome: None,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.calls.request_id
    }

    /// Where calls of Bedrock are written down.
    pub(crate) fn calls(&mut self) -> &mut Calls {
        &mut self.calls
    }

    /// Adds what [`Calls::fork`] gave.
    pub(crate) fn join(&mut self, calls: Calls) {
        let attempts = self.calls.attempts.saturating_add(calls.attempts);
        self.calls = Calls { attempts, ..calls };
    }

    /// The place among the requests in flight, kept until the account is closed.
    pub(crate) fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// What the request may use of its limits; charged when the account is closed.
    pub(crate) fn admitted(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    pub(crate) fn caller(&mut self, name: &str) {
        name.clone_into(&mut self.client);
    }

    /// The model that is asked for. One that only a pattern allows gets into metrics once Bedrock has
    /// answered for it: clients could make up any number of names.
    pub(crate) fn model(&mut self, model: &str, is_configured: bool, stream: bool) {
        model.clone_into(&mut self.model);
        self.model_is_configured = is_configured;
        self.calls.stream = stream;
    }

    /// The first byte of a stream goes out.
    pub(crate) fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed());
            if let Some(call) = &mut self.calls.under_way {
                call.first_chunk();
            }
        }
    }

    pub(crate) fn used(&mut self, usage: TokenUsage) {
        self.usage = Some(usage);
    }

    pub(crate) fn succeeded(&mut self) {
        self.outcome = Some(Outcome {
            status: 200,
            reason: String::new(),
        });
    }

    pub(crate) fn failed(&mut self, error: &GatewayError) {
        if let Some(id) = aws_request_id(error) {
            self.calls.aws_request_id = Some(id.to_owned());
        }
        self.outcome = Some(Outcome {
            status: error.status().as_u16(),
            reason: error.reason().to_owned(),
        });
    }
}

impl Calls {
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// For one of several calls that a request makes at once; nothing has been called yet.
    pub(crate) fn fork(&self) -> Self {
        Self {
            metrics: Arc::clone(&self.metrics),
            request_id: self.request_id.clone(),
            operation: self.operation,
            stream: self.stream,
            span: self.span.clone(),
            under_way: None,
            attempts: 0,
            target: None,
            aws_request_id: None,
        }
    }

    /// One more call of Bedrock begins.
    pub(crate) fn begin(&mut self, target: &Target, url: impl FnOnce() -> Option<Uri>) {
        let Some(span) = &self.span else { return };
        self.under_way = span.call(self.operation, self.stream, target, url);
    }

    /// The call that began last was refused, or could not be made.
    pub(crate) fn failed(&mut self, target: &Target, error: &GatewayError) {
        self.refused(target, error.reason(), aws_request_id(error));
    }

    /// AWS refused the call that began last.
    pub(crate) fn refused(&mut self, target: &Target, reason: &str, aws_request_id: Option<&str>) {
        self.attempt(target, reason);
        self.end(reason, aws_request_id, None);
    }

    /// The call that began last is answered; a stream is still to come.
    pub(crate) fn answered(&mut self, target: &Target, aws_request_id: Option<String>) {
        self.attempt(target, "ok");
        self.aws_request_id = aws_request_id;
    }

    /// All of the answer is there, one of several.
    pub(crate) fn complete(&mut self, usage: Option<TokenUsage>) {
        let id = self.aws_request_id.take();
        self.end("", id.as_deref(), usage);
        self.aws_request_id = id;
    }

    fn attempt(&mut self, target: &Target, result: &str) {
        let region = target.region.as_str();
        self.attempts = self.attempts.saturating_add(1);
        self.metrics.attempt(region, result);
        self.target = Some((target.model_id.clone(), region.to_owned()));
    }

    fn end(&mut self, reason: &str, aws_request_id: Option<&str>, usage: Option<TokenUsage>) {
        if let Some(call) = self.under_way.take() {
            call.end(Called {
                reason,
                aws_request_id,
                usage,
            });
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome {
            status: CLIENT_LEFT_STATUS,
            reason: CLIENT_LEFT.to_owned(),
        });
        let metrics = &self.calls.metrics;
        metrics.request(self.route, outcome.status, &outcome.reason);
        if !self.model.is_empty() {
            let known = self.model_is_configured || outcome.reason.is_empty();
            let model = if known { &self.model } else { UNKNOWN_MODEL };
            let labels = CallLabels::new(self.calls.operation, model, &self.client);
            metrics.call(&labels, took, &outcome.reason);
            if let Some(first_byte) = self.first_byte {
                metrics.first_token(&labels, first_byte);
            }
            if let Some(usage) = &self.usage {
                metrics.tokens(&labels, usage);
            }
        }
        let id = self.calls.aws_request_id.take();
        self.calls.end(&outcome.reason, id.as_deref(), self.usage);
        let span = self.calls.span.take();
        if let Some(span) = &span {
            let request_id = &self.calls.request_id;
            span.end(
                outcome.status,
                &outcome.reason,
                request_id,
                &self.client,
                &self.model,
            );
        }
        let usage = self.usage.unwrap_or_default();
        if let Some(admission) = &self.admission {
            admission.charge(usage.prompt_tokens().saturating_add(usage.output_tokens));
        }
        let (target_model, region) = self.calls.target.take().unwrap_or_default();
        tracing::info!(
            request_id = self.calls.request_id,
            route = self.route,
            status = outcome.status,
            reason = outcome.reason,
            client = self.client,
            model = self.model,
            target_model,
            region,
            stream = self.calls.stream,
            attempts = self.calls.attempts,
            duration_ms = millis(took),
            first_byte_ms = self.first_byte.map(millis),
            input_tokens = usage.prompt_tokens(),
            output_tokens = usage.output_tokens,
            aws_request_id = id.as_deref(),
            trace_id = span.map(|span| span.trace_id().to_string()),
            "request"
        );
    }
}

/// AWS's name of a request that it refused.
fn aws_request_id(error: &GatewayError) -> Option<&str> {
    match error {
        GatewayError::Service(refusal) => refusal.error.request_id.as_deref(),
        _ => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
