//! An HTTP proxy between one operator and the API server, which knows every request by what it is for
//! and does to chosen ones what networks and API servers do on bad days.
//!
//! It shows its operator one namespace only, by narrowing requests for a whole cluster: so a hundred
//! operators live on one API server, each in a world of its own. Credentials pass through: the API
//! server judges the operator by its own roles.

mod asked;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use kube::{Client, client::Body};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::asked::Asked;
use super::world::TIMEOUT;

/// In the event that ends a streamed list.
const LISTED: &[u8] = b"k8s.io/initial-events-end";

/// Any failure on the way; its kind does not matter, the connection breaks.
type Broken = std::io::Error;
type Answer = Response<UnsyncBoxBody<Bytes, Broken>>;

/// What is done to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status instead of the API server's; the request does not reach it.
    Answer(u16),
    /// No answer, and the request does not reach the API server.
    SilenceBefore,
    /// No answer, but the API server did what it was asked.
    SilenceAfter,
    /// The connection breaks before the request reaches the API server.
    CutBefore,
    /// The connection breaks after the API server did what it was asked.
    CutAfter,
    /// The API server did what it was asked, and from then on nothing gets through either way: the
    /// operator is as good as dead.
    DeadAfter,
    /// The API server did what it was asked; its answer waits for [`Proxy::release`].
    HoldAnswer,
    /// The request waits for [`Proxy::release`] before it reaches the API server, and then does so even
    /// when its operator is gone.
    HoldRequest,
}

/// A fault for the first requests of a name.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// How many requests it strikes yet.
    left: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Every request, and what became of it.
    story: Mutex<Vec<(Instant, String)>>,
    faults: Mutex<BTreeMap<String, Armed>>,
    struck: Notify,
    strikes: AtomicUsize,
    released: CancellationToken,
    arrived: CancellationToken,
    dead: CancellationToken,
    writes: Mutex<Vec<String>>,
    last_write: Mutex<Option<Instant>>,
    under_way: AtomicUsize,
    watches: Mutex<BTreeMap<String, CancellationToken>>,
    barred: Mutex<BTreeSet<String>>,
    expired: Mutex<BTreeSet<String>>,
}

/// The proxy of one operator.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<State>,
    _stop: tokio_util::sync::DropGuard,
}

impl Proxy {
    /// Serves on a port of its own, with this namespace as all there is.
    pub(crate) async fn start(upstream: Client, namespace: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let stop = CancellationToken::new();
        let (serving, namespace) = (Arc::clone(&state), namespace.to_owned());
        let until = stop.clone();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = until.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else { continue };
                let (state, upstream) = (Arc::clone(&serving), upstream.clone());
                let (namespace, until) = (namespace.clone(), until.clone());
                tokio::spawn(async move {
                    let dead = state.dead.clone();
                    let service = service_fn(|request| {
                        let (state, upstream) = (Arc::clone(&state), upstream.clone());
                        let namespace = namespace.clone();
                        async move { answer(&state, &upstream, &namespace, request).await }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let connection = server.serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        // A connection that breaks is what this is for.
                        _ = connection => {}
                        () = dead.cancelled() => {}
                        () = until.cancelled() => {}
                    }
                });
            }
        });
        Self {
            url,
            state,
            _stop: stop.drop_guard(),
        }
    }

    /// Strikes the next request of this name; see [`Asked::name`].
    pub(crate) fn arm(&self, name: &str, fault: Fault) {
        self.arm_times(name, fault, 1);
    }

    /// Strikes the next requests of this name.
    pub(crate) fn arm_times(&self, name: &str, fault: Fault, times: usize) {
        let armed = Armed { fault, left: times };
        self.state
            .faults
            .lock()
            .unwrap()
            .insert(name.to_owned(), armed);
    }

    /// Waits until a fault has struck.
    pub(crate) async fn struck(&self) {
        let waiting = async {
            loop {
                let waiting = self.state.struck.notified();
                if self.has_struck() {
                    return;
                }
                waiting.await;
            }
        };
        let struck = timeout(TIMEOUT, waiting).await.is_ok();
        assert!(struck, "nothing was struck in time; {}", self.story());
    }

    /// What the operator asked, and what became of it.
    pub(crate) fn story(&self) -> String {
        let story = self.state.story.lock().unwrap();
        let line = |(at, line): &(Instant, String)| {
            let ago = at.elapsed().as_secs_f64();
            format!("  {ago:.2} s ago: {line}")
        };
        let lines: Vec<String> = story.iter().map(line).collect();
        format!("asked, and answered:\n{}", lines.join("\n"))
    }

    pub(crate) fn has_struck(&self) -> bool {
        self.strikes() > 0
    }

    /// How often a fault has struck.
    pub(crate) fn strikes(&self) -> usize {
        self.state.strikes.load(Ordering::SeqCst)
    }

    /// Releases the messages that [`Fault::HoldAnswer`] and [`Fault::HoldRequest`] hold.
    pub(crate) fn release(&self) {
        self.state.released.cancel();
    }

    /// Waits until what [`Fault::HoldRequest`] held has been answered by the API server.
    pub(crate) async fn arrived(&self) {
        self.state.arrived.cancelled().await;
    }

    /// Breaks the watch of a resource and lets it not begin again until [`Proxy::allow`].
    pub(crate) fn bar(&self, resource: &str) {
        self.state
            .barred
            .lock()
            .unwrap()
            .insert(resource.to_owned());
        let watch = self.state.watches.lock().unwrap().remove(resource);
        watch
            .unwrap_or_else(|| panic!("{resource} is not watched"))
            .cancel();
    }

    /// Allows the watch of a resource again; if `expired`, its resource version is too old.
    pub(crate) fn allow(&self, resource: &str, expired: bool) {
        if expired {
            self.state
                .expired
                .lock()
                .unwrap()
                .insert(resource.to_owned());
        }
        self.state.barred.lock().unwrap().remove(resource);
    }

    /// Whether a resource is watched.
    pub(crate) fn is_watched(&self, resource: &str) -> bool {
        self.state.watches.lock().unwrap().contains_key(resource)
    }

    /// Every write so far, by its name, in the order they came.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state.writes.lock().unwrap().clone()
    }

    /// Whether nothing was under way and nothing was written for this long.
    pub(crate) fn quiet_for(&self, time: Duration) -> bool {
        self.state.under_way.load(Ordering::SeqCst) == 0
            && self
                .state
                .last_write
                .lock()
                .unwrap()
                .is_none_or(|last| last.elapsed() >= time)
    }
}

