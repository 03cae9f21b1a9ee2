//! Traces that the program exports to an OpenTelemetry collector, by OTLP over HTTP.

mod collector;

use std::{
    fmt::Write,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use awsdouble::{Config, Double, Fault, FaultAction, allow_bedrock};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value as Any},
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::collector::Collector;
use crate::rig::{ACCESS_KEY, MODEL, SECRET_KEY, ask, ask_stream, eventually};

const PROMPT: &str = "a prompt that stays between the client and its model";
const COLLECTOR_KEY: &str = "a-key-of-the-collector";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The program with a simulated AWS. Killed when dropped.
pub(crate) struct Gateway {
    double: Double,
    child: Child,
    url: String,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Gateway {
    pub(crate) async fn start(more: &[(&str, &str)]) -> Self {
        let user = Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock());
        let double = Double::start(user).await.unwrap();
        let mut child = command(more)
            .env("AWS_ENDPOINT_URL", double.url())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut gateway = Self {
            double,
            child,
            url: String::new(),
            log,
            reading: Some(reading),
        };
        eventually("an address", async || gateway.logged("serving").is_some()).await;
        let serving = gateway.logged("serving").unwrap();
        gateway.url = format!("http://{}", serving["address"].as_str().unwrap());
        gateway
    }

    /// The first log line with this message.
    pub(crate) fn logged(&self, message: &str) -> Option<Value> {
        let log = self.log.lock().unwrap();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.find(|line: &Value| line["message"] == message)
    }

    async fn call(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Bytes) {
        let mut request = Request::post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::<Bytes>::from(body.to_string())).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.unwrap();
        let status = response.status().as_u16();
        (
            status,
            response.into_body().collect().await.unwrap().to_bytes(),
        )
    }

    pub(crate) async fn chat(&self, headers: &[(&str, &str)], body: &Value) -> (u16, Bytes) {
        self.call("/v1/chat/completions", headers, body).await
    }

    /// Sends SIGTERM, as Kubernetes does; returns the log.
    pub(crate) async fn terminate(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        eventually("shutdown", async || {
            self.child.try_wait().unwrap().is_some()
        })
        .await;
        assert!(self.child.wait().unwrap().success());
        self.reading.take().unwrap().join().unwrap();
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(more: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"));
    command
        .args([
            "serve",
            "--listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
        ])
        .env_clear()
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .envs(more.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Attributes as JSON.
fn attributes(list: &[KeyValue]) -> Value {
    let value = |value: &Option<AnyValue>| match value.clone().and_then(|value| value.value) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::BoolValue(flag)) => json!(flag),
        Some(Any::DoubleValue(number)) => json!(number),
        other => panic!("{other:?}"),
    };
    list.iter()
        .map(|pair| (pair.key.clone(), value(&pair.value)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn status(span: &Span) -> StatusCode {
    span.status.as_ref().map_or(StatusCode::Unset, Status::code)
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

#[tokio::test]
async fn a_request_and_each_of_its_calls_are_spans_in_the_callers_trace() {
    let collector = Collector::start().await;
    let headers = format!("authorization=Bearer%20{COLLECTOR_KEY}");
    let gateway = Gateway::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=team-a"),
    ])
    .await;
    let throttled = FaultAction::Error {
        status: 429,
        code: "ThrottlingException".to_owned(),
        message: "slow down".to_owned(),
        empty_body: false,
    };
    gateway
        .double
        .inject(Fault::new("Converse", throttled).times(1));
    let caller = traceparent("01");
    let named = [("traceparent", caller.as_str()), ("x-request-id", "req-1")];
    let (code, _) = gateway.chat(&named, &ask(MODEL, PROMPT)).await;
    assert_eq!(code, 200);

    let spans = collector.wait_for(3).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let [request, rejected, answered] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(request.name, "POST /v1/chat/completions");
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(status(request), StatusCode::Unset);
    let usage = attributes(&answered.attributes);
    let tokens = |kind: &str| {
        usage[format!("gen_ai.usage.{kind}_tokens")]
            .as_f64()
            .unwrap()
    };
    // Nova Lite: 0.06 and 0.24 dollars for a million tokens.
    let cost = (tokens("input") * 60.0 + tokens("output") * 240.0) / 1e9;
    assert_eq!(
        attributes(&request.attributes),
        json!({
            "bedrock_access.cost_usd": cost,
            "http.request.method": "POST", "http.route": "/v1/chat/completions",
            "url.path": "/v1/chat/completions", "http.response.status_code": 200,
            "bedrock_access.request_id": "req-1", "bedrock_access.client": "anonymous",
            "bedrock_access.model": MODEL,
        })
    );
    let port = gateway.double.address().port();
    let call = json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": MODEL, "gen_ai.request.stream": false, "cloud.region": "us-east-1",
        "server.address": "127.0.0.1", "server.port": port,
    });
    for span in [rejected, answered] {
        assert_eq!(span.name, format!("chat {MODEL}"));
        assert_eq!(span.kind(), SpanKind::Client);
        assert_eq!(span.parent_span_id, request.span_id);
        let attributes = attributes(&span.attributes);
        for (key, value) in call.as_object().unwrap() {
            assert_eq!(attributes[key], *value, "{key}");
        }
    }
    let found = attributes(&rejected.attributes);
    assert_eq!(found["error.type"], "ThrottlingException");
    assert!(found["aws.request_id"].is_string());
    assert_eq!(status(rejected), StatusCode::Error);
    let found = attributes(&answered.attributes);
    assert_eq!(found.get("error.type"), None);
    assert!(found["aws.request_id"].is_string());
    assert!(found["gen_ai.usage.input_tokens"].as_u64().unwrap() > 0);
    assert!(found["gen_ai.usage.output_tokens"].as_u64().unwrap() > 0);
    assert_eq!(status(answered), StatusCode::Unset);

    let sent = collector.requests();
    let resource = sent[0].resource_spans[0].resource.clone().unwrap();
    let resource = attributes(&resource.attributes);
    assert_eq!(resource["service.name"], "bedrock-gateway");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["k8s.namespace.name"], "team-a");
    let (headers, _) = collector.collected.0.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], format!("Bearer {COLLECTOR_KEY}"));
    assert_eq!(headers["content-type"], "application/x-protobuf");

    for secret in [PROMPT, SECRET_KEY, COLLECTOR_KEY, "slow down"] {
        assert!(!collector.holds(secret), "{secret}");
    }
    let log = gateway.terminate().await;
    assert!(log.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{log}");
    assert!(!log.contains(COLLECTOR_KEY), "{log}");
}

