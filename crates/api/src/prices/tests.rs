use proptest::prelude::*;

use super::*;
use crate::{
    config::{self, ModelPrice},
    v1alpha1::prices::PricesSpec,
};

const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

fn rates(id: &str, region: &str, tier: Tier) -> Option<Rates> {
    builtin().find(id, region, tier).map(|price| price.rates)
}

fn input(id: &str, region: &str) -> Option<u64> {
    rates(id, region, Tier::Standard)?.input
}

#[test]
fn table_names_its_source_and_its_models_can_be_billed() {
    let table = builtin();
    assert!(table.retrieved() >= "2026-11-29");
    assert!(table.source().contains("LiteLLM"), "{}", table.source());
    let mut models = 0;
    for (id, scopes) in table.models() {
        models += 1;
        for (scope, prices) in scopes {
            for (tier, price) in prices.tiers() {
                let rates = price.rates;
                let is_billed = [rates.input, rates.output, rates.image, rates.search]
                    .iter()
                    .any(Option::is_some);
                assert!(is_billed, "{id} {scope} {tier:?}");
                let Some((above, long)) = price.long else {
                    continue;
                };
                assert!(above >= 100_000, "{id}");
                assert!(long.input > rates.input, "{id}");
                assert_eq!(long.output.is_some(), rates.output.is_some(), "{id}");
                assert_eq!(
                    long.cache_read.is_some(),
                    rates.cache_read.is_some(),
                    "{id}"
                );
            }
        }
    }
    assert!(models >= 150, "{models}");
}

#[test]
fn profiles_of_a_geographic_area_cost_what_the_source_says() {
    for (id, region, dollars_per_million) in [
        (
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "eu-west-1",
            3_000_000,
        ),
        (
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "eu-west-1",
            3_300_000,
        ),
        (
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us-gov-west-1",
            3_600_000,
        ),
        (SONNET, "us-gov-west-1", 3_600_000),
        ("eu.amazon.nova-lite-v1:0", "eu-central-1", 78_000),
        ("us.amazon.nova-lite-v1:0", "us-east-1", 60_000),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
            "us-east-1",
            60_000,
        ),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "us-east-1",
            60_000,
        ),
        ("deepseek.v3.2", "eu-north-1", 740_000),
        ("deepseek.v3.2", "us-west-2", 620_000),
        // Not in the source: the price of the other areas, of which there is one.
        (
            "ca.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "ca-central-1",
            3_300_000,
        ),
        // Profiles of a model without such prices cost what its own id costs.
        ("us.mistral.mistral-large-2407-v1:0", "us-west-2", 2_000_000),
    ] {
        assert_eq!(
            input(id, region),
            Some(dollars_per_million),
            "{id} in {region}"
        );
    }
}

#[test]
fn what_the_source_does_not_say_has_no_price() {
    for (id, region) in [
        ("acme.unknown-v1:0", "us-east-1"),
        // The areas differ.
        ("ca.amazon.nova-lite-v1:0", "ca-central-1"),
        // Only the commercial regions share a price.
        ("amazon.nova-premier-v1:0", "us-gov-west-1"),
        ("amazon.nova-premier-v1:0", "nowhere"),
        ("twelvelabs.pegasus-1-2-v1:0", "us-east-1"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            "us-east-1",
        ),
        (
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
            "us-east-1",
        ),
        ("arn:broken", "us-east-1"),
    ] {
        assert_eq!(builtin().of_target(id, region), None, "{id} in {region}");
    }
    assert_eq!(rates(SONNET, "us-east-1", Tier::Flex), None, "no such tier");
}

#[test]
fn tiers_have_prices_of_their_own() {
    let of = |tier| rates("amazon.nova-pro-v1:0", "us-east-1", tier).and_then(|rates| rates.output);
    assert_eq!(of(Tier::Standard), Some(3_200_000));
    assert_eq!(of(Tier::Priority), Some(5_600_000));
    assert_eq!(of(Tier::Flex), Some(1_600_000));
    assert_eq!(of(Tier::Batch), Some(1_600_000));
    for name in ["default", "priority", "flex", "batch", "ultrafast", "auto"] {
        assert!(Tier::named(name).is_some(), "{name}");
    }
    assert_eq!(Tier::named("reserved"), None);
}

