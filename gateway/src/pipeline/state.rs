//! State that all requests share.

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use credentials::Proxies;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    active_config::ActiveConfig,
    conversation::{Conversations, Placements},
    kept_reasoning::ReasoningStore,
    load_error::LoadError,
    model_list::ModelList,
    spend::Spending,
};
use crate::{
    config::Settings,
    http::{
        body_budget::BodyBudget,
        client::{self, Client},
        decoders::Decoders,
        request_guards::{InFlight, UNPROVEN_BYTES},
        time::seconds,
    },
    telemetry::{
        audit::Audit,
        metrics::{Conventions, Metrics},
        sampler::Sampler,
        traces::Traces,
    },
    upstream::{call::Call, remote_media::Fetcher, retry::RetryBudget, target::Targets},
};

/// State that all requests share. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    active: ArcSwap<ActiveConfig>,
    client: Client,
    fetcher: Fetcher,
    model_list: ModelList,
    metrics: Arc<Metrics>,
    sampler: Arc<Sampler>,
    retries: RetryBudget,
    in_flight: InFlight,
    unproven: Semaphore,
    body_budget: BodyBudget,
    decoders: Decoders,
    reasoning: Arc<ReasoningStore>,
    conversations: Arc<Conversations>,
    placements: Placements,
    spending: Arc<Spending>,
    draining: CancellationToken,
    cut: CancellationToken,
    started_at: SystemTime,
}

impl State {
    /// Loads the configuration and starts the AWS credentials; opens no port.
    ///
    /// # Errors
    /// When the configuration is unusable.
    pub async fn try_new(settings: Settings) -> Result<Self, LoadError> {
        let conventions = Conventions::from_environment(settings.environment.as_ref());
        let metrics = Metrics::new(conventions);
        let active = ActiveConfig::load(&settings, &metrics, None).await?;
        let tls = client::tls()?;
        let fetcher = Fetcher::new(tls.clone());
        let proxies = Proxies::from_env(settings.environment.as_ref());
        let client = client::connect(tls, &proxies);
        let started_at = settings.clock.now();
        let body_budget = BodyBudget::new(settings.memory_limit);
        let decoders = Decoders::new(settings.memory_limit);
        Ok(Self(Arc::new(Inner {
            settings,
            active: ArcSwap::from_pointee(active),
            client,
            fetcher,
            model_list: ModelList::default(),
            metrics,
            sampler: Arc::default(),
            retries: RetryBudget::default(),
            in_flight: InFlight::default(),
            unproven: Semaphore::new(UNPROVEN_BYTES),
            body_budget,
            decoders,
            reasoning: Arc::default(),
            conversations: Arc::default(),
            placements: Placements::default(),
            spending: Arc::default(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            started_at,
        })))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The active configuration; a request loads it once.
    pub(crate) fn active(&self) -> Arc<ActiveConfig> {
        self.0.active.load_full()
    }

    /// The audit stream, if any.
    pub(crate) fn audit(&self) -> Option<Arc<Audit>> {
        self.0.active.load().audit.clone()
    }

    pub(crate) fn replace(&self, config: ActiveConfig) {
        if !config.config.keep_reasoning {
            self.0.reasoning.clear();
        }
        self.0.active.store(Arc::new(config));
    }

    /// A request to one of `targets`, for which `prepare` translates it.
    pub(crate) fn call<'a, P>(
        &'a self,
        active: &'a ActiveConfig,
        targets: &'a Targets,
        prepare: P,
    ) -> Call<'a, P> {
        Call {
            client: &self.0.client,
            credentials: &active.credentials,
            timeout: active.upstream_timeout(),
            first_token: active.first_token(),
            hedge: active.hedge(),
            targets,
            retries: &self.0.retries,
            guardrail: active.config.guardrail.as_ref(),
            s3_sources: &active.config.s3_sources,
            attribution: active.attribution.as_ref(),
            prepare,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn model_list(&self) -> &ModelList {
        &self.0.model_list
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.fetcher
    }

    pub(crate) fn traces(&self) -> Option<&Traces> {
        self.0.settings.traces.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Decides which rejected requests are logged.
    pub(crate) fn sampler(&self) -> &Arc<Sampler> {
        &self.0.sampler
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// The bytes that bodies of clients without proof may occupy together.
    pub(crate) fn unproven(&self) -> &Semaphore {
        &self.0.unproven
    }

    /// The memory that request bodies may occupy together.
    pub(crate) fn body_budget(&self) -> &BodyBudget {
        &self.0.body_budget
    }

    /// Runs the decoding of large bodies.
    pub(crate) fn decoders(&self) -> &Decoders {
        &self.0.decoders
    }

    /// Signed reasoning of recent responses.
    pub(crate) fn reasoning(&self) -> &Arc<ReasoningStore> {
        &self.0.reasoning
    }

    /// The last requests of conversations, as hashes.
    pub(crate) fn conversations(&self) -> &Arc<Conversations> {
        &self.0.conversations
    }

    /// The conversations that are not served by their first target.
    pub(crate) fn placements(&self) -> &Placements {
        &self.0.placements
    }

    /// What the process has spent.
    pub(crate) fn spending(&self) -> &Arc<Spending> {
        &self.0.spending
    }

    /// Cancelled when the server begins to drain.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.0.draining
    }

    /// Cancelled when open streams must end.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.0.cut
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.0.settings.clock.now()
    }

    /// Start of the process, in seconds since 1970.
    pub(crate) fn started_at(&self) -> u64 {
        seconds(self.0.started_at)
    }
}
