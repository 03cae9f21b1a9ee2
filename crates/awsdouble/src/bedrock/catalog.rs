//! The model catalog: families, models and inference profiles from `data/models.yaml` and the configuration, and the
//! resolution of model ids.

mod families;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::config::Config;
use crate::error::AwsError;
use crate::policy::wildcard_matches;
pub(crate) use families::{BodyFormat, Family, Reasoning, Rules};
use families::{FamilyData, Pattern, families};

const DATA: &str = include_str!("../../data/models.yaml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelData {
    id: String,
    name: String,
    #[serde(default = "yes")]
    on_demand: bool,
    #[serde(default)]
    profiles: Vec<String>,
    #[serde(default)]
    regions: Vec<String>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    families: Vec<FamilyData>,
    models: Vec<ModelData>,
    geographies: BTreeMap<String, Vec<String>>,
}

/// A model of the catalog.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) family: Arc<Family>,
    pub(crate) on_demand: bool,
    pub(crate) access: bool,
    pub(crate) legacy: bool,
    pub(crate) regions: Vec<String>,
    pub(crate) profiles: Vec<String>,
}

/// An inference profile of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) model: String,
    /// Destination regions; empty for `global`.
    pub(crate) destinations: Vec<String>,
    pub(crate) global: bool,
    pub(crate) application: bool,
}

/// The model and inference profile of a request.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) model: Model,
    pub(crate) profile: Option<Profile>,
    /// ARN of the foundation model in the caller's region.
    pub(crate) model_arn: String,
}

impl Target {
    /// The id of the model, and the rules by which it reads a request.
    pub(crate) fn reads(&self) -> (&str, &Rules) {
        (&self.model.id, &self.model.family.rules)
    }
}

/// The model catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    families: Vec<Pattern>,
    models: Vec<Model>,
    geographies: BTreeMap<String, Vec<String>>,
    configured: Vec<crate::config::InferenceProfile>,
    partition: String,
    account: String,
}

/// The data or a configured model is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to build the model catalog: {0}")]
pub struct CatalogError(String);

impl CatalogError {
    pub(crate) fn new(message: impl std::fmt::Display) -> Self {
        Self(message.to_string())
    }
}

fn invalid_identifier() -> AwsError {
    AwsError::validation("The provided model identifier is invalid.")
}

impl Catalog {
    pub(crate) fn new(config: &Config) -> Result<Self, CatalogError> {
        let data: Data =
            serde_yaml::from_str(DATA).map_err(|error| CatalogError(error.to_string()))?;
        let mut catalog = Self {
            families: families(&data.families)?,
            models: Vec::new(),
            geographies: data.geographies,
            configured: config.inference_profiles.clone(),
            partition: config.partition.clone(),
            account: config.account.clone(),
        };
        for model in data.models {
            let family = catalog
                .family_of(&model.id)
                .ok_or_else(|| CatalogError(format!("model {} has no family", model.id)))?;
            catalog.models.push(Model {
                id: model.id,
                name: model.name,
                family,
                on_demand: model.on_demand,
                access: true,
                legacy: false,
                regions: model.regions,
                profiles: model.profiles,
            });
        }
        for model in &config.models {
            let family = match &model.family {
                Some(name) => catalog.family_named(name),
                None => catalog.family_of(&model.id),
            };
            let family = family
                .ok_or_else(|| CatalogError(format!("model {}: unknown family", model.id)))?;
            catalog.models.retain(|known| known.id != model.id);
            catalog.models.push(Model {
                id: model.id.clone(),
                name: model.id.clone(),
                family,
                on_demand: model.on_demand,
                access: model.access,
                legacy: model.legacy,
                regions: model.regions.clone(),
                profiles: model.profiles.clone(),
            });
        }
        Ok(catalog)
    }

    fn family_named(&self, name: &str) -> Option<Arc<Family>> {
        self.families
            .iter()
            .map(|(_, family)| family)
            .find(|family| family.name == name)
            .cloned()
    }

    /// The family of a model id.
    pub(crate) fn family_of(&self, id: &str) -> Option<Arc<Family>> {
        let matches = |patterns: &Vec<String>| patterns.iter().any(|p| wildcard_matches(p, id));
        self.families
            .iter()
            .find(|(patterns, _)| matches(patterns))
            .map(|(_, f)| Arc::clone(f))
    }

