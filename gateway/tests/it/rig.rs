//! A gateway with its own simulated AWS for each test, and an HTTP client.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use awsdouble::{Call, Config, Double, allow_bedrock};
use bytes::{Bytes, BytesMut};
use gateway::{Drained, ServeError, Server, Settings};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

/// Timeout of every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);
pub(crate) const MODEL: &str = "amazon.nova-lite-v1:0";
pub(crate) const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
pub(crate) const SECRET_KEY: &str = "a-secret-key-of-the-test-suite-alone";

/// A running gateway with a running double.
pub(crate) struct Rig {
    pub(crate) double: Double,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) config: Option<PathBuf>,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Drained>>,
    _directory: tempfile::TempDir,
}

/// The configuration of a rig.
pub(crate) struct Plan {
    /// The configuration file; `{url}` is replaced by the double's URL, `{mantle}` by that of its bedrock-mantle.
    /// `None` for local mode.
    pub(crate) document: Option<String>,
    pub(crate) double: Config,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) settings: Box<dyn FnOnce(&mut Settings) + Send>,
}

/// A response with its complete body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            document: None,
            double: Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock()),
            environment: vec![
                ("AWS_REGION".into(), "us-east-1".into()),
                ("AWS_ACCESS_KEY_ID".into(), ACCESS_KEY.into()),
                ("AWS_SECRET_ACCESS_KEY".into(), SECRET_KEY.into()),
            ],
            settings: Box::new(|_| ()),
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    ::credentials::SharedTimeSource::default()
        .now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Seconds since 1970, as metrics have them.
pub(crate) fn now_seconds() -> f64 {
    f64::from(u32::try_from(now()).unwrap())
}

/// Settings with free loopback ports and only this environment.
pub(crate) fn settings(environment: Vec<(String, String)>) -> Settings {
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut settings = Settings::new(Arc::new(environment));
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    settings.listen = free;
    settings.admin_listen = Some(free);
    settings.watch_interval = Duration::from_millis(20);
    settings
}

impl Rig {
    /// Starts a gateway in local mode: all models, no API key.
    pub(crate) async fn laptop() -> Self {
        Self::start(Plan::default()).await
    }

    /// Starts a gateway with a configuration file.
    pub(crate) async fn with_document(document: &str) -> Self {
        Self::start(Plan {
            document: Some(document.to_owned()),
            ..Plan::default()
        })
        .await
    }

    pub(crate) async fn start(mut plan: Plan) -> Self {
        let double = Double::start(std::mem::take(&mut plan.double))
            .await
            .unwrap();
        Self::beside(double, plan).await.unwrap()
    }

    /// Starts a gateway with a running double.
    pub(crate) async fn beside(double: Double, plan: Plan) -> Result<Self, ServeError> {
        let mut environment = plan.environment;
        environment.push(("AWS_ENDPOINT_URL".into(), double.url()));
        let mut settings = settings(environment);
        let directory = tempfile::tempdir().unwrap();
        if let Some(document) = plan.document {
            let path = directory.path().join("gateway.yaml");
            let document = document.replace("{url}", &double.url());
            let document = document.replace("{mantle}", &double.mantle_url());
            std::fs::write(&path, document).unwrap();
            settings.config = Some(path);
        }
        (plan.settings)(&mut settings);
        let config = settings.config.clone();
        let server = Server::bind(settings).await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            double,
            address: server.local_addr(),
            admin: server.admin_addr().unwrap(),
            config,
            client: Client::builder(TokioExecutor::new()).build_http(),
            stop: Some(stop),
            served: Some(tokio::spawn(server.run(async {
                let _ = stopped.await;
            }))),
            _directory: directory,
        })
    }

    /// Sends a request and returns the response before its body is read.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        tokio::time::timeout(TIMEOUT, self.client.request(request))
            .await
            .expect("response timeout")
            .unwrap()
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response {
        read(self.open(method, path, headers, body).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path, &[], "").await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Response {
        self.call(Method::POST, "/v1/chat/completions", &[], body.to_string())
            .await
    }

    pub(crate) async fn open_chat(&self, body: &Value) -> http::Response<Incoming> {
        self.open(Method::POST, "/v1/chat/completions", &[], body.to_string())
            .await
    }

    /// The calls that AWS received, except the check of the gateway's own credentials.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let calls = self.double.calls().into_iter();
        calls
            .filter(|call| call.operation != "GetCallerIdentity")
            .collect()
    }

    /// Requests a path of the admin port.
    pub(crate) async fn admin(&self, path: &str) -> Response {
        let uri = format!("http://{}{path}", self.admin);
        let request = Request::get(uri).body(Full::default()).unwrap();
        read(self.client.request(request).await.unwrap()).await
    }

    /// The value of a metric by its name with labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.admin("/metrics").await.text();
        let line = page.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Sends the shutdown signal, like SIGTERM.
    pub(crate) fn terminate(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the gateway to shut down.
    pub(crate) async fn ended(&mut self) -> Drained {
        let served = self.served.take().unwrap();
        tokio::time::timeout(TIMEOUT, served)
            .await
            .expect("shutdown timeout")
            .unwrap()
    }

    /// Replaces the configuration file.
    pub(crate) fn write_config(&self, document: &str) {
        let path = self.config.as_ref().unwrap();
        std::fs::write(path, document.replace("{url}", &self.double.url())).unwrap();
    }
}

/// Requests a URL outside of the gateway.
pub(crate) async fn get(url: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    read(client.request(request).await.unwrap()).await
}

async fn read(response: http::Response<Incoming>) -> Response {
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(TIMEOUT, body.collect())
        .await
        .expect("body timeout")
        .unwrap();
    Response {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    }
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The `error` object of an error response.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let error = self.json()["error"].clone();
        assert!(error["message"].is_string(), "{}", self.text());
        assert!(error["type"].is_string(), "{}", self.text());
        error
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        events(&self.text())
    }
}

/// The events of a stream; `[DONE]` is a string.
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
        .collect()
}

/// The text of all deltas of a stream.
pub(crate) fn streamed_text(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

/// A chat request with one user message.
pub(crate) fn ask(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] })
}

pub(crate) fn ask_stream(model: &str, prompt: &str) -> Value {
    let mut body = ask(model, prompt);
    body["stream"] = Value::from(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// Reads a body until it contains `text`; returns the text read.
pub(crate) async fn read_until(body: &mut Incoming, text: &str) -> String {
    let mut read = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.unwrap().into_data() {
                read.extend_from_slice(&data);
            }
            if String::from_utf8_lossy(&read).contains(text) {
                break;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, reading)
        .await
        .unwrap_or_else(|_| panic!("timeout while waiting for {text:?}"));
    String::from_utf8(read.to_vec()).unwrap()
}

/// Polls until the check succeeds.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut check: F) {
    let deadline = Instant::now() + TIMEOUT;
    while !check().await {
        assert!(
            Instant::now() < deadline,
            "timeout while waiting for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The signed reasoning of each assistant turn in a Converse request.
pub(crate) fn signed_blocks(call: &Call) -> Vec<Value> {
    let request = call.json().unwrap();
    let messages = request["messages"].as_array().unwrap();
    messages
        .iter()
        .filter(|message| message["role"] == "assistant")
        .map(|message| message["content"][0]["reasoningContent"]["reasoningText"].clone())
        .collect()
}
