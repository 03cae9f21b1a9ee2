//! Prices in the configuration document that differ from AWS's public prices.

use serde::{Deserialize, Serialize};

/// Prices that differ from AWS's public prices. Amounts are decimal numbers as text, such as `"7.5"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Prices {
    /// Discount on all public prices in percent. A model in `models` ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<String>,
    /// Prices of single models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPrice>,
}

/// The price of a model in US dollars: for a million tokens, for one image, for one query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ModelPrice {
    /// Id or ARN of a foundation model or an inference profile. The id of a foundation model also applies to its
    /// cross-region inference profiles that have no price here.
    pub model: String,
    /// Discount on the public prices of the model in percent. Excludes the prices below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<String>,
    /// A million input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// A million output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// A million tokens read from the cache. If absent, the price of input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<String>,
    /// A million tokens written to the cache for five minutes. If absent, the price of input tokens.
    #[serde(rename = "cacheWrite5m", skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<String>,
    /// A million tokens written to the cache for an hour. If absent, the price for five minutes.
    #[serde(rename = "cacheWrite1h", skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<String>,
    /// A generated image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// A query of a rerank model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}
