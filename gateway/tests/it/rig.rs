//! A gateway and an AWS of its own for each test, and a plain HTTP client.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use awsdouble::{Call, Config, Double, allow_bedrock};
use bytes::{Bytes, BytesMut};
use gateway::{Drained, Server, Settings};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

/// How long anything that is waited for may take.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);
pub(crate) const MODEL: &str = "amazon.nova-lite-v1:0";
pub(crate) const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
pub(crate) const SECRET_KEY: &str = "a-secret-key-of-the-test-suite-alone";

/// A running gateway in front of a running double.
pub(crate) struct Rig {
    pub(crate) double: Double,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) config: Option<PathBuf>,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Drained>>,
    _folder: tempfile::TempDir,
}

/// What is changed about a rig before it starts.
pub(crate) struct Plan {
    /// The configuration document; `{url}` stands for the double's address, `{mantle}` for that of its bedrock-mantle. None: laptop mode.
    pub(crate) document: Option<String>,
    pub(crate) double: Config,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) settings: Box<dyn FnOnce(&mut Settings) + Send>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
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

/// Settings on free ports of this machine, with this environment and nothing else.
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
    /// A laptop's gateway: any model, no key.
    pub(crate) async fn laptop() -> Self {
        Self::start(Plan::default()).await
    }

    /// A gateway with a configuration document.
    pub(crate) async fn with_document(document: &str) -> Self {
        Self::start(Plan {
            document: Some(document.to_owned()),
            ..Plan::default()
        })
        .await
    }

    pub(crate) async fn start(plan: Plan) -> Self {
        let double = Double::start(plan.double).await.unwrap();
        let mut environment = plan.environment;
        environment.push(("AWS_ENDPOINT_URL".into(), double.url()));
        let mut settings = settings(environment);
        let folder = tempfile::tempdir().unwrap();
        if let Some(document) = plan.document {
            let path = folder.path().join("gateway.yaml");
            let document = document.replace("{url}", &double.url());
            let document = document.replace("{mantle}", &double.mantle_url());
            std::fs::write(&path, document).unwrap();
            settings.config = Some(path);
        }
        (plan.settings)(&mut settings);
        let config = settings.config.clone();
        let server = Server::bind(settings).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            double,
            address: server.local_addr(),
            admin: server.admin_addr().unwrap(),
            config,
            client: Client::builder(TokioExecutor::new()).build_http(),
            stop: Some(stop),
            served: Some(tokio::spawn(server.run(async {
                let _ = stopped.await;
            }))),
            _folder: folder,
        }
    }

    /// Sends a request and gives its answer before the body is read.
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
            .expect("an answer in time")
            .unwrap()
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        read(self.open(method, path, headers, body).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.call(Method::POST, "/v1/chat/completions", &[], body.to_string())
            .await
    }

    pub(crate) async fn open_chat(&self, body: &Value) -> http::Response<Incoming> {
        self.open(Method::POST, "/v1/chat/completions", &[], body.to_string())
            .await
    }

    /// One of the pages of the admin port.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let uri = format!("http://{}{path}", self.admin);
        let request = Request::get(uri).body(Full::default()).unwrap();
        read(self.client.request(request).await.unwrap()).await
    }

    /// Value of a metric, by its whole name with labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.admin("/metrics").await.text();
        let line = page.lines().find(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Tells the gateway to end, as SIGTERM does.
    pub(crate) fn terminate(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the gateway's end.
    pub(crate) async fn ended(&mut self) -> Drained {
        let served = self.served.take().unwrap();
        tokio::time::timeout(TIMEOUT, served)
            .await
            .expect("the end in time")
            .unwrap()
    }

    /// Replaces the configuration document.
    pub(crate) fn write_config(&self, document: &str) {
        let path = self.config.as_ref().unwrap();
        std::fs::write(path, document.replace("{url}", &self.double.url())).unwrap();
    }
}

async fn read(response: http::Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(TIMEOUT, body.collect())
        .await
        .expect("a body in time")
        .unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The `error` object of an error.
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

/// Events of a stream; `[DONE]` as a string.
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
        .collect()
}

/// All text of a stream's deltas.
pub(crate) fn streamed_text(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

/// A chat of one turn.
pub(crate) fn ask(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] })
}

pub(crate) fn ask_stream(model: &str, prompt: &str) -> Value {
    let mut body = ask(model, prompt);
    body["stream"] = Value::from(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// Reads a body until it holds `text`; gives what was read.
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
        .unwrap_or_else(|_| panic!("no {text:?} in time"));
    String::from_utf8(read.to_vec()).unwrap()
}

/// Looks again and again until it is as it should be.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut check: F) {
    let deadline = Instant::now() + TIMEOUT;
    while !check().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The signed reasoning that each assistant's turn of a Converse request begins with.
pub(crate) fn signed_blocks(call: &Call) -> Vec<Value> {
    let request = call.json().unwrap();
    let messages = request["messages"].as_array().unwrap();
    messages
        .iter()
        .filter(|message| message["role"] == "assistant")
        .map(|message| message["content"][0]["reasoningContent"]["reasoningText"].clone())
        .collect()
}
