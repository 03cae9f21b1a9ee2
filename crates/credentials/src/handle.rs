//! The handle that the gateway uses: reads the current credentials without waiting, and requests new ones.
//!
//! Reading is lock-free and does no I/O. All slow work runs in the background task of `refresher.rs`, which ends
//! when the last handle is dropped.

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

/// Upper bound of [`Handle::replace`], longer than one exchange can take.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(75);

/// Shared by the handles and the background task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) choice: Choice,
    pub(crate) sts: StsSettings,
    /// Role session name for roles without a session name.
    pub(crate) session_name: String,
    pub(crate) clock: Clock,
    current: ArcSwapOption<Inner>,
    statistics: Mutex<Statistics>,
    /// Generation of the current credentials.
    changes: watch::Sender<u64>,
    /// Number of finished attempts.
    attempts: watch::Sender<u64>,
    /// Highest generation that AWS rejected.
    rejected: watch::Sender<u64>,
}

/// Read for the status only, written by the background task.
#[derive(Debug, Default)]
struct Statistics {
    next_refresh_at: Option<SystemTime>,
    last_error: Option<Unavailable>,
    consecutive_failures: u32,
    results: BTreeMap<&'static str, u64>,
    forced: u64,
}

/// The current credentials of one role chain. Clones share them.
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
            statistics: Mutex::default(),
            changes: watch::Sender::new(0),
            attempts: watch::Sender::new(0),
            rejected: watch::Sender::new(0),
        }
    }

    fn statistics(&self) -> MutexGuard<'_, Statistics> {
        self.statistics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The current credentials, which may have expired.
    pub(crate) fn credentials(&self) -> Option<ActiveCredentials> {
        self.current.load_full().map(ActiveCredentials)
    }

    pub(crate) fn install(&self, credentials: ActiveCredentials) {
        let generation = credentials.generation();
        self.current.store(Some(credentials.0));
        self.changes.send_replace(generation);
    }

    pub(crate) fn record_success(&self) {
        let mut statistics = self.statistics();
        statistics.last_error = None;
        statistics.consecutive_failures = 0;
        let count = statistics
            .results
            .entry(crate::status::SUCCESS)
            .or_default();
        *count = count.saturating_add(1);
    }

    /// Returns the number of failures in a row.
    pub(crate) fn record_failure(&self, error: Unavailable) -> u32 {
        let mut statistics = self.statistics();
        statistics.consecutive_failures = statistics.consecutive_failures.saturating_add(1);
        let count = statistics.results.entry(error.reason.as_str()).or_default();
        *count = count.saturating_add(1);
        statistics.last_error = Some(error);
        statistics.consecutive_failures
    }

    pub(crate) fn record_forced(&self) {
        let mut statistics = self.statistics();
        statistics.forced = statistics.forced.saturating_add(1);
    }

    pub(crate) fn record_next_refresh(&self, at: Option<SystemTime>) {
        self.statistics().next_refresh_at = at;
    }

    /// Notifies all callers of [`Handle::replace`] that an attempt has finished.
    pub(crate) fn finish_attempt(&self) {
        self.attempts
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn rejections(&self) -> watch::Receiver<u64> {
        self.rejected.subscribe()
    }

    fn last_error(&self) -> Option<Unavailable> {
        self.statistics().last_error.clone()
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

    /// The credentials to sign with. Never waits, and takes no lock while credentials are available: suited to the
    /// hot path.
    ///
    /// # Errors
    /// If no credentials were obtained yet, or the last ones have expired.
    pub fn current(&self) -> Result<ActiveCredentials, Unavailable> {
        self.shared.usable()
    }

    /// Like [`Self::current`], but waits up to `timeout` for credentials.
    ///
    /// # Errors
    /// The last failure, or [`Reason::Pending`], on timeout.
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

    /// Waits up to `timeout` for the first fetch to finish, whether it succeeds or fails.
    pub async fn first_attempt(&self, timeout: Duration) {
        let mut attempts = self.shared.attempts.subscribe();
        let finished = attempts.wait_for(|count| *count > 0);
        // A timeout is not an error: until the fetch finishes, `current` returns `Reason::Pending`.
        let _ = tokio::time::timeout(timeout, finished).await;
    }

    /// Returns credentials newer than `rejected`, which AWS rejected (`ExpiredToken`, `UnrecognizedClient` …).
    ///
    /// Concurrent callers share one exchange; if newer credentials exist already, no exchange happens. Forced
    /// exchanges are at least one second apart (less for short lifetimes), so that a role that AWS keeps rejecting
    /// does not cause a flood of STS calls.
    ///
    /// # Errors
    /// The reason why the exchange returned no newer credentials.
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
        // Subscribe before reporting the rejection, so that the attempt it causes is not missed.
        let mut attempts = self.shared.attempts.subscribe();
        let newer = |credentials: &ActiveCredentials| credentials.generation() > rejected;
        if let Some(credentials) = self.shared.usable().ok().filter(newer) {
            return Ok(credentials);
        }
        self.shared
            .rejected
            .send_modify(|highest| *highest = (*highest).max(rejected));
        // `self` owns the sender through `shared`, so this cannot fail.
        let _ = attempts.changed().await;
        let credentials = self.shared.usable()?;
        if newer(&credentials) {
            Ok(credentials)
        } else {
            Err(self.shared.last_error().unwrap_or_else(|| {
                Unavailable::new(
                    Reason::Rejected,
                    "AWS rejected credentials that have not expired",
                )
            }))
        }
    }

    /// A snapshot of the state, without secrets.
    pub fn status(&self) -> Status {
        let credentials = self.shared.credentials();
        let now = self.shared.clock.now();
        let expires_at = credentials.as_ref().and_then(ActiveCredentials::expires_at);
        let obtained_at = credentials.as_ref().map(ActiveCredentials::obtained_at);
        let statistics = self.shared.statistics();
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
            next_refresh_at: statistics.next_refresh_at,
            last_error: statistics.last_error.clone(),
            consecutive_failures: statistics.consecutive_failures,
            refreshes_by_result: statistics.results.clone(),
            forced_refreshes: statistics.forced,
            clock_skew_seconds: skew_seconds(&self.shared.clock),
        }
    }

    /// Receives the generation of the current credentials whenever it changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The time to sign with: the local clock plus the correction from [`Self::observe_server_date`].
    pub fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// Updates the clock correction from the `Date` header of a response sent by AWS itself.
    /// Returns whether the correction changed; if so, retry a request that AWS rejected because of its time.
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
