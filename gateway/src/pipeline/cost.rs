//! The cost of a request, from what Bedrock reports and the price of the target. Pure.

use api::prices::{Nanodollars, Tier, TierPrices, Units};
use bedrock::converse::{BilledTier, TokenUsage};

/// Units that Bedrock bills besides tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OtherUnits {
    /// Generated images.
    pub(crate) images: u64,
    /// Queries of a rerank model.
    pub(crate) searches: u64,
}

/// What a request cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Bedrock has billed nothing, as far as the gateway can tell.
    #[default]
    Nothing,
    /// The amount.
    Known(Nanodollars),
    /// Bedrock bills these tokens, and the gateway does not know their price.
    Unpriced(u64),
}

impl Cost {
    /// The cost of a call that ended with this usage.
    pub(crate) fn of(prices: Option<&TierPrices>, usage: &TokenUsage, other: OtherUnits) -> Self {
        let units = units(usage, other);
        if units == Units::default() {
            return Self::Nothing;
        }
        let price = tier(usage.tier).zip(prices);
        let price = price.and_then(|(tier, prices)| prices.tier(tier));
        match price.filter(|price| price.covers(&units)) {
            Some(price) => Self::Known(price.cost(&units)),
            None => Self::Unpriced(usage.prompt_tokens().saturating_add(usage.output_tokens)),
        }
    }

    /// The cost of two calls of a request.
    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, cost) | (cost, Self::Nothing) => cost,
            (Self::Known(one), Self::Known(other)) => Self::Known(one.saturating_add(other)),
            (Self::Unpriced(one), Self::Unpriced(other)) => {
                Self::Unpriced(one.saturating_add(other))
            }
            (Self::Unpriced(tokens), Self::Known(_)) | (Self::Known(_), Self::Unpriced(tokens)) => {
                Self::Unpriced(tokens)
            }
        }
    }

    /// The value of the response header.
    pub(crate) fn header(self) -> String {
        match self {
            Self::Nothing => Nanodollars::ZERO.to_string(),
            Self::Known(amount) => amount.to_string(),
            Self::Unpriced(_) => "unknown".to_owned(),
        }
    }

    /// Tokens whose price is unknown.
    pub(crate) fn unpriced_tokens(self) -> u64 {
        match self {
            Self::Unpriced(tokens) => tokens,
            Self::Nothing | Self::Known(_) => 0,
        }
    }

    /// The amount, if it is known.
    pub(crate) fn known(self) -> Option<Nanodollars> {
        match self {
            Self::Known(amount) => Some(amount),
            Self::Nothing | Self::Unpriced(_) => None,
        }
    }
}

/// What Bedrock bills. The part of the cache writes with a lifetime of an hour has its own price.
pub(super) fn units(usage: &TokenUsage, other: OtherUnits) -> Units {
    let written = usage.cache_write_input_tokens;
    let hour = usage.cache_write_1h_input_tokens.min(written);
    Units {
        input: usage.input_tokens,
        output: usage.output_tokens,
        cache_read: usage.cache_read_input_tokens,
        cache_write_5m: written.saturating_sub(hour),
        cache_write_1h: hour,
        images: other.images,
        input_images: 0,
        searches: other.searches,
    }
}

/// The tier in the table of prices; none for tiers that are not billed by the token.
fn tier(tier: BilledTier) -> Option<Tier> {
    Some(match tier {
        BilledTier::Standard => Tier::Standard,
        BilledTier::Priority => Tier::Priority,
        BilledTier::Flex => Tier::Flex,
        BilledTier::Ultrafast => Tier::Ultrafast,
        BilledTier::Other => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

    fn prices(model: &str) -> Option<&'static TierPrices> {
        api::prices::builtin().of_target(model, "us-east-1")
    }

    #[test]
    fn cached_tokens_and_long_prompts_have_prices_of_their_own() {
        let usage = TokenUsage {
            input_tokens: 1_000,
            output_tokens: 100,
            cache_read_input_tokens: 10_000,
            cache_write_input_tokens: 3_000,
            cache_write_1h_input_tokens: 1_000,
            ..TokenUsage::default()
        };
        let cost = |usage| Cost::of(prices(SONNET), &usage, OtherUnits::default());
        // 1,000 × 3.3 + 100 × 16.5 + 10,000 × 0.33 + 2,000 × 4.125 + 1,000 × 6.6 millionths of a dollar.
        let expected = 3_300 + 1_650 + 3_300 + 8_250 + 6_600;
        assert_eq!(cost(usage), Cost::Known(Nanodollars(expected * 1_000)));
        let long = TokenUsage {
            input_tokens: 200_001,
            output_tokens: 10,
            ..TokenUsage::default()
        };
        // 200,001 × 6.6 + 10 × 24.75.
        let expected = 200_001 * 6_600 + 10 * 24_750;
        assert_eq!(cost(long), Cost::Known(Nanodollars(expected)));
    }

    #[test]
    fn a_tier_or_model_without_a_price_is_counted_in_tokens() {
        let usage = TokenUsage {
            input_tokens: 7,
            output_tokens: 3,
            ..TokenUsage::default()
        };
        let other = OtherUnits::default();
        assert_eq!(Cost::of(None, &usage, other), Cost::Unpriced(10));
        for tier in [BilledTier::Flex, BilledTier::Other] {
            let usage = TokenUsage { tier, ..usage };
            assert_eq!(Cost::of(prices(SONNET), &usage, other), Cost::Unpriced(10));
        }
        let images = OtherUnits { images: 1, ..other };
        assert_eq!(
            Cost::of(prices(SONNET), &usage, images),
            Cost::Unpriced(10),
            "a chat model has no price of an image"
        );
        assert_eq!(Cost::of(None, &TokenUsage::default(), other), Cost::Nothing);
    }

    #[test]
    fn a_sum_with_an_unknown_part_is_unknown() {
        let known = Cost::Known(Nanodollars(5));
        assert_eq!(known.plus(known), Cost::Known(Nanodollars(10)));
        assert_eq!(known.plus(Cost::Nothing), known);
        assert_eq!(known.plus(Cost::Unpriced(2)), Cost::Unpriced(2));
        assert_eq!(Cost::Unpriced(1).plus(Cost::Unpriced(2)), Cost::Unpriced(3));
    }
}
