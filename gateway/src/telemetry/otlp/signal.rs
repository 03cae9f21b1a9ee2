//! What is exported, and what the environment says about it.

use credentials::Environment;
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::{common::v1::InstrumentationScope, resource::v1::Resource as ResourceMessage},
    transform::common::tonic::Attributes,
};
use opentelemetry_sdk::Resource;

/// Base URL of a collector.
pub(in crate::telemetry) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const COMPRESSION: &str = "OTEL_EXPORTER_OTLP_COMPRESSION";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// Default service name, and the name of the instrumentation scope.
pub(in crate::telemetry) const GATEWAY: &str = "bedrock-gateway";

/// What is exported: the variables that apply to it alone, and its paths at a collector.
#[derive(Debug)]
pub(crate) struct Signal {
    /// The name in log lines and errors.
    pub(crate) name: &'static str,
    pub(super) exporter: &'static str,
    pub(in crate::telemetry) endpoint: &'static str,
    protocol: &'static str,
    compression: &'static str,
    pub(super) headers: &'static str,
    /// Path of OTLP over HTTP.
    pub(super) path: &'static str,
    /// Path of the gRPC method.
    pub(super) method: &'static str,
}

pub(crate) const TRACES: Signal = Signal {
    name: "traces",
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    compression: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    headers: "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    path: "/v1/traces",
    method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

pub(crate) const METRICS: Signal = Signal {
    name: "metrics",
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    compression: "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    headers: "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    path: "/v1/metrics",
    method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
};

pub(crate) const LOGS: Signal = Signal {
    name: "logs",
    exporter: "OTEL_LOGS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    compression: "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
    headers: "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    path: "/v1/logs",
    method: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
};

/// A protocol of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// An export setting of the environment is invalid.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Unknown protocol.
    #[error(
        "{variable}={value} is not supported; use http/protobuf (port 4318) or grpc (port 4317)"
    )]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Only OTLP is supported.
    #[error("{variable}={value} is not supported; use otlp, or none to export no {signal}")]
    Exporter {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is exported.
        signal: &'static str,
    },
    /// Another value than the supported one.
    #[error("{variable}={value} is not supported; use {supported} or unset it")]
    Value {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The supported value.
        supported: &'static str,
    },
    /// An exporter without a collector.
    #[error("{exporter}=otlp requires {ENDPOINT}, such as http://collector:4318")]
    EndpointMissing {
        /// The variable that selects the exporter.
        exporter: &'static str,
    },
    /// Not a URL.
    #[error("{variable} must be a URL such as http://collector:4318")]
    Endpoint {
        /// The variable.
        variable: &'static str,
    },
    /// Not a list of headers. The values may be secret.
    #[error("{variable} must be a list such as name=value,other=value")]
    Headers {
        /// The variable.
        variable: &'static str,
    },
    /// Not a number.
    #[error("{variable}={value} must be a number of milliseconds above 0")]
    Milliseconds {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// TLS is not available.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The value of a variable, if it is not empty.
pub(in crate::telemetry) fn value(environment: &dyn Environment, name: &str) -> Option<String> {
    environment.get(name).filter(|value| !value.is_empty())
}

/// The first of the variables that is set, with its value.
pub(super) fn first_of(
    environment: &dyn Environment,
    variables: [&'static str; 2],
) -> Option<(&'static str, String)> {
    let mut set = variables
        .into_iter()
        .filter_map(|variable| Some((variable, value(environment, variable)?)));
    set.next()
}

/// Whether the environment disables all of OpenTelemetry.
fn is_disabled(environment: &dyn Environment) -> bool {
    value(environment, DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The attributes of all exports.
pub(in crate::telemetry) fn resource(environment: &dyn Environment) -> Resource {
    let mut resource = Resource::builder();
    if value(environment, SERVICE_NAME).is_none() {
        resource = resource.with_service_name(GATEWAY);
    }
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    resource.with_attribute(version).build()
}

/// [`resource`] as a message.
pub(super) fn resource_message(environment: &dyn Environment) -> ResourceMessage {
    let resource = resource(environment);
    let attributes = resource
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    ResourceMessage {
        attributes: Attributes::from(attributes).0,
        ..ResourceMessage::default()
    }
}

/// The scope of exports that no SDK makes.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: GATEWAY.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

impl Signal {
    /// The protocol, if the environment enables exports of this signal. `default`: of the variable that selects the exporter.
    ///
    /// # Errors
    /// When a setting is not supported.
    pub(in crate::telemetry) fn enabled(
        &self,
        environment: &dyn Environment,
        default: &str,
    ) -> Result<Option<Protocol>, OtlpError> {
        if is_disabled(environment) {
            return Ok(None);
        }
        let exporters = value(environment, self.exporter).unwrap_or_else(|| default.to_owned());
        let mut is_otlp = false;
        for exporter in exporters.split(',').map(str::trim) {
            match exporter {
                "otlp" => is_otlp = true,
                "none" => {}
                // The gateway serves these anyway.
                "prometheus" if self.name == METRICS.name => {}
                other => {
                    return Err(OtlpError::Exporter {
                        variable: self.exporter,
                        value: other.to_owned(),
                        signal: self.name,
                    });
                }
            }
        }
        if !is_otlp {
            return Ok(None);
        }
        if let Some((variable, value)) = first_of(environment, [self.compression, COMPRESSION])
            && value != "none"
        {
            return Err(OtlpError::Value {
                variable,
                value,
                supported: "none",
            });
        }
        let protocol = match first_of(environment, [self.protocol, PROTOCOL]) {
            None => Protocol::Http,
            Some((variable, value)) => match value.as_str() {
                "http/protobuf" => Protocol::Http,
                "grpc" => Protocol::Grpc,
                _ => return Err(OtlpError::Protocol { variable, value }),
            },
        };
        Ok(Some(protocol))
    }
}
