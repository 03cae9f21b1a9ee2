//! AWS's records: the model invocation log, and line items of a cost and usage report.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>,
//! <https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html>

use std::{collections::BTreeMap, path::Path};

use api::pattern::matches;
use csv::StringRecord;
use serde::Deserialize;
use serde_json::Value;

use super::{error::Error, files, ledger::Tokens};

/// The records of the invocation log.
#[derive(Debug, Default)]
pub(super) struct InvocationLog(pub(super) Vec<Invocation>);

/// A record of the invocation log.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) timestamp: String,
    pub(super) model: String,
    pub(super) identity: String,
    /// Id of the gateway's request, if a gateway has sent it.
    pub(super) gateway_request_id: Option<String>,
    pub(super) tokens: Tokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    request_id: String,
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    model_id: String,
    #[serde(default)]
    identity: Value,
    #[serde(default)]
    request_metadata: BTreeMap<String, String>,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    output: OutputCount,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Input {
    #[serde(rename = "inputTokenCount")]
    uncached: u64,
    #[serde(rename = "cacheReadInputTokenCount")]
    cache_read: u64,
    #[serde(rename = "cacheWriteInputTokenCount")]
    cache_write: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OutputCount {
    output_token_count: u64,
}

impl InvocationLog {
    /// Reads all records in a file or a directory.
    ///
    /// # Errors
    /// When a file cannot be read or is not JSON, or no record is found.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut log = Self::default();
        for file in files::below(path)? {
            // Bedrock also writes files to check its permission.
            if file != path && !is_log(&file) {
                continue;
            }
            let text = files::text(&file)?;
            for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
                let value = value.map_err(|error| Error::Format {
                    path: file.clone(),
                    problem: format!("not JSON: {error}"),
                })?;
                match value {
                    Value::Array(records) => log.0.extend(records.into_iter().filter_map(record)),
                    value => log.0.extend(record(value)),
                }
            }
        }
        if log.0.is_empty() {
            return Err(Error::Format {
                path: path.to_owned(),
                problem: "no record of a model invocation log (schemaType ModelInvocationLog)"
                    .to_owned(),
            });
        }
        Ok(log)
    }
}

/// Whether the name of a file is that of a log.
fn is_log(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["json", "jsonl", "ndjson", "gz"].contains(&extension))
}

fn record(value: Value) -> Option<Invocation> {
    if value.get("schemaType")? != "ModelInvocationLog" {
        return None;
    }
    let mut record: Record = serde_json::from_value(value).ok()?;
    Some(Invocation {
        request_id: record.request_id,
        timestamp: record.timestamp,
        model: record.model_id,
        identity: record
            .identity
            .get("arn")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        gateway_request_id: record.request_metadata.remove("requestId"),
        tokens: Tokens {
            input: record.input.uncached,
            output: record.output.output_token_count,
            cache_read: record.input.cache_read,
            cache_write: record.input.cache_write,
        },
    })
}

/// What a cost and usage report says about Bedrock.
#[derive(Debug, Default)]
pub(super) struct LineItems {
    pub(super) rows: u64,
    /// Tokens by region.
    pub(super) tokens: BTreeMap<String, Tokens>,
    /// The unblended cost in US dollars, if the report has it.
    pub(super) cost: Option<f64>,
}

/// The columns that are read.
struct Columns {
    product: usize,
    usage_type: usize,
    amount: usize,
    region: usize,
    unit: Option<usize>,
    principal: Option<usize>,
    cost: Option<usize>,
}

/// Reads the line items of Bedrock's tokens.
///
/// # Errors
/// When the file cannot be read, is not CSV, or lacks a column.
pub(super) fn line_items(path: &Path, principal: Option<&str>) -> Result<LineItems, Error> {
    let invalid = |problem: String| Error::Format {
        path: path.to_owned(),
        problem,
    };
    let mut reader = csv::Reader::from_reader(files::open(path)?);
    let headers = reader
        .headers()
        .map_err(|error| invalid(error.to_string()))?;
    let columns = Columns::find(headers).map_err(&invalid)?;
    if principal.is_some() && columns.principal.is_none() {
        return Err(invalid(
            "no column line_item_iam_principal. Fix: include caller identity data in the export, or omit --principal"
                .to_owned(),
        ));
    }
    let mut items = LineItems::default();
    for row in reader.records() {
        let row = row.map_err(|error| invalid(error.to_string()))?;
        let cell = |index: usize| row.get(index).unwrap_or_default();
        let is_other = principal.is_some_and(|pattern| {
            let found = columns.principal.map_or("", cell);
            !matches(pattern, found)
        });
        if is_other || !cell(columns.product).contains("Bedrock") {
            continue;
        }
        let Some(kind) = kind(cell(columns.usage_type)) else {
            continue;
        };
        items.rows = items.rows.saturating_add(1);
        let unit = columns.unit.map_or("1K tokens", cell);
        let tokens = tokens(cell(columns.amount), unit)
            .ok_or_else(|| invalid(format!("{:?} is not an amount", cell(columns.amount))))?;
        let region = items
            .tokens
            .entry(cell(columns.region).to_owned())
            .or_default();
        region.add(kind(tokens));
        if let Some(cost) = columns
            .cost
            .and_then(|index| cell(index).parse::<f64>().ok())
        {
            let sum = items.cost.get_or_insert(0.0);
            *sum += cost;
        }
    }
    Ok(items)
}

