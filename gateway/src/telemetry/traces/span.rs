//! Spans of requests and of calls to Bedrock, with their attributes.

use std::{fmt, time::Duration};

use bedrock::converse::TokenUsage;
use http::{StatusCode, Uri};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use tokio::time::Instant;

use super::Origin;
use crate::telemetry::{OTHER, metrics::PROVIDER};

/// The span of a request, the parent of its calls to Bedrock. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct RequestSpan {
    tracer: SdkTracer,
    context: Context,
}

/// The span of a call to Bedrock. Dropping it ends the span.
#[derive(Debug)]
pub(crate) struct CallSpan {
    span: Span,
    started: Instant,
    first_chunk: Option<Duration>,
}

/// Outcome of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    /// Empty after success.
    pub(crate) reason: &'a str,
    pub(crate) aws_request_id: Option<&'a str>,
    pub(crate) usage: Option<TokenUsage>,
}

impl RequestSpan {
    pub(super) fn begin(tracer: &SdkTracer, origin: &Origin, route: &'static str) -> Self {
        let method = origin.method.to_string();
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.clone()),
            KeyValue::new("url.path", origin.path.clone()),
        ];
        let name = if route == OTHER {
            method
        } else {
            attributes.push(KeyValue::new("http.route", route));
            format!("{method} {route}")
        };
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        let span = tracer.build_with_context(builder, &origin.parent);
        Self {
            tracer: tracer.clone(),
            context: origin.parent.with_span(span),
        }
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.context.span().span_context().trace_id()
    }

    /// The trace, if it is sampled.
    pub(crate) fn sampled_trace_id(&self) -> Option<TraceId> {
        let span = self.context.span();
        let context = span.span_context();
        context.is_sampled().then(|| context.trace_id())
    }

    /// Begins the span of a call to Bedrock; none if this request's trace is not sampled.
    pub(crate) fn call(
        &self,
        operation: &'static str,
        stream: bool,
        model_id: &str,
        region: &str,
        url: impl FnOnce() -> Option<Uri>,
    ) -> Option<CallSpan> {
        if !self.context.span().is_recording() {
            return None;
        }
        let operation = otel_operation(operation);
        let mut attributes = vec![
            KeyValue::new("gen_ai.operation.name", operation),
            KeyValue::new("gen_ai.provider.name", PROVIDER),
            KeyValue::new("gen_ai.request.model", model_id.to_owned()),
            KeyValue::new("gen_ai.request.stream", stream),
            KeyValue::new("cloud.region", region.to_owned()),
        ];
        let url = url();
        if let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host()?))) {
            let usual = if url.scheme_str() == Some("http") {
                80
            } else {
                443
            };
            let port = url.port_u16().unwrap_or(usual);
            attributes.push(KeyValue::new("server.address", host.to_owned()));
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        let builder = SpanBuilder::from_name(format!("{operation} {model_id}"))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        Some(CallSpan {
            span: self.tracer.build_with_context(builder, &self.context),
            started: Instant::now(),
            first_chunk: None,
        })
    }

    /// Ends the span. `reason` is empty after success; `client` and `model` are empty if unknown.
    pub(crate) fn end(
        &self,
        status: u16,
        reason: &str,
        request_id: &str,
        client: &str,
        model: &str,
        cost_usd: Option<f64>,
    ) {
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        span.set_attribute(KeyValue::new(
            "http.response.status_code",
            i64::from(status),
        ));
        span.set_attribute(KeyValue::new(
            "bedrock_access.request_id",
            request_id.to_owned(),
        ));
        for (key, value) in [
            ("bedrock_access.client", client),
            ("bedrock_access.model", model),
            ("error.type", reason),
        ] {
            if !value.is_empty() {
                span.set_attribute(KeyValue::new(key, value.to_owned()));
            }
        }
        if let Some(cost) = cost_usd {
            span.set_attribute(KeyValue::new("bedrock_access.cost_usd", cost));
        }
        // By OpenTelemetry's rules, a client's error is not an error of a server span.
        if status >= StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            span.set_status(Status::error(reason.to_owned()));
        }
        span.end();
    }
}

impl CallSpan {
    /// Records the arrival of the first data of a stream.
    pub(crate) fn first_chunk(&mut self) {
        if self.first_chunk.is_none() {
            self.first_chunk = Some(self.started.elapsed());
        }
    }

    pub(crate) fn end(mut self, outcome: Outcome<'_>) {
        let span = &mut self.span;
        if let Some(id) = outcome.aws_request_id {
            span.set_attribute(KeyValue::new("aws.request_id", id.to_owned()));
        }
        if let Some(after) = self.first_chunk {
            let key = "gen_ai.response.time_to_first_chunk";
            span.set_attribute(KeyValue::new(key, after.as_secs_f64()));
        }
        if let Some(usage) = outcome.usage {
            for (key, count) in [
                ("gen_ai.usage.input_tokens", usage.prompt_tokens()),
                ("gen_ai.usage.output_tokens", usage.output_tokens),
                (
                    "gen_ai.usage.cache_read.input_tokens",
                    usage.cache_read_input_tokens,
                ),
                (
                    "gen_ai.usage.cache_creation.input_tokens",
                    usage.cache_write_input_tokens,
                ),
                (
                    "gen_ai.usage.reasoning.output_tokens",
                    usage.reasoning_tokens.unwrap_or(0),
                ),
            ] {
                if count > 0 {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    span.set_attribute(KeyValue::new(key, count));
                }
            }
        }
        if !outcome.reason.is_empty() {
            span.set_attribute(KeyValue::new("error.type", outcome.reason.to_owned()));
            span.set_status(Status::error(outcome.reason.to_owned()));
        }
        span.end();
    }
}

impl fmt::Debug for RequestSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestSpan")
            .field(&self.trace_id())
            .finish()
    }
}

/// OpenTelemetry's name of an operation.
fn otel_operation(operation: &'static str) -> &'static str {
    match operation {
        "responses" => "chat",
        "images" => "generate_content",
        other => other,
    }
}