    /// The model with this id.
    pub(crate) fn model(&self, id: &str) -> Option<Model> {
        self.models.iter().find(|model| model.id == id).cloned()
    }

    pub(crate) fn models_in(&self, region: &str) -> Vec<&Model> {
        self.models
            .iter()
            .filter(|model| model.is_in(region))
            .collect()
    }

    pub(crate) fn model_arn(&self, region: &str, id: &str) -> String {
        format!(
            "arn:{}:bedrock:{region}::foundation-model/{id}",
            self.partition
        )
    }

    /// All profiles that can be called from a region.
    pub(crate) fn profiles_in(&self, region: &str) -> Vec<Profile> {
        let system = self.models.iter().flat_map(|model| {
            model
                .profiles
                .iter()
                .filter_map(|prefix| self.system_profile(prefix, &model.id, region))
        });
        let configured = self
            .configured
            .iter()
            .map(|one| self.configured_profile(one, region));
        system.chain(configured).collect()
    }

    fn profile_arn(&self, region: &str, kind: &str, id: &str) -> String {
        format!(
            "arn:{}:bedrock:{region}:{}:{kind}/{id}",
            self.partition, self.account
        )
    }

    fn system_profile(&self, prefix: &str, model: &str, region: &str) -> Option<Profile> {
        let destinations = self.geographies.get(prefix)?;
        if !destinations.is_empty() && !destinations.iter().any(|one| one == region) {
            return None;
        }
        let id = format!("{prefix}.{model}");
        Some(Profile {
            arn: self.profile_arn(region, "inference-profile", &id),
            id,
            model: model.to_owned(),
            destinations: destinations.clone(),
            global: destinations.is_empty(),
            application: false,
        })
    }

    fn configured_profile(&self, one: &crate::config::InferenceProfile, region: &str) -> Profile {
        let kind = if one.application {
            "application-inference-profile"
        } else {
            "inference-profile"
        };
        let destinations = if one.regions.is_empty() {
            vec![region.to_owned()]
        } else {
            one.regions.clone()
        };
        Profile {
            id: one.id.clone(),
            arn: self.profile_arn(region, kind, &one.id),
            model: one.model.clone(),
            destinations,
            global: false,
            application: one.application,
        }
    }

    /// The profile with this id or ARN in a region.
    pub(crate) fn profile(&self, id_or_arn: &str, region: &str) -> Option<Profile> {
        let (id, kind) = match id_or_arn.strip_prefix("arn:") {
            Some(rest) => {
                let mut parts = rest.splitn(5, ':');
                let (_, _, arn_region, account, resource) = (
                    parts.next()?,
                    parts.next()?,
                    parts.next()?,
                    parts.next()?,
                    parts.next()?,
                );
                let (kind, id) = resource.split_once('/')?;
                if arn_region != region || account != self.account {
                    return None;
                }
                (id, Some(kind))
            }
            None => (id_or_arn, None),
        };
        let found = if let Some(one) = self.configured.iter().find(|one| one.id == id) {
            self.configured_profile(one, region)
        } else {
            let prefix = self
                .geographies
                .keys()
                .filter(|prefix| id.strip_prefix(*prefix).is_some_and(|r| r.starts_with('.')))
                .max_by_key(|prefix| prefix.len())?;
            let model = self.model(id.get(prefix.len() + 1..)?)?;
            if !model.profiles.contains(prefix) {
                return None;
            }
            self.system_profile(prefix, &model.id, region)?
        };
        let wanted = if found.application {
            "application-inference-profile"
        } else {
            "inference-profile"
        };
        match kind {
            // Application profiles are identified by ARN only.
            None if found.application => None,
            Some(kind) if kind != wanted => None,
            _ => Some(found),
        }
    }

