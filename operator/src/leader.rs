//! Leader election with a Lease: only one replica writes.
//!
//! Follows client-go (`tools/leaderelection`). The holder renews the Lease every [`Timing::retry`]. Other candidates
//! take it after they have not seen it change for its duration; they measure with their own clocks, so clocks need
//! not be in sync. A holder that cannot renew within [`Timing::renew`] gives up before another candidate can take the
//! Lease, and its process ends. Every write names the resource version that was read. `leader/record.rs` contains the
//! pure logic.
//! <https://pkg.go.dev/k8s.io/client-go/tools/leaderelection>

mod record;

use std::{sync::Arc, time::Duration};

use api::names;
use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use self::record::{Record, Step};
use crate::{
    error_chain::error_chain,
    metrics::Metrics,
    retry::{self, Seed},
};

/// Settings of the election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// Namespace of the Lease: the operator's namespace.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Identity of this candidate; unique for each process.
    pub identity: String,
    /// Durations.
    pub timing: Timing,
}

/// Durations of the election. The defaults are those of client-go and controller-runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long other candidates wait for a renewal before they take the Lease.
    pub lease: Duration,
    /// How long the holder tries to renew the Lease before it gives up; shorter than `lease`.
    pub renew: Duration,
    /// Pause between two attempts.
    pub retry: Duration,
}

