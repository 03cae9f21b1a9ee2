//! Where Amazon Bedrock is and which models can be called from where: a dated table built into the
//! programs, for when Bedrock itself may not be asked.
//!
//! The table (`catalogue/table.yaml`) says its date and its sources. What it does not hold is
//! *unknown*, never "no": an unlisted model gets no opinion. Prices, limits and features of models
//! are not its business (those are the dialects' family table).
//!
//! For error texts use [`Catalogue::advice`]: one sentence on how a model can be called from a
//! region. For IAM policies use [`Catalogue::destinations`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use crate::region::{Partition, Region};

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the table is part of the program and a test parses it"
    )]
    serde_yaml::from_str(include_str!("catalogue/table.yaml")).expect("the built-in table parses")
});

/// The table built into this program.
pub fn builtin() -> &'static Catalogue {
    &BUILTIN
}

/// Regions, prefixes of inference profiles, and a choice of models with where they can be called.
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

/// Where one foundation model can be called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// Whether AWS has announced its end.
    #[serde(default)]
    lifecycle: Lifecycle,
    /// Regions where its own id can be called.
    #[serde(default)]
    on_demand: BTreeSet<Region>,
    /// By prefix: where a request to `PREFIX.MODEL` may start and where it may run.
    #[serde(default)]
    profiles: BTreeMap<String, Vec<Route>>,
}

/// A model's place in its life, by AWS's own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lifecycle {
    /// Offered.
    #[default]
    Active,
    /// Still there, to be replaced: AWS has announced its end.
    Legacy,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    from: BTreeSet<Region>,
    /// Absent: any commercial region.
    to: Option<BTreeSet<Region>>,
}

/// Where a request to an inference profile may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// In these regions; the region of the call is one of them.
    Known(BTreeSet<Region>),
    /// In any commercial region: a `global.` profile.
    AnyCommercial,
    /// The table does not say.
    Unknown,
}

impl Catalogue {
    /// Date of the table, `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.as_of
    }

    /// Where its facts come from.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Regions of a partition that have a Bedrock endpoint; none when the partition has no Bedrock.
    pub fn regions(&self, partition: Partition) -> impl Iterator<Item = &Region> {
        self.regions.get(partition.id()).into_iter().flatten()
    }

    /// Whether a region has a Bedrock endpoint by this table.
    pub fn has_bedrock(&self, region: &Region) -> bool {
        self.regions(region.partition()).any(|one| one == region)
    }

    /// The models of the table with their ids, in the order of the ids.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.models.iter().map(|(id, model)| (id.as_str(), model))
    }

    /// A model by the id of its foundation model or of one of its inference profiles.
    pub fn model(&self, id: &str) -> Option<&Model> {
        let foundation = self.split_profile(id).map_or(id, |(_, model)| model);
        self.models.get(foundation)
    }

    /// Whether no region lists the model any more.
    pub fn is_retired(&self, id: &str) -> bool {
        self.retired.contains(id)
    }

    /// Prefix and foundation model of a cross-region profile id, such as `eu` and
    /// `amazon.nova-lite-v1:0` of `eu.amazon.nova-lite-v1:0`; none for any other id.
    pub fn split_profile<'a>(&self, id: &'a str) -> Option<(&'a str, &'a str)> {
        let (prefix, model) = id.split_once('.')?;
        (self.prefixes.contains_key(prefix) && model.contains('.')).then_some((prefix, model))
    }

    /// The area a prefix of inference profiles stands for, such as `Europe`.
    pub fn area(&self, prefix: &str) -> Option<&str> {
        self.prefixes.get(prefix).map(|known| known.area.as_str())
    }

    /// Where a request to a cross-region profile may run when it is sent from `source`.
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

    /// How a model can be called from a region by this table: one or two sentences for a person,
    /// ending with the table's date. None when the table does not know the model.
    ///
    /// Takes the id of a foundation model or of a cross-region profile.
    pub fn advice(&self, id: &str, region: &Region) -> Option<String> {
        let foundation = self.split_profile(id).map_or(id, |(_, model)| model);
        let dated = format!("(table of {})", self.as_of);
        if self.is_retired(foundation) {
            return Some(format!(
                "{foundation} is not offered in any region any more: choose a current model {dated}."
            ));
        }
        let model = self.models.get(foundation)?;
        let here: Vec<String> = model.ids_in(foundation, region);
        if !here.is_empty() {
            return Some(format!(
                "From {region} this model is called as {} {dated}.",
                here.join(" or ")
            ));
        }
        let mut ways = Vec::new();
        if !model.on_demand.is_empty() {
            ways.push(format!("{foundation} in {}", join(&model.on_demand)));
        }
        for (prefix, sources) in model.profile_sources() {
            ways.push(format!("{prefix}.{foundation} from {}", join(sources)));
        }
        Some(format!(
            "{foundation} cannot be called from {region}. It can be called as {} {dated}.",
            ways.join("; as ")
        ))
    }
}

impl Model {
    /// Whether AWS has announced its end.
    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle
    }

    /// Regions where the foundation model's own id can be called.
    pub fn on_demand(&self) -> &BTreeSet<Region> {
        &self.on_demand
    }

    /// Prefixes of its inference profiles with the regions from which each can be called.
    pub fn profile_sources(&self) -> impl Iterator<Item = (&str, BTreeSet<&Region>)> {
        self.profiles.iter().map(|(prefix, routes)| {
            let sources = routes.iter().flat_map(|route| &route.from).collect();
            (prefix.as_str(), sources)
        })
    }

    /// The ids by which this model can be called from a region: its own first, then its profiles'.
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
    fn the_built_in_table_is_whole_and_says_its_date_and_sources() {
        let table = builtin();
        assert_eq!(table.as_of().len(), 10);
        assert!(table.sources().len() >= 2);
        assert!(table.models().count() > 30);
        for (id, model) in table.models() {
            assert!(table.split_profile(id).is_none(), "{id} is a profile");
            assert!(!table.is_retired(id), "{id} is both offered and retired");
            let callable = !model.on_demand.is_empty() || !model.profiles.is_empty();
            assert!(callable, "{id} cannot be called from anywhere");
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
    fn regions_of_every_partition_have_the_partition_of_their_name() {
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
    fn profile_ids_are_told_from_model_ids_that_begin_alike() {
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
    fn destinations_hold_the_region_of_the_call() {
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
            table.destinations("eu.nobody.knows-this", &region("eu-west-1")),
            Destinations::Unknown
        );
    }

    #[test]
    fn advice_names_the_ids_of_the_region_or_the_regions_of_the_model() {
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
            elsewhere.contains("cannot be called from eu-north-1"),
            "{elsewhere}"
        );
        assert!(elsewhere.contains("us-east-1"), "{elsewhere}");
        let gone = table
            .advice(
                "anthropic.claude-3-opus-20240229-v1:0",
                &region("us-east-1"),
            )
            .unwrap();
        assert!(gone.contains("not offered"), "{gone}");
        assert_eq!(table.advice("nobody.knows", &region("us-east-1")), None);
    }
}