impl State {
    fn tell(&self, line: String) {
        self.story.lock().unwrap().push((Instant::now(), line));
    }

    /// The fault for this request, if any.
    fn fault(&self, name: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let armed = faults.get_mut(name)?;
        armed.left = armed.left.checked_sub(1)?;
        Some(armed.fault.clone())
    }

    fn strike(&self) {
        self.strikes.fetch_add(1, Ordering::SeqCst);
        self.struck.notify_waiters();
    }
}

/// A request under way; the last write is over when this is dropped.
struct UnderWay {
    state: Arc<State>,
    is_write: bool,
}

impl UnderWay {
    fn new(state: &Arc<State>, is_write: bool) -> Self {
        state.under_way.fetch_add(1, Ordering::SeqCst);
        Self {
            state: Arc::clone(state),
            is_write,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.state.under_way.fetch_sub(1, Ordering::SeqCst);
        if self.is_write {
            *self.state.last_write.lock().unwrap() = Some(Instant::now());
        }
    }
}

async fn answer(
    state: &Arc<State>,
    upstream: &Client,
    namespace: &str,
    request: Request<Incoming>,
) -> Result<Answer, Broken> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(Broken::other)?.to_bytes();
    let asked = Asked::of(&parts, &body);
    state.tell(asked.name());
    let answer = answered(state, upstream, namespace, (parts, body), &asked).await;
    state.tell(match &answer {
        Ok(answer) => format!("{asked}: {}", answer.status()),
        Err(error) => format!("{asked}: {error}"),
    });
    answer
}

