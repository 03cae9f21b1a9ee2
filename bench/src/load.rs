//! The load generator: clients with one connection and one request at a time each.
//!
//! Every response is checked, also outside of the measured window. A wrong response ends the run with an error.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    agent,
    content::{Case, request},
    process::Process,
    response::{StreamCheck, check},
    scenario::{Mode, Scenario, Size},
    steps::Sums,
};

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;
/// Slow streams that begin at once, and the pause after them.
const STARTS: usize = 10;
const START_PAUSE: Duration = Duration::from_millis(10);

/// Length of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// Results of a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) seconds: f64,
    /// Completed responses.
    pub(crate) responses: u64,
    /// Received deltas with text.
    pub(crate) events: u64,
    /// CPU time of the target.
    pub(crate) cpu_seconds: f64,
    /// Memory of the target at its end that no file backs.
    pub(crate) memory_bytes: u64,
    /// Time to the complete response, or for streams to the first text; sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Time and allocations by step, of a target that reports them.
    pub(crate) steps: Option<Sums>,
}

/// Shared state of all clients of a scenario.
struct Shared {
    phase: AtomicU8,
    address: SocketAddr,
    host: HeaderValue,
    /// Headers of each request, besides those of any HTTP request.
    headers: HeaderMap,
    /// Names of the model in responses.
    models: Vec<&'static str>,
    scenario: Scenario,
    path: String,
    cases: Arc<[Case]>,
    bodies: Vec<Bytes>,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    /// Whether the measured window is open.
    fn counts(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == MEASURING
    }
}

/// Runs a scenario against a target.
///
/// # Errors
/// When a response is wrong or missing.
pub(crate) async fn run(
    scenario: &Scenario,
    target: &Process,
    cases: &Arc<[Case]>,
    key: &str,
    times: Times,
) -> Result<Window> {
    let mut headers = target.headers().clone();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::try_from(format!("Bearer {key}"))
            .context("the key is not a valid header value")?,
    );
    let shared = Arc::new(Shared {
        phase: AtomicU8::new(WARMING_UP),
        address: target.address(),
        host: HeaderValue::try_from(target.address().to_string())
            .context("the address is not a valid header value")?,
        headers,
        models: target.models().to_vec(),
        scenario: *scenario,
        path: scenario.path(),
        cases: Arc::clone(cases),
        bodies: cases.iter().map(|case| request(case, scenario)).collect(),
    });
    let mut clients = JoinSet::new();
    for number in 0..scenario.clients {
        clients.spawn(client(Arc::clone(&shared), number));
        // Slow streams begin one after the other, so that their events are spread.
        if scenario.mode == Mode::Slow && number % STARTS == 0 {
            sleep(START_PAUSE).await;
        }
    }
    sleep(times.warm_up).await;
    let steps = target.steps().await?;
    let (cpu, started) = (target.cpu_seconds()?, Instant::now());
    shared.phase.store(MEASURING, Ordering::Relaxed);
    sleep(times.window).await;
    shared.phase.store(OVER, Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    // Before the CPU time, as at the start.
    let since = target.steps().await?.zip(steps);
    let mut window = Window {
        seconds,
        cpu_seconds: target.cpu_seconds()? - cpu,
        memory_bytes: target.memory_bytes()?,
        steps: since.map(|(now, then)| now.since(&then)),
        ..Window::default()
    };
    while let Some(ended) = clients.join_next().await {
        let one = ended.context("a client failed")??;
        window.responses = window.responses.saturating_add(one.responses);
        window.events = window.events.saturating_add(one.events);
        window.latencies.extend(one.latencies);
    }
    window.latencies.sort_unstable();
    Ok(window)
}

/// Results of one client within the window.
#[derive(Debug, Default)]
struct Seen {
    responses: u64,
    events: u64,
    latencies: Vec<Duration>,
}

async fn client(shared: Arc<Shared>, number: usize) -> Result<Seen> {
    let stream = TcpStream::connect(shared.address)
        .await
        .with_context(|| format!("failed to connect to {}", shared.address))?;
    stream
        .set_nodelay(true)
        .context("failed to set a socket option")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .context("failed the HTTP handshake")?;
    // The connection ends with the sender, which reports its errors.
    tokio::spawn(connection);
    let mut seen = Seen::default();
    let turns = shared.cases.iter().zip(&shared.bodies).cycle();
    for (case, body) in turns.skip(number) {
        if shared.is_over() {
            break;
        }
        ask(&shared, &mut sender, case, body, &mut seen)
            .await
            .with_context(|| format!("client {number}, case {}", case.number))?;
    }
    Ok(seen)
}

async fn ask(
    shared: &Shared,
    sender: &mut SendRequest<Full<Bytes>>,
    case: &Case,
    body: &Bytes,
    seen: &mut Seen,
) -> Result<()> {
    let mut request = Request::post(&shared.path)
        .header(header::HOST, &shared.host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.clone()))
        .context("failed to make a request")?;
    for (name, value) in &shared.headers {
        request.headers_mut().insert(name, value.clone());
    }
    sender.ready().await.context("the connection is closed")?;
    let started = Instant::now();
    let response = sender
        .send_request(request)
        .await
        .context("no response received")?;
    if shared.scenario.mode == Mode::Whole {
        let (status, body) = whole(response).await?;
        ensure!(
            status == StatusCode::OK,
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        if shared.scenario.size == Size::Tools {
            agent::check(shared.scenario.api, Mode::Whole, &body, case)?;
        } else {
            check(&body, case, &shared.models)?;
        }
        if shared.counts() {
            seen.latencies.push(started.elapsed());
        }
    } else {
        streamed(shared, response, case, started, seen).await?;
    }
    if shared.counts() {
        seen.responses = seen.responses.saturating_add(1);
    }
    Ok(())
}

/// Reads a stream to its end.
async fn streamed(
    shared: &Shared,
    response: Response<Incoming>,
    case: &Case,
    started: Instant,
    seen: &mut Seen,
) -> Result<()> {
    if response.status() != StatusCode::OK {
        let (status, body) = whole(response).await?;
        anyhow::bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    let Scenario {
        api, size, mode, ..
    } = shared.scenario;
    if size == Size::Tools {
        let (_, body) = whole(response).await?;
        if shared.counts() {
            seen.latencies.push(started.elapsed());
        }
        return agent::check(api, mode, &body, case);
    }
    let mut body = response.into_body();
    let mut check = StreamCheck::new(case, &shared.models);
    let mut begun = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the stream was cut")?.into_data() else {
            continue;
        };
        let deltas = check.push(&data)?;
        if deltas > 0 && shared.counts() {
            seen.events = seen.events.saturating_add(deltas);
            if !begun {
                seen.latencies.push(started.elapsed());
            }
        }
        begun |= deltas > 0;
        if mode == Mode::Slow && shared.is_over() {
            return Ok(());
        }
    }
    check.finish()
}

async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes)> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.context("the response was cut")?;
    Ok((parts.status, body.to_bytes()))
}