    /// Resolves a model id or ARN.
    pub(crate) fn resolve(&self, id_or_arn: &str, region: &str) -> Result<Target, AwsError> {
        if let Some(profile) = self.profile(id_or_arn, region) {
            let model = self.model(&profile.model).ok_or_else(invalid_identifier)?;
            let model_arn = self.model_arn(region, &model.id);
            return Ok(Target {
                model,
                profile: Some(profile),
                model_arn,
            });
        }
        let id = match id_or_arn.split_once("foundation-model/") {
            Some((head, id)) if head.starts_with("arn:") => {
                if head.split(':').nth(3) != Some(region) {
                    return Err(invalid_identifier());
                }
                id
            }
            _ if id_or_arn.starts_with("arn:") => return Err(invalid_identifier()),
            _ => id_or_arn,
        };
        let model = self
            .model(id)
            .filter(|model| model.is_in(region))
            .ok_or_else(invalid_identifier)?;
        let model_arn = self.model_arn(region, &model.id);
        Ok(Target {
            model,
            profile: None,
            model_arn,
        })
    }
}

impl Model {
    fn is_in(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.iter().any(|one| one == region)
    }
}

#[cfg(test)]
impl Target {
    /// A built-in model without an inference profile.
    pub(super) fn built_in(model: &str) -> Self {
        let catalog = Catalog::new(&Config::default()).expect("the built-in data");
        Self {
            model_arn: String::new(),
            profile: None,
            model: catalog.model(model).expect(model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        Catalog::new(&Config::default()).expect("the built-in data")
    }

    #[test]
    fn models_of_recordings_are_served() {
        let catalog = catalog();
        for id in [
            "nvidia.nemotron-nano-12b-v2",
            "writer.palmyra-x4-v1:0",
            "zai.glm-4.7-flash",
        ] {
            assert!(catalog.model(id).is_some(), "{id}");
        }
        assert!(catalog.family_of("openai.gpt-oss-safeguard-20b").is_some());
    }

    #[test]
    fn roles_of_titan_text_may_repeat_as_recorded() {
        let titan = catalog().family_of("amazon.titan-text-express-v1");
        assert!(titan.is_some_and(|family| !family.rules.alternating));
    }

    #[test]
    fn every_model_has_a_family_and_families_inherit_rules() {
        let catalog = catalog();
        let family = |id: &str| catalog.family_of(id).map(|family| family.name.clone());
        assert_eq!(
            family("anthropic.claude-sonnet-4-5-20250929-v1:0").as_deref(),
            Some("claude-4-5")
        );
        assert_eq!(
            family("anthropic.claude-opus-9").as_deref(),
            Some("claude-5")
        );
        assert_eq!(family("amazon.nova-2-lite-v1:0").as_deref(), Some("nova-2"));
        assert_eq!(
            family("amazon.nova-2-multimodal-embeddings-v1:0").as_deref(),
            Some("nova-embeddings")
        );
        assert_eq!(family("unknown.model"), None);
        let rules = &catalog
            .model("anthropic.claude-opus-4-7")
            .expect("a model")
            .family
            .rules;
        assert!(!rules.prefill && rules.structured_output && rules.tool_result_status);
    }

    #[test]
    fn resolves_ids_and_arns_in_their_regions_only() {
        let catalog = catalog();
        let haiku = "anthropic.claude-3-haiku-20240307-v1:0";
        let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0";
        let rows = [
            (haiku, "us-east-1", true),
            (
                "us.anthropic.claude-3-haiku-20240307-v1:0",
                "us-east-1",
                true,
            ),
            (
                "us.anthropic.claude-3-haiku-20240307-v1:0",
                "eu-west-1",
                false,
            ),
            (
                "eu.anthropic.claude-3-haiku-20240307-v1:0",
                "eu-west-1",
                true,
            ),
            (
                "global.anthropic.claude-3-haiku-20240307-v1:0",
                "us-east-1",
                false,
            ),
            (
                "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "sa-east-1",
                true,
            ),
            (arn, "us-east-1", true),
            (arn, "us-west-2", false),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
                "us-east-1",
                true,
            ),
            ("ai21.jamba-1-5-large-v1:0", "us-west-2", false),
            ("unknown.model", "us-east-1", false),
            ("anthropic.claude-opus-9", "us-east-1", false),
        ];
        for (id, region, found) in rows {
            assert_eq!(
                catalog.resolve(id, region).is_ok(),
                found,
                "{id} in {region}"
            );
        }
    }
}
