//! From what a client asks for to where it goes: step 4 of a request. Pure.
//!
//! An alias leads to its targets, lower priority first, shared by weight among equals. A Bedrock id
//! that a pattern allows leads to itself. Facts about a model are looked up when the configuration is
//! loaded, not on each request.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    Arn, GatewayConfig, Region,
    config::{self, AssumeRole},
};
use bedrock::{
    apis::{BedrockApi, Service},
    model_id::encode_path_segment,
};
use dialects::families::{FamilyError, FamilyTable, ModelCapabilities, base_model_id};
use http::Uri;

use crate::{
    http::error::GatewayError,
    pipeline::authenticate::Caller,
    upstream::operation::{Operation, Path},
};

/// A model in a region, ready to be called.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) model_id: String,
    pub(crate) region: Region,
    pub(crate) capabilities: Arc<ModelCapabilities>,
    /// The role whose session signs; none: the gateway's own credentials.
    pub(crate) assume_role: Option<Arc<AssumeRole>>,
    weight: u32,
    priority: u32,
    /// The foundation model behind it, where that is known.
    base_model: Option<String>,
    /// Base URL of each service.
    runtime: String,
    mantle: String,
    /// Path of what is called on `bedrock-runtime`, such as `/model/ID`.
    resource: String,
}

/// Base URLs for every region in place of AWS's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    pub(crate) runtime: Option<String>,
    pub(crate) mantle: Option<String>,
}

/// Everything a request can be led to.
#[derive(Debug)]
pub(crate) struct Routes {
    aliases: BTreeMap<String, Vec<Arc<Target>>>,
    allow: Vec<Pattern>,
    families: FamilyTable,
    region: Region,
    endpoints: Endpoints,
}

/// Text in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Target {
    /// The same target by the id of its foundation model; none where that is hidden.
    pub(crate) fn foundation_model(&self) -> Option<Self> {
        let base = self.base_model.clone()?;
        Some(Self {
            capabilities: Arc::clone(&self.capabilities),
            assume_role: self.assume_role.clone(),
            resource: format!("/model/{}", encode_path_segment(&base)),
            model_id: base,
            region: self.region.clone(),
            weight: self.weight,
            priority: self.priority,
            base_model: self.base_model.clone(),
            runtime: self.runtime.clone(),
            mantle: self.mantle.clone(),
        })
    }

    /// The URL of an operation.
    pub(crate) fn url(&self, operation: Operation) -> Result<Uri, GatewayError> {
        let base = match operation.service() {
            Service::Runtime => &self.runtime,
            Service::Mantle => &self.mantle,
        };
        let url = match operation.path() {
            Path::OfResource(last) => format!("{base}{}/{last}", self.resource),
            Path::Fixed(path) => format!("{base}{path}"),
        };
        url.parse()
            .map_err(|_| GatewayError::Internal("the endpoint of the target is not a URL"))
    }
}

impl Routes {
    /// Compiles the routes of a document.
    ///
    /// # Errors
    /// When the document's table of model families is not usable.
    pub(crate) fn try_new(
        config: &GatewayConfig,
        region: Region,
        endpoints: Endpoints,
    ) -> Result<Self, FamilyError> {
        let mut routes = Self {
            aliases: BTreeMap::new(),
            allow: config.allow.iter().cloned().map(Pattern).collect(),
            families: FamilyTable::with_overrides(&config.model_families)?,
            region,
            endpoints,
        };
        for model in &config.models {
            let mut targets: Vec<Arc<Target>> = model
                .targets
                .iter()
                .map(|target| Arc::new(routes.target(target)))
                .collect();
            targets.sort_by_key(|target| target.priority);
            routes.aliases.insert(model.name.clone(), targets);
        }
        Ok(routes)
    }

    fn target(&self, target: &config::Target) -> Target {
        // An ARN belongs to its region: Bedrock refuses it anywhere else.
        let of_arn = || {
            let arn: Arn = target.model_id.parse().ok()?;
            arn.region().parse().ok()
        };
        let region = target
            .region
            .clone()
            .or_else(of_arn)
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
        Target {
            capabilities,
            assume_role: target.assume_role.clone().map(Arc::new),
            runtime: self.endpoints.of(Service::Runtime, &region),
            mantle: self.endpoints.of(Service::Mantle, &region),
            resource: format!("/model/{segment}"),
            base_model: base_model_id(target.base_model.as_deref().unwrap_or(&target.model_id))
                .map(str::to_owned),
            model_id: target.model_id.clone(),
            region,
            weight: target.weight,
            priority: target.priority,
        }
    }

