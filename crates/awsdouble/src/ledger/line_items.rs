//! Line items of CUR 2.0: sums by hour, caller, operation, model and kind of token.
//!
//! Usage types follow the published price list: `USE1-NovaLite-input-tokens`, and for mantle
//! `USE1-MODEL-mantle-input-tokens-standard`. The unit is a thousand tokens.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-iam-principal-tracking.html>

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::{Entry, Tokens};
use crate::clock::{iso, unix_seconds};

const HOUR: u64 = 3600;

const COLUMNS: [&str; 15] = [
    "identity_time_interval",
    "bill_payer_account_id",
    "line_item_usage_account_id",
    "line_item_line_item_type",
    "line_item_usage_start_date",
    "line_item_usage_end_date",
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_operation",
    "line_item_resource_id",
    "line_item_iam_principal",
    "product_region_code",
    "line_item_usage_amount",
    "pricing_unit",
    "tags",
];

/// Codes of regions in usage types; other regions have their own name.
const REGIONS: [(&str, &str); 7] = [
    ("us-east-1", "USE1"),
    ("us-east-2", "USE2"),
    ("us-west-2", "USW2"),
    ("eu-west-1", "EU"),
    ("eu-central-1", "EUC1"),
    ("ap-northeast-1", "APN1"),
    ("ap-southeast-2", "APS2"),
];

/// All columns of a row but the amount.
type Key = [String; 14];
/// The place of the amount.
const AMOUNT: usize = 12;

/// The line items of all entries, with a header line.
pub(super) fn csv(entries: &VecDeque<Entry>) -> String {
    let mut sums: BTreeMap<Key, usize> = BTreeMap::new();
    for entry in entries {
        for (kind, tokens) in kinds(&entry.tokens) {
            if tokens > 0 {
                *sums.entry(key(entry, kind)).or_default() += tokens;
            }
        }
    }
    let mut csv = COLUMNS.join(",");
    csv.push('\n');
    for (key, tokens) in sums {
        let mut cells: Vec<String> = key.iter().map(|cell| quoted(cell)).collect();
        cells.insert(AMOUNT, format!("{}.{:03}", tokens / 1000, tokens % 1000));
        csv.push_str(&cells.join(","));
        csv.push('\n');
    }
    csv
}

/// Tokens by kind, each with its name in usage types of the runtime.
fn kinds(tokens: &Tokens) -> [(&'static str, usize); 5] {
    [
        ("input-tokens", tokens.input),
        ("output-tokens", tokens.output),
        ("cache-read-input-token-count", tokens.cache_read),
        ("cache-write-input-token-count", tokens.cache_write),
        ("cache-write-1h-input-token-count", tokens.cache_write_1h),
    ]
}

fn key(entry: &Entry, kind: &str) -> Key {
    let start = unix_seconds(entry.at) / HOUR * HOUR;
    let hour = |seconds: u64| iso(UNIX_EPOCH + Duration::from_secs(seconds));
    let (start, end) = (hour(start), hour(start + HOUR));
    let tags: BTreeMap<String, &String> = entry
        .tags
        .iter()
        .map(|(key, value)| (format!("iamPrincipal/{key}"), value))
        .collect();
    let resource = if entry.model.starts_with("arn:") {
        entry.model.clone()
    } else {
        format!(
            "arn:aws:bedrock:{}::foundation-model/{}",
            entry.region, entry.model
        )
    };
    [
        format!("{start}/{end}"),
        entry.account.clone(),
        entry.account.clone(),
        "Usage".to_owned(),
        start,
        end,
        "AmazonBedrock".to_owned(),
        usage_type(entry, kind),
        entry.operation.clone(),
        resource,
        entry.arn.clone(),
        entry.region.clone(),
        "1K tokens".to_owned(),
        json!(tags).to_string(),
    ]
}

fn usage_type(entry: &Entry, kind: &str) -> String {
    let known = REGIONS.iter().find(|(region, _)| *region == entry.region);
    let region = known.map_or(entry.region.as_str(), |(_, code)| code);
    if entry.service == "bedrock-mantle" {
        let kind = kind.replace("input-token-count", "tokens");
        return format!("{region}-{}-mantle-{kind}-standard", entry.model);
    }
    let suffix = if entry.model.starts_with("global.") {
        "-cross-region-global"
    } else {
        ""
    };
    format!("{region}-{}-{kind}{suffix}", name(&entry.model))
}

/// The name of a model in usage types, such as `NovaLite` for `us.amazon.nova-lite-v1:0`.
fn name(model: &str) -> String {
    let id = model.rsplit(['/', '.']).next().unwrap_or(model);
    let id = id.split(':').next().unwrap_or(id);
    let is_version = |part: &str| {
        part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit())
            || part
                .strip_prefix('v')
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let parts = id.split('-').filter(|part| !is_version(part));
    parts
        .map(|part| {
            let mut letters = part.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

/// A cell in quotes if it needs them.
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}