impl LeaderElection {
    /// An election for the operator's Lease. A restarted process is a new candidate even if its instance name is the
    /// same: the previous process may still write.
    pub fn new(namespace: &str, instance: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            lease: names::LEASE.to_owned(),
            identity: format!("{instance}_{:016x}", Seed::default().number("candidate")),
            timing: Timing::default(),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Whether this process may write. Once leadership is lost, it never returns.
#[derive(Clone, Debug)]
pub(crate) struct Leadership(watch::Receiver<bool>);

/// A running election.
#[derive(Debug)]
pub(crate) struct Candidacy {
    pub(crate) leadership: Leadership,
    /// Cancelled when the Lease is lost: the process must end without another write.
    pub(crate) lost: CancellationToken,
    /// Cancel after the last write; the Lease is then released.
    resign: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum ElectionError {
    #[error("failed to {action} the Lease")]
    Request {
        action: &'static str,
        source: kube::Error,
    },
    #[error("the API server did not respond in time")]
    Timeout,
}

struct Elector {
    leases: Api<Lease>,
    settings: LeaderElection,
    seed: Seed,
    /// The Lease as last observed, and when its content last changed.
    observed: Option<(Lease, Instant)>,
}

impl Leadership {
    /// Leadership of the only replica.
    pub(crate) fn always() -> Self {
        let (sender, receiver) = watch::channel(true);
        drop(sender);
        Self(receiver)
    }

    /// Whether this process may write.
    pub(crate) fn is_ours(&self) -> bool {
        *self.0.borrow()
    }

    /// Yields an item when this process becomes the leader.
    pub(crate) fn acquired(&self) -> BoxStream<'static, ()> {
        let mut receiver = self.0.clone();
        futures::stream::once(async move { receiver.wait_for(|ours| *ours).await.is_ok() })
            .filter_map(|won| std::future::ready(won.then_some(())))
            .boxed()
    }
}

impl Candidacy {
    /// Takes part in the election until the Lease is lost or released. Without an election, this is the only replica and
    /// the leader.
    pub(crate) fn start(
        client: Client,
        election: Option<LeaderElection>,
        seed: Seed,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (lost, resign) = (CancellationToken::new(), CancellationToken::new());
        metrics.leads(election.is_none());
        let Some(settings) = election else {
            return Self {
                leadership: Leadership::always(),
                lost,
                resign,
                task: None,
            };
        };
        let (sender, receiver) = watch::channel(false);
        let elector = Elector {
            leases: Api::namespaced(client, &settings.namespace),
            settings,
            seed,
            observed: None,
        };
        let (is_lost, resigned) = (lost.clone(), resign.clone());
        let task = tokio::spawn(async move {
            elector.run(&sender, &metrics, &is_lost, &resigned).await;
        });
        Self {
            leadership: Leadership(receiver),
            lost,
            resign,
            task: Some(task),
        }
    }

    /// Releases the Lease if this process holds it, so that another replica can take it immediately.
    pub(crate) async fn resign(mut self) {
        self.resign.cancel();
        if let Some(task) = self.task.take() {
            let _ended = task.await;
        }
    }
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Elector {
    async fn run(
        mut self,
        leads: &watch::Sender<bool>,
        metrics: &Metrics,
        lost: &CancellationToken,
        resigned: &CancellationToken,
    ) {
        tokio::select! {
            () = resigned.cancelled() => return,
            () = self.acquire() => {}
        }
        tracing::info!(
            lease = self.settings.lease,
            identity = self.settings.identity,
            "acquired leadership"
        );
        metrics.leads(true);
        leads.send_replace(true);
        let kept = tokio::select! {
            () = resigned.cancelled() => true,
            () = self.hold() => false,
        };
        leads.send_replace(false);
        metrics.leads(false);
        if kept {
            self.release().await;
        } else {
            tracing::error!(lease = self.settings.lease, "lost leadership");
            lost.cancel();
        }
    }

    /// Retries until this process holds the Lease.
    async fn acquire(&mut self) {
        let mut logged = None;
        for round in 0_u64.. {
            match self.once().await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = self
                        .observed
                        .as_ref()
                        .and_then(|(lease, _)| record::holder(lease));
                    if logged != holder {
                        tracing::info!(holder, "waiting: another replica is the leader");
                        logged = holder;
                    }
                }
                Err(error) => self.warn(&error),
            }
            // Up to a fifth longer than `retry`, with jitter, so that candidates do not all try at the same time.
            let longest = self.settings.timing.retry.saturating_mul(6) / 5;
            let jitter = self.seed.number(("leader", &self.settings.identity, round));
            tokio::time::sleep(retry::less_up_to_a_fifth(longest, jitter)).await;
        }
    }

    /// Renews the Lease; returns when it is lost.
    async fn hold(&mut self) {
        let Timing { renew, retry, .. } = self.settings.timing;
        loop {
            let deadline = Instant::now() + renew;
            let renewed = async {
                loop {
                    match self.once().await {
                        Ok(true) => return true,
                        // Another candidate took it, by force or by mistake.
                        Ok(false) => return false,
                        Err(error) => self.warn(&error),
                    }
                    tokio::time::sleep(retry).await;
                }
            };
            if tokio::time::timeout_at(deadline, renewed).await != Ok(true) {
                return;
            }
            tokio::time::sleep(retry).await;
        }
    }

    /// One attempt to acquire or renew the Lease; returns whether this process holds it.
    async fn once(&mut self) -> Result<bool, ElectionError> {
        let timeout = self.settings.timing.renew;
        tokio::time::timeout(timeout, self.step())
            .await
            .unwrap_or(Err(ElectionError::Timeout))
    }

    async fn step(&mut self) -> Result<bool, ElectionError> {
        let found = self
            .leases
            .get_opt(&self.settings.lease)
            .await
            .map_err(failed_to("read"))?;
        let now = Instant::now();
        if let Some(found) = &found {
            let same = |(seen, _): &(Lease, Instant)| seen.spec == found.spec;
            if !self.observed.as_ref().is_some_and(same) {
                self.observed = Some((found.clone(), now));
            }
        }
        let unchanged_for = self
            .observed
            .as_ref()
            .map_or(Duration::ZERO, |(_, since)| now.duration_since(*since));
        let candidate = Record {
            identity: &self.settings.identity,
            duration: self.settings.timing.lease,
        };
        let parameters = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match candidate.next(
            found.as_ref(),
            &self.settings.lease,
            unchanged_for,
            Timestamp::now(),
        ) {
            Step::Wait => return Ok(false),
            Step::Create(lease) => self.leases.create(&parameters, &lease).await,
            Step::Update(lease) => {
                self.leases
                    .replace(&self.settings.lease, &parameters, &lease)
                    .await
            }
        };
        match written {
            Ok(lease) => {
                self.observed = Some((lease, Instant::now()));
                Ok(true)
            }
            Err(source) => Err(failed_to("write")(source)),
        }
    }

    /// Clears the holder of the Lease, unless another candidate already holds it.
    async fn release(&mut self) {
        let Some((lease, _)) = &self.observed else {
            return;
        };
        let Some(released) = record::released(lease, &self.settings.identity, Timestamp::now())
        else {
            return;
        };
        let parameters = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let write = self
            .leases
            .replace(&self.settings.lease, &parameters, &released);
        match tokio::time::timeout(self.settings.timing.retry, write).await {
            Ok(Ok(_)) => tracing::info!(lease = self.settings.lease, "released the Lease"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "failed to release the Lease; it will expire");
            }
            Err(_) => tracing::warn!("timed out while releasing the Lease; it will expire"),
        }
    }

    fn warn(&self, error: &ElectionError) {
        tracing::warn!(
            error = error_chain(error),
            lease = self.settings.lease,
            "election attempt failed; retrying"
        );
    }
}

fn failed_to(action: &'static str) -> impl Fn(kube::Error) -> ElectionError {
    move |source| ElectionError::Request { action, source }
}

#[cfg(test)]
mod tests;
