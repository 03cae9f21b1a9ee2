//! Traces: one span for each request and one for each of its calls to Bedrock, exported by OTLP over HTTP.
//!
//! OpenTelemetry's environment variables configure them; without an endpoint, traces are off and cost nothing. A
//! request continues the trace of its `traceparent` header. Attributes:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/aws-bedrock/>. No prompts, no responses, no keys.

mod sender;
mod span;

use std::{fmt, sync::Arc, time::Duration};

use axum::extract::Request;
use credentials::{Environment, Proxies};
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
pub(crate) use self::span::{CallSpan, Outcome, RequestSpan};
use crate::http::client;

/// Base URL of a collector.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Full URL for traces; takes precedence.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
/// The supported protocol, which is also OpenTelemetry's default.
const PROTOCOL: &str = "http/protobuf";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
/// The known samplers, and whether they need a ratio as argument.
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
/// Time to send the last spans at shutdown; a pod has five seconds after its drain.
const LAST_TIMEOUT: Duration = Duration::from_secs(3);
/// Default service name.
const DEFAULT_SERVICE_NAME: &str = "bedrock-gateway";

/// The tracer. Cloning copies a pointer.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// Parent span, method and path of a request.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    parent: Context,
    method: Method,
    path: String,
}

/// The trace settings of the environment are invalid.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// Only OTLP over HTTP is supported.
    #[error("{variable}={value} is not supported; use {PROTOCOL} (port 4318) or unset it")]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Only OTLP is supported.
    #[error("{EXPORTER}={0} is not supported; use otlp, or none to disable traces")]
    Exporter(String),
    /// Unknown sampler.
    #[error(
        "{SAMPLER}={0} is not supported; use parentbased_traceidratio with {SAMPLER_ARGUMENT}=0.1, or always_on"
    )]
    Sampler(String),
    /// Not a ratio.
    #[error("{SAMPLER_ARGUMENT}={0} must be a ratio between 0 and 1, such as 0.1")]
    Ratio(String),
    /// An endpoint that is not a URL, or an option that is not built in.
    #[error("invalid trace settings: {0}")]
    Options(String),
    /// TLS is not available.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Traces {
    /// The tracer that the process's environment configures; none without an endpoint, or if traces are disabled.
    ///
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, the headers that go with it,
    /// `OTEL_TRACES_SAMPLER` and its argument, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`,
    /// `OTEL_TRACES_EXPORTER` and `OTEL_SDK_DISABLED`:
    /// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
    /// Call it inside the runtime that sends the spans.
    ///
    /// # Errors
    /// When a setting is not supported.
    pub fn from_environment(environment: &dyn Environment) -> Result<Option<Self>, TracesError> {
        if !are_enabled(environment)? {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(client::connect(
                client::tls()?,
                &Proxies::default(),
            )))
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

    /// A tracer of a provider.
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

    /// Sends pending spans within a few seconds and stops.
    pub(crate) async fn shut_down(&self) {
        let provider = self.0.provider.clone();
        let ended =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_TIMEOUT)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "failed to export the last spans");
        }
    }
}

impl fmt::Debug for Traces {
    /// Omits the exporter's headers, which may contain a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

/// Whether the environment enables traces.
fn are_enabled(environment: &dyn Environment) -> Result<bool, TracesError> {
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
        let (_, needs_ratio) = known.ok_or(TracesError::Sampler(sampler))?;
        if *needs_ratio {
            let ratio = value(SAMPLER_ARGUMENT).unwrap_or_default();
            if !ratio
                .parse()
                .is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
            {
                return Err(TracesError::Ratio(ratio));
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
        are_enabled(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn traces_are_enabled_by_an_endpoint_unless_disabled() {
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
    fn rejects_unsupported_settings_with_a_fix() {
        let endpoint = (ENDPOINT, "http://collector:4317");
        let refusal = wanted(&[endpoint, (PROTOCOLS[1], "grpc")]).unwrap_err();
        assert!(
            refusal.contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
            "{refusal}"
        );
        assert!(refusal.contains("4318"), "{refusal}");
        // The more specific variable takes precedence.
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
