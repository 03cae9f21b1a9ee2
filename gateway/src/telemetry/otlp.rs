//! OTLP: where traces, metrics and audit records go, by OpenTelemetry's environment variables, and in which protocol.
//!
//! Both protocols use the gateway's own HTTP client: an export by gRPC is one request with a frame around its message.
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

mod collector;
mod grpc;
mod logs;
mod metrics;
mod open_metrics;
mod sender;
mod signal;

pub(in crate::telemetry) use self::signal::{ENDPOINT, GATEWAY, resource, value};
pub use self::{logs::LogsExport, metrics::MetricsExport, signal::OtlpError};
pub(crate) use self::{
    sender::Sender,
    signal::{Protocol, TRACES},
};