async fn answered(
    state: &Arc<State>,
    upstream: &Client,
    namespace: &str,
    (parts, body): (http::request::Parts, Bytes),
    asked: &Asked,
) -> Result<Answer, Broken> {
    if asked.is_stream() {
        // A list that comes as the beginning of a watch.
        let fault = state.fault(&asked.name());
        if fault.is_some() {
            state.strike();
        }
        match fault {
            Some(Fault::Answer(code)) => return Ok(status(code, "InjectedFault")),
            Some(Fault::SilenceBefore) => return futures::future::pending().await,
            Some(_) => return Err(Broken::other("cut")),
            None => {}
        }
    }
    if asked.is_watch() {
        return watch(state, upstream, namespace, parts, asked).await;
    }
    let _under_way = UnderWay::new(state, asked.is_write());
    let name = asked.name();
    if asked.is_write() {
        state.writes.lock().unwrap().push(name.clone());
    }
    let fault = state.fault(&name);
    match fault {
        Some(Fault::Answer(code)) => {
            state.strike();
            return Ok(status(code, "InjectedFault"));
        }
        Some(Fault::SilenceBefore) => {
            state.strike();
            return futures::future::pending().await;
        }
        Some(Fault::CutBefore) => {
            state.strike();
            return Err(Broken::other("cut"));
        }
        Some(Fault::HoldRequest) => {
            state.strike();
            let (released, arrived) = (state.released.clone(), state.arrived.clone());
            let (upstream, namespace) = (upstream.clone(), namespace.to_owned());
            tokio::spawn(async move {
                released.cancelled().await;
                // What it comes to shows in the cluster.
                let _ = forward(&upstream, &namespace, parts, body).await;
                arrived.cancel();
            });
            return futures::future::pending().await;
        }
        _ => {}
    }
    let Some(fault) = fault else {
        let answer = forward(upstream, namespace, parts, body).await?;
        return Ok(answer.map(|body| body.map_err(Broken::other).boxed_unsync()));
    };
    // On a slow day the operator gives up before the API server answers, which it does all the same.
    let (upstream, namespace) = (upstream.clone(), namespace.to_owned());
    let (striking, dies) = (Arc::clone(state), matches!(fault, Fault::DeadAfter));
    let under_way = UnderWay::new(state, asked.is_write());
    let answer = tokio::spawn(async move {
        let _under_way = under_way;
        let answer = forward(&upstream, &namespace, parts, body).await?;
        if dies {
            striking.dead.cancel();
        }
        striking.strike();
        Ok::<_, Broken>(answer)
    });
    let answer = answer.await.map_err(Broken::other)??;
    match fault {
        Fault::CutAfter => Err(Broken::other("cut")),
        Fault::HoldAnswer => {
            state.released.cancelled().await;
            Ok(answer.map(|body| body.map_err(Broken::other).boxed_unsync()))
        }
        _ => futures::future::pending().await,
    }
}

/// A watch, until it is cut: then the connection breaks.
async fn watch(
    state: &Arc<State>,
    upstream: &Client,
    namespace: &str,
    parts: http::request::Parts,
    asked: &Asked,
) -> Result<Answer, Broken> {
    let resource = asked.watched();
    if state.barred.lock().unwrap().contains(&resource) {
        return Ok(status(500, "Barred"));
    }
    if state.expired.lock().unwrap().remove(&resource) {
        state.strike();
        let event = json!({"type": "ERROR", "object": {
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 410,
            "reason": "Expired", "message": "too old resource version",
        }});
        return Ok(json_answer(StatusCode::OK, format!("{event}\n")));
    }
    let answer = forward(upstream, namespace, parts, Bytes::new()).await?;
    let cut = CancellationToken::new();
    state.watches.lock().unwrap().insert(resource, cut.clone());
    let dead = state.dead.clone();
    let (telling, name) = (Arc::clone(state), asked.name());
    Ok(answer.map(|body| {
        let frames = body
            .into_data_stream()
            .inspect_ok(move |data| {
                if data.windows(LISTED.len()).any(|part| part == LISTED) {
                    telling.tell(format!("{name}: all listed"));
                }
            })
            .map_ok(Frame::data)
            .map_err(Broken::other)
            .take_until(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = dead.cancelled() => {}
                }
            })
            .chain(futures::stream::once(async { Err(Broken::other("cut")) }));
        BodyExt::boxed_unsync(StreamBody::new(frames))
    }))
}

async fn forward(
    upstream: &Client,
    namespace: &str,
    mut parts: http::request::Parts,
    body: Bytes,
) -> Result<Response<Body>, Broken> {
    parts.uri = asked::narrowed(&parts.uri, namespace).parse().unwrap();
    for name in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    parts.version = http::Version::HTTP_11;
    let request = Request::from_parts(parts, Body::from(body.to_vec()));
    let mut answer = upstream.send(request).await.map_err(Broken::other)?;
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}

fn status(code: u16, reason: &str) -> Answer {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": "a fault of the test's",
    });
    json_answer(StatusCode::from_u16(code).unwrap(), body.to_string())
}

fn json_answer(status: StatusCode, body: String) -> Answer {
    let never = |never: Infallible| -> Broken { match never {} };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)).map_err(never).boxed_unsync())
        .unwrap()
}
