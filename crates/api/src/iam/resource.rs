//! The IAM resources that a request with a model id is checked against.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html>

use crate::{
    arn::Arn,
    catalogue::{Catalogue, Destinations},
    region::Region,
};

/// IAM resources of a request with a model id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// A single resource: a foundation model, provisioned model, imported model or prompt router.
    Direct {
        /// ARN of the resource.
        arn: String,
        /// Region of the request.
        region: String,
    },
    /// An inference profile and, with `bedrock:InferenceProfileArn`, the models behind it.
    Profile {
        /// ARN of the profile.
        arn: String,
        /// Region of the request.
        region: String,
        /// ARNs of the foundation models in the profile's regions.
        models: Vec<String>,
        /// The profile's regions. Empty if unknown.
        regions: Vec<String>,
        /// ARN of the model without a region, for `global.` profiles.
        global: Option<String>,
    },
    /// A managed prompt, which contains its model.
    Prompt {
        /// ARN of the version of the prompt.
        arn: String,
        /// Region of the request.
        region: String,
    },
}

/// Context for reading model ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) catalogue: &'a Catalogue,
    /// Account that owns inference profiles, or `*`.
    pub(super) account: &'a str,
}

impl Reader<'_> {
    /// Reads the model id of a target. `None` for an ARN of an unknown kind.
    pub(super) fn read(
        self,
        id: &str,
        region: &Region,
        base_model: Option<&str>,
    ) -> Option<Resource> {
        if id.starts_with("arn:") {
            return self.read_arn(&id.parse().ok()?, base_model);
        }
        let partition = region.partition().id();
        if let Some((prefix, model)) = self.catalogue.split_profile(id) {
            let arn = format!(
                "arn:{partition}:bedrock:{region}:{}:inference-profile/{id}",
                self.account
            );
            return Some(self.profile(arn, partition, region.as_str(), prefix, model));
        }
        Some(Resource::Direct {
            arn: foundation(partition, region.as_str(), id),
            region: region.to_string(),
        })
    }

    /// Reads a pattern of model ids. A pattern that matches model ids and profile ids gives the resources of both.
    pub(super) fn read_pattern(self, pattern: &str, region: &Region) -> Vec<Resource> {
        let partition = region.partition().id();
        if pattern.starts_with("arn:") {
            let found = pattern
                .parse::<Arn>()
                .ok()
                .and_then(|arn| self.read_arn(&arn, None));
            return found.into_iter().collect();
        }
        if let Some(models) = self.models_behind(pattern) {
            return vec![Resource::Profile {
                arn: format!(
                    "arn:{partition}:bedrock:{region}:{}:inference-profile/{pattern}",
                    self.account
                ),
                region: region.to_string(),
                models: vec![foundation(partition, "*", models)],
                regions: Vec::new(),
                global: Some(foundation(partition, "", models)),
            }];
        }
        let open = pattern
            .split_once('.')
            .is_none_or(|(first, _)| first.contains('*'));
        let exact = self.read(pattern, region, None);
        if !open {
            return exact.into_iter().collect();
        }
        let profiles = Resource::Profile {
            arn: format!(
                "arn:{partition}:bedrock:{region}:{}:inference-profile/{pattern}",
                self.account
            ),
            region: region.to_string(),
            models: vec![foundation(partition, "*", "*")],
            regions: Vec::new(),
            global: Some(foundation(partition, "", "*")),
        };
        exact.into_iter().chain([profiles]).collect()
    }

    /// The pattern of models for a pattern of inference profiles with any prefix, such as `anthropic.claude-*` for
    /// `*.anthropic.claude-*`.
    fn models_behind(self, pattern: &str) -> Option<&str> {
        let models = pattern.strip_prefix("*.")?;
        let (provider, _) = models.split_once('.')?;
        let mut ids = self.catalogue.models().map(|(id, _)| id);
        ids.any(|id| id.split_once('.').is_some_and(|(one, _)| one == provider))
            .then_some(models)
    }

    fn read_arn(self, arn: &Arn, base_model: Option<&str>) -> Option<Resource> {
        let text = arn.as_str().to_owned();
        let region = arn.region().to_owned();
        if arn.service() != "bedrock" {
            return None;
        }
        let (kind, name) = arn.resource().split_once('/')?;
        match kind {
            "foundation-model"
            | "provisioned-model"
            | "custom-model"
            | "custom-model-deployment"
            | "imported-model"
            | "default-prompt-router"
            | "prompt-router" => Some(Resource::Direct { arn: text, region }),
            "prompt" => Some(Resource::Prompt { arn: text, region }),
            "inference-profile" => {
                let (prefix, model) = self.catalogue.split_profile(name)?;
                Some(self.profile(text, arn.partition(), &region, prefix, model))
            }
            "application-inference-profile" => {
                let split = base_model.and_then(|base| self.catalogue.split_profile(base));
                if let Some((prefix, model)) = split {
                    return Some(self.profile(text, arn.partition(), &region, prefix, model));
                }
                // The ARN does not show whether the source is a model or a profile of several regions.
                let model = base_model.map_or("*", |base| base.rsplit('/').next().unwrap_or(base));
                Some(Resource::Profile {
                    arn: text,
                    region,
                    models: vec![foundation(arn.partition(), "*", model)],
                    regions: Vec::new(),
                    global: None,
                })
            }
            _ => None,
        }
    }

    fn profile(
        self,
        arn: String,
        partition: &str,
        region: &str,
        prefix: &str,
        model: &str,
    ) -> Resource {
        let destinations = region.parse().map_or(Destinations::Unknown, |source| {
            self.catalogue
                .destinations(&format!("{prefix}.{model}"), &source)
        });
        let (regions, global) = match destinations {
            Destinations::Known(regions) => (regions.iter().map(Region::to_string).collect(), None),
            Destinations::AnyCommercial => (
                vec![region.to_owned()],
                Some(foundation(partition, "", model)),
            ),
            Destinations::Unknown => (Vec::new(), None),
        };
        let models = if regions.is_empty() {
            vec![foundation(partition, "*", model)]
        } else {
            regions
                .iter()
                .map(|region| foundation(partition, region, model))
                .collect()
        };
        Resource::Profile {
            arn,
            region: region.to_owned(),
            models,
            regions,
            global,
        }
    }
}

fn foundation(partition: &str, region: &str, model: &str) -> String {
    format!("arn:{partition}:bedrock:{region}::foundation-model/{model}")
}
