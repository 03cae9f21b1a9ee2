//! Traces: one span for each request and one for each call of Bedrock it makes, sent by OTLP over HTTP.
//!
//! The environment says where to, with OpenTelemetry's own variables; where it says nothing, there are none, and
//! nothing of this costs anything. A request goes on the trace that its `traceparent` names. Names of attributes:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/aws-bedrock/>. No prompts, no answers, no keys.

mod sender;
mod span;

use std::{fmt, sync::Arc, time::Duration};

use axum::extract::Request;
use credentials::Environment;
use http::Method;
use opentelemetry::{
    Context, InstrumentationScope, KeyValue, propagation::TextMapPropagator, trace::TracerProvider,
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};

use self::sender::Sender;
pub(crate) use self::span::{CallSpan, Called, RequestSpan};
use crate::http::client;

/// Base URL of a collector, for all that is sent to it.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Full URL for traces; wins.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
/// The protocol that is spoken, and what OpenTelemetry takes where none is named.
const PROTOCOL: &str = "http/protobuf";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
/// The samplers there are, and whether they take a share.
const SAMPLERS: [(&str, bool); 6] = [
    ("always_on", false),
    ("always_off", false),
    ("traceidratio", true),
    ("parentbased_always_on", false),
    ("parentbased_always_off", false),
    ("parentbased_traceidratio", true),
];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// How long the end waits for the last spans to be sent; a pod has five seconds after its drain.
const LAST_TIMEOUT: Duration = Duration::from_secs(3);
/// Name of the service where the environment gives none.
const DEFAULT_SERVICE_NAME: &str = "bedrock-gateway";

/// Where spans go. Cloning copies a pointer.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// What is known of a request before its route: where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    parent: Context,
    method: Method,
    path: String,
}

/// The environment asks for traces in a way that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// Only OTLP over HTTP is spoken.
    #[error(
        "{variable}={value} is not spoken: use {PROTOCOL}, which collectors take on port 4318, or leave it out"
    )]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// Only OTLP is spoken.
    #[error("{EXPORTER}={0} is not known: use otlp, or none for no traces")]
    Exporter(String),
    /// No sampler of that name.
    #[error(
        "{SAMPLER}={0} is not known: use parentbased_traceidratio with {SAMPLER_ARGUMENT}=0.1, or always_on"
    )]
    Sampler(String),
    /// A share that is none.
    #[error("{SAMPLER_ARGUMENT}={0}: must be a part of one, such as 0.1")]
    Share(String),
    /// An endpoint that is no URL, an option that is not built in.
    #[error("traces cannot be sent as the environment asks: {0}")]
    Options(String),
    /// No encryption to be had.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Traces {
    /// What the process's environment asks for; none where it names no endpoint, or turns traces off.
    ///
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, the headers that go with it,
    /// `OTEL_TRACES_SAMPLER` and its argument, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`,
    /// `OTEL_TRACES_EXPORTER` and `OTEL_SDK_DISABLED`:
    /// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
    /// To be called in the runtime that sends them.
    ///
    /// # Errors
    /// When it asks for what is not spoken here.
    pub fn from_environment(environment: &dyn Environment) -> Result<Option<Self>, TracesError> {
        if !are_wanted(environment)? {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(client::connect(client::tls()?)))
            .build()
            .map_err(|error| TracesError::Options(error.to_string()))?;
        let mut resource = Resource::builder();
        if environment
            .get(SERVICE_NAME)
            .is_none_or(|name| name.is_empty())
        {
            resource = resource.with_service_name(DEFAULT_SERVICE_NAME);
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self::new(provider)))
    }

    /// Spans that a provider takes care of.
    fn new(provider: SdkTracerProvider) -> Self {
        let scope = InstrumentationScope::builder(DEFAULT_SERVICE_NAME)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self(Arc::new(Inner {
            tracer: provider.tracer_with_scope(scope),
            provider,
            propagator: TraceContextPropagator::new(),
        }))
    }

    pub(crate) fn origin(&self, request: &Request) -> Origin {
        let headers = HeaderExtractor(request.headers());
        Origin {
            parent: self
                .0
                .propagator
                .extract_with_context(&Context::new(), &headers),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        }
    }

    /// Begins the span of a request.
    pub(crate) fn begin(&self, origin: &Origin, route: &'static str) -> RequestSpan {
        RequestSpan::begin(&self.0.tracer, origin, route)
    }

    /// Sends what has not been sent, as far as that goes quickly, and ends.
    pub(crate) async fn shut_down(&self) {
        let provider = self.0.provider.clone();
        let ended =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans may be lost");
        }
    }
}

