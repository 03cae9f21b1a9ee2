//! What the rest of the gateway holds: the current credentials without waiting, and a way to ask for new ones.
//!
//! Reading is lock-free and never does I/O. Everything that takes time happens in the one background task of
//! `refresher.rs`, which ends when the last handle is dropped.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::{
    active::{ActiveCredentials, Inner},
    choice::Choice,
    clock::Clock,
    status::{Status, seconds_between},
    sts::StsSettings,
    unavailable::{Reason, Unavailable},
};

/// Upper bound of [`Handle::replace`], above the time one exchange may take.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(75);

/// Shared by handles and the background task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) choice: Choice,
    pub(crate) sts: StsSettings,
    /// Name of sessions of roles that name none.
    pub(crate) session_name: String,
    pub(crate) clock: Clock,
    current: ArcSwapOption<Inner>,
    book: Mutex<Book>,
    /// Generation of the current credentials.
    changes: watch::Sender<u64>,
    /// Number of finished attempts.
    attempts: watch::Sender<u64>,
    /// Highest generation that a request was refused with.
    demand: watch::Sender<u64>,
}

/// What only status readers and the task look at.
#[derive(Debug, Default)]
struct Book {
    next_refresh_at: Option<SystemTime>,
    last_error: Option<Unavailable>,
    consecutive_failures: u32,
    results: BTreeMap<&'static str, u64>,
    forced: u64,
}

/// The live credentials of one role chain. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    /// Dropped with the last handle, which ends the task.
    _alive: Arc<watch::Sender<()>>,
}