#[tokio::test]
async fn streams_failures_and_several_calls_have_spans() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]).await;
    let (code, _) = gateway.chat(&[], &ask_stream(MODEL, "hi")).await;
    assert_eq!(code, 200);
    let spans = collector.wait_for(2).await;
    let found = attributes(&spans[1].attributes);
    assert_eq!(found["gen_ai.request.stream"], true);
    assert!(
        found["gen_ai.response.time_to_first_chunk"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    assert!(found["gen_ai.usage.output_tokens"].as_u64().unwrap() > 0);
    assert_ne!(hex(&spans[0].trace_id), TRACE);

    // A request to Bedrock's API that AWS rejects.
    let (code, _) = gateway
        .call(&format!("/model/{MODEL}/converse"), &[], &json!({}))
        .await;
    assert_eq!(code, 400);
    let spans = collector.wait_for(4).await;
    assert_eq!(spans[2].name, "POST /model/{id}/converse");
    let found = attributes(&spans[2].attributes);
    assert_eq!(found["url.path"], format!("/model/{MODEL}/converse"));
    assert_eq!(found["http.response.status_code"], 400);
    assert_eq!(found["error.type"], "ValidationException");
    assert_eq!(status(&spans[2]), StatusCode::Unset, "the client's fault");
    assert_eq!(status(&spans[3]), StatusCode::Error);

    // Rejected before a call to Bedrock.
    let (code, _) = gateway.chat(&[], &json!({"messages": []})).await;
    assert_eq!(code, 400);
    let spans = collector.wait_for(5).await;
    assert_eq!(
        attributes(&spans[4].attributes)["http.response.status_code"],
        400
    );

    // An unknown path.
    let (code, _) = gateway.call("/v1/nothing", &[], &json!({})).await;
    assert_eq!(code, 404);
    let spans = collector.wait_for(6).await;
    assert_eq!(spans[5].name, "POST");
    assert_eq!(attributes(&spans[5].attributes).get("http.route"), None);

    let body = json!({"model": "amazon.titan-embed-text-v2:0", "input": ["one", "two", "three"]});
    let (code, output) = gateway.call("/v1/embeddings", &[], &body).await;
    assert_eq!(code, 200, "{output:?}");
    let total = serde_json::from_slice::<Value>(&output).unwrap()["usage"]["total_tokens"].clone();
    let spans = collector.wait_for(10).await;
    let calls: Vec<Value> = spans[7..]
        .iter()
        .map(|span| attributes(&span.attributes))
        .collect();
    let counts = calls
        .iter()
        .map(|call| call["gen_ai.usage.input_tokens"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), total.as_u64().unwrap());
    assert!(
        calls
            .iter()
            .all(|call| call["gen_ai.operation.name"] == "embeddings")
    );
}

#[tokio::test]
async fn errors_of_aws_are_warnings_in_the_log_and_lines_have_the_cached_tokens() {
    let gateway = Gateway::start(&[]).await;
    let usage = "@usage {\"cacheReadInputTokens\": 7, \"cacheWriteInputTokens\": 3}\nhi";
    for (prompt, status) in [(usage, 200), ("@error InternalServerException", 500)] {
        assert_eq!(gateway.chat(&[], &ask(MODEL, prompt)).await.0, status);
    }
    assert_eq!(gateway.chat(&[], &json!({})).await.0, 400);
    let log = gateway.terminate().await;
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let requests: Vec<Value> = lines
        .filter(|line: &Value| line["message"] == "request")
        .collect();
    let levels: Vec<_> = requests
        .iter()
        .map(|line| (line["status"].as_u64().unwrap(), line["level"].clone()))
        .collect();
    assert_eq!(
        levels,
        [
            (200, json!("INFO")),
            (500, json!("WARN")),
            (400, json!("INFO"))
        ]
    );
    assert_eq!(requests[0]["cache_read_tokens"], 7);
    assert_eq!(requests[0]["cache_write_tokens"], 3);
    assert_eq!(requests[1]["cache_read_tokens"], Value::Null);
}

#[tokio::test]
async fn does_not_export_a_trace_that_the_caller_does_not_sample() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]).await;
    let not_kept = traceparent("00");
    let (code, _) = gateway
        .chat(&[("traceparent", &not_kept)], &ask(MODEL, "hi"))
        .await;
    assert_eq!(code, 200);
    let log = gateway.terminate().await;
    assert!(log.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{log}");
    assert_eq!(collector.spans(), []);
}

