//! Clients that send one request after the other, each with one retry, as SDKs do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    sync::{RwLock, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    documents::FIRST_KEY,
    surfaces::{ApiKind, Flaw, Reply, Surface, shortened},
    world::{TokenSource, World},
};

/// Clients; one half sends tokens of a ServiceAccount, the other API keys.
const CLIENTS: usize = 8;
/// Wait before a retry for which the gateway names no time.
const BACKOFF: Duration = Duration::from_secs(2);
/// Longest time of an attempt; longer than every scripted delay of AWS.
const ATTEMPT: Duration = Duration::from_secs(90);
/// Longest wait for the end of an outage and of the retries of its requests.
const SETTLE: Duration = Duration::from_mins(3);
/// Whether clients retry a status, as the SDKs of OpenAI and Anthropic do; on Bedrock's own API, its status of a model
/// that fails, too.
fn is_retried(status: StatusCode, should_retry: Option<&str>, api: ApiKind) -> bool {
    let is_native = matches!(api, ApiKind::Converse | ApiKind::InvokeModel);
    match status.as_u16() {
        424 => is_native || should_retry == Some("true"),
        status => matches!(status, 408 | 409 | 429) || status >= 500,
    }
}

/// The result of an attempt.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// A complete and correct response.
    Good(Reply),
    /// An error that clients retry.
    Failed {
        why: String,
        retry_after: Option<Duration>,
    },
    /// A wrong response.
    Wrong(String),
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) surface: Surface,
    pub(super) start: Instant,
    pub(super) end: Instant,
    /// Whether the request was sent before and failed.
    pub(super) is_retry: bool,
    /// Of the gateway; empty without a response.
    pub(super) request_id: String,
    pub(super) outcome: Outcome,
}

/// What clients send to prove who they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    pub(super) token: String,
    pub(super) key: String,
}

/// The running clients.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Attempt>>>,
    refresh: JoinHandle<()>,
}

struct Shared {
    url: String,
    /// Set at the end.
    stop: AtomicBool,
    /// Requests whose retry is due.
    pending: AtomicUsize,
    /// Correct responses so far.
    good: AtomicU64,
    /// Whether an outage of AWS or DNS is on.
    outage: watch::Sender<bool>,
    /// Held by each request; a fault that must see no request in progress takes it whole.
    gate: RwLock<()>,
    credentials: RwLock<Credentials>,
}

/// Starts the clients.
pub(super) async fn start(world: &World) -> Traffic {
    let credentials = Credentials {
        token: world.client_token().await.unwrap(),
        key: FIRST_KEY.to_owned(),
    };
    let shared = Arc::new(Shared {
        url: world.gateway_url(),
        stop: AtomicBool::new(false),
        pending: AtomicUsize::new(0),
        good: AtomicU64::new(0),
        outage: watch::Sender::new(false),
        gate: RwLock::new(()),
        credentials: RwLock::new(credentials),
    });
    let clients = (0..CLIENTS)
        .map(|number| tokio::spawn(client(number, Arc::clone(&shared), fastrand::u64(..))))
        .collect();
    let refresh = tokio::spawn(refresh(Arc::clone(&shared), world.token_source().await));
    Traffic {
        shared,
        clients,
        refresh,
    }
}

/// Replaces the token well before it expires, as the kubelet does.
async fn refresh(shared: Arc<Shared>, source: TokenSource) {
    loop {
        sleep(Duration::from_mins(2)).await;
        if let Ok(token) = source.token().await {
            shared.credentials.write().await.token = token;
        }
    }
}

impl Traffic {
    /// Waits until no retry is due and nothing failed for a time.
    pub(super) async fn calm(&self, time: Duration) {
        sleep(time).await;
        let end = Instant::now() + SETTLE;
        while self.shared.pending.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < end, "retries are due after {SETTLE:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Says whether requests may fail until a fault ends, because nothing that a gateway does can help.
    pub(super) fn outage(&self, on: bool) {
        self.shared.outage.send_replace(on);
    }

    /// Lets no request start, and waits for those in progress.
    pub(super) async fn pause(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.shared.gate.write().await
    }

    /// Number of correct responses so far.
    pub(super) fn good_so_far(&self) -> u64 {
        self.shared.good.load(Ordering::SeqCst)
    }

    /// The API key of requests.
    pub(super) async fn key(&self) -> String {
        self.shared.credentials.read().await.key.clone()
    }

    /// Uses another API key for requests that start later.
    pub(super) async fn use_key(&self, key: &str) {
        self.shared.credentials.write().await.key = key.to_owned();
    }

    /// Stops the clients and returns what they saw.
    pub(super) async fn stop(self) -> Vec<Attempt> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.refresh.abort();
        let mut attempts = Vec::new();
        for client in self.clients {
            attempts.extend(client.await.unwrap());
        }
        attempts
    }
}

