//! Leader election by a Lease: of several replicas one writes.
//!
//! The rules are those of client-go (`tools/leaderelection`): whoever holds the Lease renews it every
//! [`Timing::retry`]; others take it when they have not seen it change for its duration, by their own clock, so
//! that clocks need not agree; a holder that cannot renew within [`Timing::renew`] gives up before anybody else
//! can have taken it, and its process ends. Writes go over the version that was read. What the record says is in
//! `leader/record.rs`, pure.
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
    metrics::Metrics,
    retry::{self, Seed},
};

/// What the election is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// Namespace of the Lease: the operator's own.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Name of this candidate, different from every other's.
    pub identity: String,
    /// How quick it goes.
    pub timing: Timing,
}

/// Durations of the election, by default client-go's and controller-runtime's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait for a sign of life before they take the Lease.
    pub lease: Duration,
    /// How long the holder tries to renew it before it gives up; less than `lease`.
    pub renew: Duration,
    /// Pause between two tries.
    pub retry: Duration,
}

impl LeaderElection {
    /// An election for the operator's own Lease. A process that is started again is another candidate, also under
    /// the same name: the one before may still be writing.
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

/// Whether this process may write; never true again after it was false again.
#[derive(Clone, Debug)]
pub(crate) struct Leadership(watch::Receiver<bool>);

/// An election under way.
#[derive(Debug)]
pub(crate) struct Candidacy {
    pub(crate) leadership: Leadership,
    /// Cancelled when the Lease is lost: the process has to end, without another write.
    pub(crate) lost: CancellationToken,
    /// To be cancelled when the last write is done: the Lease is given back then.
    resign: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Why a try did not come to an end.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("unable to {action} the Lease")]
    Api {
        action: &'static str,
        source: kube::Error,
    },
    #[error("the API server did not answer in time")]
    Timeout,
}

struct Elector {
    leases: Api<Lease>,
    settings: LeaderElection,
    seed: Seed,
    /// The Lease as it was seen last, and when it was seen to change.
    observed: Option<(Lease, Instant)>,
}

impl Leadership {
    /// Of the only replica.
    pub(crate) fn alone() -> Self {
        let (sender, receiver) = watch::channel(true);
        drop(sender);
        Self(receiver)
    }

    /// Whether this process may write now.
    pub(crate) fn is_ours(&self) -> bool {
        *self.0.borrow()
    }

    /// An item when this process has become the leader.
    pub(crate) fn won(&self) -> BoxStream<'static, ()> {
        let mut receiver = self.0.clone();
        futures::stream::once(async move { receiver.wait_for(|ours| *ours).await.is_ok() })
            .filter_map(|won| std::future::ready(won.then_some(())))
            .boxed()
    }
}

impl Candidacy {
    /// Where there is no election, there is nobody else.
    pub(crate) fn unopposed(metrics: &Metrics) -> Self {
        metrics.leads(true);
        Self {
            leadership: Leadership::alone(),
            lost: CancellationToken::new(),
            resign: CancellationToken::new(),
            task: None,
        }
    }

    /// Runs for leader until the Lease is lost or given back.
    pub(crate) fn start(
        client: Client,
        settings: LeaderElection,
        seed: Seed,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (sender, receiver) = watch::channel(false);
        let (lost, resign) = (CancellationToken::new(), CancellationToken::new());
        metrics.leads(false);
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

    /// Gives the Lease back, when it is ours, so that another replica can take it at once.
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
            "leads from now on"
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
            tracing::error!(lease = self.settings.lease, "lost the Lease");
            lost.cancel();
        }
    }

    /// Tries until the Lease is ours.
    async fn acquire(&mut self) {
        let mut told = None;
        for round in 0_u64.. {
            match self.once().await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = self
                        .observed
                        .as_ref()
                        .and_then(|(lease, _)| record::holder(lease));
                    if told != holder {
                        tracing::info!(holder, "waits while another replica leads");
                        told = holder;
                    }
                }
                Err(error) => self.warn(&error),
            }
            // A fifth more, less up to a fifth, so that candidates do not come all at once.
            let longest = self.settings.timing.retry.saturating_mul(6) / 5;
            let jitter = self.seed.number(("leader", &self.settings.identity, round));
            tokio::time::sleep(retry::less_up_to_a_fifth(longest, jitter)).await;
        }
    }

    /// Renews until that has not worked for too long.
    async fn hold(&mut self) {
        let Timing { renew, retry, .. } = self.settings.timing;
        loop {
            let deadline = Instant::now() + renew;
            let renewed = async {
                loop {
                    match self.once().await {
                        Ok(true) => return true,
                        // Somebody else has it, by force or by mistake.
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

    /// One try to take or renew the Lease; whether it is ours.
    async fn once(&mut self) -> Result<bool, TryError> {
        let timeout = self.settings.timing.renew;
        tokio::time::timeout(timeout, self.step())
            .await
            .unwrap_or(Err(TryError::Timeout))
    }

    async fn step(&mut self) -> Result<bool, TryError> {
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

    /// Says that nobody holds it any more, unless somebody else does already.
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
            Ok(Ok(_)) => tracing::info!(lease = self.settings.lease, "gave the Lease back"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "unable to give the Lease back: it runs out by itself");
            }
            Err(_) => tracing::warn!("no answer when giving the Lease back: it runs out by itself"),
        }
    }

    fn warn(&self, error: &TryError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(%error, cause, lease = self.settings.lease, "tries again");
    }
}

fn failed_to(action: &'static str) -> impl Fn(kube::Error) -> TryError {
    move |source| TryError::Api { action, source }
}

#[cfg(test)]
mod tests;