impl Shared {
    pub(crate) fn new(
        choice: Choice,
        sts: StsSettings,
        session_name: String,
        clock: Clock,
    ) -> Self {
        Self {
            choice,
            sts,
            session_name,
            clock,
            current: ArcSwapOption::empty(),
            book: Mutex::default(),
            changes: watch::Sender::new(0),
            attempts: watch::Sender::new(0),
            demand: watch::Sender::new(0),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current credentials, whether or not it has expired.
    pub(crate) fn credentials(&self) -> Option<ActiveCredentials> {
        self.current.load_full().map(ActiveCredentials)
    }

    pub(crate) fn install(&self, credentials: ActiveCredentials) {
        let generation = credentials.generation();
        self.current.store(Some(credentials.0));
        self.changes.send_replace(generation);
    }

    pub(crate) fn record_success(&self) {
        let mut book = self.book();
        book.last_error = None;
        book.consecutive_failures = 0;
        let count = book.results.entry(crate::status::SUCCESS).or_default();
        *count = count.saturating_add(1);
    }

    /// Returns the number of failures in a row.
    pub(crate) fn record_failure(&self, error: Unavailable) -> u32 {
        let mut book = self.book();
        book.consecutive_failures = book.consecutive_failures.saturating_add(1);
        let count = book.results.entry(error.reason.as_str()).or_default();
        *count = count.saturating_add(1);
        book.last_error = Some(error);
        book.consecutive_failures
    }

    pub(crate) fn record_forced(&self) {
        let mut book = self.book();
        book.forced = book.forced.saturating_add(1);
    }

    pub(crate) fn record_next_refresh(&self, at: Option<SystemTime>) {
        self.book().next_refresh_at = at;
    }

    /// Tells everyone who waits in [`Handle::replace`] that an attempt is over.
    pub(crate) fn finish_attempt(&self) {
        self.attempts
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn demands(&self) -> watch::Receiver<u64> {
        self.demand.subscribe()
    }

    fn last_error(&self) -> Option<Unavailable> {
        self.book().last_error.clone()
    }

    fn last_error_or_pending(&self) -> Unavailable {
        self.last_error()
            .unwrap_or_else(|| Unavailable::pending(self.choice.assume_roles.last()))
    }

    fn usable(&self) -> Result<ActiveCredentials, Unavailable> {
        let Some(credentials) = self.credentials() else {
            return Err(self.last_error_or_pending());
        };
        match credentials.expires_at() {
            Some(end) if end <= self.clock.now() => {
                Err(Unavailable::expired(end, self.last_error().as_ref()))
            }
            _ => Ok(credentials),
        }
    }
}

impl Handle {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn new(shared: Arc<Shared>, alive: watch::Sender<()>) -> Self {
        Self {
            shared,
            _alive: Arc::new(alive),
        }
    }

    /// The credentials to sign with now. Lock-free while there are any, never waits: made for the hot path.
    ///
    /// # Errors
    /// When none were ever obtained, or the last ones have really expired.
    pub fn current(&self) -> Result<ActiveCredentials, Unavailable> {
        self.shared.usable()
    }

    /// As [`Self::current`], but waits up to `timeout` for credentials to come.
    ///
    /// # Errors
    /// The last failure, or [`Reason::Pending`], when none came in time.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<ActiveCredentials, Unavailable> {
        let mut changes = self.shared.changes.subscribe();
        let ready = async {
            loop {
                if let Ok(credentials) = self.shared.usable() {
                    return credentials;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(timeout, ready).await {
            Ok(credentials) => Ok(credentials),
            Err(_elapsed) => self.shared.usable(),
        }
    }

    /// Waits up to `timeout` until the first fetch is over, whatever became of it.
    pub async fn first_attempt(&self, timeout: Duration) {
        let mut attempts = self.shared.attempts.subscribe();
        let over = attempts.wait_for(|count| *count > 0);
        // Later is no failure: who asks for credentials meanwhile is told that they are pending.
        let _ = tokio::time::timeout(timeout, over).await;
    }

    /// Call it when AWS refused `rejected` (`ExpiredToken`, `UnrecognizedClient` …): returns newer credentials.
    ///
    /// Any number of callers cause one exchange; when newer credentials are there already, none. Between two
    /// forced exchanges lies a pause of at most a second, so that a role that AWS keeps refusing cannot turn
    /// requests into a storm of STS calls.
    ///
    /// # Errors
    /// Why the exchange brought nothing newer.
    pub async fn replace(
        &self,
        rejected: &ActiveCredentials,
    ) -> Result<ActiveCredentials, Unavailable> {
        match tokio::time::timeout(REPLACE_TIMEOUT, self.newer_than(rejected.generation())).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(self.shared.last_error_or_pending()),
        }
    }

    async fn newer_than(&self, rejected: u64) -> Result<ActiveCredentials, Unavailable> {
        // Subscribed before the demand is made, so that the attempt it causes cannot be missed.
        let mut attempts = self.shared.attempts.subscribe();
        let newer = |credentials: &ActiveCredentials| credentials.generation() > rejected;
        if let Some(credentials) = self.shared.usable().ok().filter(newer) {
            return Ok(credentials);
        }
        self.shared
            .demand
            .send_modify(|highest| *highest = (*highest).max(rejected));
        // The sender lives in `shared`, so this cannot fail while `self` is there.
        let _ = attempts.changed().await;
        let credentials = self.shared.usable()?;
        if newer(&credentials) {
            Ok(credentials)
        } else {
            Err(self.shared.last_error().unwrap_or_else(|| {
                Unavailable::new(
                    Reason::Rejected,
                    "AWS refused credentials that have not expired",
                )
            }))
        }
    }

    /// What is known, without secrets.
    pub fn status(&self) -> Status {
        let credentials = self.shared.credentials();
        let now = self.shared.clock.now();
        let expires_at = credentials.as_ref().and_then(ActiveCredentials::expires_at);
        let obtained_at = credentials.as_ref().map(ActiveCredentials::obtained_at);
        let book = self.shared.book();
        Status {
            choice: self.shared.choice.clone(),
            region: self.shared.sts.region.clone(),
            generation: credentials
                .as_ref()
                .map_or(0, ActiveCredentials::generation),
            obtained_at,
            expires_at,
            seconds_to_expiry: expires_at.map(|end| seconds_between(now, end)),
            age_seconds: obtained_at.map(|start| seconds_between(start, now)),
            next_refresh_at: book.next_refresh_at,
            last_error: book.last_error.clone(),
            consecutive_failures: book.consecutive_failures,
            refreshes_by_result: book.results.clone(),
            forced_refreshes: book.forced,
            clock_skew_seconds: skew_seconds(&self.shared.clock),
        }
    }

    /// Follows the generation of the current credentials.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The time to sign with: the local clock, corrected by what [`Self::observe_server_date`] learned.
    pub fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// Tells the clock the `Date` header of a response that came straight from AWS.
    /// Returns whether the correction changed, so that a request refused for its time is worth another try.
    pub fn observe_server_date(&self, date: &str) -> bool {
        self.shared.clock.observe_server_date(date)
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a skew in milliseconds is far below 2^52"
)]
fn skew_seconds(clock: &Clock) -> f64 {
    clock.skew_millis() as f64 / 1000.0
}
