//! Exports of metrics and of traces to an OpenTelemetry collector, by HTTP and by gRPC.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value as Any},
    logs::v1::{LogRecord, SeverityNumber},
    metrics::v1::{Metric, metric::Data, number_data_point},
};
use prost::Message;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    rig::{MODEL, ask, eventually},
    traces::Gateway,
};

const KEY: &str = "a-key-of-the-collector";

/// A collector that accepts both protocols, and its status for calls by gRPC.
#[derive(Clone)]
struct Collector {
    url: String,
    status: &'static str,
    received: Arc<Mutex<Vec<Export>>>,
}

/// A request to the collector; of gRPC without its frame.
#[derive(Clone)]
struct Export {
    path: String,
    version: Version,
    headers: HeaderMap,
    message: Bytes,
}

async fn take(State(collector): State<Collector>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut message = body.collect().await.unwrap().to_bytes();
    let is_grpc = parts.headers["content-type"] == "application/grpc+proto";
    if is_grpc {
        let frame = message.split_to(5);
        assert_eq!(frame[0], 0, "not compressed");
        let length = u32::from_be_bytes(frame[1..].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), message.len());
    }
    collector.received.lock().unwrap().push(Export {
        path: parts.uri.path().to_owned(),
        version: parts.version,
        headers: parts.headers,
        message,
    });
    if !is_grpc {
        return Response::new(Body::empty());
    }
    let status = HeaderValue::from_static(collector.status);
    let mut response = if collector.status == "0" {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)]);
        let message = Full::from(&b"\0\0\0\0\0"[..]);
        Response::new(Body::new(
            message.with_trailers(async move { Some(Ok(trailers)) }),
        ))
    } else {
        // A call that fails at once has only headers.
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("grpc-status", status);
        response
    };
    let content_type = HeaderValue::from_static("application/grpc+proto");
    response.headers_mut().insert("content-type", content_type);
    response
}

impl Collector {
    async fn start(status: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            status,
            received: Arc::default(),
        };
        let router = Router::new().fallback(take).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    /// A gateway that exports to it with a key.
    async fn gateway(&self, protocol: &str, more: &[(&str, &str)]) -> Gateway {
        let headers = format!("authorization=Bearer%20{KEY}");
        let own = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.url.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
            ("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=team-a"),
        ];
        Gateway::start(&[&own, more].concat()).await
    }

    fn exports(&self, path: &str) -> Vec<Export> {
        let received = self.received.lock().unwrap();
        let exports = received.iter().filter(|export| export.path == path);
        exports.cloned().collect()
    }

    /// The metrics of the last export, with the attributes of their resource.
    fn metrics(&self, path: &str) -> (Vec<(String, String)>, Vec<Metric>) {
        let export = self.exports(path).pop().unwrap();
        let mut request = ExportMetricsServiceRequest::decode(export.message).unwrap();
        let mut resource = request.resource_metrics.remove(0);
        let attributes = attributes(&resource.resource.unwrap().attributes);
        (attributes, resource.scope_metrics.remove(0).metrics)
    }
}

impl Export {
    /// Its log records, with the attributes of their resource.
    fn logs(&self) -> (Vec<(String, String)>, Vec<LogRecord>) {
        let mut request = ExportLogsServiceRequest::decode(self.message.clone()).unwrap();
        let mut resource = request.resource_logs.remove(0);
        let scope = resource.scope_logs.remove(0);
        assert_eq!(scope.scope.unwrap().name, "bedrock-gateway");
        let attributes = attributes(&resource.resource.unwrap().attributes);
        (attributes, scope.log_records)
    }
}

fn attributes(list: &[KeyValue]) -> Vec<(String, String)> {
    let text = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
        Any::StringValue(text) => (pair.key.clone(), text),
        other => panic!("{other:?}"),
    };
    list.iter().map(text).collect()
}

fn has(list: &[(String, String)], name: &str, value: &str) -> bool {
    list.contains(&(name.to_owned(), value.to_owned()))
}

