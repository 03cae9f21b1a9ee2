//! Rules of this repository that no other tool checks: dependencies between crates and modules, the language of its
//! texts, and the layout of its files.
//!
//! Each rule is a pure function over texts with tests on texts that break it. Rules that clippy, rustfmt or
//! cargo-deny can check are left to them.

mod arrows;
mod chart;
mod code;
mod layers;
mod phrases;
mod sources;
mod texts;

use std::{collections::BTreeMap, fmt, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    checks::CHART,
    console::Console,
    process::{capture, cargo},
    repository,
};

use self::phrases::Phrases;

/// A broken rule: the place, and what to do.
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
        let metadata = capture(
            step,
            cargo().args(["metadata", "--format-version=1", "--no-deps", "--locked"]),
        )?;
        let mut findings =
            arrows::check(&serde_json::from_str(&metadata).context("cargo metadata is not JSON")?)?;
        let paths = texts::paths_of_this_machine();
        let phrases = Phrases::parse(phrases::LIST);
        let mut banned = Vec::new();
        let mut sources = Vec::new();
        let read = |path: &str| repository::read(&repository::root().join(path));
        let manifest = read(&format!("{CHART}/Chart.yaml"))?;
        let home = chart::home(&manifest).context("Chart.yaml has no home")?;
        let exists = |path: &str| repository::root().join(path).exists();
        findings.extend(chart::reference(&read(chart::PAGE)?, &exists));
        findings.extend(chart::changes(&manifest, &read("CHANGELOG.md")?));
        for file in repository::files()? {
            let Ok(text) = std::fs::read_to_string(repository::root().join(&file)) else {
                continue; // not text
            };
            let name = display(&file);
            findings.extend(texts::check(&name, &text, &paths));
            if name != "xtask/src/tidy/chart.rs" {
                findings.extend(chart::links(&name, &text, home));
            }
            if phrases::applies_to(&name) {
                banned.extend(phrases.check(&name, &text));
            }
            if file.ends_with("Cargo.toml") {
                findings.extend(arrows::manifest(&name, &text));
            }
            if file.extension().is_some_and(|extension| extension == "rs") {
                findings.extend(sources::check(&name, &text));
                warnings.extend(sources::long(&name, &text));
                sources.push((name, text));
            }
        }
        for layers in &layers::CRATES {
            findings.extend(layers.check(&sources));
        }
        step.say(&format!("banned phrases: {}", by_directory(&banned)));
        findings.extend(banned);
        if findings.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        bail!("{}:\n{}", findings_of(lines.len()), lines.join("\n"))
    });
    for warning in warnings {
        console.note(&format!("warning: {warning}"));
    }
    result
}

fn findings_of(count: usize) -> String {
    if count == 1 {
        "1 finding".to_owned()
    } else {
        format!("{count} findings")
    }
}

/// How many findings each top-level directory has, as `docs 3, gateway 12`.
fn by_directory(findings: &[Finding]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        let directory = finding
            .place
            .split_once('/')
            .map_or(".", |(first, _)| first);
        *counts.entry(directory).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(directory, count)| format!("{directory} {count}"))
        .collect();
    if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    }
}

/// The path with `/` on every system.
fn display(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_top_level_directory() {
        let findings = [
            "docs/a.md:1",
            "gateway/src/b.rs:2",
            "docs/c.md:3",
            "README.md:4",
        ]
        .map(|place| Finding::new(place, "x"));
        assert_eq!(by_directory(&findings), ". 1, docs 2, gateway 1");
        assert_eq!(by_directory(&[]), "none");
    }
}
