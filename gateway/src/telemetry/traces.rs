//! Traces: one span for each request and one for each of its calls to Bedrock, exported by OTLP.
//!
//! OpenTelemetry's environment variables configure them; without an endpoint, traces are off and cost nothing. A
//! request continues the trace of its `traceparent` header. Attributes:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/aws-bedrock/>. No prompts, no responses, no keys.

mod span;

use std::{fmt, sync::Arc, time::Duration};

use axum::extract::Request;
use credentials::Environment;
use http::Method;
use opentelemetry::{
    Context, InstrumentationScope, propagation::TextMapPropagator, trace::TracerProvider,
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};

pub(crate) use self::span::{CallSpan, Outcome, RequestSpan};
use super::otlp::{ENDPOINT, GATEWAY, OtlpError, Protocol, Sender, TRACES, resource, value};

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
/// Time to send the last spans at shutdown; a pod has five seconds after its drain.
const LAST_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// A setting of the export.
    #[error(transparent)]
    Export(#[from] OtlpError),
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
}

impl Traces {
    /// The tracer that the process's environment configures; none without an endpoint, or if traces are disabled.
    ///
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, the protocol and headers that go with it,
    /// `OTEL_TRACES_SAMPLER` and its argument, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`,
    /// `OTEL_TRACES_EXPORTER` and `OTEL_SDK_DISABLED`:
    /// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.
    /// Call it inside the runtime that sends the spans.
    ///
    /// # Errors
    /// When a setting is not supported.
    pub fn from_environment(environment: &dyn Environment) -> Result<Option<Self>, TracesError> {
        let Some(protocol) = enabled(environment)? else {
            return Ok(None);
        };
        let sender = Sender::new(&TRACES, protocol).map_err(OtlpError::from)?;
        let exporter = SpanExporter::builder()
            .with_http()
            // The sender adds the frames of gRPC.
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .with_http_client(sender)
            .build()
            .map_err(|error| TracesError::Options(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(environment))
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self::new(provider)))
    }

    /// A tracer of a provider.
    fn new(provider: SdkTracerProvider) -> Self {
        let scope = InstrumentationScope::builder(GATEWAY)
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

/// The protocol, if the environment enables traces.
fn enabled(environment: &dyn Environment) -> Result<Option<Protocol>, TracesError> {
    if value(environment, TRACES.endpoint).is_none() && value(environment, ENDPOINT).is_none() {
        return Ok(None);
    }
    let Some(protocol) = TRACES.enabled(environment, "otlp")? else {
        return Ok(None);
    };
    if let Some(sampler) = value(environment, SAMPLER) {
        let known = SAMPLERS.iter().find(|(name, _)| *name == sampler);
        let (_, needs_ratio) = known.ok_or(TracesError::Sampler(sampler))?;
        if *needs_ratio {
            let ratio = value(environment, SAMPLER_ARGUMENT).unwrap_or_default();
            if !ratio
                .parse()
                .is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
            {
                return Err(TracesError::Ratio(ratio));
            }
        }
    }
    Ok(Some(protocol))
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
        enabled(&environment)
            .map(|protocol| protocol.is_some())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn traces_are_enabled_by_an_endpoint_unless_disabled() {
        let endpoint = (ENDPOINT, "http://collector:4318");
        assert_eq!(wanted(&[]), Ok(false));
        assert_eq!(wanted(&[(ENDPOINT, "")]), Ok(false));
        assert_eq!(wanted(&[endpoint]), Ok(true));
        assert_eq!(
            wanted(&[(TRACES.endpoint, "http://collector/traces")]),
            Ok(true)
        );
        assert_eq!(
            wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]),
            Ok(false)
        );
        assert_eq!(
            wanted(&[endpoint, ("OTEL_SDK_DISABLED", "true")]),
            Ok(false)
        );
        assert_eq!(
            wanted(&[
                endpoint,
                ("OTEL_SDK_DISABLED", "false"),
                ("OTEL_TRACES_EXPORTER", "otlp")
            ]),
            Ok(true)
        );
    }

    #[test]
    fn rejects_unsupported_settings_with_a_fix() {
        let endpoint = (ENDPOINT, "http://collector:4317");
        let [all, traces] = [
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        ];
        let refusal = wanted(&[endpoint, (all, "http/json")]).unwrap_err();
        assert!(
            refusal.contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/json"),
            "{refusal}"
        );
        assert!(refusal.contains("4318"), "{refusal}");
        // The more specific variable takes precedence.
        for protocol in ["http/protobuf", "grpc"] {
            let both = [endpoint, (traces, protocol), (all, "http/json")];
            assert_eq!(wanted(&both), Ok(true));
        }
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
        let refusal = wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err();
        assert!(refusal.contains("OTEL_TRACES_EXPORTER=zipkin"), "{refusal}");
    }
}
