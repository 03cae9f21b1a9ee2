//! A built-in catalogue of Bedrock regions and models, for programs that cannot call the Bedrock control plane.
//!
//! The table (`catalogue/table.yaml`) contains its date and sources, and a selection of models. A model that it does not
//! contain is unknown and may exist. The table of model families in `dialects` describes limits and features of models.
//!
//! [`Catalogue::advice`] gives a hint for error messages: how to call a model from a region. IAM policies use
//! [`Catalogue::destinations`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use crate::region::{Partition, Region};

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the table is compiled into the program, and a test parses it"
    )]
    serde_yaml::from_str(include_str!("catalogue/table.yaml")).expect("the built-in table parses")
});

/// The built-in catalogue.
pub fn builtin() -> &'static Catalogue {
    &BUILTIN
}

/// Bedrock regions, prefixes of inference profiles, and a selection of models with the regions that can call them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Catalogue {
    as_of: String,
    sources: Vec<String>,
    regions: BTreeMap<String, BTreeSet<Region>>,
    prefixes: BTreeMap<String, Prefix>,
    retired: BTreeSet<String>,
    models: BTreeMap<String, Model>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    area: String,
}

/// Regions that can call a foundation model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// Lifecycle state.
    #[serde(default)]
    lifecycle: Lifecycle,
    /// Regions that can call the model by its own id.
    #[serde(default)]
    on_demand: BTreeSet<Region>,
    /// Source and destination regions of the inference profile `PREFIX.MODEL`, by prefix.
    #[serde(default)]
    profiles: BTreeMap<String, Vec<Route>>,
}

/// Lifecycle state of a model, with the names that AWS uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lifecycle {
    /// Active.
    #[default]
    Active,
    /// Available, but AWS has announced the end of life.
    Legacy,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    from: BTreeSet<Region>,
    /// Destination regions. `None`: any commercial region.
    to: Option<BTreeSet<Region>>,
}

/// Destination regions of a request to an inference profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// These regions, which include the source region.
    Known(BTreeSet<Region>),
    /// Any commercial region, for a `global.` profile.
    AnyCommercial,
    /// Unknown.
    Unknown,
}

impl Catalogue {
    /// Date of the table, `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Sources of the table.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Regions of a partition with a Bedrock endpoint. Empty for a partition without Bedrock.
    pub fn regions(&self, partition: Partition) -> impl Iterator<Item = &Region> {
        self.regions.get(partition.id()).into_iter().flatten()
    }

    /// Whether the table lists a Bedrock endpoint in the region.
    pub fn has_bedrock(&self, region: &Region) -> bool {
        self.regions(region.partition()).any(|one| one == region)
    }

    /// The models with their ids, sorted by id.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.models.iter().map(|(id, model)| (id.as_str(), model))
    }

    /// Finds a model by the id of its foundation model or of one of its inference profiles.
    pub fn model(&self, id: &str) -> Option<&Model> {
        let foundation = self.split_profile(id).map_or(id, |(_, model)| model);
        self.models.get(foundation)
    }

    /// Whether the model is retired in all regions.
    pub fn is_retired(&self, id: &str) -> bool {
        self.retired.contains(id)
    }

    /// Splits the id of a cross-region inference profile into prefix and foundation model, such as `eu` and
    /// `amazon.nova-lite-v1:0` for `eu.amazon.nova-lite-v1:0`. `None` for other ids.
    pub fn split_profile<'a>(&self, id: &'a str) -> Option<(&'a str, &'a str)> {
        let (prefix, model) = id.split_once('.')?;
        (self.prefixes.contains_key(prefix) && model.contains('.')).then_some((prefix, model))
    }

    /// Geographic area of a prefix, such as `Europe`.
    pub fn area(&self, prefix: &str) -> Option<&str> {
        self.prefixes.get(prefix).map(|known| known.area.as_str())
    }

    /// Destination regions of a request to a cross-region inference profile from the region `source`.
    pub fn destinations(&self, profile_id: &str, source: &Region) -> Destinations {
        let Some((prefix, model)) = self.split_profile(profile_id) else {
            return Destinations::Unknown;
        };
        if prefix == "global" {
            return Destinations::AnyCommercial;
        }
        let routes = self
            .models
            .get(model)
            .and_then(|model| model.profiles.get(prefix));
        let route = routes
            .into_iter()
            .flatten()
            .find(|route| route.from.contains(source));
        match route.map(|route| &route.to) {
            Some(Some(to)) => Destinations::Known(to.iter().chain([source]).cloned().collect()),
            Some(None) => Destinations::AnyCommercial,
            None => Destinations::Unknown,
        }
    }

    /// A hint for users: how to call a model from a region, with the date of the table. `None` if the model is unknown.
    ///
    /// `id` is the id of a foundation model or of a cross-region inference profile.
    pub fn advice(&self, id: &str, region: &Region) -> Option<String> {
        let foundation = self.split_profile(id).map_or(id, |(_, model)| model);
        let dated = format!("(table of {})", self.as_of);
        if self.is_retired(foundation) {
            return Some(format!(
                "{foundation} is retired in all regions: use a current model {dated}."
            ));
        }
        let model = self.models.get(foundation)?;
        let here: Vec<String> = model.ids_in(foundation, region);
        if !here.is_empty() {
            return Some(format!(
                "In {region}, use the id {} {dated}.",
                here.join(" or ")
            ));
        }
        let mut options = Vec::new();
        if !model.on_demand.is_empty() {
            options.push(format!("{foundation} in {}", join(&model.on_demand)));
        }
        for (prefix, sources) in model.profile_sources() {
            options.push(format!("{prefix}.{foundation} in {}", join(sources)));
        }
        Some(format!(
            "{foundation} is not available in {region}. Available ids: {} {dated}.",
            options.join("; ")
        ))
    }
}