async fn client(number: usize, shared: Arc<Shared>, seed: u64) -> Vec<Attempt> {
    let mut random = fastrand::Rng::with_seed(seed);
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut attempts = Vec::new();
    let mut count = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        let open = shared.gate.read().await;
        let surface = Surface::random(&mut random);
        count += 1;
        let words = random.usize(3..120);
        let prompt = format!("client {number} request {count}:{}", " word".repeat(words));
        let slow = random.usize(0..4) == 0;
        let sent = Sent {
            shared: &shared,
            http: &http,
            surface,
            prompt: &prompt,
            slow,
            by_key: number.is_multiple_of(2),
        };
        let first = sent.attempt(false).await;
        let failed = match &first.outcome {
            Outcome::Failed { retry_after, .. } => Some(retry_after.unwrap_or(BACKOFF)),
            Outcome::Good(_) | Outcome::Wrong(_) => None,
        };
        attempts.push(first);
        if let Some(wait) = failed {
            shared.pending.fetch_add(1, Ordering::SeqCst);
            sleep(wait).await;
            let mut outage = shared.outage.subscribe();
            if *outage.borrow() {
                let _ = timeout(SETTLE, outage.wait_for(|on| !on)).await;
                sleep(wait).await;
            }
            attempts.push(sent.attempt(true).await);
            shared.pending.fetch_sub(1, Ordering::SeqCst);
        }
        drop(open);
        sleep(Duration::from_millis(random.u64(10..150))).await;
    }
    attempts
}

/// A request of a client.
struct Sent<'a> {
    shared: &'a Shared,
    http: &'a Client<HttpConnector, Full<Bytes>>,
    surface: Surface,
    prompt: &'a str,
    slow: bool,
    by_key: bool,
}

impl Sent<'_> {
    async fn attempt(&self, is_retry: bool) -> Attempt {
        let start = Instant::now();
        let (request_id, outcome) = match timeout(ATTEMPT, self.send()).await {
            Ok(result) => result,
            Err(_) => (String::new(), failed("timeout of the client")),
        };
        Attempt {
            surface: self.surface,
            start,
            end: Instant::now(),
            is_retry,
            request_id,
            outcome,
        }
    }

    async fn send(&self) -> (String, Outcome) {
        let text = if self.slow && self.surface.stream {
            format!("@slow 20ms\n{}", self.prompt)
        } else {
            self.prompt.to_owned()
        };
        let (path, body) = self.surface.request(&text);
        let credentials = self.shared.credentials.read().await.clone();
        let secret = if self.by_key {
            credentials.key
        } else {
            credentials.token
        };
        let request = Request::post(format!("{}{path}", self.shared.url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {secret}"))
            .body(Full::from(body.to_string()))
            .unwrap();
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) => return (String::new(), failed(&format!("connection: {error:?}"))),
        };
        let (parts, body) = response.into_parts();
        let value = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let request_id = value("x-request-id").unwrap_or_default().to_owned();
        let retry_after = value("retry-after")
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs);
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                let why = format!("status {} and then: {error:?}", parts.status);
                return (request_id, failed(&why));
            }
        };
        let outcome = if parts.status == StatusCode::OK {
            self.judge(&body)
        } else {
            let is_retried = is_retried(parts.status, value("x-should-retry"), self.surface.api);
            self.judge_error(parts.status, &body, is_retried, retry_after)
        };
        (request_id, outcome)
    }

    fn judge(&self, body: &Bytes) -> Outcome {
        match self.surface.read(body) {
            Ok(reply) if reply.text == self.prompt => {
                self.shared.good.fetch_add(1, Ordering::SeqCst);
                Outcome::Good(reply)
            }
            Ok(reply) => Outcome::Wrong(format!(
                "{:?} was asked to repeat {:?} and responded {:?}",
                self.surface, self.prompt, reply.text
            )),
            Err(Flaw::Error(why)) => failed(&format!("error in the stream: {why}")),
            Err(Flaw::Broken(why)) => Outcome::Wrong(format!("{:?}: {why}", self.surface)),
        }
    }

    fn judge_error(
        &self,
        status: StatusCode,
        body: &Bytes,
        is_retried: bool,
        retry_after: Option<Duration>,
    ) -> Outcome {
        let text = shortened(body);
        if !is_retried {
            return Outcome::Wrong(format!("{:?}: status {status}: {text}", self.surface));
        }
        if !self.surface.is_error_of_dialect(body) {
            return Outcome::Wrong(format!(
                "{:?}: status {status} with a foreign body: {text}",
                self.surface
            ));
        }
        Outcome::Failed {
            why: format!("status {status}: {text}"),
            retry_after,
        }
    }
}

fn failed(why: &str) -> Outcome {
    Outcome::Failed {
        why: why.to_owned(),
        retry_after: None,
    }
}
