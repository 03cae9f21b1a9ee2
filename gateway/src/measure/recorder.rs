//! The recorder: each thread adds up time and allocations by step, and the admin port reports the sums.
//!
//! Within a poll of a task, each change of the step reads the monotonic clock, which costs a tenth of a system call. The kernel's CPU time
//! of the thread is read at both ends of a poll. If less CPU time than time has passed, the kernel ran something else meanwhile; the difference
//! is subtracted from the longest step of the poll. CPU time and allocations between the polls of a thread belong to
//! tokio and the kernel: scheduling, timers, waiting for connections, and waking threads.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Json, Router, routing::get};
use hyper::rt::{Executor as Execute, Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker};

use super::Step;

/// Path of the sums on the admin port.
const PATH: &str = "/steps";
/// Number of steps, and of sums: the last two are of the time between polls, and of the recorder's own within them.
const STEPS: usize = 25;
const SUMS: usize = STEPS + 2;
const BETWEEN: usize = STEPS;
const RECORDER: usize = STEPS + 1;

/// Names, in the order of the table.
const NAMES: [&str; SUMS] = [
    "HTTP server (hyper)",
    "HTTP client (hyper)",
    "receive the request (kernel)",
    "send the response (kernel)",
    "send the call (kernel)",
    "receive the reply (kernel)",
    "middleware and everything between steps",
    "authenticate the client",
    "collect the body",
    "rate limits",
    "find the model and the stream flag",
    "outline of the conversation",
    "choose the target",
    "decode or edit the request",
    "write the call for Converse",
    "guardrail, S3 objects, attribution",
    "build and sign the call",
    "decode frames or server-sent events",
    "decode the reply or event",
    "encode the response or event",
    "drive the stream",
    "record",
    "metrics",
    "format the log line",
    "write log lines (thread)",
    "tokio and kernel: schedule, wait, wake",
    "this recorder, at both ends of a poll",
];

static THREADS: Mutex<Vec<Arc<Shared>>> = Mutex::new(Vec::new());

thread_local! {
    /// Allocations of this thread, and their bytes.
    static ALLOCATED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    static THREAD: RefCell<Recorder> = RefCell::new(Recorder::new());
}

/// A point in time of a thread.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    nanoseconds: u64,
    allocations: u64,
    bytes: u64,
}

/// What a step has used.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    visits: u64,
    used: Mark,
}

/// The sums of a thread, which the admin port reads.
type Shared = [[AtomicU64; 4]; SUMS];

struct Recorder {
    shared: Arc<Shared>,
    /// The step, within a poll.
    current: Option<Step>,
    /// The last change of the step, or the end of the last poll.
    since: Mark,
    /// CPU time of the thread when the poll began, or when the last one ended.
    cpu: u64,
    poll: [Sum; STEPS],
}

/// One line of the report.
#[derive(Serialize)]
struct Line {
    step: &'static str,
    visits: u64,
    nanoseconds: u64,
    allocations: u64,
    bytes: u64,
}

fn clock(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    part(time.tv_sec)
        .saturating_mul(1_000_000_000)
        .saturating_add(part(time.tv_nsec))
}

fn cpu_time() -> u64 {
    clock(ClockId::ThreadCPUTime)
}

impl Mark {
    fn now() -> Self {
        let (allocations, bytes) = ALLOCATED.get();
        Self {
            nanoseconds: clock(ClockId::Monotonic),
            allocations,
            bytes,
        }
    }

    fn minus(self, earlier: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds.saturating_sub(earlier.nanoseconds),
            allocations: self.allocations.saturating_sub(earlier.allocations),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }

