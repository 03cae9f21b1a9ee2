//! A page of OpenMetrics as an OTLP request, by the rules of
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>. Pure.
//!
//! Metrics of OpenTelemetry's GenAI conventions get their original names. Exemplars are left out.

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};

use super::signal::scope;

/// Metrics of the conventions, as Prometheus and as OpenTelemetry name them.
static CONVENTIONS: [(&str, &str); 11] = [
    (
        "gen_ai_server_request_duration_seconds",
        "gen_ai.server.request.duration",
    ),
    (
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai.server.time_to_first_token",
    ),
    (
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai.server.time_per_output_token",
    ),
    ("gen_ai_client_token_usage", "gen_ai.client.token.usage"),
    (
        "gen_ai_client_inference_duration_seconds",
        "gen_ai.client.inference.duration",
    ),
    (
        "gen_ai_client_inference_time_to_first_chunk_seconds",
        "gen_ai.client.inference.time_to_first_chunk",
    ),
    (
        "gen_ai_client_inference_usage_input_tokens",
        "gen_ai.client.inference.usage.input_tokens",
    ),
    (
        "gen_ai_client_inference_usage_output_tokens",
        "gen_ai.client.inference.usage.output_tokens",
    ),
    (
        "gen_ai_client_inference_usage_cache_read_input_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
    ),
    (
        "gen_ai_client_inference_usage_cache_write_input_tokens",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
    ),
    (
        "gen_ai_client_inference_usage_reasoning_output_tokens",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
    ),
];
/// Their labels.
static LABELS: [(&str, &str); 5] = [
    ("gen_ai_operation_name", "gen_ai.operation.name"),
    ("gen_ai_provider_name", "gen_ai.provider.name"),
    ("gen_ai_request_model", "gen_ai.request.model"),
    ("gen_ai_token_type", "gen_ai.token.type"),
    ("error_type", "error.type"),
];

/// Start of the counts, and now, in nanoseconds since 1970.
type Times = [u64; 2];

/// The metrics with the same name.
#[derive(Debug, Default)]
struct Family<'p> {
    name: &'p str,
    help: &'p str,
    kind: &'p str,
    unit: &'p str,
    samples: Vec<Sample<'p>>,
}

/// A line with a value.
#[derive(Debug, PartialEq)]
struct Sample<'p> {
    name: &'p str,
    labels: Vec<(&'p str, String)>,
    value: &'p str,
}

/// All metrics of a page. `times`: start of the counts, and now.
pub(super) fn to_otlp(
    page: &str,
    resource: Resource,
    times: [SystemTime; 2],
) -> ExportMetricsServiceRequest {
    let times = times.map(nanoseconds);
    let metrics = families(page)
        .into_iter()
        .map(|family| family.metric(times));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// The families of a page that have values.
fn families(page: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in page.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (keyword, name) = (words.next(), words.next().unwrap_or_default());
            let text = words.next().unwrap_or_default();
            if families.last().is_none_or(|last| last.name != name) {
                families.push(Family {
                    name,
                    ..Family::default()
                });
            }
            let Some(family) = families.last_mut() else {
                continue;
            };
            match keyword {
                Some("HELP") => family.help = text.trim_end_matches('.'),
                Some("TYPE") => family.kind = text,
                Some("UNIT") => family.unit = text,
                _ => {}
            }
        } else if let Some(family) = families.last_mut() {
            family.samples.extend(Sample::parse(line));
        }
    }
    families.retain(|family| !family.samples.is_empty());
    families
}

impl<'p> Sample<'p> {
    fn parse(line: &'p str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at_checked(end)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_ascii_whitespace().next()?;
        Some(Self {
            name,
            labels,
            value,
        })
    }

    fn number(&self) -> number_data_point::Value {
        match self.value.parse() {
            Ok(integer) => number_data_point::Value::AsInt(integer),
            Err(_) => number_data_point::Value::AsDouble(self.float()),
        }
    }

