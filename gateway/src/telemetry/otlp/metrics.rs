//! Exports of all metrics: those that `/metrics` serves, with OpenTelemetry's names where it defines them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use credentials::Environment;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::{
    collector::Collector,
    open_metrics,
    signal::{METRICS, OtlpError, resource_message, value},
};

const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
/// OpenTelemetry's default.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const CUMULATIVE: &str = "cumulative";

/// Where metrics are exported to. Cloning copies a pointer.
#[derive(Clone)]
pub struct MetricsExport(Arc<Inner>);

struct Inner {
    collector: Collector,
    interval: Duration,
    resource: Resource,
    /// Start of the process, from which counters count.
    started: SystemTime,
}

impl MetricsExport {
    /// The export that the process's environment configures; none without `OTEL_METRICS_EXPORTER=otlp`, since a collector that
    /// gets traces need not accept metrics. `started`: now.
    ///
    /// Reads the variables of `OTEL_EXPORTER_OTLP_…` and `OTEL_EXPORTER_OTLP_METRICS_…` for endpoint, headers and protocol,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SDK_DISABLED`.
    /// Call it inside the runtime that sends the metrics.
    ///
    /// # Errors
    /// When a setting is not supported.
    pub fn from_environment(
        environment: &dyn Environment,
        started: SystemTime,
    ) -> Result<Option<Self>, OtlpError> {
        let Some(protocol) = METRICS.enabled(environment, "none")? else {
            return Ok(None);
        };
        if let Some(value) = value(environment, TEMPORALITY)
            && !value.eq_ignore_ascii_case(CUMULATIVE)
        {
            return Err(OtlpError::Value {
                variable: TEMPORALITY,
                value,
                supported: CUMULATIVE,
            });
        }
        Ok(Some(Self(Arc::new(Inner {
            collector: Collector::new(&METRICS, protocol, environment)?,
            interval: interval(environment)?,
            resource: resource_message(environment),
            started,
        }))))
    }

    /// The time between two exports.
    pub(crate) fn interval(&self) -> Duration {
        self.0.interval
    }

    /// Exports a page of OpenMetrics. A failure is logged; the next export has everything again.
    pub(crate) async fn export(&self, page: &str, now: SystemTime) {
        let inner = self.0.as_ref();
        let times = [inner.started, now];
        let message = open_metrics::to_otlp(page, inner.resource.clone(), times);
        // The sender logs changes.
        let _sent = inner.collector.send(message.encode_to_vec().into()).await;
    }
}

impl fmt::Debug for MetricsExport {
    /// Omits the headers, which may contain a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsExport").finish_non_exhaustive()
    }
}

fn interval(environment: &dyn Environment) -> Result<Duration, OtlpError> {
    let Some(value) = value(environment, INTERVAL) else {
        return Ok(DEFAULT_INTERVAL);
    };
    match value.parse() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(OtlpError::Milliseconds {
            variable: INTERVAL,
            value,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{collector::HEADERS, signal::ENDPOINT},
        *,
    };

    const ON: (&str, &str) = ("OTEL_METRICS_EXPORTER", "otlp");

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    fn read(variables: &[(&str, &str)]) -> Result<Option<MetricsExport>, String> {
        let environment = environment(variables);
        MetricsExport::from_environment(&environment, SystemTime::UNIX_EPOCH)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn metrics_are_exported_if_the_exporter_is_otlp() {
        let endpoint = (ENDPOINT, "http://collector:4318");
        for (variables, is_on) in [
            (&[endpoint][..], false),
            (&[endpoint, ON], true),
            (
                &[endpoint, ("OTEL_METRICS_EXPORTER", "prometheus, otlp")],
                true,
            ),
            (&[endpoint, ("OTEL_METRICS_EXPORTER", "prometheus")], false),
            (&[endpoint, ("OTEL_METRICS_EXPORTER", "none")], false),
            (&[endpoint, ON, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (
                &[endpoint, ON, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                true,
            ),
        ] {
            assert_eq!(read(variables).unwrap().is_some(), is_on, "{variables:?}");
        }
    }

    #[tokio::test]
    async fn unsupported_settings_are_rejected_with_a_fix() {
        let endpoint = (ENDPOINT, "http://collector:4318");
        for (variables, expected) in [
            (
                &[ON][..],
                "OTEL_METRICS_EXPORTER=otlp requires OTEL_EXPORTER_OTLP_ENDPOINT",
            ),
            (
                &[(ENDPOINT, "collector:4318"), ON],
                "ENDPOINT must be a URL",
            ),
            (
                &[endpoint, ("OTEL_METRICS_EXPORTER", "console")],
                "OTEL_METRICS_EXPORTER=console is not supported; use otlp",
            ),
            (
                &[
                    endpoint,
                    ON,
                    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
                ],
                "METRICS_PROTOCOL=http/json is not supported; use http/protobuf",
            ),
            (
                &[endpoint, ON, ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
                "COMPRESSION=gzip is not supported; use none",
            ),
            (
                &[endpoint, ON, (TEMPORALITY, "delta")],
                "PREFERENCE=delta is not supported; use cumulative",
            ),
            (
                &[endpoint, ON, (INTERVAL, "0")],
                "OTEL_METRIC_EXPORT_INTERVAL=0 must be a number of milliseconds above 0",
            ),
            (
                &[endpoint, ON, (HEADERS, "secret-without-name")],
                "OTEL_EXPORTER_OTLP_HEADERS must be a list",
            ),
        ] {
            let error = read(variables).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