impl Model {
    /// Lifecycle state.
    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    /// Regions that can call the foundation model by its own id.
    pub fn on_demand(&self) -> &BTreeSet<Region> {
        &self.on_demand
    }

    /// Prefixes of its inference profiles, each with the regions that can call it.
    pub fn profile_sources(&self) -> impl Iterator<Item = (&str, BTreeSet<&Region>)> {
        self.profiles.iter().map(|(prefix, routes)| {
            let sources = routes.iter().flat_map(|route| &route.from).collect();
            (prefix.as_str(), sources)
        })
    }

    /// Ids of the model that a region can call: its own id first, then its inference profiles.
    pub fn ids_in(&self, foundation: &str, region: &Region) -> Vec<String> {
        let own = self
            .on_demand
            .contains(region)
            .then(|| foundation.to_owned());
        let profiles = self
            .profile_sources()
            .filter(|(_, sources)| sources.contains(region))
            .map(|(prefix, _)| format!("{prefix}.{foundation}"));
        own.into_iter().chain(profiles).collect()
    }
}

fn join<'a>(regions: impl IntoIterator<Item = &'a Region>) -> String {
    let names: Vec<&str> = regions.into_iter().map(Region::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        name.parse().unwrap()
    }

    #[test]
    fn built_in_table_is_consistent_and_has_a_date_and_sources() {
        let table = builtin();
        assert_eq!(table.as_of().len(), 10);
        assert!(table.sources().len() >= 2);
        assert!(table.models().count() > 30);
        for (id, model) in table.models() {
            assert!(table.split_profile(id).is_none(), "{id} is a profile");
            assert!(!table.is_retired(id), "{id} is both listed and retired");
            let callable = !model.on_demand.is_empty() || !model.profiles.is_empty();
            assert!(callable, "{id} has no region");
            for (prefix, routes) in &model.profiles {
                assert!(table.area(prefix).is_some(), "{id}: {prefix}");
                let mut seen = BTreeSet::new();
                for route in routes {
                    assert_eq!(route.to.is_none(), prefix == "global", "{id}: {prefix}");
                    for source in &route.from {
                        assert!(seen.insert(source), "{id}: {prefix}: {source} twice");
                    }
                }
            }
            let regions = model
                .on_demand
                .iter()
                .chain(model.profiles.values().flatten().flat_map(|r| &r.from));
            for region in regions {
                assert!(table.has_bedrock(region), "{id}: {region}");
            }
        }
    }

    #[test]
    fn regions_are_listed_under_their_partition() {
        for partition in Partition::ALL {
            for region in builtin().regions(partition) {
                assert_eq!(region.partition(), partition, "{region}");
            }
        }
        for name in [
            "us-east-1",
            "us-west-2",
            "eu-central-1",
            "ap-southeast-1",
            "ap-northeast-1",
            "us-gov-west-1",
        ] {
            assert!(builtin().has_bedrock(&region(name)), "{name}");
        }
        assert!(!builtin().has_bedrock(&region("cn-north-1")));
    }

    #[test]
    fn profile_ids_are_distinguished_from_model_ids_with_a_similar_prefix() {
        let table = builtin();
        assert_eq!(
            table.split_profile("eu.amazon.nova-lite-v1:0"),
            Some(("eu", "amazon.nova-lite-v1:0"))
        );
        assert_eq!(
            table.split_profile("us-gov.anthropic.claude-x"),
            Some(("us-gov", "anthropic.claude-x"))
        );
        assert_eq!(table.split_profile("amazon.nova-lite-v1:0"), None);
        assert_eq!(table.split_profile("qwen.qwen3-32b-v1.5:0"), None);
    }

    #[test]
    fn destinations_include_the_source_region() {
        let table = builtin();
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        let Destinations::Known(from_zurich) =
            table.destinations(&format!("eu.{sonnet}"), &region("eu-central-2"))
        else {
            panic!("known");
        };
        assert!(from_zurich.contains(&region("eu-central-2")));
        assert!(from_zurich.contains(&region("eu-north-1")));
        let Destinations::Known(from_frankfurt) =
            table.destinations(&format!("eu.{sonnet}"), &region("eu-central-1"))
        else {
            panic!("known");
        };
        assert!(!from_frankfurt.contains(&region("eu-central-2")));
        assert_eq!(
            table.destinations(&format!("global.{sonnet}"), &region("us-east-1")),
            Destinations::AnyCommercial
        );
        assert_eq!(
            table.destinations("eu.example.unknown", &region("eu-west-1")),
            Destinations::Unknown
        );
    }

    #[test]
    fn advice_lists_the_ids_in_the_region_or_the_regions_of_the_model() {
        let table = builtin();
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        let here = table.advice(sonnet, &region("eu-central-1")).unwrap();
        assert!(here.contains(&format!("eu.{sonnet}")), "{here}");
        assert!(here.contains(table.as_of()), "{here}");
        let elsewhere = table
            .advice(
                "anthropic.claude-3-haiku-20240307-v1:0",
                &region("eu-north-1"),
            )
            .unwrap();
        assert!(
            elsewhere.contains("is not available in eu-north-1"),
            "{elsewhere}"
        );
        assert!(elsewhere.contains("us-east-1"), "{elsewhere}");
        let gone = table
            .advice(
                "anthropic.claude-3-opus-20240229-v1:0",
                &region("us-east-1"),
            )
            .unwrap();
        assert!(gone.contains("is retired"), "{gone}");
        assert_eq!(table.advice("example.unknown", &region("us-east-1")), None);
    }
}
