//! Prices of Amazon Bedrock: a built-in dated table, overrides, and the cost of a request in exact integers.
//!
//! The table (`prices/table.yaml`) contains its date, its source and a checksum; `cargo xtask catalogue` generates it.
//! [`Prices::find`] gives the price of a model id in a region and a service tier; [`Price::cost`] multiplies. A model that
//! has no price stays without one: nothing here returns zero for an unknown price.
//!
//! Prices are picodollars (1e-12 USD) for one unit, so that every published price is an integer. A cost is the exact sum
//! in picodollars, rounded up to nanodollars once.

mod amount;
mod overrides;
mod table;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

use serde::de::Error as _;

use crate::{arn::Arn, catalogue, region::Partition};

pub use amount::{AmountError, Nanodollars};
pub use overrides::PriceError;

use table::Table;

static BUILTIN: LazyLock<Prices> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the table is compiled into the program, and a test parses it"
    )]
    Prices::parse(include_str!("prices/table.yaml")).expect("the built-in table parses")
});

/// Processing tier of a request, as Bedrock names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// `default`: what a request without a tier gets.
    #[default]
    Standard,
    /// `priority`.
    Priority,
    /// `flex`.
    Flex,
    /// Batch inference, which is not a tier of a single request.
    Batch,
    /// `ultrafast`, which some models of OpenAI have.
    Ultrafast,
}

/// What Bedrock bills for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Input tokens that were neither read from nor written to the cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from the cache.
    pub cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Generated images.
    pub images: u64,
    /// Images in the input of an embedding.
    pub input_images: u64,
    /// Queries of a rerank model.
    pub searches: u64,
}

/// Prices of single units, in picodollars. `None`: not published for this model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// One input token.
    pub input: Option<u64>,
    /// One output token.
    pub output: Option<u64>,
    /// One token read from the cache. Without it, the price of an input token.
    pub cache_read: Option<u64>,
    /// One token written to the cache for five minutes. Without it, the price of an input token.
    pub cache_write_5m: Option<u64>,
    /// One token written to the cache for an hour. Without it, the price for five minutes.
    pub cache_write_1h: Option<u64>,
    /// One generated image.
    pub image: Option<u64>,
    /// One image in the input of an embedding.
    pub input_image: Option<u64>,
    /// One query of a rerank model.
    pub search: Option<u64>,
}

/// The price of a model in one region and tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Prices of short prompts.
    pub rates: Rates,
    /// Prices of a request whose prompt, cached tokens included, has more tokens than the number.
    pub long: Option<(u64, Rates)>,
}

/// The prices of a model in one region, by tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierPrices {
    standard: Price,
    others: BTreeMap<Tier, Price>,
}

/// What Bedrock Guardrails bills, in text units and images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardrailUnits {
    /// Text units of content filters.
    pub content: u64,
    /// Images of content filters.
    pub content_images: u64,
    /// Text units of denied topics.
    pub topic: u64,
    /// Text units of sensitive information filters; those of regular expressions are free.
    pub sensitive_information: u64,
    /// Text units of contextual grounding checks.
    pub contextual_grounding: u64,
    /// Text units of automated reasoning checks.
    pub automated_reasoning: u64,
}

/// A table of prices.
#[derive(Clone, Debug)]
pub struct Prices {
    retrieved: String,
    source: String,
    /// By model without the prefix of an inference profile, then by scope: `default`, a prefix, or a region.
    models: BTreeMap<String, BTreeMap<String, Arc<TierPrices>>>,
    /// Overrides by model id as configured.
    own: BTreeMap<String, TierPrices>,
    guardrail: GuardrailPrice,
}

/// The price of guardrail units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardrailPrice {
    /// Picodollars for one of each kind.
    each: GuardrailUnits,
}

/// The scope of a model's own id.
const DEFAULT: &str = "default";
/// Prefix of inference profiles that use any commercial region.
const GLOBAL: &str = "global";
/// Prefix of inference profiles of AWS GovCloud (US).
const GOV: &str = "us-gov";

