//! The table compared with published prices: rows of its source, AWS's price list, and AWS's page of two days.

use std::collections::BTreeMap;

use super::*;

/// Rows of LiteLLM's list, of two scopes of each model, without other members. Dollars for one unit.
const SOURCE: &str = include_str!("source.json");

/// Prices in us-east-1 in AWS's price list (`AmazonBedrock` and `AmazonBedrockFoundationModels`, published 2026-08-20), in dollars for a
/// million tokens, by the id or the inference profile that they belong to. Read from `docs/data.json` of 2026-08-21 of
/// <https://github.com/aToy0m0/bedrock-pricing>, which a job converts from AWS's files. `page`: AWS's page of prices of 2026-07-24 has the
/// same price, and the prices of the cache are its; read from `bedrock_n_level_pricing.json` of
/// <https://github.com/ajinkyak423/aws-bedrock-pricing-data>, which a job reads from the page. Neither states a licence; only
/// figures of AWS are taken. Rows whose price for all of a model differs from the table are not here: Claude 3.5 Haiku, for which the job
/// has the price of latency-optimized inference, and Qwen3 Next 80B A3B with an input price of 0.14, where the page has 0.15
/// as the table. Of the prices of batches, only those of Nova 2 Lite are left out: 0.165 and 1.375, where the table has half of its
/// other prices. Two rows have prices of batches only.
const AWS: &str = include_str!("aws.csv");

/// Ids, dollars for 1,000 input and 1,000 output tokens, and cache reads, in the US on AWS's page of prices of 2025-07-20, quoted in
/// `packages/convo-lang-bedrock/bedrock-pricing.md` of <https://github.com/convo-lang/convo-lang>.
const AWS_2025_07: [(&str, &str, &str, &str); 33] = [
    ("ai21.jamba-1-5-large-v1:0", "0.002", "0.008", ""),
    ("ai21.jamba-1-5-mini-v1:0", "0.0002", "0.0004", ""),
    ("ai21.j2-mid-v1", "0.0125", "0.0125", ""),
    ("ai21.j2-ultra-v1", "0.0188", "0.0188", ""),
    ("ai21.jamba-instruct-v1:0", "0.0005", "0.0007", ""),
    (
        "amazon.nova-micro-v1:0",
        "0.000035",
        "0.00014",
        "0.00000875",
    ),
    ("amazon.nova-lite-v1:0", "0.00006", "0.00024", "0.000015"),
    ("amazon.nova-pro-v1:0", "0.0008", "0.0032", "0.0002"),
    ("amazon.nova-premier-v1:0", "0.0025", "0.0125", "0.000625"),
    (
        "us.anthropic.claude-opus-4-20250514-v1:0",
        "0.015",
        "0.075",
        "0.0015",
    ),
    (
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "0.003",
        "0.015",
        "0.0003",
    ),
    (
        "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
        "0.003",
        "0.015",
        "0.0003",
    ),
    (
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "0.003",
        "0.015",
        "",
    ),
    (
        "us.anthropic.claude-3-5-haiku-20241022-v1:0",
        "0.0008",
        "0.004",
        "0.00008",
    ),
    (
        "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "0.003",
        "0.015",
        "0.0003",
    ),
    ("cohere.command-text-v14", "0.001", "0.002", ""),
    ("cohere.command-light-text-v14", "0.0003", "0.0006", ""),
    ("us.deepseek.r1-v1:0", "0.00135", "0.0054", ""),
    (
        "us.meta.llama4-maverick-17b-instruct-v1:0",
        "0.00024",
        "0.00097",
        "",
    ),
    (
        "us.meta.llama4-scout-17b-instruct-v1:0",
        "0.00017",
        "0.00066",
        "",
    ),
    (
        "us.meta.llama3-3-70b-instruct-v1:0",
        "0.00072",
        "0.00072",
        "",
    ),
    ("us.meta.llama3-2-1b-instruct-v1:0", "0.0001", "0.0001", ""),
    (
        "us.meta.llama3-2-3b-instruct-v1:0",
        "0.00015",
        "0.00015",
        "",
    ),
    (
        "us.meta.llama3-2-11b-instruct-v1:0",
        "0.00016",
        "0.00016",
        "",
    ),
    (
        "us.meta.llama3-2-90b-instruct-v1:0",
        "0.00072",
        "0.00072",
        "",
    ),
    (
        "us.meta.llama3-1-8b-instruct-v1:0",
        "0.00022",
        "0.00022",
        "",
    ),
    (
        "us.meta.llama3-1-70b-instruct-v1:0",
        "0.00072",
        "0.00072",
        "",
    ),
    ("meta.llama3-1-405b-instruct-v1:0", "0.0024", "0.0024", ""),
    ("meta.llama3-8b-instruct-v1:0", "0.0003", "0.0006", ""),
    ("meta.llama3-70b-instruct-v1:0", "0.00265", "0.0035", ""),
    ("meta.llama2-13b-chat-v1", "0.00075", "0.001", ""),
    ("meta.llama2-70b-chat-v1", "0.00195", "0.00256", ""),
    ("us.mistral.pixtral-large-2502-v1:0", "0.002", "0.006", ""),
];

/// Picodollars.
fn pico(dollars: f64) -> u64 {
    format!("{:.0}", dollars * 1e12).parse().unwrap()
}

/// Whether AWS's price list has prices of batches of a model, with which another test compares the table.
fn aws_has_batches(id: &str) -> bool {
    let mut rows = AWS.lines().map(|row| row.split(',').collect::<Vec<_>>());
    rows.any(|columns| columns[0] == id && !columns[3].is_empty())
}

