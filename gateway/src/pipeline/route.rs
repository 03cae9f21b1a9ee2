//! Routes: from the model name of a request to its targets. Pure.
//!
//! An alias maps to its targets: lower priority first, and by weighted rendezvous hashing within a priority, so that all
//! replicas order the targets of a conversation in the same way. An id that a pattern allows maps to itself. Model capabilities are looked up when the configuration is loaded, not for each request.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use api::{Arn, GatewayConfig, Region, config, pattern::matches, prices::Prices};
use bedrock::{
    apis::{BedrockApi, Service},
    model_id::encode_path_segment,
};
use dialects::families::{FamilyError, FamilyTable, ModelCapabilities, base_model_id};

use super::authenticate::Caller;
use crate::{
    http::error::{GatewayError, Result},
    upstream::{
        health::HealthByTarget,
        target::{Endpoints, Target, Targets, Urls},
    },
};

/// Longest name of a model, as in AWS's `modelId`.
const MAX_MODEL_BYTES: usize = 2048;
/// Models of patterns whose targets are kept. Clients can name any number.
const MAX_KEPT: usize = 512;

/// The routes of a configuration.
#[derive(Debug)]
pub(crate) struct Routes {
    aliases: BTreeMap<String, Vec<Arc<Target>>>,
    /// Ids, in which `*` matches any characters.
    allow: Vec<String>,
    /// Targets of models that a pattern allows, by the model.
    kept: RwLock<HashMap<String, Arc<Target>>>,
    families: Arc<FamilyTable>,
    prices: Cow<'static, Prices>,
    region: Region,
    endpoints: Endpoints,
    health: HealthByTarget,
}

impl Routes {
    /// Compiles the routes of a configuration; keeps the health of the targets of `previous`.
    ///
    /// # Errors
    /// When the table of model families is invalid.
    pub(crate) fn try_new(
        config: &GatewayConfig,
        prices: Cow<'static, Prices>,
        region: Region,
        endpoints: Endpoints,
        previous: Option<&Self>,
    ) -> Result<Self, FamilyError> {
        let mut routes = Self {
            aliases: BTreeMap::new(),
            allow: config.allow.clone(),
            kept: RwLock::default(),
            families: FamilyTable::with_overrides(&config.model_families)?,
            prices,
            region,
            endpoints,
            health: HealthByTarget::default(),
        };
        let kept = previous.map(|previous| &previous.health);
        for model in &config.models {
            let mut targets: Vec<Target> = model
                .targets
                .iter()
                .map(|target| routes.target(target))
                .collect();
            if targets.iter().filter(|target| target.weight > 0).count() > 1 {
                for target in &mut targets {
                    let health = routes.health.of(target.seed, &config.routing, kept);
                    target.health = Some(health);
                }
            }
            targets.iter().for_each(warn_unpriced);
            targets.sort_by_key(|target| target.priority);
            let targets = targets.into_iter().map(Arc::new).collect();
            routes.aliases.insert(model.name.clone(), targets);
        }
        Ok(routes)
    }

    fn target(&self, target: &config::Target) -> Target {
        // An ARN is valid only in its own region.
        let region_of_arn = || {
            let arn: Arn = target.model_id.parse().ok()?;
            arn.region().parse().ok()
        };
        let region = target
            .region
            .clone()
            .or_else(region_of_arn)
            .unwrap_or_else(|| self.region.clone());
        let capabilities = self
            .families
            .resolve(&target.model_id, target.base_model.as_deref());
        let api = target.api.map(api);
        let apis = capabilities.apis.for_target(&target.model_id, api);
        let capabilities = if apis == capabilities.apis {
            capabilities
        } else {
            Arc::new(ModelCapabilities {
                apis,
                ..ModelCapabilities::clone(&capabilities)
            })
        };
        let segment = encode_path_segment(&target.model_id);
        let own = self.prices.of_target(&target.model_id, region.as_str());
        let of_base = || {
            let base = target.base_model.as_deref()?;
            self.prices.of_target(base, region.as_str())
        };
        Target {
            guardrail_price: None,
            prices: own.or_else(of_base).cloned().map(Arc::new),
            seed: Target::seed(&target.model_id, &region, target.assume_role.as_ref()),
            health: None,
            urls: Urls::default(),
            capabilities,
            assume_role: target.assume_role.clone().map(Arc::new),
            project: target.project.clone(),
            runtime: self.endpoints.base_url(Service::Runtime, &region),
            mantle: self.endpoints.base_url(Service::Mantle, &region),
            resource: format!("/model/{segment}"),
            base_model: base_model_id(target.base_model.as_deref().unwrap_or(&target.model_id))
                .map(str::to_owned),
            model_id: target.model_id.clone(),
            region,
            weight: target.weight,
            priority: target.priority,
        }
    }

    /// The target for applying a guardrail without a model: in the region of its ARN, or else the default region.
    pub(crate) fn guardrail(&self, identifier: &str, version: &str) -> Target {
        let target = self.target(&config::Target::new(identifier));
        let identifier = encode_path_segment(identifier);
        let version = encode_path_segment(version);
        Target {
            resource: format!("/guardrail/{identifier}/version/{version}"),
            guardrail_price: Some(self.prices.guardrail()),
            ..target
        }
    }