#[test]
fn images_and_queries_are_billed_by_the_piece() {
    let price = |id| builtin().find(id, "us-east-1", Tier::Standard).unwrap();
    let images = Units {
        images: 3,
        ..Units::default()
    };
    assert_eq!(
        price("amazon.nova-canvas-v1:0").cost(&images),
        Nanodollars(180_000_000)
    );
    let queries = Units {
        searches: 2,
        ..Units::default()
    };
    assert_eq!(
        price("cohere.rerank-v3-5:0").cost(&queries),
        Nanodollars(4_000_000)
    );
    assert!(!price("cohere.rerank-v3-5:0").covers(&images));
    assert!(price("cohere.rerank-v3-5:0").covers(&queries));
}

#[test]
fn guardrails_are_billed_by_the_unit() {
    let units = GuardrailUnits {
        content: 2,
        topic: 1,
        sensitive_information: 1,
        ..GuardrailUnits::default()
    };
    // 3 × 0.00015 + 0.0001 dollars.
    assert_eq!(builtin().guardrail().cost(&units), Nanodollars(550_000));
}

fn spec(yaml: &str) -> config::Prices {
    serde_yaml::from_str(yaml).unwrap()
}

#[test]
fn a_discount_applies_to_every_price_and_that_of_a_model_replaces_it() {
    let prices = builtin()
        .with(&spec(&format!(
            "
discountPercent: '10'
models:
- {{model: {SONNET}, discountPercent: '50'}}
- {{model: eu.{SONNET}, discountPercent: '7.5'}}
- {{model: amazon.nova-pro-v1:0, input: '0.5', output: '1.25', cacheRead: '0.000001'}}
"
        )))
        .unwrap();
    let input = |id: &str| {
        prices
            .find(id, "us-east-1", Tier::Standard)
            .unwrap()
            .rates
            .input
    };
    assert_eq!(input("amazon.nova-lite-v1:0"), Some(54_000));
    assert_eq!(input(&format!("us.{SONNET}")), Some(1_650_000));
    assert_eq!(input(&format!("eu.{SONNET}")), Some(3_052_500));
    assert_eq!(input("us.amazon.nova-pro-v1:0"), Some(500_000));
    let nova = prices
        .find("amazon.nova-pro-v1:0", "us-east-1", Tier::Standard)
        .unwrap();
    assert_eq!(
        (nova.rates.output, nova.rates.cache_read),
        (Some(1_250_000), Some(1))
    );
    assert!(
        prices
            .find("amazon.nova-pro-v1:0", "us-east-1", Tier::Priority)
            .is_none(),
        "one price is that of the standard tier"
    );
    let content = GuardrailUnits {
        content: 1,
        ..GuardrailUnits::default()
    };
    assert_eq!(prices.guardrail().cost(&content), Nanodollars(135_000));
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let prices = builtin()
        .with(&spec(&format!(
            "models: [{{model: '{arn}', input: '1', output: '2'}}]"
        )))
        .unwrap();
    assert!(prices.of_target(arn, "us-east-1").is_some());
}

#[test]
fn a_mistake_in_an_override_names_the_field_and_the_form() {
    for (yaml, field, word) in [
        ("discountPercent: ten", "discountPercent", "2.5"),
        ("discountPercent: '101'", "discountPercent", "100"),
        (
            "models: [{model: '', input: '1'}]",
            "models[0].model",
            "empty",
        ),
        (
            "models: [{model: a.b}]",
            "models[0].model",
            "discountPercent or prices",
        ),
        (
            "models: [{model: a.b, discountPercent: '5'}]",
            "models[0].model",
            "no price of a.b",
        ),
        (
            "models: [{model: a.b, input: '1', discountPercent: '5'}]",
            "models[0].discountPercent",
            "not both",
        ),
        (
            "models: [{model: a.b, input: '1'}, {model: a.b, input: '1'}]",
            "models[1].model",
            "twice",
        ),
        (
            "models: [{model: a.b, output: '-1'}]",
            "models[0].output",
            "decimal",
        ),
        (
            "models: [{model: a.b, cacheWrite1h: '1.0000001'}]",
            "models[0].cacheWrite1h",
            "6 decimals",
        ),
        (
            "models: [{model: a.b, image: '1e3'}]",
            "models[0].image",
            "decimal",
        ),
    ] {
        let error = builtin().with(&spec(yaml)).unwrap_err();
        assert_eq!(error.field, field, "{yaml}");
        assert!(error.problem.contains(word), "{yaml}: {error}");
    }
}

