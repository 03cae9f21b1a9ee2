//! Exports of all metrics: those that `/metrics` serves, with OpenTelemetry's names where it defines them.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use credentials::Environment;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use opentelemetry::KeyValue;
use opentelemetry_http::HttpClient;
use opentelemetry_proto::{tonic::resource::v1::Resource, transform::common::tonic::Attributes};
use percent_encoding::percent_decode_str;
use prost::Message;

use super::{ENDPOINT, METRICS, OtlpError, Sender, first_of, open_metrics, resource, value};

const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const METRICS_HEADERS: &str = "OTEL_EXPORTER_OTLP_METRICS_HEADERS";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
/// OpenTelemetry's default.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const CUMULATIVE: &str = "cumulative";
const CONTENT_TYPE: &str = "application/x-protobuf";

/// Where metrics are exported to. Cloning copies a pointer.
#[derive(Clone)]
pub struct MetricsExport(Arc<Inner>);

struct Inner {
    sender: Sender,
    url: Uri,
    headers: HeaderMap,
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
        let attributes = resource(environment);
        let attributes = attributes
            .iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        Ok(Some(Self(Arc::new(Inner {
            url: url(environment)?,
            headers: headers(environment)?,
            interval: interval(environment)?,
            sender: Sender::new(&METRICS, protocol)?,
            resource: Resource {
                attributes: Attributes::from(attributes).0,
                ..Resource::default()
            },
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
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = inner.url.clone();
        request.headers_mut().clone_from(&inner.headers);
        let content_type = HeaderValue::from_static(CONTENT_TYPE);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        // The sender logs changes.
        let _sent = inner.sender.send_bytes(request).await;
    }
}

impl fmt::Debug for MetricsExport {
    /// Omits the headers, which may contain a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsExport").finish_non_exhaustive()
    }
}

/// The URL of the collector: that for metrics, or the base URL with the path of OTLP.
fn url(environment: &dyn Environment) -> Result<Uri, OtlpError> {
    let set = first_of(environment, [METRICS.endpoint, ENDPOINT]);
    let (variable, url) = set.ok_or(OtlpError::EndpointMissing)?;
    let url = if variable == ENDPOINT {
        format!("{}{}", url.trim_end_matches('/'), METRICS.path)
    } else {
        url
    };
    let parsed: Uri = url.parse().map_err(|_| OtlpError::Endpoint { variable })?;
    match (parsed.scheme_str(), parsed.host()) {
        (Some("http" | "https"), Some(_)) => Ok(parsed),
        _ => Err(OtlpError::Endpoint { variable }),
    }
}

/// Headers such as `name=value,other=value`, with percent-encoded values.
fn headers(environment: &dyn Environment) -> Result<HeaderMap, OtlpError> {
    let Some((variable, list)) = first_of(environment, [METRICS_HEADERS, HEADERS]) else {
        return Ok(HeaderMap::new());
    };
    let pairs = list.split(',').filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse::<HeaderName>().ok()?, value))
        })
        .collect::<Option<_>>()
        .ok_or(OtlpError::Headers { variable })
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

    use super::*;

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

    #[test]
    fn the_variables_for_metrics_take_precedence() {
        let both = [
            (ENDPOINT, "http://all:4318/otlp/"),
            (METRICS.endpoint, "https://metrics/exactly"),
            (HEADERS, "a=1"),
            (METRICS_HEADERS, "authorization=Basic%20abc, x-org = team ,"),
        ];
        let all = environment(&both[..1]);
        assert_eq!(url(&all).unwrap(), "http://all:4318/otlp/v1/metrics");
        let environment = environment(&both);
        assert_eq!(url(&environment).unwrap(), "https://metrics/exactly");
        let headers = headers(&environment).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], "Basic abc");
        assert_eq!(headers["x-org"], "team");
        assert!(!format!("{headers:?}").contains("abc"));
    }
}