    /// The default region, and those of the targets.
    pub(crate) fn regions(&self) -> BTreeSet<String> {
        let targets = self.aliases.values().flatten();
        let of_targets = targets.map(|target| target.region.to_string());
        of_targets.chain([self.region.to_string()]).collect()
    }

    /// The default region of targets.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// The targets with other targets of the same model, each once.
    pub(crate) fn with_alternatives(&self) -> impl Iterator<Item = &Arc<Target>> {
        let mut seen = BTreeSet::new();
        let targets = self.aliases.values().flatten();
        targets.filter(move |target| target.health.is_some() && seen.insert(target.seed))
    }

    /// The targets of `model` in the order of attempts. `key` orders targets of equal priority: that of a conversation, or
    /// a random one.
    ///
    /// # Errors
    /// 404 that lists the models this client may use.
    pub(crate) fn resolve(&self, model: &str, caller: &Caller, key: u64) -> Result<Targets> {
        if model.len() > MAX_MODEL_BYTES {
            let cut = model.floor_char_boundary(MAX_MODEL_BYTES);
            return Err(GatewayError::UnknownModel {
                model: model.get(..cut).unwrap_or_default().to_owned(),
                allowed: self.names(caller).map(|(name, _)| name).collect(),
            });
        }
        if permitted(caller, model) {
            if let Some(targets) = self.aliases.get(model)
                && let Some(targets) = Targets::new(ordered(targets, key))
            {
                return Ok(targets);
            }
            if let Some(target) = self.allowed(model) {
                return Ok(Targets::one(target));
            }
        }
        Err(GatewayError::UnknownModel {
            model: model.to_owned(),
            allowed: self.names(caller).map(|(name, _)| name).collect(),
        })
    }

    /// Whether the configuration names the model and the client can call it.
    pub(crate) fn admits(&self, model: &str, caller: &Caller) -> bool {
        permitted(caller, model) && self.aliases.contains_key(model)
    }

    /// The target of a model, if a pattern allows it.
    fn allowed(&self, model: &str) -> Option<Arc<Target>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = kept.get(model) {
            return Some(Arc::clone(target));
        }
        drop(kept);
        if !self.allow.iter().any(|pattern| matches(pattern, model)) {
            return None;
        }
        let target = Arc::new(self.target(&config::Target::new(model)));
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.insert(model.to_owned(), Arc::clone(&target));
        }
        Some(target)
    }

    /// Whether the configuration names the model itself, not only a matching pattern.
    pub(crate) fn is_configured(&self, model: &str) -> bool {
        self.aliases.contains_key(model) || self.allow.iter().any(|id| id == model)
    }

    /// Names that a client may use, each with its Bedrock id; patterns unchanged.
    pub(crate) fn names(&self, caller: &Caller) -> impl Iterator<Item = (String, String)> {
        let aliases = self.aliases.iter().filter_map(|(name, targets)| {
            let first = targets.first()?;
            Some((name.clone(), first.model_id.clone()))
        });
        let allowed = self
            .allow
            .iter()
            .map(|pattern| (pattern.clone(), pattern.clone()));
        aliases
            .chain(allowed)
            .filter(|(name, _)| permitted(caller, name))
    }
}

/// The cost of the target's requests will be missing.
fn warn_unpriced(target: &Target) {
    if target.prices.is_none() {
        tracing::warn!(
            model = target.model_id,
            region = target.region.as_str(),
            "Price unknown: requests are counted in tokens, not in dollars. Fix: set the price in prices.models"
        );
    }
}

/// The API of the configuration as that of the `bedrock` crate.
pub(crate) fn api(word: config::BedrockApi) -> BedrockApi {
    match word {
        config::BedrockApi::Converse => BedrockApi::Converse,
        config::BedrockApi::InvokeModel => BedrockApi::InvokeModel,
        config::BedrockApi::OpenAi => BedrockApi::OpenAi,
        config::BedrockApi::Anthropic => BedrockApi::Anthropic,
        config::BedrockApi::Mantle => BedrockApi::Mantle,
        config::BedrockApi::MantleOpenAi => BedrockApi::MantleOpenAi,
    }
}

fn permitted(caller: &Caller, model: &str) -> bool {
    let models = &caller.models;
    models.is_empty() || models.iter().any(|pattern| matches(pattern, model))
}

/// Sorts by priority, and within a priority by weighted rendezvous hashing. Weight 0 disables a target.
fn ordered(targets: &[Arc<Target>], key: u64) -> Vec<Arc<Target>> {
    let used = targets.iter().filter(|target| target.weight > 0);
    let mut placed: Vec<_> = used.map(|target| (target.place(key), target)).collect();
    placed.sort_by(|(one_place, one), (other_place, other)| {
        let by_priority = one.priority.cmp(&other.priority);
        by_priority.then_with(|| one_place.total_cmp(other_place))
    });
    placed
        .into_iter()
        .map(|(_, target)| Arc::clone(target))
        .collect()
}

#[cfg(test)]
mod tests;