#[tokio::test]
async fn samples_the_configured_ratio() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0"),
    ])
    .await;
    assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    let kept = traceparent("01");
    let kept = [("traceparent", kept.as_str())];
    assert_eq!(gateway.chat(&kept, &ask(MODEL, "hi")).await.0, 200);
    gateway.terminate().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
}

#[tokio::test]
async fn exports_queued_spans_at_shutdown() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
    ])
    .await;
    for _ in 0..3 {
        assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    }
    assert_eq!(collector.spans(), []);
    gateway.terminate().await;
    assert_eq!(collector.spans().len(), 6);
}

#[tokio::test]
async fn an_unavailable_collector_is_logged_once_and_delays_no_request() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let gateway = Gateway::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    for _ in 0..3 {
        assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    }
    let log = gateway.terminate().await;
    let logged = log
        .lines()
        .filter(|line| line.contains("collector unavailable"));
    let logged: Vec<_> = logged.collect();
    assert_eq!(logged.len(), 1, "{log}");
    assert!(
        logged[0].contains(&url) && logged[0].contains("refused"),
        "{log}"
    );
}

#[tokio::test]
async fn an_unresponsive_collector_does_not_delay_shutdown() {
    // The system accepts connections, and no process reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let gateway = Gateway::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    assert_eq!(gateway.chat(&[], &ask(MODEL, "hi")).await.0, 200);
    let begin = Instant::now();
    let log = gateway.terminate().await;
    // The timeout of the exporter is ten seconds.
    assert!(begin.elapsed() < Duration::from_secs(9), "{log}");
    assert!(log.contains("failed to export the last spans"), "{log}");
}

#[test]
fn an_unsupported_protocol_is_an_error_that_names_the_fix() {
    let output = command(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ])
    .output()
    .unwrap();
    assert!(!output.status.success());
    let output = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/json") && output.contains("4318"),
        "{output}"
    );
}
