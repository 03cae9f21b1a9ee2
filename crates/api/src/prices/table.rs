//! The form of the built-in table, and of a price in it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Deserializer, de::Error};

use super::{
    GuardrailPrice, GuardrailUnits, Price, Prices, Rates, Tier, TierPrices, amount::decimal,
};

/// Decimals of a price in dollars for a million tokens: one picodollar for each token.
pub(super) const PER_MILLION: u32 = 6;
/// Decimals of a price in dollars for one unit.
pub(super) const PER_UNIT: u32 = 12;

/// The file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Table {
    retrieved: String,
    source: String,
    /// For people, and for `cargo xtask catalogue`, which keeps the date while the source does not change.
    #[serde(rename = "checksum")]
    _checksum: String,
    guardrail: GuardrailRow,
    models: BTreeMap<String, Vec<Row>>,
}

/// Prices that several scopes share.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    r#for: Vec<String>,
    standard: PriceRow,
    priority: Option<PriceRow>,
    flex: Option<PriceRow>,
    batch: Option<PriceRow>,
    ultrafast: Option<PriceRow>,
}

/// Dollars for a million tokens, and for one image or query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PriceRow {
    #[serde(default, deserialize_with = "per_million")]
    input: Option<u64>,
    #[serde(default, deserialize_with = "per_million")]
    output: Option<u64>,
    #[serde(default, deserialize_with = "per_million")]
    cache_read: Option<u64>,
    #[serde(default, deserialize_with = "per_million")]
    cache_write5m: Option<u64>,
    #[serde(default, deserialize_with = "per_million")]
    cache_write1h: Option<u64>,
    #[serde(default, deserialize_with = "per_unit")]
    image: Option<u64>,
    #[serde(default, deserialize_with = "per_unit")]
    input_image: Option<u64>,
    #[serde(default, deserialize_with = "per_unit")]
    search: Option<u64>,
    /// Prices of prompts with more tokens than `above` of them.
    long: Option<Box<Self>>,
    above: Option<u64>,
}

/// Dollars for one unit.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GuardrailRow {
    content: String,
    content_image: String,
    topic: String,
    sensitive_information: String,
    contextual_grounding: String,
    automated_reasoning: String,
}

fn scaled<'de, D: Deserializer<'de>>(
    deserializer: D,
    digits: u32,
) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decimal(&text, digits).map(Some).map_err(D::Error::custom)
}

fn per_million<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    scaled(deserializer, PER_MILLION)
}

fn per_unit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    scaled(deserializer, PER_UNIT)
}

impl From<PriceRow> for Price {
    fn from(row: PriceRow) -> Self {
        let long = row.long.and_then(|long| {
            let above = long.above?;
            Some((above, Self::from(*long).rates))
        });
        Self {
            rates: Rates {
                input: row.input,
                output: row.output,
                cache_read: row.cache_read,
                cache_write_5m: row.cache_write5m,
                cache_write_1h: row.cache_write1h,
                image: row.image,
                input_image: row.input_image,
                search: row.search,
            },
            long,
        }
    }
}

impl TryFrom<GuardrailRow> for GuardrailUnits {
    type Error = super::AmountError;

    fn try_from(row: GuardrailRow) -> Result<Self, Self::Error> {
        Ok(Self {
            content: decimal(&row.content, PER_UNIT)?,
            content_images: decimal(&row.content_image, PER_UNIT)?,
            topic: decimal(&row.topic, PER_UNIT)?,
            sensitive_information: decimal(&row.sensitive_information, PER_UNIT)?,
            contextual_grounding: decimal(&row.contextual_grounding, PER_UNIT)?,
            automated_reasoning: decimal(&row.automated_reasoning, PER_UNIT)?,
        })
    }
}

impl TryFrom<Table> for Prices {
    type Error = super::AmountError;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        let models = table.models.into_iter().map(|(id, rows)| {
            let mut scopes = BTreeMap::new();
            for row in rows {
                let others = [
                    (Tier::Priority, row.priority),
                    (Tier::Flex, row.flex),
                    (Tier::Batch, row.batch),
                    (Tier::Ultrafast, row.ultrafast),
                ];
                let others = others
                    .into_iter()
                    .filter_map(|(tier, price)| Some((tier, price?.into())));
                let prices = Arc::new(TierPrices {
                    standard: row.standard.into(),
                    others: others.collect(),
                });
                for scope in row.r#for {
                    scopes.insert(scope, Arc::clone(&prices));
                }
            }
            (id, scopes)
        });
        Ok(Self {
            retrieved: table.retrieved,
            source: table.source,
            models: models.collect(),
            own: BTreeMap::new(),
            guardrail: GuardrailPrice {
                each: table.guardrail.try_into()?,
            },
        })
    }
}
