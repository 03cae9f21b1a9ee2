//! A model in a region with its URLs, and the targets of a request in their order.

use std::sync::{Arc, PoisonError, RwLock};

use api::{
    Region,
    config::AssumeRole,
    prices::{GuardrailPrice, TierPrices},
};
use bedrock::{apis::Service, model_id::encode_path_segment};
use dialects::families::ModelCapabilities;
use http::Uri;
use tokio::time::Instant;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{
    health::{Admission, Failure, TargetHealth, fraction},
    operation::{Operation, Path},
};
use crate::http::error::{GatewayError, Result};

/// A model in a region.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) model_id: String,
    pub(crate) region: Region,
    pub(crate) capabilities: Arc<ModelCapabilities>,
    /// The role to assume; none uses the gateway's own credentials.
    pub(crate) assume_role: Option<Arc<AssumeRole>>,
    /// The project that is charged; none for the default.
    pub(crate) project: Option<String>,
    pub(crate) weight: u32,
    pub(crate) priority: u32,
    /// The foundation model, if known.
    pub(crate) base_model: Option<String>,
    /// Its prices, if known.
    pub(crate) prices: Option<Arc<TierPrices>>,
    /// The price of the guardrail that the target applies without a model.
    pub(crate) guardrail_price: Option<GuardrailPrice>,
    /// Base URL of `bedrock-runtime`.
    pub(crate) runtime: String,
    /// Base URL of `bedrock-mantle`.
    pub(crate) mantle: String,
    /// Path of the model or guardrail on `bedrock-runtime`, such as `/model/ID`.
    pub(crate) resource: String,
    /// Identifies model, region and role in hashes.
    pub(crate) seed: u64,
    /// Absent if the model has no other target.
    pub(crate) health: Option<Arc<TargetHealth>>,
    pub(crate) urls: Urls,
}

/// The parsed URLs of a target's operations, which requests use again.
#[derive(Debug, Default)]
pub(crate) struct Urls(RwLock<Vec<(Operation, Uri)>>);

/// A clone may change the path, so it has no URLs yet.
impl Clone for Urls {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Base URLs that replace AWS's in every region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    pub(crate) runtime: Option<String>,
    pub(crate) mantle: Option<String>,
}

/// The targets of a request in the order of attempts; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) first: Arc<Target>,
    pub(crate) rest: Vec<Arc<Target>>,
}

impl Target {
    /// The seed of a target, the same in every replica.
    pub(crate) fn seed(model_id: &str, region: &Region, role: Option<&AssumeRole>) -> u64 {
        let role = role.map_or("", |role| role.role_arn.as_str());
        xxh3_64(format!("{model_id}\n{region}\n{role}").as_bytes())
    }

    /// The place of the target for a key, by weighted rendezvous hashing: the lowest comes first. For many keys, targets
    /// come first in proportion to their weights. Without a target, only its own keys get another one.
    pub(crate) fn place(&self, key: u64) -> f64 {
        let hash = xxh3_64_with_seed(&key.to_le_bytes(), self.seed);
        -fraction(hash).ln() / f64::from(self.weight)
    }

    /// Whether requests with this key prefer the target to targets of a higher priority number.
    pub(crate) fn admission(&self, key: u64, now: Instant) -> Admission {
        let health = self.health.as_ref();
        health.map_or(Admission::Admitted, |health| {
            health.admission(key, self.seed, now)
        })
    }

    /// Begins a probe, if the target needs one; `false` if another request probes it.
    pub(crate) fn try_probe(&self, now: Instant) -> bool {
        let health = self.health.as_ref();
        health.is_none_or(|health| health.try_probe(now))
    }

    /// The target has responded completely to a request that it got at `began`.
    pub(crate) fn succeeded(&self, began: Instant) {
        if let Some(health) = &self.health {
            health.succeeded(began);
        }
    }

