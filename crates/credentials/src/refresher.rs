//! The background task of a role chain: fetches credentials, installs them, and sleeps until the next fetch.
//!
//! Only this task calls the source, so at most one exchange is in flight. It wakes for four events: the schedule,
//! a rejected request, a replaced file, and the drop of the last handle.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    active::{ActiveCredentials, Material},
    files::FileWatch,
    handle::Shared,
    schedule,
    sources::Source,
    status::remaining,
    sts::{CallerCheck, Sts},
    unavailable::{Reason, Unavailable, timestamp},
};

/// Sleep for keys that do not expire; they are fetched again when their file changes or AWS rejects them.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// Why the task fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Scheduled,
    Forced,
    FileReplaced,
}

pub(crate) struct Refresher {
    shared: Arc<Shared>,
    source: Box<dyn Source>,
    /// Checks credentials before they are used; `None` if their source needs no check.
    verifier: Option<Sts>,
    files: FileWatch,
    random: fn() -> f64,
    last_forced: Option<Instant>,
}

impl Refresher {
    pub(crate) fn new(
        shared: Arc<Shared>,
        source: Box<dyn Source>,
        verifier: Option<Sts>,
        random: fn() -> f64,
    ) -> Self {
        let files = FileWatch::new(source.watched());
        Self {
            shared,
            source,
            verifier,
            files,
            random,
            last_forced: None,
        }
    }

    /// Runs until the sender of `alive` is dropped.
    pub(crate) async fn run(mut self, mut alive: watch::Receiver<()>) {
        let mut rejections = self.shared.rejections();
        let work = async {
            self.files.record_current().await;
            let mut next = self.attempt(Cause::Scheduled).await;
            loop {
                rejections.borrow_and_update();
                self.shared.finish_attempt();
                let cause = self.wait(next, &mut rejections).await;
                next = self.attempt(cause).await;
            }
        };
        tokio::select! {
            () = work => {}
            _ = alive.changed() => {}
        }
    }

    fn generation(&self) -> u64 {
        self.shared
            .credentials()
            .as_ref()
            .map_or(0, ActiveCredentials::generation)
    }

    /// Sleeps until the next fetch. A clock correction does not trigger a fetch, but may make it due earlier.
    async fn wait(&mut self, mut next: Instant, rejections: &mut watch::Receiver<u64>) -> Cause {
        let mut corrections = self.shared.clock.corrections();
        loop {
            tokio::select! {
                cause = self.next_cause(next, rejections) => return cause,
                _ = corrections.changed() => next = next.min(self.due()),
            }
        }
    }

    /// When to refresh the current credentials, by the current clock correction.
    fn due(&self) -> Instant {
        let now = Instant::now();
        self.shared
            .credentials()
            .and_then(|credentials| credentials.expires_at())
            .map(|end| remaining(self.shared.clock.now(), end))
            .and_then(|left| now.checked_add(schedule::refresh_after(left, (self.random)())))
            .unwrap_or_else(|| now.checked_add(FOREVER).unwrap_or(now))
    }

    async fn next_cause(&mut self, next: Instant, rejections: &mut watch::Receiver<u64>) -> Cause {
        let generation = self.generation();
        let lifetime = self.shared.credentials().and_then(|credentials| {
            credentials
                .expires_at()
                .map(|end| remaining(credentials.obtained_at(), end))
        });
        let earliest_forced = self
            .last_forced
            .and_then(|last| last.checked_add(schedule::forced_pause(lifetime)));
        let forced = async {
            loop {
                // `shared` owns the sender, and this task owns a reference to `shared`.
                let _ = rejections.changed().await;
                // A rejected older generation has been replaced already.
                if generation > 0 && *rejections.borrow_and_update() >= generation {
                    break;
                }
            }
            if let Some(earliest) = earliest_forced {
                sleep_until(earliest).await;
            }
        };
        tokio::select! {
            () = sleep_until(next) => Cause::Scheduled,
            () = forced => Cause::Forced,
            () = self.files.replaced() => Cause::FileReplaced,
        }
    }

