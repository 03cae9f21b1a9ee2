//! The prices of the ids of a region, for `--prices`.

use std::io::{self, Write};

use api::{
    Region,
    prices::{Nanodollars, Prices},
};
use serde::Serialize;

use super::list::Entry;

/// The price of an id in one tier, in US dollars: for a million tokens, and for one image or query.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PriceRow {
    id: String,
    tier: &'static str,
    /// The prompt has more tokens than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    above_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read: Option<String>,
    #[serde(rename = "cacheWrite5m", skip_serializing_if = "Option::is_none")]
    cache_write_5m: Option<String>,
    #[serde(rename = "cacheWrite1h", skip_serializing_if = "Option::is_none")]
    cache_write_1h: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<String>,
}

/// Names of the columns of a table.
const HEADER: [&str; 9] = [
    "ID",
    "TIER",
    "INPUT",
    "OUTPUT",
    "CACHE-READ",
    "CACHE-WRITE-5M",
    "CACHE-WRITE-1H",
    "IMAGE",
    "QUERY",
];

/// The prices of all ids that a region can call. Ids without a price are in no row.
pub(super) fn rows(prices: &Prices, region: &Region, models: &[Entry]) -> Vec<PriceRow> {
    let ids = models.iter().flat_map(|entry| &entry.call_as);
    let mut rows = Vec::new();
    for id in ids {
        let Some(tiers) = prices.of_target(id, region.as_str()) else {
            continue;
        };
        for (tier, price) in tiers.tiers() {
            let long = price.long.as_ref();
            let steps = [(None, &price.rates)]
                .into_iter()
                .chain(long.map(|(above, rates)| (Some(*above), rates)));
            for (above_tokens, rates) in steps {
                // One picodollar for a token is a thousand nanodollars for a million tokens.
                let million = |price: u64| Nanodollars(price.saturating_mul(1_000)).to_string();
                let one = |price: u64| Nanodollars(price / 1_000).to_string();
                rows.push(PriceRow {
                    id: id.clone(),
                    tier: tier.name(),
                    above_tokens,
                    input: rates.input.map(million),
                    output: rates.output.map(million),
                    cache_read: rates.cache_read.map(million),
                    cache_write_5m: rates.cache_write_5m.map(million),
                    cache_write_1h: rates.cache_write_1h.map(million),
                    image: rates.image.map(one),
                    search: rates.search.map(one),
                });
            }
        }
    }
    rows
}

/// Writes the rows as a table.
pub(super) fn write_table(rows: &[PriceRow], out: &mut dyn Write) -> io::Result<()> {
    let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut lines = vec![HEADER.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let tier = match row.above_tokens {
            Some(above) => format!("{} >{}k", row.tier, above / 1_000),
            None => row.tier.to_owned(),
        };
        [
            row.id.clone(),
            tier,
            cell(&row.input),
            cell(&row.output),
            cell(&row.cache_read),
            cell(&row.cache_write_5m),
            cell(&row.cache_write_1h),
            cell(&row.image),
            cell(&row.search),
        ]
    }));
    let mut widths = [0_usize; HEADER.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            text = if column < 2 {
                format!("{text}{cell:width$}  ")
            } else {
                format!("{text}{cell:>width$}  ")
            };
        }
        writeln!(out, "  {}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_dollars_for_a_million_tokens_and_for_one_image() {
        let entry = |ids: &[&str]| Entry {
            model: String::new(),
            name: None,
            call_as: ids.iter().map(|id| (*id).to_owned()).collect(),
            lifecycle: String::new(),
        };
        let models = [
            entry(&[
                "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "acme.unknown",
            ]),
            entry(&["amazon.nova-canvas-v1:0", "cohere.rerank-v3-5:0"]),
        ];
        let region = "eu-west-1".parse().unwrap();
        let rows = rows(api::prices::builtin(), &region, &models);
        let mut out = Vec::new();
        write_table(&rows, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
          ID                                            TIER            INPUT  OUTPUT  CACHE-READ  CACHE-WRITE-5M  CACHE-WRITE-1H  IMAGE  QUERY
          eu.anthropic.claude-sonnet-4-5-20250929-v1:0  standard         3.30   16.50        0.33           4.125            6.60      -      -
          eu.anthropic.claude-sonnet-4-5-20250929-v1:0  standard >200k   6.60   24.75        0.66            8.25           13.20      -      -
          eu.anthropic.claude-sonnet-4-5-20250929-v1:0  batch            1.65    8.25           -               -               -      -      -
          amazon.nova-canvas-v1:0                       standard            -       -           -               -               -   0.06      -
          cohere.rerank-v3-5:0                          standard            -       -           -               -               -      -  0.002
        ");
    }
}