    fn add(&mut self, other: Self) {
        self.nanoseconds = self.nanoseconds.saturating_add(other.nanoseconds);
        self.allocations = self.allocations.saturating_add(other.allocations);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Recorder {
    fn new() -> Self {
        let shared = Arc::<Shared>::default();
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(Arc::clone(&shared));
        Self {
            shared,
            current: None,
            since: Mark::now(),
            cpu: cpu_time(),
            poll: Default::default(),
        }
    }

    /// Changes the step; returns the one before.
    fn change(&mut self, to: Option<Step>) -> Option<Step> {
        let now = Mark::now();
        if let Some(sum) = self.current.and_then(|step| self.poll.get_mut(index(step))) {
            sum.used.add(now.minus(self.since));
        }
        self.since = now;
        std::mem::replace(&mut self.current, to)
    }

    fn visit(&mut self, step: Step) {
        if let Some(sum) = self.poll.get_mut(index(step)) {
            sum.visits = sum.visits.saturating_add(1);
        }
    }

    fn share(&self, index: usize, sum: &Sum) {
        let values = [
            sum.visits,
            sum.used.nanoseconds,
            sum.used.allocations,
            sum.used.bytes,
        ];
        for (shared, value) in self.shared.get(index).into_iter().flatten().zip(values) {
            shared.fetch_add(value, Ordering::Relaxed);
        }
    }

    fn begin(&mut self, step: Step) {
        let cpu = cpu_time();
        let mut between = Sum {
            visits: 1,
            used: Mark::now().minus(self.since),
        };
        between.used.nanoseconds = cpu.saturating_sub(self.cpu);
        self.share(BETWEEN, &between);
        self.cpu = cpu;
        self.change(Some(step));
        self.visit(step);
    }

    fn end(&mut self) {
        self.change(None);
        let cpu = cpu_time();
        let used = cpu.saturating_sub(self.cpu);
        let passed = self
            .poll
            .iter()
            .fold(0, |sum: u64, one| sum.saturating_add(one.used.nanoseconds));
        self.subtract(passed.saturating_sub(used));
        let own = Mark {
            nanoseconds: used.saturating_sub(passed),
            ..Mark::default()
        };
        self.share(
            RECORDER,
            &Sum {
                visits: 1,
                used: own,
            },
        );
        for (index, sum) in self
            .poll
            .iter()
            .enumerate()
            .filter(|(_, sum)| sum.visits > 0)
        {
            self.share(index, sum);
        }
        self.poll = Default::default();
        self.cpu = cpu;
    }

    /// Subtracts the time in which the kernel ran something else from the longest steps.
    fn subtract(&mut self, mut elsewhere: u64) {
        while elsewhere > 0
            && let Some(longest) = self.poll.iter_mut().max_by_key(|one| one.used.nanoseconds)
            && longest.used.nanoseconds > 0
        {
            let part = elsewhere.min(longest.used.nanoseconds);
            longest.used.nanoseconds = longest.used.nanoseconds.saturating_sub(part);
            elsewhere = elsewhere.saturating_sub(part);
        }
    }
}

#[expect(clippy::as_conversions, reason = "the number of a variant")]
fn index(step: Step) -> usize {
    step as usize
}

/// Within a step until it is dropped.
struct Within {
    before: Option<Step>,
}

impl Within {
    /// Nothing outside of a poll.
    fn enter(step: Step) -> Option<Self> {
        THREAD.with_borrow_mut(|recorder| {
            recorder.current?;
            recorder.visit(step);
            let before = recorder.change(Some(step));
            Some(Self { before })
        })
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        THREAD.with_borrow_mut(|recorder| recorder.change(self.before));
    }
}

/// Within a poll until it is dropped.
struct InPoll;

impl InPoll {
    fn begin(step: Step) -> Self {
        THREAD.with_borrow_mut(|recorder| recorder.begin(step));
        Self
    }
}

impl Drop for InPoll {
    fn drop(&mut self) {
        THREAD.with_borrow_mut(Recorder::end);
    }
}

/// Does the work of a step.
pub(crate) fn step<T>(step: Step, work: impl FnOnce() -> T) -> T {
    let _within = Within::enter(step);
    work()
}

/// Does work of a thread that has no tasks.
pub(crate) fn job<T>(step: Step, work: impl FnOnce() -> T) -> T {
    let _poll = InPoll::begin(step);
    work()
}

/// A future that is a step of its task.
pub(crate) async fn part<F: Future>(of: Step, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| step(of, || future.as_mut().poll(cx))).await
}

/// A task.
pub(crate) async fn task<F: Future>(step: Step, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| job(step, || future.as_mut().poll(cx))).await
}

/// Spawns the connections to Bedrock.
#[derive(Clone, Debug)]
pub(crate) struct Executor;

impl Executor {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl<F> Execute<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(task(Step::Client, future));
    }
}

/// A connection whose reads and writes are steps.
#[derive(Debug)]
pub(crate) struct Io<S> {
    connection: S,
    read: Step,
    write: Step,
}

/// A connection.
pub(crate) fn io<S>((read, write): (Step, Step), connection: S) -> Io<S> {
    Io {
        connection,
        read,
        write,
    }
}

impl<S: Read + Unpin> Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        step(self.read, || {
            Pin::new(&mut self.connection).poll_read(cx, buffer)
        })
    }
}

impl<S: Write + Unpin> Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        step(self.write, || {
            Pin::new(&mut self.connection).poll_write(cx, bytes)
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        step(self.write, || {
            Pin::new(&mut self.connection).poll_write_vectored(cx, bytes)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

impl<S: Connection> Connection for Io<S> {
    fn connected(&self) -> Connected {
        self.connection.connected()
    }
}

/// Counts allocations by thread.
struct Counter;

impl AllocationTracker for Counter {
    fn allocated(&self, _: usize, bytes: usize, _: usize, _: AllocationGroupId) {
        // A thread that ends may allocate after its counter is gone.
        let _ = ALLOCATED.try_with(|counted| {
            let (allocations, sum) = counted.get();
            let bytes = u64::try_from(bytes).unwrap_or_default();
            counted.set((allocations.saturating_add(1), sum.saturating_add(bytes)));
        });
    }

    fn deallocated(
        &self,
        _: usize,
        _: usize,
        _: usize,
        _: AllocationGroupId,
        _: AllocationGroupId,
    ) {
    }
}

/// Begins to count allocations, if the program's allocator is one of `tracking_allocator`.
pub fn count_allocations() {
    if AllocationRegistry::set_global_tracker(Counter).is_ok() {
        AllocationRegistry::enable_tracking();
    }
}

/// The routes of the admin port, with the sums.
pub(crate) fn admin<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.route(PATH, get(async || Json(report())))
}

fn report() -> Vec<Line> {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = NAMES.iter().enumerate().map(|(index, step)| {
        let mut sums = [0_u64; 4];
        for thread in threads.iter() {
            for (sum, value) in sums.iter_mut().zip(thread.get(index).into_iter().flatten()) {
                *sum = sum.saturating_add(value.load(Ordering::Relaxed));
            }
        }
        let [visits, nanoseconds, allocations, bytes] = sums;
        Line {
            step,
            visits,
            nanoseconds,
            allocations,
            bytes,
        }
    });
    lines.collect()
}