#[test]
fn prices_equal_those_of_the_source_for_every_model() {
    let rows: BTreeMap<String, BTreeMap<String, f64>> = serde_json::from_str(SOURCE).unwrap();
    let mut models = std::collections::BTreeSet::new();
    for (name, row) in &rows {
        let (path, id) = name.rsplit_once('/').unwrap_or(("", name));
        let region = path.rsplit('/').next().unwrap_or_default();
        let region = match region {
            "" | "bedrock_mantle" => "us-east-1",
            other => other,
        };
        let prices = builtin().of_target(id, region);
        let prices = prices.unwrap_or_else(|| panic!("{name} has no price"));
        models.insert(
            catalogue::builtin()
                .split_profile(id)
                .map_or(id, |(_, model)| model),
        );
        for (tier, suffix) in [
            (Tier::Standard, ""),
            (Tier::Priority, "_priority"),
            (Tier::Flex, "_flex"),
            (Tier::Batch, "_batches"),
        ] {
            let of = |member: &str, step: &str| {
                row.get(&format!("{member}{step}{suffix}"))
                    .copied()
                    .map(pico)
            };
            let check = |rates: &Rates, step: &str| {
                for (member, price) in [
                    ("input_cost_per_token", rates.input),
                    ("output_cost_per_token", rates.output),
                    ("cache_read_input_token_cost", rates.cache_read),
                    ("cache_creation_input_token_cost", rates.cache_write_5m),
                ] {
                    assert_eq!(price, of(member, step), "{name} {member}{step}{suffix}");
                }
                let hour = row.get(&format!(
                    "cache_creation_input_token_cost_above_1hr{step}{suffix}"
                ));
                assert_eq!(rates.cache_write_1h, hour.copied().map(pico), "{name} 1h");
            };
            let is_published = of("input_cost_per_token", "").is_some();
            let Some(price) = prices.tier(tier) else {
                assert!(!is_published, "{name} {tier:?}");
                continue;
            };
            if tier == Tier::Batch && !is_published {
                assert!(
                    aws_has_batches(id),
                    "{name}: price of batches without a source"
                );
                continue;
            }
            check(&price.rates, "");
            let step = price
                .long
                .as_ref()
                .map(|(above, rates)| (above / 1_000, rates));
            if let Some((thousands, rates)) = step {
                // The step of the hour is written in another order.
                let step = format!("_above_{thousands}k_tokens");
                check(rates, &step);
            } else {
                let has_step = row.keys().any(|key| key.contains("k_tokens"));
                assert!(!has_step || tier != Tier::Standard, "{name}");
            }
        }
        let rates = prices.tier(Tier::Standard).unwrap().rates;
        for (member, price) in [
            ("output_cost_per_image", rates.image),
            ("input_cost_per_image", rates.input_image),
            ("input_cost_per_query", rates.search),
        ] {
            assert_eq!(price, row.get(member).copied().map(pico), "{name} {member}");
        }
    }
    assert!(models.len() >= 150, "{} models", models.len());
}

#[test]
fn prices_equal_those_of_an_earlier_page_of_aws() {
    for (id, input, output, cache_read) in AWS_2025_07 {
        let rates = builtin()
            .find(id, "us-east-1", Tier::Standard)
            .unwrap_or_else(|| panic!("{id} has no price"))
            .rates;
        // Dollars for a thousand tokens.
        let price = |text: &str| {
            let dollars: f64 = text.parse().unwrap();
            Some(pico(dollars / 1_000.0))
        };
        assert_eq!(rates.input, price(input), "{id}");
        assert_eq!(rates.output, price(output), "{id}");
        if !cache_read.is_empty() {
            assert_eq!(rates.cache_read, price(cache_read), "{id}");
        }
    }
}

#[test]
fn prices_equal_those_of_aws_price_list() {
    let mut models = std::collections::BTreeSet::new();
    let mut on_page = std::collections::BTreeSet::new();
    for row in AWS.lines().skip(1) {
        let columns: Vec<&str> = row.split(',').collect();
        let &[
            id,
            input,
            output,
            batch_input,
            batch_output,
            page,
            cache_read,
            short_write,
            hour_write,
        ] = columns.as_slice()
        else {
            panic!("{row}")
        };
        let rates = |tier| {
            let price = builtin().find(id, "us-east-1", tier);
            price.unwrap_or_else(|| panic!("{row}: no price")).rates
        };
        let check = |kind: &str, price: Option<u64>, published: &str| {
            if !published.is_empty() {
                let dollars: f64 = published.parse().unwrap();
                assert_eq!(price, Some(pico(dollars / 1e6)), "{kind} of {row}");
            }
        };
        let standard = rates(Tier::Standard);
        check("input", standard.input, input);
        check("output", standard.output, output);
        check("cache read", standard.cache_read, cache_read);
        check("cache write", standard.cache_write_5m, short_write);
        check(
            "cache write of an hour",
            standard.cache_write_1h,
            hour_write,
        );
        if !batch_input.is_empty() {
            let batch = rates(Tier::Batch);
            check("batch input", batch.input, batch_input);
            check("batch output", batch.output, batch_output);
        }
        let model = match id.split_once('.') {
            Some(("us" | "global", model)) => model,
            _ => id,
        };
        if !input.is_empty() {
            models.insert(model);
        }
        if page == "yes" {
            on_page.insert(model);
        }
    }
    assert!(models.len() >= 106, "{} models", models.len());
    assert!(on_page.len() >= 85, "{} models on the page", on_page.len());
}