/// The built-in table.
pub fn builtin() -> &'static Prices {
    &BUILTIN
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 5] = [
        Self::Standard,
        Self::Priority,
        Self::Flex,
        Self::Batch,
        Self::Ultrafast,
    ];

    /// The tier that a request or a response names. `None` for a tier that is not billed by the token (`reserved`) and
    /// for unknown names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "default" | "standard" | "standard_only" | "auto" => Self::Standard,
            "priority" => Self::Priority,
            "flex" => Self::Flex,
            "batch" => Self::Batch,
            "ultrafast" => Self::Ultrafast,
            _ => return None,
        })
    }

    /// The name in logs and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Priority => "priority",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Ultrafast => "ultrafast",
        }
    }
}

impl Units {
    /// All tokens of the prompt, cached or not.
    pub const fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }
}

impl Rates {
    /// Units and their prices.
    fn parts(&self, units: &Units) -> [(u64, Option<u64>); 8] {
        let write = self.cache_write_5m.or(self.input);
        [
            // A model that is billed by the query reports tokens, but does not bill them.
            (units.input, self.input.or(self.search.map(|_| 0))),
            (units.output, self.output),
            (units.cache_read, self.cache_read.or(self.input)),
            (units.cache_write_5m, write),
            (units.cache_write_1h, self.cache_write_1h.or(write)),
            (units.images, self.image),
            (units.input_images, self.input_image),
            (units.searches, self.search),
        ]
    }

    /// The prices with the function applied to each.
    fn map(&self, change: impl Fn(u64) -> u64) -> Self {
        Self {
            input: self.input.map(&change),
            output: self.output.map(&change),
            cache_read: self.cache_read.map(&change),
            cache_write_5m: self.cache_write_5m.map(&change),
            cache_write_1h: self.cache_write_1h.map(&change),
            image: self.image.map(&change),
            input_image: self.input_image.map(&change),
            search: self.search.map(&change),
        }
    }
}

impl Price {
    /// The prices that apply to a request with these units.
    fn applicable(&self, units: &Units) -> &Rates {
        match &self.long {
            Some((above, rates)) if units.prompt() > *above => rates,
            _ => &self.rates,
        }
    }

    /// Whether every unit has a price. Otherwise [`Self::cost`] is too low.
    pub fn covers(&self, units: &Units) -> bool {
        let parts = self.applicable(units).parts(units);
        parts
            .iter()
            .all(|(count, price)| *count == 0 || price.is_some())
    }

    /// The cost of a request. Units without a price cost nothing: see [`Self::covers`].
    pub fn cost(&self, units: &Units) -> Nanodollars {
        let parts = self.applicable(units).parts(units);
        Nanodollars::from_picodollars(
            parts
                .into_iter()
                .map(|(count, price)| product(count, price.unwrap_or(0))),
        )
    }

    fn map(&self, change: impl Fn(u64) -> u64) -> Self {
        Self {
            rates: self.rates.map(&change),
            long: self
                .long
                .as_ref()
                .map(|(above, rates)| (*above, rates.map(&change))),
        }
    }
}

impl TierPrices {
    /// Prices of one tier only.
    pub fn standard_only(price: Price) -> Self {
        Self {
            standard: price,
            others: BTreeMap::new(),
        }
    }

    /// The price in a tier. `None` if none is published.
    pub fn tier(&self, tier: Tier) -> Option<&Price> {
        match tier {
            Tier::Standard => Some(&self.standard),
            other => self.others.get(&other),
        }
    }

    /// The tiers with a price, the standard tier first.
    pub fn tiers(&self) -> impl Iterator<Item = (Tier, &Price)> {
        let others = self.others.iter().map(|(tier, price)| (*tier, price));
        std::iter::once((Tier::Standard, &self.standard)).chain(others)
    }

    fn map(&self, change: impl Fn(u64) -> u64) -> Self {
        Self {
            standard: self.standard.map(&change),
            others: self
                .others
                .iter()
                .map(|(tier, price)| (*tier, price.map(&change)))
                .collect(),
        }
    }
}

impl Prices {
    fn parse(text: &str) -> Result<Self, serde_yaml::Error> {
        let table: Table = serde_yaml::from_str(text)?;
        Self::try_from(table).map_err(serde_yaml::Error::custom)
    }

    /// The day on which the source was read, `YYYY-MM-DD`.
    pub fn retrieved(&self) -> &str {
        &self.retrieved
    }

    /// The source of the table.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Age of the table in days. `None` if `now` is before its date.
    pub fn age_days(&self, now: SystemTime) -> Option<u64> {
        catalogue::days_since(&self.retrieved, now)
    }