impl Columns {
    fn find(headers: &StringRecord) -> Result<Self, String> {
        let position = |name: &str| headers.iter().position(|header| header == name);
        let needed = |name: &str| {
            position(name).ok_or_else(|| {
                format!("no column {name}. Fix: export CUR 2.0 (Data Exports) with this column")
            })
        };
        Ok(Self {
            product: needed("line_item_product_code")?,
            usage_type: needed("line_item_usage_type")?,
            amount: needed("line_item_usage_amount")?,
            region: needed("product_region_code")?,
            unit: position("pricing_unit"),
            principal: position("line_item_iam_principal"),
            cost: position("line_item_unblended_cost"),
        })
    }
}

/// The kind of tokens of a usage type, such as `USE1-NovaLite-cache-read-input-token-count` or
/// `USE1-MP:USE1_CacheReadInputTokenCount-Units`; none for others, such as images.
fn kind(usage_type: &str) -> Option<fn(u64) -> Tokens> {
    let letters = usage_type.chars().filter(char::is_ascii_alphanumeric);
    let text: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    let make: fn(u64) -> Tokens = if text.contains("cacheread") {
        |cache_read| Tokens {
            cache_read,
            ..Tokens::default()
        }
    } else if text.contains("cachewrite") {
        |cache_write| Tokens {
            cache_write,
            ..Tokens::default()
        }
    } else if text.contains("inputtoken") {
        |input| Tokens {
            input,
            ..Tokens::default()
        }
    } else if text.contains("outputtoken") {
        |output| Tokens {
            output,
            ..Tokens::default()
        }
    } else {
        return None;
    };
    Some(make)
}

/// A decimal amount of a unit as tokens. Without floating point, so that sums are exact.
fn tokens(amount: &str, unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let digits: usize = if unit.starts_with("1k") {
        3
    } else if unit.starts_with("1m") || unit == "units" {
        6
    } else {
        0
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let kept: String = fraction
        .chars()
        .chain("000000".chars())
        .take(digits)
        .collect();
    format!("{whole}{kept}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_tokens_are_recognized_in_the_usage_types_of_all_offers() {
        let read = |usage_type: &str| kind(usage_type).map(|make| make(1));
        for (usage_type, expected) in [
            ("USE1-NovaLite-input-tokens", "input"),
            (
                "USE1-Claude4.6Opus-output-tokens-cross-region-global",
                "output",
            ),
            ("USE1-NovaLite-cache-read-input-token-count", "cacheRead"),
            (
                "USE1-MP:USE1_CacheWrite1hInputTokenCount-Units",
                "cacheWrite",
            ),
            ("USW2-MP:USW2_input_tokens_global_standard-Units", "input"),
            (
                "USE1-openai.gpt-oss-120b-mantle-output-tokens-standard",
                "output",
            ),
        ] {
            let found = read(usage_type).unwrap();
            let kinds = found.kinds().into_iter().find(|(_, count)| *count == 1);
            assert_eq!(kinds.unwrap().0, expected, "{usage_type}");
        }
        assert!(read("USE1-NovaCanvas-T2I-1024-Standard").is_none());
    }

    #[test]
    fn amounts_are_exact_in_every_unit() {
        assert_eq!(tokens("2.400", "1K tokens"), Some(2400));
        assert_eq!(tokens("0.0007", "1M tokens"), Some(700));
        assert_eq!(tokens("3", "1K tokens"), Some(3000));
        assert_eq!(tokens("0.000000123", "Units"), Some(0));
        assert_eq!(tokens("12", "tokens"), Some(12));
        assert_eq!(tokens("x", "1K tokens"), None);
    }
}
