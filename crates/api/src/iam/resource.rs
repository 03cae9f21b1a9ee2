//! What a model id means to IAM: which resources a call by it is checked against.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html>

use crate::{
    arn::Arn,
    catalogue::{Catalogue, Destinations},
    region::Region,
};

/// A call by a model id, in the terms of IAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// Checked against one resource only: a foundation model, provisioned or imported model, router.
    Direct {
        /// The resource.
        arn: String,
        /// The region the call goes to.
        region: String,
    },
    /// Checked against an inference profile and, with `bedrock:InferenceProfileArn`, against the
    /// models behind it.
    Profile {
        /// The profile.
        arn: String,
        /// The region the call goes to.
        region: String,
        /// The foundation models in their regions.
        models: Vec<String>,
        /// The models' regions; empty when not known.
        regions: Vec<String>,
        /// The model without a region, of `global.` profiles.
        global: Option<String>,
    },
    /// A managed prompt, rendered by Bedrock; its model is named in it.
    Prompt {
        /// The prompt's version.
        arn: String,
        /// The region the call goes to.
        region: String,
    },
}

/// What a model id is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) catalogue: &'a Catalogue,
    /// Owner of profiles, or `*`.
    pub(super) account: &'a str,
}

impl Reader<'_> {
    /// Reads the id of a target; none when it is an ARN of a kind not known here.
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

    /// Reads a pattern of ids that clients may ask for by their own name. A pattern that can match
    /// ids of both kinds stands for both.
    pub(super) fn read_pattern(self, pattern: &str, region: &Region) -> Vec<Resource> {
        let partition = region.partition().id();
        if pattern.starts_with("arn:") {
            let found = pattern
                .parse::<Arn>()
                .ok()
                .and_then(|arn| self.read_arn(&arn, None));
            return found.into_iter().collect();
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
                // Made from a model or from a profile of several regions: its ARN does not tell.
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
