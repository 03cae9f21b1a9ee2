//! What a request used and how it ended, written down exactly once: step 8.
//!
//! The account goes along with the request into the body of its answer. However that ends, by success,
//! by an error or by a client that left, dropping the account writes it. No prompts, no keys.

use std::{sync::Arc, time::Duration};

use bedrock::converse::TokenUsage;
use tokio::time::Instant;

use crate::{
    error::GatewayError,
    limits::Permit,
    metrics::{CallLabels, Metrics},
    rates::Admission,
};

/// How a request ended that nobody waited for.
const CLIENT_LEFT: &str = "client_left";
/// Status written for it, as nginx does.
const CLIENT_LEFT_STATUS: u16 = 499;

/// Stands in metrics for models that nothing but a pattern and a failed request know of.
const UNKNOWN_MODEL: &str = "other";

/// The account of one request.
#[derive(Debug)]
pub(crate) struct Account {
    trace: Trace,
    route: &'static str,
    operation: &'static str,
    started: Instant,
    first_byte: Option<Duration>,
    permit: Option<Permit>,
    admission: Option<Admission>,
    client: String,
    model: String,
    /// Whether the configuration names the model, so that it may stand in a metric.
    model_is_configured: bool,
    stream: bool,
    usage: Option<TokenUsage>,
    outcome: Option<Outcome>,
}

/// What became of the calls of Bedrock that a request made.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    metrics: Arc<Metrics>,
    request_id: String,
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
        metrics: Arc<Metrics>,
        route: &'static str,
        operation: &'static str,
        request_id: &str,
    ) -> Self {
        Self {
            trace: Trace {
                metrics,
                request_id: request_id.to_owned(),
                attempts: 0,
                target: None,
                aws_request_id: None,
            },
            route,
            operation,
            started: Instant::now(),
            first_byte: None,
            permit: None,
            admission: None,
            client: String::new(),
            model: String::new(),
            model_is_configured: false,
            stream: false,
            usage: None,
            outcome: None,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.trace.request_id
    }

    /// Where calls of Bedrock are written down.
    pub(crate) fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Adds a trace that began as a copy of this one's while it was empty.
    pub(crate) fn join(&mut self, trace: Trace) {
        let attempts = self.trace.attempts.saturating_add(trace.attempts);
        self.trace = Trace { attempts, ..trace };
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
        self.stream = stream;
    }

    /// The first byte of a stream goes out.
    pub(crate) fn first_byte(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed());
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
        if let GatewayError::Service(refusal) = error {
            self.trace
                .aws_request_id
                .clone_from(&refusal.error.request_id);
        }
        self.outcome = Some(Outcome {
            status: error.status().as_u16(),
            reason: error.reason().to_owned(),
        });
    }
}

impl Trace {
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// One more call of Bedrock.
    pub(crate) fn attempt(&mut self, model_id: &str, region: &str, result: &str) {
        self.attempts = self.attempts.saturating_add(1);
        self.metrics.attempt(region, result);
        self.target = Some((model_id.to_owned(), region.to_owned()));
    }

    pub(crate) fn answered_by(&mut self, aws_request_id: Option<String>) {
        self.aws_request_id = aws_request_id;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let outcome = self.outcome.take().unwrap_or_else(|| Outcome {
            status: CLIENT_LEFT_STATUS,
            reason: CLIENT_LEFT.to_owned(),
        });
        let metrics = &self.trace.metrics;
        metrics.request(self.route, outcome.status, &outcome.reason);
        if !self.model.is_empty() {
            let known = self.model_is_configured || outcome.reason.is_empty();
            let model = if known { &self.model } else { UNKNOWN_MODEL };
            let labels = CallLabels::new(self.operation, model, &self.client);
            metrics.call(&labels, took, &outcome.reason);
            if let Some(first_byte) = self.first_byte {
                metrics.first_token(&labels, first_byte);
            }
            if let Some(usage) = &self.usage {
                metrics.tokens(&labels, usage);
            }
        }
        let usage = self.usage.unwrap_or_default();
        if let Some(admission) = &self.admission {
            admission.charge(usage.prompt_tokens().saturating_add(usage.output_tokens));
        }
        let (target_model, region) = self.trace.target.take().unwrap_or_default();
        tracing::info!(
            request_id = self.trace.request_id,
            route = self.route,
            status = outcome.status,
            reason = outcome.reason,
            client = self.client,
            model = self.model,
            target_model,
            region,
            stream = self.stream,
            attempts = self.trace.attempts,
            duration_ms = millis(took),
            first_byte_ms = self.first_byte.map(millis),
            input_tokens = usage.prompt_tokens(),
            output_tokens = usage.output_tokens,
            aws_request_id = self.trace.aws_request_id.as_deref(),
            "request"
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