/// The count of a series.
fn count(metrics: &[Metric], name: &str, (label, value): (&str, &str)) -> Option<i64> {
    let metric = metrics.iter().find(|metric| metric.name == name)?;
    let Some(Data::Sum(sum)) = &metric.data else {
        panic!("{metric:?}");
    };
    let mut points = sum.data_points.iter();
    let point = points.find(|point| has(&attributes(&point.attributes), label, value))?;
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano < point.time_unix_nano);
    match point.value? {
        number_data_point::Value::AsInt(count) => Some(count),
        other @ number_data_point::Value::AsDouble(_) => panic!("{other:?}"),
    }
}

const HTTP_PATH: &str = "/v1/metrics";
const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[tokio::test]
async fn metrics_are_exported_by_http_and_by_grpc() {
    for (protocol, path, version) in [
        ("http/protobuf", HTTP_PATH, Version::HTTP_11),
        ("grpc", GRPC_PATH, Version::HTTP_2),
    ] {
        let collector = Collector::start("0").await;
        let gateway = collector
            .gateway(
                protocol,
                &[
                    ("OTEL_METRICS_EXPORTER", "otlp"),
                    ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
                ],
            )
            .await;
        for _ in 0..2 {
            assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
        }
        let route = ("route", "/v1/chat/completions");
        let requests = |metrics: &[Metric]| count(metrics, "bedrock_gateway_requests", route);
        eventually("both requests", async || {
            !collector.exports(path).is_empty() && requests(&collector.metrics(path).1) == Some(2)
        })
        .await;
        let export = collector.exports(path).pop().unwrap();
        assert_eq!(export.version, version);
        assert_eq!(export.headers["authorization"], format!("Bearer {KEY}"));
        let (resource, metrics) = collector.metrics(path);
        assert!(
            has(&resource, "service.name", "bedrock-gateway"),
            "{resource:?}"
        );
        assert!(
            has(&resource, "k8s.namespace.name", "team-a"),
            "{resource:?}"
        );
        let tokens = ("type", "output");
        assert!(count(&metrics, "bedrock_gateway_tokens", tokens) > Some(0));
        let name = "gen_ai.server.request.duration";
        let duration = metrics.iter().find(|metric| metric.name == name).unwrap();
        let Some(Data::Histogram(histogram)) = &duration.data else {
            panic!("{duration:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.count, 2);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), 2);
        let labels = attributes(&point.attributes);
        assert!(has(&labels, "gen_ai.request.model", MODEL), "{labels:?}");
        let log = gateway.terminate().await;
        assert!(!log.contains("collector unavailable"), "{log}");
        assert!(!log.contains(KEY), "{log}");
    }
}

#[tokio::test]
async fn spans_are_exported_by_grpc() {
    let collector = Collector::start("0").await;
    let gateway = Gateway::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
    ])
    .await;
    assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    let log = gateway.terminate().await;
    assert!(!log.contains("collector unavailable"), "{log}");
    let exports = collector.exports(TRACES).into_iter();
    let spans = exports.flat_map(|export| {
        assert_eq!(export.headers["te"], "trailers");
        ExportTraceServiceRequest::decode(export.message)
            .unwrap()
            .resource_spans
    });
    let spans = spans.flat_map(|resource| resource.scope_spans);
    let mut names: Vec<_> = spans
        .flat_map(|scope| scope.spans)
        .map(|span| span.name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "POST /v1/chat/completions".to_owned(),
            format!("chat {MODEL}")
        ]
    );
    assert!(
        collector.exports(GRPC_PATH).is_empty(),
        "metrics are off by default"
    );
}