    /// Where a guardrail is applied to a text without a model: in the region of its ARN, or else the
    /// document's.
    pub(crate) fn guardrail(&self, identifier: &str, version: &str) -> Target {
        let target = self.target(&config::Target {
            model_id: identifier.to_owned(),
            region: None,
            weight: 1,
            priority: 0,
            base_model: None,
            api: None,
            assume_role: None,
        });
        let identifier = encode_path_segment(identifier);
        let version = encode_path_segment(version);
        Target {
            resource: format!("/guardrail/{identifier}/version/{version}"),
            ..target
        }
    }

    /// The region of targets that name none.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Where a request for `model` goes: all targets in the order they are to be tried. `draw` decides
    /// among targets of equal priority.
    ///
    /// # Errors
    /// 404 that lists what this caller may use.
    pub(crate) fn resolve(
        &self,
        model: &str,
        caller: &Caller,
        draw: u64,
    ) -> Result<Vec<Arc<Target>>, GatewayError> {
        if permitted(caller, model) {
            if let Some(targets) = self.aliases.get(model) {
                let order = ordered(targets, draw);
                if !order.is_empty() {
                    return Ok(order);
                }
            }
            if self.allow.iter().any(|pattern| pattern.matches(model)) {
                let target = config::Target {
                    model_id: model.to_owned(),
                    region: None,
                    weight: 1,
                    priority: 0,
                    base_model: None,
                    api: None,
                    assume_role: None,
                };
                return Ok(vec![Arc::new(self.target(&target))]);
            }
        }
        Err(GatewayError::UnknownModel {
            model: model.to_owned(),
            allowed: self.names(caller).map(|(name, _)| name).collect(),
        })
    }

    /// Whether the configuration names the model, rather than a pattern that happens to fit.
    pub(crate) fn is_configured(&self, model: &str) -> bool {
        self.aliases.contains_key(model) || self.allow.iter().any(|pattern| pattern.0 == model)
    }

    /// What a caller may ask for, each with the Bedrock id behind it; patterns as they are written.
    pub(crate) fn names(&self, caller: &Caller) -> impl Iterator<Item = (String, String)> {
        let aliases = self.aliases.iter().filter_map(|(name, targets)| {
            let first = targets.first()?;
            Some((name.clone(), first.model_id.clone()))
        });
        let allowed = self
            .allow
            .iter()
            .map(|pattern| (pattern.0.clone(), pattern.0.clone()));
        aliases
            .chain(allowed)
            .filter(|(name, _)| permitted(caller, name))
    }
}

impl Endpoints {
    fn of(&self, service: Service, region: &Region) -> String {
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

/// The word of the configuration as the wire's.
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
    caller.models.is_empty()
        || caller
            .models
            .iter()
            .any(|pattern| Pattern(pattern.clone()).matches(model))
}

/// By priority, and within one by weighted draws without putting back. Weight 0 is out.
fn ordered(targets: &[Arc<Target>], draw: u64) -> Vec<Arc<Target>> {
    let mut random = fastrand::Rng::with_seed(draw);
    let mut order = Vec::with_capacity(targets.len());
    let mut left: Vec<&Arc<Target>> = targets.iter().filter(|target| target.weight > 0).collect();
    while let Some(priority) = left.first().map(|target| target.priority) {
        let total: u64 = left
            .iter()
            .take_while(|target| target.priority == priority)
            .map(|target| u64::from(target.weight))
            .sum();
        let mut ticket = random.u64(0..total.max(1));
        let at = left
            .iter()
            .position(|target| {
                let weight = u64::from(target.weight);
                let hit = ticket < weight;
                ticket = ticket.saturating_sub(weight);
                hit
            })
            .unwrap_or(0);
        order.push(Arc::clone(left.remove(at)));
    }
    order
}

impl Pattern {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the whole of `text` fits.
    pub(crate) fn matches(&self, text: &str) -> bool {
        api::pattern::matches(&self.0, text)
    }
}

#[cfg(test)]
mod tests;
