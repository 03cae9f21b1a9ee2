//! A built-in catalogue of Bedrock regions and models, for programs that cannot call the Bedrock control plane.
//!
//! The table (`catalogue/table.yaml`) contains its date and sources; `cargo xtask catalogue` generates it. A model that it
//! does not contain is unknown and may exist. It covers models of the commercial regions. The table of model families in
//! `dialects` describes limits and features of models.
//!
//! [`Catalogue::advice`] gives a hint for error messages: how to call a model from a region. [`Catalogue::remark`] says
//! what is wrong with a model id before it is called. IAM policies use [`Catalogue::destinations`].

mod date;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::SystemTime,
};

use serde::Deserialize;

use crate::{
    arn::Arn,
    region::{Partition, Region},
};

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

/// Whole days from `date`, `YYYY-MM-DD` in UTC, to `now`. `None` if `date` is invalid or later.
pub(crate) fn days_since(date: &str, now: SystemTime) -> Option<u64> {
    date::days_since(date, now)
}

/// A table older than this should be renewed, in days: AWS launches and retires models every month.
pub const STALE_AFTER_DAYS: u64 = 120;

/// Bedrock regions, prefixes of inference profiles, and models with the regions that can call them.
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
    /// Regions whose `bedrock-mantle` accepts the model's own id, and `bedrock-runtime` does not.
    #[serde(default)]
    mantle: BTreeSet<Region>,
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

