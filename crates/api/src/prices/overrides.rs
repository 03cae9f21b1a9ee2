//! Prices that differ from the built-in table; see [`config::Prices`].

use std::{collections::BTreeMap, sync::Arc};

use super::{
    AmountError, Price, Prices, Rates, TierPrices,
    amount::{WHOLE, decimal, share},
    scoped,
    table::{PER_MILLION, PER_UNIT},
};
use crate::{
    catalogue,
    config::{self, ModelPrice},
};

/// Decimals of a percentage: a millionth of the whole.
const PERCENT: u32 = 4;

/// A price that differs from the table has a mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct PriceError {
    /// Path of the field below `prices`, such as `models[0].input`.
    pub field: String,
    /// What is wrong, and the expected form.
    pub problem: String,
}

impl Prices {
    /// The table with other prices.
    ///
    /// # Errors
    /// The first field with a mistake.
    pub fn with(&self, own: &config::Prices) -> Result<Self, PriceError> {
        let pays = paid(own.discount_percent.as_deref())
            .map_err(|problem| wrong("discountPercent", problem))?;
        let mut changed = self.clone();
        changed.guardrail = self.guardrail.map(|price| share(price, pays));
        for scopes in changed.models.values_mut() {
            *scopes = discounted(scopes, pays);
        }
        // Discounts of foundation models first: those of their profiles are more specific.
        let mut of_profiles = Vec::new();
        for (index, model) in own.models.iter().enumerate() {
            let at =
                |field: &str, problem: String| wrong(&format!("models[{index}].{field}"), problem);
            if model.model.is_empty() {
                return Err(at("model", "must not be empty".to_owned()));
            }
            let mut earlier = own.models.iter().take(index);
            if earlier.any(|other| other.model == model.model) {
                return Err(at("model", format!("{} is listed twice", model.model)));
            }
            let rates = amounts(model).map_err(|(field, error)| at(field, error.to_string()))?;
            let Some(discount) = model.discount_percent.as_deref() else {
                if rates == Rates::default() {
                    return Err(at("model", "set discountPercent or prices".to_owned()));
                }
                let price = Price { rates, long: None };
                let prices = TierPrices::standard_only(price);
                changed.own.insert(model.model.clone(), prices);
                continue;
            };
            if rates != Rates::default() {
                let problem = "set either discountPercent or prices, not both";
                return Err(at("discountPercent", problem.to_owned()));
            }
            let pays = paid(Some(discount)).map_err(|problem| at("discountPercent", problem))?;
            let split = catalogue::builtin().split_profile(&model.model);
            let foundation = split.map_or(model.model.as_str(), |(_, foundation)| foundation);
            let Some(scopes) = self.models.get(foundation) else {
                let problem = format!(
                    "the built-in table has no price of {} to discount: set its prices instead",
                    model.model
                );
                return Err(at("model", problem));
            };
            match split {
                None => {
                    changed
                        .models
                        .insert(foundation.to_owned(), discounted(scopes, pays));
                }
                Some((prefix, _)) => {
                    let prices = scoped(scopes, Some(prefix), ANY_COMMERCIAL_REGION);
                    let prices = prices.map(|prices| prices.map(|price| share(price, pays)));
                    of_profiles.push((foundation, prefix, prices));
                }
            }
        }
        for (foundation, prefix, prices) in of_profiles {
            if let Some((scopes, prices)) = changed.models.get_mut(foundation).zip(prices) {
                scopes.insert(prefix.to_owned(), Arc::new(prices));
            }
        }
        Ok(changed)
    }
}

/// A region whose own prices do not matter: the price of a profile depends on its prefix.
const ANY_COMMERCIAL_REGION: &str = "us-east-1";

fn discounted(
    scopes: &BTreeMap<String, Arc<TierPrices>>,
    pays: u64,
) -> BTreeMap<String, Arc<TierPrices>> {
    let scopes = scopes.iter();
    scopes
        .map(|(scope, prices)| {
            let prices = prices.map(|price| share(price, pays));
            (scope.clone(), Arc::new(prices))
        })
        .collect()
}

/// The share of the public price that remains after a discount, in millionths.
fn paid(percent: Option<&str>) -> Result<u64, String> {
    let Some(percent) = percent else {
        return Ok(WHOLE);
    };
    let discount = decimal(percent, PERCENT).map_err(|error| error.to_string())?;
    WHOLE
        .checked_sub(discount)
        .ok_or_else(|| format!("{percent} is more than 100 percent"))
}

/// The prices of a model, or the field with a mistake.
fn amounts(model: &ModelPrice) -> Result<Rates, (&'static str, AmountError)> {
    let amount = |field: &'static str, text: &Option<String>, digits: u32| {
        let parsed = text.as_deref().map(|text| decimal(text, digits));
        parsed.transpose().map_err(|error| (field, error))
    };
    Ok(Rates {
        input: amount("input", &model.input, PER_MILLION)?,
        output: amount("output", &model.output, PER_MILLION)?,
        cache_read: amount("cacheRead", &model.cache_read, PER_MILLION)?,
        cache_write_5m: amount("cacheWrite5m", &model.cache_write_5m, PER_MILLION)?,
        cache_write_1h: amount("cacheWrite1h", &model.cache_write_1h, PER_MILLION)?,
        image: amount("image", &model.image, PER_UNIT)?,
        input_image: None,
        search: amount("search", &model.search, PER_UNIT)?,
    })
}

fn wrong(field: &str, problem: String) -> PriceError {
    PriceError {
        field: field.to_owned(),
        problem,
    }
}
