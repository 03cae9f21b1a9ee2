//! What a request needs of its budgets: an estimate of its input, and its output at most. Pure.
//!
//! The fields that limit the output have other names in each API; the body of a request has those of one of them.

use std::borrow::Cow;

use api::prices::{GuardrailPrice, GuardrailUnits, Tier, Units};
use dialects::{families::ModelCapabilities, translation::Cursor};

use super::holds::{Need, Spent};
use crate::{
    http::error::{GatewayError, Result},
    pipeline::estimate,
    upstream::target::{Target, Targets},
};

/// Output tokens of a request that does not limit them.
const DEFAULT_OUTPUT: u64 = 4096;
/// Most responses or images of one request in any API.
const MAX_COUNT: u64 = 128;
/// Characters of a text unit of guardrails.
const CHARACTERS_PER_UNIT: u64 = 1000;
/// Bytes of an estimated token.
const BYTES_PER_TOKEN: u64 = 4;

/// What a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    input: u64,
    output: u64,
    images: u64,
    /// Number of responses.
    count: u64,
    tier: Tier,
}

/// The fields of a body that a budget needs.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// The largest limit of the output.
    output: Option<u64>,
    count: Option<u64>,
    images: Option<u64>,
    tier: Option<Tier>,
}

impl Fields {
    /// Reads a body without a parser; what is not JSON has no fields after the error.
    fn read(body: &[u8]) -> Self {
        let mut fields = Self::default();
        let _end = Cursor::new(body).members(|cursor, name| {
            fields.member(name, cursor.value()?);
            Some(())
        });
        fields
    }

    /// Reads a member of the body, if it is one of these fields. The name may have escapes.
    pub(crate) fn member(&mut self, name: &[u8], value: &[u8]) {
        if !self.plain(name, value)
            && let Cow::Owned(name) = unescaped(name)
        {
            self.plain(&name, value);
        }
    }

    /// Reads a member whose name has no escapes. Returns whether it is one of these fields.
    fn plain(&mut self, name: &[u8], value: &[u8]) -> bool {
        match name {
            b"max_tokens" | b"max_completion_tokens" | b"max_output_tokens" | b"max_gen_len" => {
                self.output = self.output.max(number(value));
            }
            b"n" => self.count = self.count.max(number(value)),
            b"service_tier" => self.tier = tier(value),
            b"inferenceConfig"
            | b"textGenerationConfig"
            | b"imageGenerationConfig"
            | b"serviceTier" => {
                let _end = Cursor::new(value).members(|cursor, inner| {
                    self.inner(name, &unescaped(inner), cursor.value()?);
                    Some(())
                });
            }
            _ => return false,
        }
        true
    }

    /// A member of an object of Converse, or of Amazon's models.
    fn inner(&mut self, object: &[u8], name: &[u8], value: &[u8]) {
        match (object, name) {
            (b"inferenceConfig", b"maxTokens" | b"max_new_tokens")
            | (b"textGenerationConfig", b"maxTokenCount") => {
                self.output = self.output.max(number(value));
            }
            (b"imageGenerationConfig", b"numberOfImages") => {
                self.images = self.images.max(number(value));
            }
            (b"serviceTier", b"type") => self.tier = self.tier.or(tier(value)),
            _ => {}
        }
    }
}

impl Demand {
    /// The demand of a request that generates text or images, by its JSON body.
    pub(crate) fn of(body: &[u8]) -> Self {
        Self::new(body, &Fields::read(body))
    }

    /// The demand of a request whose fields are known.
    pub(crate) fn new(body: &[u8], fields: &Fields) -> Self {
        let count = fields.count.unwrap_or(1).clamp(1, MAX_COUNT);
        let images = fields.images.unwrap_or(1);
        Self {
            input: estimate::tokens(body),
            output: fields
                .output
                .unwrap_or(DEFAULT_OUTPUT)
                .saturating_mul(count),
            images: count.max(images.min(MAX_COUNT)),
            count,
            tier: fields.tier.unwrap_or_default(),
        }
    }

    /// The need of the request if it is sent to one of these targets; in money only with `priced`.
    ///
    /// # Errors
    /// 403 if a target has no price.
    pub(crate) fn need(&self, targets: &Targets, priced: bool) -> Result<Need> {
        let mut least: Option<Spent> = None;
        let mut most = Spent::default();
        for target in targets.iter() {
            let (floor, all) = self.range(target, priced)?;
            let least = least.get_or_insert(floor);
            least.tokens = least.tokens.min(floor.tokens);
            least.nanodollars = least.nanodollars.min(floor.nanodollars);
            most.tokens = most.tokens.max(all.tokens);
            most.nanodollars = most.nanodollars.max(all.nanodollars);
        }
        Ok(Need::between(least.unwrap_or_default(), most))
    }

    /// What the request costs at least and at most at a target.
    fn range(&self, target: &Target, priced: bool) -> Result<(Spent, Spent)> {
        let (input, output) = match target.guardrail_price {
            Some(_) => (0, 0),
            None => self.tokens(&target.capabilities),
        };
        let (least, most) = if priced {
            let cost = target.guardrail_price.map_or_else(
                || self.cost(target, (input, output)),
                |price| Some((0, self.guardrail(&price))),
            );
            cost.ok_or_else(|| unpriced(target))?
        } else {
            (0, 0)
        };
        let spent = |tokens, nanodollars| Spent {
            tokens,
            nanodollars,
        };
        let all = input.saturating_add(output);
        Ok((spent(input, least), spent(all, most)))
    }

