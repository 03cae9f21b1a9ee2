//! Prices that differ from the built-in table: discounts of a contract, and prices of single models.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config;

/// Form of an amount or a percentage.
pub(crate) const DECIMAL: &str = r"^[0-9]{1,7}(\.[0-9]{1,6})?$";

/// Prices that differ from AWS's public prices. They change the reported cost, not the bill.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PricesSpec {
    /// Discount on all public prices in percent, such as "7.5". A model in models ignores it.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<String>,
    /// Prices of single models.
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["model"]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPriceSpec>,
}

/// The price of a model. Amounts are US dollars, such as "2.50".
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.discountPercent) != (has(self.input) || has(self.output) || has(self.cacheRead) || has(self.cacheWrite5m) || has(self.cacheWrite1h) || has(self.image) || has(self.search))").message("set either discountPercent or prices"))]
pub struct ModelPriceSpec {
    /// Id or ARN of a foundation model or an inference profile. The id of a foundation model also applies to its
    /// cross-region inference profiles that have no price here.
    #[schemars(length(min = 1, max = 256))]
    pub model: String,
    /// Discount on the public prices of the model in percent, such as "12". Excludes the prices below.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<String>,
    /// Price of a million input tokens.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Price of a million output tokens.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Price of a million tokens read from the cache. If not set, the price of input tokens.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<String>,
    /// Price of a million tokens written to the cache for five minutes. If not set, the price of input tokens.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(
        rename = "cacheWrite5m",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_write_5m: Option<String>,
    /// Price of a million tokens written to the cache for an hour. If not set, the price for five minutes.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(
        rename = "cacheWrite1h",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub cache_write_1h: Option<String>,
    /// Price of a generated image.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Price of a query of a rerank model.
    #[schemars(length(max = 14), regex(pattern = DECIMAL))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
}

impl PricesSpec {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These prices over those of the platform: the own discount replaces the platform's, and so does the own price of a
    /// model.
    #[must_use]
    pub fn over(&self, platform: &Self) -> Self {
        let names = |model: &str| self.models.iter().any(|own| own.model == model);
        let inherited = platform.models.iter().filter(|one| !names(&one.model));
        let models = self.models.iter().chain(inherited).cloned().collect();
        let discount = self.discount_percent.as_ref();
        Self {
            discount_percent: discount.or(platform.discount_percent.as_ref()).cloned(),
            models,
        }
    }
}

impl From<&PricesSpec> for config::Prices {
    fn from(spec: &PricesSpec) -> Self {
        Self {
            discount_percent: spec.discount_percent.clone(),
            models: spec.models.iter().map(config::ModelPrice::from).collect(),
        }
    }
}

impl From<&ModelPriceSpec> for config::ModelPrice {
    fn from(spec: &ModelPriceSpec) -> Self {
        let spec = spec.clone();
        Self {
            model: spec.model,
            discount_percent: spec.discount_percent,
            input: spec.input,
            output: spec.output,
            cache_read: spec.cache_read,
            cache_write_5m: spec.cache_write_5m,
            cache_write_1h: spec.cache_write_1h,
            image: spec.image,
            search: spec.search,
        }
    }
}