impl fmt::Debug for Traces {
    /// Without the exporter's headers, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

/// Whether the environment asks for traces.
fn are_wanted(environment: &dyn Environment) -> Result<bool, TracesError> {
    let value = |name| environment.get(name).filter(|value| !value.is_empty());
    let disabled = value(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled || (value(TRACES_ENDPOINT).is_none() && value(ENDPOINT).is_none()) {
        return Ok(false);
    }
    match value(EXPORTER).as_deref() {
        Some("none") => return Ok(false),
        None | Some("otlp") => {}
        Some(other) => return Err(TracesError::Exporter(other.to_owned())),
    }
    for variable in PROTOCOLS {
        if let Some(value) = value(variable) {
            if value != PROTOCOL {
                return Err(TracesError::Protocol { variable, value });
            }
            break;
        }
    }
    if let Some(sampler) = value(SAMPLER) {
        let known = SAMPLERS.iter().find(|(name, _)| *name == sampler);
        let (_, takes_share) = known.ok_or(TracesError::Sampler(sampler))?;
        if *takes_share {
            let share = value(SAMPLER_ARGUMENT).unwrap_or_default();
            if !share
                .parse()
                .is_ok_and(|share| (0.0..=1.0).contains(&share))
            {
                return Err(TracesError::Share(share));
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[track_caller]
    fn wanted(variables: &[(&str, &str)]) -> Result<bool, String> {
        let environment: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        are_wanted(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn traces_are_sent_where_an_endpoint_is_named_and_nothing_forbids_them() {
        let endpoint = (ENDPOINT, "http://collector:4318");
        assert_eq!(wanted(&[]), Ok(false));
        assert_eq!(wanted(&[(ENDPOINT, "")]), Ok(false));
        assert_eq!(wanted(&[endpoint]), Ok(true));
        assert_eq!(
            wanted(&[(TRACES_ENDPOINT, "http://collector/traces")]),
            Ok(true)
        );
        assert_eq!(wanted(&[endpoint, (EXPORTER, "none")]), Ok(false));
        assert_eq!(wanted(&[endpoint, (DISABLED, "true")]), Ok(false));
        assert_eq!(
            wanted(&[endpoint, (DISABLED, "false"), (EXPORTER, "otlp")]),
            Ok(true)
        );
    }

    #[test]
    fn what_is_not_spoken_is_refused_with_the_way_out() {
        let endpoint = (ENDPOINT, "http://collector:4317");
        let refusal = wanted(&[endpoint, (PROTOCOLS[1], "grpc")]).unwrap_err();
        assert!(
            refusal.contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
            "{refusal}"
        );
        assert!(refusal.contains("4318"), "{refusal}");
        // The more special variable wins.
        assert_eq!(
            wanted(&[endpoint, (PROTOCOLS[0], PROTOCOL), (PROTOCOLS[1], "grpc")]),
            Ok(true)
        );
        assert_eq!(wanted(&[endpoint, (SAMPLER, "always_off")]), Ok(true));
        let refusal = wanted(&[endpoint, (SAMPLER, "xray")]).unwrap_err();
        assert!(refusal.contains("OTEL_TRACES_SAMPLER=xray"), "{refusal}");
        for (share, usable) in [
            ("0", true),
            ("1", true),
            ("0.25", true),
            ("25", false),
            ("", false),
        ] {
            let ratio = [
                endpoint,
                (SAMPLER, "traceidratio"),
                (SAMPLER_ARGUMENT, share),
            ];
            assert_eq!(wanted(&ratio).is_ok(), usable, "{share}");
        }
        let refusal = wanted(&[endpoint, (EXPORTER, "zipkin")]).unwrap_err();
        assert!(refusal.contains("OTEL_TRACES_EXPORTER=zipkin"), "{refusal}");
    }
}
