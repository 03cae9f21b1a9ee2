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
    refusal::{Refusal, Scope},
    status::{Status, seconds_between},
    sts::StsSettings,
    unavailable::Unavailable,
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
    /// The fix when AWS refuses the credentials of the source, as a sentence.
    pub(crate) fix: &'static str,
    current: ArcSwapOption<Inner>,
    refusal: ArcSwapOption<Refusal>,
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
            fix: "",
            current: ArcSwapOption::empty(),
            refusal: ArcSwapOption::empty(),
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

    /// The refusal of the current credentials, if any.
    fn refusal(&self) -> Option<Arc<Refusal>> {
        let generation = self
            .credentials()
            .map_or(0, |credentials| credentials.generation());
        let refusal = self.refusal.load_full();
        refusal.filter(|refusal| refusal.applies_to(generation))
    }

    /// Why AWS refuses the current credentials, if it does so for all requests.
    pub(crate) fn refused(&self) -> Option<Unavailable> {
        let refusal = self.refusal()?;
        (refusal.scope == Scope::Everywhere).then(|| refusal.error.clone())
    }

    /// Records that AWS refused a generation, and asks the task for other credentials. The first text is kept, so
    /// that all requests report the same. A late refusal of replaced credentials says nothing about the current ones.
    fn refuse(&self, generation: u64, why: &str, scope: Scope) {
        let current = self.credentials();
        if current.is_some_and(|current| current.generation() > generation) {
            return;
        }
        let known = self.refusal.load_full();
        let known = known.filter(|known| known.applies_to(generation));
        if let Some(known) = known.filter(|known| known.scope >= scope) {
            self.refusal.store(Some(Arc::new(known.extended())));
            return;
        }
        let error = Unavailable::rejected(self.choice.method, why, self.fix);
        let refusal = Refusal::new(generation, error, scope);
        if scope == Scope::Everywhere {
            self.log(&refusal);
        }
        self.refusal.store(Some(Arc::new(refusal)));
        self.request_others(generation);
    }

    /// Asks the task for credentials newer than `generation`.
    fn request_others(&self, generation: u64) {
        self.rejected
            .send_modify(|highest| *highest = (*highest).max(generation));
    }

    /// Records that the source has no other credentials than the refused ones (`tried`), or fails. Returns the error,
    /// if the credentials are refused for all requests.
    pub(crate) fn no_others(&self, tried: bool) -> Option<Unavailable> {
        let refusal = self.refusal()?;
        if refusal.scope == Scope::Elsewhere {
            return None;
        }
        if refusal.scope == Scope::Renewing {
            self.log(&refusal);
        }
        let error = refusal.error.clone();
        self.refusal
            .store(Some(Arc::new(refusal.without_others(tried))));
        Some(error)
    }

    /// Records that STS refused the current credentials.
    pub(crate) fn confirm_refusal(&self, error: Unavailable) {
        let Some(credentials) = self.credentials() else {
            return;
        };
        let error = self.refused().unwrap_or(error);
        let refusal = Refusal::confirmed(credentials.generation(), error);
        self.refusal.store(Some(Arc::new(refusal)));
    }

    /// Records that STS accepted the current credentials, which ends a refusal by STS. A refusal by Bedrock remains.
    pub(crate) fn sts_accepted(&self) {
        if self.refusal().is_some_and(|refusal| refusal.is_confirmed()) {
            self.refusal.store(None);
        }
    }

    fn log(&self, refusal: &Refusal) {
        tracing::warn!(
            role = self.choice.assume_roles.last(),
            reason = refusal.error.reason.as_str(),
            message = refusal.error.message,
            "AWS refused the credentials"
        );
    }

    pub(crate) fn rejections(&self) -> watch::Receiver<u64> {
        self.rejected.subscribe()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.usable().is_ok() && self.refusal().is_none()
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

    /// Whether requests can be signed with credentials that AWS accepts.
    ///
    /// # Errors
    /// If no valid credentials are available, or AWS refused the current ones and has not accepted them since.
    pub fn ready(&self) -> Result<(), Unavailable> {
        self.shared.usable()?;
        self.shared.refused().map_or(Ok(()), Err)
    }

    /// Like [`Self::current`], but waits up to `timeout` while the source is unavailable or the first fetch is in
    /// progress. A failure that a retry does not fix is returned at once.
    ///
    /// # Errors
    /// The last failure.
    pub async fn settled(&self, timeout: Duration) -> Result<ActiveCredentials, Unavailable> {
        let mut attempts = self.shared.attempts.subscribe();
        let settled = async {
            loop {
                match self.shared.usable() {
                    // `self` owns the sender through `shared`, so waiting cannot fail.
                    Err(why) if why.reason.is_outage() => drop(attempts.changed().await),
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(timeout, settled).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => self.shared.usable(),
        }
    }

    /// Reports that Bedrock accepted a request with these credentials. Costs one atomic read unless they were refused.
    pub fn accepted(&self, credentials: &ActiveCredentials) {
        let refusal = self.shared.refusal.load();
        if refusal
            .as_ref()
            .is_some_and(|refusal| refusal.generation() == credentials.generation())
        {
            self.shared.refusal.store(None);
        }
    }

    /// Reports that Bedrock refused these credentials in `region`, with AWS's error in `why`. They count as refused
    /// until a request succeeds or new credentials arrive, or until one minute after the last refusal that STS does not
    /// confirm. A refusal in another region than
    /// the configured one counts only if STS confirms it: the account may not have enabled that region.
    pub fn refused(&self, credentials: &ActiveCredentials, why: &str, region: &str) {
        let own = self.shared.sts.region.as_deref();
        let scope = match own {
            Some(own) if own != region => Scope::Elsewhere,
            _ => Scope::Everywhere,
        };
        self.shared.refuse(credentials.generation(), why, scope);
    }

    /// Like [`Self::current`], but waits up to `timeout` for credentials.
    ///
    /// # Errors
    /// The last failure, or `Reason::Pending`, on timeout.
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

    /// Returns credentials newer than `rejected`, which AWS rejected with the error `why`.
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
        why: &str,
    ) -> Result<ActiveCredentials, Unavailable> {
        let newer = self.newer_than(rejected.generation(), why);
        match tokio::time::timeout(REPLACE_TIMEOUT, newer).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(self.shared.last_error_or_pending()),
        }
    }

    /// Like [`Self::replace`] for credentials that AWS does not know in `region`. None if there are no newer ones, and for
    /// another region than the configured one, which the account may not have enabled.
    pub async fn replace_unknown(
        &self,
        rejected: &ActiveCredentials,
        why: &str,
        region: &str,
    ) -> Option<ActiveCredentials> {
        let own = self.shared.sts.region.as_deref();
        if own.is_some_and(|own| own != region) {
            return None;
        }
        self.replace(rejected, why).await.ok()
    }

    async fn newer_than(&self, rejected: u64, why: &str) -> Result<ActiveCredentials, Unavailable> {
        // Subscribe before reporting the rejection, so that the attempt it causes is not missed.
        let mut attempts = self.shared.attempts.subscribe();
        let newer = |credentials: &ActiveCredentials| credentials.generation() > rejected;
        if let Some(credentials) = self.shared.usable().ok().filter(newer) {
            return Ok(credentials);
        }
        self.shared.refuse(rejected, why, Scope::Renewing);
        if let Some(error) = self.shared.refusal().and_then(|refusal| refusal.is_final()) {
            return Err(error);
        }
        self.shared.request_others(rejected);
        // `self` owns the sender through `shared`, so this cannot fail.
        let _ = attempts.changed().await;
        let credentials = self.shared.usable()?;
        if newer(&credentials) {
            return Ok(credentials);
        }
        let refused = self.shared.refusal().and_then(|refusal| refusal.is_final());
        Err(refused.unwrap_or_else(|| self.shared.last_error_or_pending()))
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
            refused: self.shared.refused(),
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

    /// The correction in milliseconds that [`Self::now`] adds to the local clock.
    pub fn clock_correction(&self) -> i64 {
        self.shared.clock.skew_millis()
    }

    /// Updates the clock correction from the `Date` header of a response sent by AWS itself.
    /// Returns whether the correction changed. Retry a request that AWS rejected because of its time if
    /// [`Self::clock_correction`] changed after it was signed.
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
