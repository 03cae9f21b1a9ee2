//! The rules of the house that no other tool knows: what may depend on what, and how files are kept.
//!
//! Each rule is a pure function over texts, tested below on texts that break it. What clippy,
//! rustfmt or cargo-deny can hold is theirs and not repeated here.

mod arrows;
mod sources;
mod texts;

use std::{fmt, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    console::Console,
    process::{capture, cargo},
    repository,
};

/// A rule that is broken, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs every rule over the work tree.
pub(crate) fn tidy(console: &Console) -> Result<()> {
    let mut warnings = Vec::new();
    let result = console.step("tidy", |step| {
        let mut findings = Vec::new();
        let metadata = capture(
            step,
            cargo().args(["metadata", "--format-version=1", "--no-deps", "--locked"]),
        )?;
        findings.extend(arrows::check(
            &serde_json::from_str(&metadata).context("cargo metadata is not JSON")?,
        )?);
        let paths = texts::paths_of_this_machine();
        let mut names = Vec::new();
        for file in repository::files()? {
            let Ok(text) = std::fs::read_to_string(repository::root().join(&file)) else {
                continue; // pictures and the like
            };
            let name = display(&file);
            if file.extension().is_some_and(|extension| extension == "rs") {
                findings.extend(sources::check(&name, &text));
                warnings.extend(sources::long(&name, &text));
            }
            if file.ends_with("Cargo.toml") {
                findings.extend(arrows::manifest(&name, &text));
            }
            findings.extend(texts::check(&name, &text, &paths));
            names.push(name);
        }
        findings.extend(texts::licence(
            &names,
            &repository::read(&repository::root().join("LICENSE")).unwrap_or_default(),
        ));
        if findings.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        bail!("{} broken:\n{}", rules(lines.len()), lines.join("\n"))
    });
    for warning in warnings {
        console.note(&format!("warning: {warning}"));
    }
    result
}

fn rules(count: usize) -> String {
    if count == 1 {
        "one rule".to_owned()
    } else {
        format!("{count} rules")
    }
}

/// The path with `/` on every system.
fn display(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