    /// Fetches once and returns the time of the next fetch.
    async fn attempt(&mut self, cause: Cause) -> Instant {
        if cause == Cause::Forced {
            self.last_forced = Some(Instant::now());
            self.shared.record_forced();
        }
        let outcome = match timeout(self.source.timeout(), self.source.fetch()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(self.source.timed_out()),
        };
        let outcome = match outcome {
            Ok(material) => match self.verify(&material).await {
                Ok(()) => self.accept(material),
                Err(refusal) => Err(refusal),
            },
            Err(error) => Err(error),
        };
        let wait = match outcome {
            Ok(wait) => wait,
            Err(error) => Some(self.record_failure(error)),
        };
        let now = Instant::now();
        self.shared
            .record_next_refresh(wait.and_then(|wait| self.shared.clock.now().checked_add(wait)));
        now.checked_add(wait.unwrap_or(FOREVER)).unwrap_or(now)
    }

    /// Asks STS whether AWS accepts keys that are about to be used first, or that AWS refused. Without a result of
    /// STS they are used: a private network may have no access to STS.
    async fn verify(&self, material: &Material) -> Result<(), Unavailable> {
        let (Some(sts), Material::Keys(keys)) = (&self.verifier, material) else {
            return Ok(());
        };
        let current = self.shared.credentials();
        let unchanged = current.is_some_and(|current| current.material().same_as(material));
        let in_use = self.shared.is_ready();
        // The renewal of a session in use needs no check.
        if in_use && (unchanged || material.expires_at().is_some()) {
            return Ok(());
        }
        match sts.verify(keys, &self.shared.clock).await {
            CallerCheck::Accepted => {
                if unchanged {
                    self.shared.sts_accepted();
                }
                Ok(())
            }
            CallerCheck::Refused(error) => {
                let error = error.and(self.source.fix());
                if unchanged {
                    self.shared.confirm_refusal(error.clone());
                    // The same error as that of requests.
                    return Err(self.shared.refused().unwrap_or(error));
                }
                Err(error)
            }
            CallerCheck::Unknown(why) => {
                tracing::warn!(
                    reason = why.reason.as_str(),
                    why.message,
                    "unable to check the AWS credentials with STS; they are used unchecked"
                );
                Ok(())
            }
        }
    }

    /// Installs the credentials of a source; returns the time until the next refresh, or `None` if they do not expire.
    fn accept(&mut self, material: Material) -> Result<Option<Duration>, Unavailable> {
        let now = self.shared.clock.now();
        let end = material.expires_at();
        if let Some(end) = end.filter(|end| *end <= now) {
            return Err(Unavailable::new(
                Reason::Expired,
                format!(
                    "{} returned credentials that had expired at {}",
                    self.shared.choice.method,
                    timestamp(end)
                ),
            ));
        }
        let current = self.shared.credentials();
        let unchanged = current
            .as_ref()
            .is_some_and(|current| current.material().same_as(&material));
        if unchanged && let Some(refused) = self.shared.no_others(true) {
            return Err(refused);
        }
        if !unchanged {
            let generation = current
                .map_or(0, |credentials| credentials.generation())
                .saturating_add(1);
            self.shared
                .install(ActiveCredentials::new(material, generation, now));
            tracing::info!(
                generation,
                method = self.shared.choice.method.as_str(),
                role = self.shared.choice.assume_roles.last(),
                expires_at = end.map(timestamp),
                "obtained AWS credentials"
            );
        }
        self.shared.record_success();
        self.files.set_failing(false);
        Ok(end.map(|end| schedule::refresh_after(remaining(now, end), (self.random)())))
    }

    fn record_failure(&mut self, error: Unavailable) -> Duration {
        let left = self.shared.credentials().map(|credentials| {
            credentials
                .expires_at()
                .map_or(FOREVER, |end| remaining(self.shared.clock.now(), end))
        });
        let left = left.filter(|left| !left.is_zero());
        let outage = error.reason.is_outage();
        let reason = error.reason;
        let message = error.message.clone();
        let failures = self.shared.record_failure(error);
        let _ = self.shared.no_others(false);
        self.files.set_failing(true);
        let wait = schedule::retry_after(failures, left, outage, (self.random)());
        tracing::warn!(
            reason = reason.as_str(),
            role = self.shared.choice.assume_roles.last(),
            message,
            failures,
            retry_in_seconds = wait.as_secs_f64(),
            seconds_left = left
                .filter(|left| *left < FOREVER)
                .map(|left| left.as_secs()),
            "unable to refresh AWS credentials"
        );
        wait
    }
}

#[cfg(test)]
mod tests;