    /// The models of the table with their scopes, sorted.
    pub fn models(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = (&str, &TierPrices)>)> {
        self.models.iter().map(|(id, scopes)| {
            let scopes = scopes
                .iter()
                .map(|(scope, prices)| (scope.as_str(), &**prices));
            (id.as_str(), scopes)
        })
    }

    /// The price of a model in a tier.
    ///
    /// `model_id` is what the request to Bedrock names: the id of a foundation model or of an inference profile, or an
    /// ARN. `region` is the region that receives the request: Bedrock bills its price, wherever a profile routes to.
    pub fn find(&self, model_id: &str, region: &str, tier: Tier) -> Option<&Price> {
        self.of_target(model_id, region)?.tier(tier)
    }

    /// The prices of a model in all tiers; see [`Self::find`].
    pub fn of_target(&self, model_id: &str, region: &str) -> Option<&TierPrices> {
        if let Some(own) = self.own.get(model_id) {
            return Some(own);
        }
        let arn: Arn;
        let id = if model_id.starts_with("arn:") {
            arn = model_id.parse().ok()?;
            match arn.resource().split_once('/')? {
                ("foundation-model" | "inference-profile", id) => id,
                _ => return None,
            }
        } else {
            model_id
        };
        if let Some(own) = self.own.get(id) {
            return Some(own);
        }
        let (prefix, foundation) = catalogue::builtin()
            .split_profile(id)
            .map_or((None, id), |(prefix, model)| (Some(prefix), model));
        if let Some(own) = self.own.get(foundation) {
            return Some(own);
        }
        scoped(self.models.get(foundation)?, prefix, region)
    }

    /// The price of guardrail units.
    pub fn guardrail(&self) -> GuardrailPrice {
        self.guardrail
    }
}

impl GuardrailUnits {
    fn each(&self) -> [u64; 6] {
        [
            self.content,
            self.content_images,
            self.topic,
            self.sensitive_information,
            self.contextual_grounding,
            self.automated_reasoning,
        ]
    }
}

impl GuardrailPrice {
    /// The cost of units.
    pub fn cost(&self, units: &GuardrailUnits) -> Nanodollars {
        let parts = units.each().into_iter().zip(self.each.each());
        Nanodollars::from_picodollars(parts.map(|(count, price)| product(count, price)))
    }

    fn map(&self, change: impl Fn(u64) -> u64) -> Self {
        let each = &self.each;
        Self {
            each: GuardrailUnits {
                content: change(each.content),
                content_images: change(each.content_images),
                topic: change(each.topic),
                sensitive_information: change(each.sensitive_information),
                contextual_grounding: change(each.contextual_grounding),
                automated_reasoning: change(each.automated_reasoning),
            },
        }
    }
}

/// The product of two numbers of 64 bits, which always fits.
fn product(count: u64, price: u64) -> u128 {
    u128::from(count).wrapping_mul(u128::from(price))
}

/// The prices of a model in the scope of a profile, or of its own id in a region.
fn scoped<'a>(
    scopes: &'a BTreeMap<String, Arc<TierPrices>>,
    prefix: Option<&str>,
    region: &str,
) -> Option<&'a TierPrices> {
    let is_commercial = region
        .parse::<crate::Region>()
        .is_ok_and(|region| region.partition() == Partition::Aws);
    let default = || {
        scopes
            .get(DEFAULT)
            .filter(|_| is_commercial)
            .map(AsRef::as_ref)
    };
    let Some(prefix) = prefix else {
        return scopes.get(region).map(AsRef::as_ref).or_else(default);
    };
    if let Some(found) = scopes.get(prefix) {
        return Some(found);
    }
    if prefix == GLOBAL || prefix == GOV {
        return default();
    }
    // A geographic area that the source does not list: the price of the others, if it is one price. Without any, profiles
    // of this model cost what its own id costs.
    let area = |scope: &str| catalogue::builtin().area(scope).is_some();
    let mut areas = scopes
        .iter()
        .filter(|(scope, _)| area(scope) && *scope != GLOBAL && *scope != GOV)
        .map(|(_, prices)| &**prices);
    let Some(first) = areas.next() else {
        return scopes.get(region).map(AsRef::as_ref).or_else(default);
    };
    areas.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod published;
#[cfg(test)]
mod tests;