    /// A request that the target got at `began` failed.
    pub(crate) fn failed(&self, error: &GatewayError, failure: Failure, began: Instant) {
        let Some(health) = self.health.as_ref().filter(|_| error.is_of_target()) else {
            return;
        };
        if let Some(time) = health.failed(failure, began, error.retry_after()) {
            tracing::warn!(
                model = self.model_id,
                region = self.region.as_str(),
                reason = error.reason(),
                seconds = time.as_secs(),
                "Target ejected because it fails; requests prefer the other targets"
            );
        }
    }

    /// The same target with the id of its foundation model; none if that is unknown.
    pub(crate) fn foundation_model(&self) -> Option<Self> {
        let base = self.base_model.clone()?;
        Some(Self {
            resource: format!("/model/{}", encode_path_segment(&base)),
            model_id: base,
            ..self.clone()
        })
    }

    /// The URL of an operation.
    pub(crate) fn url(&self, operation: Operation) -> Result<Uri> {
        let known = self.urls.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, url)) = known.iter().find(|(one, _)| *one == operation) {
            return Ok(url.clone());
        }
        drop(known);
        let url = self.parsed_url(operation)?;
        let mut known = self.urls.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|(one, _)| *one == operation) {
            known.push((operation, url.clone()));
        }
        Ok(url)
    }

    fn parsed_url(&self, operation: Operation) -> Result<Uri> {
        let base = match operation.service() {
            Service::Runtime => &self.runtime,
            Service::Mantle => &self.mantle,
        };
        let url = match operation.path() {
            Path::OfResource(last) => [base, self.resource.as_str(), "/", last].concat(),
            Path::Fixed(path) => [base, path].concat(),
        };
        url.parse()
            .map_err(|_| GatewayError::Internal("the endpoint of the target is not a URL"))
    }
}

impl Endpoints {
    pub(crate) fn base_url(&self, service: Service, region: &Region) -> String {
        let (own, suffix) = match service {
            Service::Runtime => (&self.runtime, region.partition().dns_suffix()),
            Service::Mantle => (&self.mantle, region.partition().dual_stack_dns_suffix()),
        };
        own.as_ref().map_or_else(
            || format!("https://{}.{region}.{suffix}", service.host_prefix()),
            |url| url.trim_end_matches('/').to_owned(),
        )
    }
}

impl Targets {
    pub(crate) fn one(target: Arc<Target>) -> Self {
        Self {
            first: target,
            rest: Vec::new(),
        }
    }

    /// None without any target.
    pub(crate) fn new(ordered: Vec<Arc<Target>>) -> Option<Self> {
        let mut ordered = ordered.into_iter();
        Some(Self {
            first: ordered.next()?,
            rest: ordered.collect(),
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        [&self.first].into_iter().chain(&self.rest)
    }

    pub(crate) fn count(&self) -> usize {
        self.rest.len().saturating_add(1)
    }

    /// The targets after the first; none without others.
    pub(crate) fn without_first(&self) -> Option<Self> {
        Self::new(self.rest.clone())
    }

    /// The target at an index; the first beyond the end.
    pub(crate) fn get(&self, index: usize) -> &Arc<Target> {
        let rest = index.checked_sub(1).and_then(|index| self.rest.get(index));
        rest.unwrap_or(&self.first)
    }

    /// Keeps the first target and those similar to it.
    pub(crate) fn retain_similar(&mut self, is_similar: impl Fn(&Target, &Target) -> bool) {
        let first = &self.first;
        self.rest.retain(|target| is_similar(first, target));
    }

    /// # Errors
    /// The first error of `change`.
    pub(crate) fn try_map<E>(
        &self,
        change: impl Fn(&Arc<Target>) -> Result<Arc<Target>, E>,
    ) -> Result<Self, E> {
        Ok(Self {
            first: change(&self.first)?,
            rest: self.rest.iter().map(&change).collect::<Result<_, _>>()?,
        })
    }
}