/// What the table says about calling a model id from a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Availability {
    /// The region can call it.
    Active,
    /// The region can call it, but AWS has announced the end of life.
    Legacy,
    /// The table does not contain it.
    Unknown,
    /// Other regions can call it, or this region with another id.
    OtherRegion,
    /// No region offers it any more.
    Retired,
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

    /// Age of the table in days. `None` if `now` is before its date.
    pub fn age_days(&self, now: SystemTime) -> Option<u64> {
        date::days_since(&self.as_of, now)
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

    /// What is wrong with a region that the table does not list, and the fix.
    pub fn remark_about_region(&self, region: &Region) -> Option<(String, String)> {
        if self.has_bedrock(region) {
            return None;
        }
        let message = format!(
            "{region} does not offer Bedrock according to the built-in table of {}",
            self.as_of
        );
        let fix = "choose another region (`bedrock-gateway models --offline --all-regions` lists them), \
                   unless AWS has launched Bedrock in this region since then";
        Some((message, fix.to_owned()))
    }

    /// The models with their ids, sorted by id.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.models.iter().map(|(id, model)| (id.as_str(), model))
    }

    /// Finds a model by the id of its foundation model or of one of its inference profiles.
    pub fn model(&self, id: &str) -> Option<&Model> {
        self.models.get(self.foundation(id))
    }

    /// Whether the model is retired in all regions. `id` is the id of a foundation model or of an inference profile.
    pub fn is_retired(&self, id: &str) -> bool {
        self.retired.contains(self.foundation(id))
    }

    /// Ids of foundation models that no region offers any more.
    pub fn retired(&self) -> impl Iterator<Item = &str> {
        self.retired.iter().map(String::as_str)
    }

    /// The foundation model of an inference profile; other ids unchanged.
    fn foundation<'a>(&self, id: &'a str) -> &'a str {
        self.split_profile(id).map_or(id, |(_, model)| model)
    }

    /// What the table says about calling `id` from `region`. `id` is the id or ARN of a foundation model or of an
    /// inference profile. `None` for other ARNs, for patterns, and outside the commercial regions, which the table does
    /// not cover.
    pub fn availability(&self, id: &str, region: &Region) -> Option<Availability> {
        let of_arn;
        let (id, region) = if id.starts_with("arn:") {
            of_arn = parts_of_arn(id)?;
            (of_arn.0.as_str(), &of_arn.1)
        } else {
            (id, region)
        };
        if region.partition() != Partition::Aws || id.contains('*') {
            return None;
        }
        if self.is_retired(id) {
            return Some(Availability::Retired);
        }
        let foundation = self.foundation(id);
        let Some(model) = self.models.get(foundation) else {
            return Some(Availability::Unknown);
        };
        let callable = model.ids_in(foundation, region).iter().any(|one| one == id);
        Some(match (callable, model.lifecycle) {
            (false, _) => Availability::OtherRegion,
            (true, Lifecycle::Active) => Availability::Active,
            (true, Lifecycle::Legacy) => Availability::Legacy,
        })
    }

    /// A sentence without a full stop about everything but [`Availability::Active`], with the date of the table. `None`
    /// if there is nothing to say.
    pub fn remark(&self, id: &str, region: &Region) -> Option<(Availability, String)> {
        let availability = self.availability(id, region)?;
        let dated = format!("(table of {})", self.as_of);
        let text = match availability {
            Availability::Active => return None,
            Availability::Legacy => format!(
                "{id} is legacy: AWS has announced its end of life, and accounts that have not used it lately cannot \
                 call it {dated}"
            ),
            Availability::Retired => {
                format!("{id} is retired: no region offers it; use a current model {dated}")
            }
            Availability::Unknown => format!(
                "{id} is unknown: check the spelling, unless the model is newer than the table {dated}"
            ),
            Availability::OtherRegion => {
                let of_arn = parts_of_arn(id);
                let region = of_arn.as_ref().map_or(region, |(_, region)| region);
                let foundation = self.foundation(of_arn.as_ref().map_or(id, |(id, _)| id));
                let model = self.models.get(foundation)?;
                let here = model.ids_in(foundation, region);
                if here.is_empty() {
                    format!(
                        "{id} cannot be called from {region}, nor with another id: \
                         `bedrock-gateway models --model {foundation}` lists its regions {dated}"
                    )
                } else {
                    format!(
                        "{id} cannot be called from {region}: use {} {dated}",
                        here.join(" or ")
                    )
                }
            }
        };
        Some((availability, text))
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

    /// A hint for users whose call was rejected: how to call a model from a region, with the date of the table. `None` if the
    /// model is unknown or has no other id, and outside the commercial regions.
    ///
    /// `id` is the rejected id of a foundation model or of a cross-region inference profile.
    pub fn advice(&self, id: &str, region: &Region) -> Option<String> {
        if region.partition() != Partition::Aws {
            return None;
        }
        let foundation = self.foundation(id);
        let dated = format!("(table of {})", self.as_of);
        if self.is_retired(foundation) {
            return Some(format!(
                "{foundation} is retired in all regions: use a current model {dated}."
            ));
        }
        let model = self.models.get(foundation)?;
        let mut here: Vec<String> = model.ids_in(foundation, region);
        if !here.is_empty() {
            // The rejected id can be that of another API.
            here.retain(|other| other != id);
            return (!here.is_empty()).then(|| {
                let ids = here.join(" or ");
                format!("In {region}, use the id {ids} {dated}.")
            });
        }
        let mut options = Vec::new();
        let own = &model.on_demand | &model.mantle;
        if !own.is_empty() {
            options.push(format!("{foundation} in {}", join(&own)));
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
        let has_own = self.on_demand.contains(region) || self.mantle.contains(region);
        let own = has_own.then(|| foundation.to_owned());
        let profiles = self
            .profile_sources()
            .filter(|(_, sources)| sources.contains(region))
            .map(|(prefix, _)| format!("{prefix}.{foundation}"));
        own.into_iter().chain(profiles).collect()
    }
}

/// Model id and region of the ARN of a foundation model or an inference profile.
fn parts_of_arn(text: &str) -> Option<(String, Region)> {
    let arn: Arn = text.parse().ok()?;
    let (kind, id) = arn.resource().split_once('/')?;
    let known =
        arn.service() == "bedrock" && ["foundation-model", "inference-profile"].contains(&kind);
    known.then_some((id.to_owned(), arn.region().parse().ok()?))
}

fn join<'a>(regions: impl IntoIterator<Item = &'a Region>) -> String {
    let names: Vec<&str> = regions.into_iter().map(Region::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
