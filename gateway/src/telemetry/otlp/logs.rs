//! Audit records as OTLP logs: the body of a log record is the JSON line.
//!
//! The messages are those of `opentelemetry/proto/logs/v1/logs.proto`, with the fields that are sent:
//! <https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto>.

use std::{fmt, io, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use credentials::Environment;
use http::StatusCode;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, any_value},
    resource::v1::Resource,
};
use prost::Message;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    collector::Collector,
    signal::{LOGS, OtlpError, resource_message, scope},
};

/// Name of the event of each record.
const EVENT: &str = "bedrock_gateway.audit";
/// The severity INFO.
const SEVERITY: i32 = 9;
/// Pauses before the next attempts, if a retry can succeed.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Where audit records are exported to. Cloning copies a pointer.
#[derive(Clone)]
pub struct LogsExport(Arc<Inner>);

struct Inner {
    collector: Collector,
    resource: Resource,
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    event_name: String,
}

/// The time of a record, as RFC 3339.
#[derive(Deserialize)]
struct Timed<'a> {
    time: &'a str,
}

impl LogsExport {
    /// The export that the process's environment configures; none without `OTEL_LOGS_EXPORTER=otlp`.
    ///
    /// Reads the variables of `OTEL_EXPORTER_OTLP_…` and `OTEL_EXPORTER_OTLP_LOGS_…` for endpoint, headers and protocol,
    /// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SDK_DISABLED`. Call it inside the runtime that sends the records.
    ///
    /// # Errors
    /// When a setting is not supported.
    pub fn from_environment(environment: &dyn Environment) -> Result<Option<Self>, OtlpError> {
        let Some(protocol) = LOGS.enabled(environment, "none")? else {
            return Ok(None);
        };
        Ok(Some(Self(Arc::new(Inner {
            collector: Collector::new(&LOGS, protocol, environment)?,
            resource: resource_message(environment),
        }))))
    }

    /// Sends lines, with retries; for a thread without a runtime.
    ///
    /// # Errors
    /// When the collector does not accept them.
    pub(crate) fn export(&self, lines: &[u8]) -> io::Result<()> {
        let Inner {
            collector,
            resource,
        } = self.0.as_ref();
        let message = Bytes::from(message(lines, resource).encode_to_vec());
        let mut pauses = PAUSES.into_iter();
        loop {
            let sent = collector.send_from_thread(message.clone());
            let (error, is_final) = match sent {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => {
                    let status = response.status();
                    let error = io::Error::other(format!("the collector responds {status}"));
                    (error, !can_be_retried(status))
                }
                Err(error) => (io::Error::other(error), false),
            };
            match pauses.next() {
                Some(pause) if !is_final => pause_for(pause),
                _ => return Err(error),
            }
        }
    }
}

impl fmt::Debug for LogsExport {
    /// Omits the headers, which may contain a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogsExport").finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the thread of the records runs nothing else"
)]
fn pause_for(pause: Duration) {
    thread::sleep(pause);
}

/// <https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes>.
fn can_be_retried(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn message(lines: &[u8], resource: &Resource) -> ExportLogsServiceRequest {
    let lines = lines.split(|byte| *byte == b'\n');
    let records = lines.filter(|line| !line.is_empty()).map(record);
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: records.collect(),
            }],
        }],
    }
}

fn record(line: &[u8]) -> LogRecord {
    let timed: Option<Timed<'_>> = serde_json::from_slice(line).ok();
    let time = timed.and_then(|timed| OffsetDateTime::parse(timed.time, &Rfc3339).ok());
    let nanos = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok());
    let nanos = nanos.unwrap_or_default();
    LogRecord {
        time_unix_nano: nanos,
        severity_number: SEVERITY,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(
                String::from_utf8_lossy(line).into_owned(),
            )),
        }),
        observed_time_unix_nano: nanos,
        event_name: EVENT.to_owned(),
    }
}