#[tokio::test]
async fn metrics_are_exported_once_more_at_shutdown() {
    let collector = Collector::start("0").await;
    let gateway = Gateway::start(&[
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            &format!("{}/mine", collector.url),
        ),
        ("OTEL_METRICS_EXPORTER", "otlp"),
    ])
    .await;
    assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    assert!(
        collector.exports("/mine").is_empty(),
        "the interval is a minute"
    );
    gateway.terminate().await;
    let (_, metrics) = collector.metrics("/mine");
    let route = ("route", "/v1/chat/completions");
    assert_eq!(count(&metrics, "bedrock_gateway_requests", route), Some(1));
    assert_eq!(collector.exports("/mine").len(), 1);
}

#[tokio::test]
async fn a_collector_without_the_service_is_logged_once() {
    let collector = Collector::start("12").await;
    let gateway = Gateway::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
    ])
    .await;
    eventually("three exports", async || {
        collector.exports(GRPC_PATH).len() > 2
    })
    .await;
    let log = gateway.terminate().await;
    let logged = log
        .lines()
        .filter(|line| line.contains("collector unavailable"));
    let logged: Vec<_> = logged.collect();
    assert_eq!(logged.len(), 1, "{log}");
    assert!(
        logged[0].contains("gRPC status 12 (UNIMPLEMENTED)"),
        "{log}"
    );
    assert!(logged[0].contains("\"signal\":\"metrics\""), "{log}");
}

/// The audit record in a log record.
fn audit_record(log: &LogRecord) -> Value {
    assert_eq!(log.event_name, "bedrock_gateway.audit");
    assert_eq!(log.severity_number(), SeverityNumber::Info);
    let Some(Any::StringValue(line)) = log.body.clone().unwrap().value else {
        panic!("{log:?}");
    };
    let record: Value = serde_json::from_str(&line).unwrap();
    let time = record["time"].as_str().unwrap();
    let time = OffsetDateTime::parse(time, &Rfc3339).unwrap();
    let nanos = u64::try_from(time.unix_timestamp_nanos()).unwrap();
    assert_eq!(log.time_unix_nano, nanos);
    record
}

#[tokio::test]
async fn audit_records_are_exported_by_http_and_by_grpc_instead_of_written() {
    for (protocol, path) in [("http/protobuf", "/v1/logs"), ("grpc", LOGS)] {
        let collector = Collector::start("0").await;
        let gateway = collector
            .gateway(
                protocol,
                &[
                    ("OTEL_LOGS_EXPORTER", "otlp"),
                    ("BEDROCK_GATEWAY_AUDIT", "-"),
                ],
            )
            .await;
        for id in ["one", "two"] {
            let headers = [("x-request-id", id)];
            assert_eq!(gateway.chat(&headers, &ask(MODEL, "hi")).await.0, 200);
        }
        let log = gateway.terminate().await;
        assert!(!log.contains("collector unavailable"), "{log}");
        let mut ids = Vec::new();
        for export in collector.exports(path) {
            assert_eq!(export.headers["authorization"], format!("Bearer {KEY}"));
            let (resource, records) = export.logs();
            assert!(
                has(&resource, "k8s.namespace.name", "team-a"),
                "{resource:?}"
            );
            let found = records.iter().map(audit_record);
            ids.extend(found.map(|record| record["request_id"].clone()));
        }
        assert_eq!(ids, ["one", "two"]);
    }
}

#[tokio::test]
async fn audit_records_are_sent_again_while_the_collector_is_unavailable() {
    // UNAVAILABLE.
    let collector = Collector::start("14").await;
    let gateway = Gateway::start(&[
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("BEDROCK_GATEWAY_AUDIT", "-"),
    ])
    .await;
    assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    eventually("three attempts", async || {
        collector.exports(LOGS).len() == 3
    })
    .await;
    eventually("the log says it", async || {
        gateway
            .logged("failed to write audit records; dropping them until the output works")
            .is_some()
    })
    .await;
    let sent: Vec<_> = collector
        .exports(LOGS)
        .iter()
        .map(|export| export.message.clone())
        .collect();
    assert!(sent.iter().all(|message| *message == sent[0]));
    gateway.terminate().await;
}