    fn float(&self) -> f64 {
        self.value.parse().unwrap_or(f64::NAN)
    }

    fn count(&self) -> u64 {
        self.value.parse().unwrap_or_default()
    }

    /// The labels but those of buckets and those without a value.
    fn attributes(&self, has_convention: bool) -> Vec<KeyValue> {
        let labels = self.labels.iter();
        let labels = labels.filter(|(name, value)| *name != "le" && !value.is_empty());
        labels
            .map(|(name, value)| {
                let known = LABELS.iter().find(|(label, _)| label == name);
                let name = known
                    .filter(|_| has_convention)
                    .map_or(*name, |(_, name)| *name);
                KeyValue {
                    key: name.to_owned(),
                    value: Some(AnyValue {
                        value: Some(any_value::Value::StringValue(value.clone())),
                    }),
                    ..KeyValue::default()
                }
            })
            .collect()
    }
}

/// The labels up to a closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches(',');
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => match characters.next()? {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
        labels.push((name, value));
        text = characters.as_str();
    }
}

impl Family<'_> {
    fn metric(&self, times: Times) -> Metric {
        let convention = CONVENTIONS.iter().find(|(name, _)| *name == self.name);
        let has_convention = convention.is_some();
        let name = match self.kind {
            // The name of the samples.
            "info" => format!("{}_info", self.name),
            _ => convention.map_or(self.name, |(_, name)| *name).to_owned(),
        };
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match self.kind {
            "counter" => Data::Sum(Sum {
                data_points: self.numbers(has_convention, times),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            "histogram" => Data::Histogram(Histogram {
                data_points: self.histograms(has_convention, times),
                aggregation_temporality: cumulative,
            }),
            _ => Data::Gauge(Gauge {
                data_points: self.numbers(has_convention, [0, times[1]]),
            }),
        };
        Metric {
            name,
            description: self.help.to_owned(),
            unit: self.unit(has_convention).to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    /// The unit of UCUM.
    fn unit(&self, has_convention: bool) -> &'static str {
        match self.unit {
            "seconds" => "s",
            "bytes" => "By",
            _ if has_convention => "{token}",
            _ => "",
        }
    }

    fn numbers(&self, has_convention: bool, [started, now]: Times) -> Vec<NumberDataPoint> {
        let samples = self.samples.iter();
        samples
            .map(|sample| NumberDataPoint {
                attributes: sample.attributes(has_convention),
                start_time_unix_nano: started,
                time_unix_nano: now,
                value: Some(sample.number()),
                ..NumberDataPoint::default()
            })
            .collect()
    }

    /// Each histogram is a sum, a count and buckets, in this order.
    fn histograms(&self, has_convention: bool, [started, now]: Times) -> Vec<HistogramDataPoint> {
        let mut points: Vec<HistogramDataPoint> = Vec::new();
        for sample in &self.samples {
            let suffix = sample.name.strip_prefix(self.name).unwrap_or_default();
            if suffix == "_sum" {
                points.push(HistogramDataPoint {
                    attributes: sample.attributes(has_convention),
                    start_time_unix_nano: started,
                    time_unix_nano: now,
                    sum: Some(sample.float()),
                    ..HistogramDataPoint::default()
                });
                continue;
            }
            let Some(point) = points.last_mut() else {
                continue;
            };
            match suffix {
                "_count" => point.count = sample.count(),
                "_bucket" => {
                    // Those of Prometheus contain the buckets before them.
                    let before: u64 = point.bucket_counts.iter().sum();
                    let here = sample.count().saturating_sub(before);
                    point.bucket_counts.push(here);
                    let mut labels = sample.labels.iter();
                    let bound = labels.find(|(name, _)| *name == "le");
                    let bound = bound.and_then(|(_, bound)| bound.parse::<f64>().ok());
                    let bound = bound.filter(|bound| bound.is_finite());
                    point.explicit_bounds.extend(bound);
                }
                _ => {}
            }
        }
        points
    }
}

#[cfg(test)]
mod tests;