#[test]
fn own_overrides_take_precedence_over_those_of_the_platform() {
    let of = |yaml: &str| -> PricesSpec { serde_yaml::from_str(yaml).unwrap() };
    let platform =
        of("{discountPercent: '5', models: [{model: a.a, input: '1'}, {model: b.b, input: '2'}]}");
    let own = of("{models: [{model: b.b, input: '3'}, {model: c.c, input: '4'}]}");
    let merged = own.over(&platform);
    assert_eq!(merged.discount_percent.as_deref(), Some("5"));
    let models: Vec<_> = merged
        .models
        .iter()
        .map(|one| (one.model.as_str(), one.input.as_deref().unwrap()))
        .collect();
    assert_eq!(models, [("b.b", "3"), ("c.c", "4"), ("a.a", "1")]);
    assert_eq!(PricesSpec::default().over(&platform), platform);
}

#[test]
fn amounts_are_exact_and_shown_in_dollars() {
    for (nanodollars, shown) in [
        (0, "0.00"),
        (1, "0.000000001"),
        (4_200_000, "0.0042"),
        (1_500_000_000, "1.50"),
        (12_345_678_900_000_000, "12345678.90"),
    ] {
        assert_eq!(Nanodollars(nanodollars).to_string(), shown);
        assert_eq!(
            Nanodollars::parse_dollars(shown),
            Ok(Nanodollars(nanodollars))
        );
    }
    for text in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "1,5",
        "0.0000000001",
        "18446744074",
    ] {
        assert!(Nanodollars::parse_dollars(text).is_err(), "{text:?}");
    }
}

fn units() -> impl Strategy<Value = Units> {
    let tokens = || 0..2_000_000_u64;
    (tokens(), tokens(), tokens(), tokens(), tokens()).prop_map(
        |(input, output, cache_read, cache_write_5m, cache_write_1h)| Units {
            input,
            output,
            cache_read,
            cache_write_5m,
            cache_write_1h,
            ..Units::default()
        },
    )
}

/// Any price of tokens in the table.
fn price() -> impl Strategy<Value = &'static Price> {
    let all: Vec<&'static Price> = BUILTIN
        .models
        .values()
        .flat_map(BTreeMap::values)
        .flat_map(|prices| prices.tiers().map(|(_, price)| price))
        .filter(|price| price.rates.input.is_some() && price.rates.output.is_some())
        .collect();
    proptest::sample::select(all)
}

proptest! {
    #[test]
    fn cost_is_monotone(price in price(), less in units(), more in units()) {
        let sum = Units {
            input: less.input + more.input,
            output: less.output + more.output,
            cache_read: less.cache_read + more.cache_read,
            cache_write_5m: less.cache_write_5m + more.cache_write_5m,
            cache_write_1h: less.cache_write_1h + more.cache_write_1h,
            ..Units::default()
        };
        prop_assert!(price.cost(&sum) >= price.cost(&less));
        prop_assert!(price.covers(&sum));
    }

    #[test]
    fn cost_is_the_sum_of_its_parts(price in price(), units in units()) {
        let rates = *price.applicable(&units);
        let flat = Price { rates, long: None };
        let only = |part: Units| flat.cost(&part).0;
        let none = Units::default();
        let parts = [
            Units { input: units.input, ..none },
            Units { output: units.output, ..none },
            Units { cache_read: units.cache_read, ..none },
            Units { cache_write_5m: units.cache_write_5m, ..none },
            Units { cache_write_1h: units.cache_write_1h, ..none },
        ];
        let sum: u64 = parts.map(only).iter().sum();
        let whole = price.cost(&units).0;
        // Each part is rounded up to a nanodollar.
        prop_assert!(whole <= sum && sum - whole <= 5, "{whole} {sum}");
    }

    #[test]
    fn cost_of_a_million_tokens_is_the_published_price(price in price()) {
        let million = Units { output: 1_000_000, ..Units::default() };
        // Picodollars for one token are micro-dollars for a million.
        prop_assert_eq!(price.cost(&million).0, price.rates.output.unwrap() * 1_000);
    }

    #[test]
    fn every_decimal_of_an_amount_survives(amount in any::<u64>()) {
        let text = Nanodollars(amount).to_string();
        prop_assert_eq!(Nanodollars::parse_dollars(&text), Ok(Nanodollars(amount)));
    }

    #[test]
    fn no_override_panics(model in "\\PC{0,20}", percent in "\\PC{0,8}", amount in "[0-9.]{0,24}") {
        let model = ModelPrice { model, input: Some(amount), ..ModelPrice::default() };
        let spec = config::Prices { discount_percent: Some(percent), models: vec![model] };
        let _ = builtin().with(&spec);
    }
}
