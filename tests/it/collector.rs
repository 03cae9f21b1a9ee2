//! A gateway that exports to a real OpenTelemetry Collector, by gRPC and by HTTP. The full lane runs it.
//!
//! The collector is built from the Go modules of the OpenTelemetry project, with its OTLP receiver and the exporter that
//! writes everything it received as text.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use ::http::Method;
use serde_json::{Value, json};

use crate::support::{clients, eventually, free_address, http, lane, program};

const MODEL: &str = "us.amazon.nova-2-lite-v1:0";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A program that is killed when dropped, and the file with its output.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    fn start(command: &mut Command, output: PathBuf) -> Self {
        let file = File::create(&output).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, output }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    /// Waits until the output has a part that `read` finds.
    async fn has<T>(&self, what: &str, read: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || async {
            let text = self.text();
            read(&text).ok_or(text)
        })
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A collector with these addresses for gRPC and HTTP.
fn start_collector(
    program: &Path,
    directory: &Path,
    grpc: SocketAddr,
    http: SocketAddr,
) -> Running {
    let config = json!({
        "receivers": {"otlp": {"protocols": {
            "grpc": {"endpoint": grpc.to_string()}, "http": {"endpoint": http.to_string()},
        }}},
        "exporters": {"debug": {"verbosity": "detailed", "use_internal_logger": false}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["debug"]},
                "metrics": {"receivers": ["otlp"], "exporters": ["debug"]},
                "logs": {"receivers": ["otlp"], "exporters": ["debug"]},
            },
        },
    });
    let path = directory.join("collector.yaml");
    fs::write(&path, config.to_string()).unwrap();
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(format!("file:{}", path.display()));
    Running::start(&mut command, directory.join("collector.log"))
}

/// A gateway with a simulated AWS, which exports to this address.
fn start_gateway(directory: &Path, listen: SocketAddr, protocol: &str, to: SocketAddr) -> Running {
    let mut command = Command::new(program("bedrock-gateway"));
    command
        .args(["serve", "--simulate", "--listen", &listen.to_string()])
        .args(["--admin-listen", &free_address().to_string()])
        .env_clear()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{to}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_METRICS_EXPORTER", "otlp")
        .env("OTEL_LOGS_EXPORTER", "otlp")
        .env("BEDROCK_GATEWAY_AUDIT", "-")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=team-a");
    Running::start(
        &mut command,
        directory.join(format!("gateway-{listen}.log")),
    )
}

/// The part of the collector's output about a span with this name, if it has one in the trace of the client.
fn span<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let spans = text.split("\nSpan #").skip(1);
    let mut spans = spans.filter(|span| field(span, "Name") == Some(name));
    spans.find(|span| field(span, "Trace ID") == Some(TRACE))
}

/// The value of a line such as `Trace ID       : 0af7…`.
fn field<'a>(part: &'a str, name: &str) -> Option<&'a str> {
    part.lines().find_map(|line| {
        let (label, value) = line.split_once(": ")?;
        (label.trim() == name).then_some(value.trim())
    })
}

/// The audit record in the first log record.
fn audit_record(text: &str) -> Option<Value> {
    let (_, record) = text.split_once("\nLogRecord #")?;
    let line = field(record, "Body")?.strip_prefix("Str(")?;
    assert_eq!(field(record, "EventName"), Some("bedrock_gateway.audit"));
    assert_eq!(field(record, "SeverityText"), Some("INFO"));
    let record: Value = serde_json::from_str(line.strip_suffix(')')?).ok()?;
    Some(record)
}

/// The last value of a counter whose data point has this attribute.
fn count(text: &str, name: &str, attribute: &str) -> Option<u64> {
    let metrics = text.split("\nMetric #").skip(1);
    let named = metrics.filter(|metric| metric.contains(&format!("-> Name: {name}\n")));
    let points = named.flat_map(|metric| metric.split("NumberDataPoints #").skip(1));
    let points = points.filter(|point| point.contains(attribute));
    points
        .filter_map(|point| field(point, "Value")?.parse().ok())
        .last()
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_metrics_and_audit_records_arrive_at_a_real_collector_by_grpc_and_by_http() {
    if lane::is_left_to_full() {
        return;
    }
    let collector = tokio::task::spawn_blocking(clients::collector);
    let collector = collector.await.unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let directory = tempfile::tempdir().unwrap();
        let (grpc, http) = (free_address(), free_address());
        let collector = start_collector(&collector, directory.path(), grpc, http);
        let ready = |text: &str| text.contains("Everything is ready").then_some(());
        collector.has("the collector is ready", ready).await;
        let to = if protocol == "grpc" { grpc } else { http };
        let listen = free_address();
        let gateway = start_gateway(directory.path(), listen, protocol, to);
        let url = format!("http://{listen}/v1/chat/completions");
        let parent = format!("00-{TRACE}-{PARENT}-01");
        let headers = [
            ("traceparent", parent.as_str()),
            ("content-type", "application/json"),
        ];
        let body =
            json!({"model": MODEL, "messages": [{"role": "user", "content": "What is 6 * 7?"}]});
        for _ in 0..2 {
            eventually("a response", || async {
                let answer = http::request(Method::POST, &url, &headers, body.to_string()).await?;
                if answer.status == 200 {
                    Ok(())
                } else {
                    Err(answer.text())
                }
            })
            .await;
        }

        let server = "POST /v1/chat/completions";
        let own = |text: &str| span(text, server).map(str::to_owned);
        let own = collector.has("the span of the request", own).await;
        assert_eq!(field(&own, "Parent ID"), Some(PARENT), "{protocol}: {own}");
        assert_eq!(field(&own, "Kind"), Some("Server"), "{protocol}: {own}");
        assert!(
            own.contains("http.response.status_code: Int(200)"),
            "{protocol}: {own}"
        );
        let call = |text: &str| span(text, &format!("chat {MODEL}")).map(str::to_owned);
        let call = collector.has("the span of the call", call).await;
        assert!(
            call.contains("gen_ai.usage.output_tokens: Int("),
            "{protocol}: {call}"
        );

        let record = collector.has("an audit record", audit_record).await;
        assert_eq!(record["decision"], "allowed", "{protocol}: {record}");
        assert!(
            record["attempts"][0]["aws_request_id"].is_string(),
            "{protocol}: {record}"
        );

        let route = "route: Str(/v1/chat/completions)";
        let both =
            |text: &str| (count(text, "bedrock_gateway_requests", route)? == 2).then_some(());
        collector.has("both requests are counted", both).await;
        let text = collector.text();
        let output = count(&text, "bedrock_gateway_tokens", "type: Str(output)");
        assert!(output > Some(0), "{protocol}: {text}");
        for part in [
            "service.name: Str(bedrock-gateway)",
            "k8s.namespace.name: Str(team-a)",
            "-> Name: gen_ai.server.request.duration\n",
        ] {
            assert!(text.contains(part), "{protocol}: {part}: {text}");
        }
        assert!(
            !gateway.text().contains("collector unavailable"),
            "{protocol}: {}",
            gateway.text()
        );
    }
}