    /// The input tokens, and the output tokens at most, of a model.
    fn tokens(&self, model: &ModelCapabilities) -> (u64, u64) {
        if model.image.is_some() {
            return (0, 0);
        }
        if model.embedding.is_some() || model.rerank.is_some() {
            return (self.input, 0);
        }
        // Above its maximum, the gateway or Bedrock lowers or rejects the limit.
        let maximum = model.limits.output_tokens;
        let maximum = maximum.map(|maximum| maximum.saturating_mul(self.count));
        (self.input, self.output.min(maximum.unwrap_or(u64::MAX)))
    }

    /// The cost of the input, and of everything; `None` without a price.
    fn cost(&self, target: &Target, (input, output): (u64, u64)) -> Option<(u64, u64)> {
        let prices = target.prices.as_ref()?;
        let price = prices
            .tier(self.tier)
            .or_else(|| prices.tier(Tier::Standard))?;
        let rates = &price.rates;
        // A model that is billed by images or queries does not bill its tokens.
        let has_units = rates.image.is_some() || rates.search.is_some();
        let billed = |tokens, rate: Option<u64>| match rate {
            None if has_units => 0,
            _ => tokens,
        };
        let least = Units {
            input: billed(input, rates.input),
            searches: u64::from(rates.search.is_some()),
            ..Units::default()
        };
        let all = Units {
            output: billed(output, rates.output),
            images: rates.image.map_or(0, |_| self.images),
            ..least
        };
        let is_priced = price.covers(&all);
        is_priced.then(|| (price.cost(&least).0, price.cost(&all).0))
    }

    /// The most that a guardrail bills for the text of the request and an image.
    fn guardrail(&self, price: &GuardrailPrice) -> u64 {
        let texts = self.input.saturating_mul(BYTES_PER_TOKEN) / CHARACTERS_PER_UNIT;
        let texts = texts.saturating_add(1);
        let units = GuardrailUnits {
            content: texts,
            content_images: 1,
            topic: texts,
            sensitive_information: texts,
            contextual_grounding: texts,
            automated_reasoning: texts,
        };
        price.cost(&units).0
    }
}

/// A name without its escapes.
fn unescaped(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let quoted = [b"\"", name, b"\""].concat();
    let text: Option<String> = serde_json::from_slice(&quoted).ok();
    text.map_or(Cow::Borrowed(name), |text| Cow::Owned(text.into_bytes()))
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The tier that a request names; none if it is unknown.
fn tier(value: &[u8]) -> Option<Tier> {
    Tier::named(std::str::from_utf8(value).ok()?.trim_matches('"'))
}

fn unpriced(target: &Target) -> GatewayError {
    GatewayError::Forbidden {
        message: format!(
            "the model {} has no price in {}, which a budget in usd requires. Fix: set its price in prices.models (spec.prices of the BedrockAccess), or use a budget in tokens",
            target.model_id, target.region
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, output: u64, images: u64) {
        let found = Demand::of(body.as_bytes());
        assert_eq!((found.output, found.images), (output, images), "{body}");
    }

    #[test]
    fn output_limit_of_each_api_is_found() {
        check(
            r#"{"max_tokens": 100, "messages": [{"max_tokens": 9999}]}"#,
            100,
            1,
        );
        check(r#"{"max_completion_tokens": 200, "n": 3}"#, 600, 3);
        check(r#"{"max_output_tokens": 300}"#, 300, 1);
        check(r#"{"max_gen_len": 400}"#, 400, 1);
        check(r#"{"inferenceConfig": {"maxTokens": 500}}"#, 500, 1);
        check(r#"{"inferenceConfig": {"max_new_tokens": 600}}"#, 600, 1);
        check(
            r#"{"textGenerationConfig": {"maxTokenCount": 700}}"#,
            700,
            1,
        );
        check(
            r#"{"inference\u0043onfig": {"max\u0054okens": 5000}}"#,
            5000,
            1,
        );
        check(r#"{"max_tokens": 1, "max_tokens": 9000}"#, 9000, 1);
        check(
            r#"{"imageGenerationConfig": {"numberOfImages": 4}}"#,
            4096,
            4,
        );
        for unlimited in [
            "{}",
            "not JSON",
            r#"{"max_tokens": "many"}"#,
            r#"{"max_tokens": null, "n": -1}"#,
        ] {
            check(unlimited, DEFAULT_OUTPUT, 1);
        }
    }

    #[test]
    fn tier_of_each_api_is_found() {
        for (body, tier) in [
            (r#"{"service_tier": "priority"}"#, Tier::Priority),
            (r#"{"serviceTier": {"type": "flex"}}"#, Tier::Flex),
            (r#"{"service_tier": "new"}"#, Tier::Standard),
            ("{}", Tier::Standard),
        ] {
            assert_eq!(Demand::of(body.as_bytes()).tier, tier, "{body}");
        }
    }
}
