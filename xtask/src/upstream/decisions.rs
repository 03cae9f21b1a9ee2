//! The decisions in `docs/upstream.md`, and what the product itself names.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};

use super::names::Entry;
use crate::repository;

/// The page with the decisions.
pub(super) const PAGE: &str = "docs/upstream.md";

/// Words with which a decision starts.
const DECISIONS: [&str; 5] = [
    "supported",
    "mapped",
    "rejected",
    "dropped with a warning",
    "not relevant",
];

/// Where the product names a kind of names: pages generated from the field tables, or sources.
const PLACES: [(&str, &str, &[&str]); 14] = [
    ("openai", "Chat field", &["docs/guide/openai-fields.md"]),
    ("openai", "Chat part", &["crates/dialects/src/openai"]),
    (
        "openai",
        "Chat tool",
        &[
            "crates/dialects/src/openai",
            "crates/dialects/src/translation",
        ],
    ),
    (
        "openai",
        "Responses field",
        &["docs/guide/responses-fields.md"],
    ),
    (
        "openai",
        "Responses item",
        &["crates/dialects/src/responses"],
    ),
    (
        "openai",
        "Responses part",
        &["crates/dialects/src/responses"],
    ),
    (
        "openai",
        "Responses tool",
        &["crates/dialects/src/responses"],
    ),
    (
        "codex",
        "Responses item",
        &["crates/dialects/src/responses"],
    ),
    (
        "anthropic",
        "Messages field",
        &["docs/guide/anthropic-fields.md"],
    ),
    (
        "anthropic",
        "Messages block",
        &["crates/dialects/src/anthropic"],
    ),
    (
        "anthropic",
        "Messages tool",
        &["crates/dialects/src/anthropic"],
    ),
    (
        "anthropic",
        "tool field",
        &["crates/dialects/src/anthropic"],
    ),
    ("anthropic", "beta flag", &["crates/dialects/src"]),
    ("claude-code", "beta flag", &["crates/dialects/src"]),
];
/// For every other kind: the sources of the translation and of the wire types.
const WIRE: [&str; 3] = ["crates/bedrock/src", "crates/dialects/src", "gateway/src"];

/// A row of the page.
#[derive(Debug)]
pub(super) struct Decision {
    package: String,
    kind: String,
    name: String,
}

impl Decision {
    fn covers(&self, name: &Entry) -> bool {
        let fits = match self.name.strip_suffix('*') {
            Some(start) => name.name.starts_with(start),
            None => name.name == self.name,
        };
        fits && self.kind == name.kind && self.package.split(", ").any(|one| one == name.package)
    }
}

/// The rows of the page.
pub(super) fn read() -> Result<Vec<Decision>> {
    parse(&repository::read(&repository::root().join(PAGE))?)
}

fn parse(page: &str) -> Result<Vec<Decision>> {
    let mut decisions = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [package, kind, names, decision, reason] = cells.as_slice() else {
            continue;
        };
        if *package == "Package" || package.starts_with('-') {
            continue;
        }
        if !DECISIONS.iter().any(|word| decision.starts_with(word)) || reason.is_empty() {
            bail!(
                "{PAGE}: {names} needs a decision ({}) and a reason",
                DECISIONS.join(", ")
            );
        }
        for name in names.split('`').skip(1).step_by(2) {
            decisions.push(Decision {
                package: (*package).to_owned(),
                kind: (*kind).to_owned(),
                name: name.to_owned(),
            });
        }
    }
    Ok(decisions)
}

/// The names without a decision that the product does not have, and the decisions about names that no package has.
pub(super) fn compare<'a>(
    names: &'a [Entry],
    decisions: &'a [Decision],
) -> Result<(Vec<&'a Entry>, Vec<String>)> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for name in names {
        if decisions.iter().any(|decision| decision.covers(name)) {
            continue;
        }
        let places = PLACES
            .iter()
            .find(|(package, kind, _)| *package == name.package && *kind == name.kind)
            .map_or(&WIRE[..], |(_, _, places)| places);
        let mut known = false;
        for place in places {
            if !texts.contains_key(place) {
                texts.insert(place, text_of(&repository::root().join(place))?);
            }
            known |= texts
                .get(place)
                .is_some_and(|text| mentions(text, &name.name));
        }
        if !known {
            missing.push(name);
        }
    }
    let stale = decisions
        .iter()
        .filter(|decision| !names.iter().any(|name| decision.covers(name)))
        .map(|decision| format!("{} {} {}", decision.package, decision.kind, decision.name))
        .collect();
    Ok((missing, stale))
}

/// The text of a file, or of all files in a directory.
fn text_of(path: &Path) -> Result<String> {
    if path.is_file() {
        return repository::read(path);
    }
    let mut text = String::new();
    let entries =
        fs::read_dir(path).with_context(|| format!("failed to list {}", path.display()))?;
    for entry in entries {
        let path = entry.context("failed to read a directory entry")?.path();
        if path.is_dir()
            || path
                .extension()
                .is_some_and(|end| end == "rs" || end == "yaml")
        {
            text.push_str(&text_of(&path)?);
        }
    }
    Ok(text)
}

/// Whether a text has a name as a word, also in the spelling of a Rust field or variant.
fn mentions(text: &str, name: &str) -> bool {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    let mut pascal = String::new();
    for word in snake.split('_') {
        let mut letters = word.chars();
        pascal.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        pascal.push_str(letters.as_str());
    }
    [name, &snake, &pascal]
        .into_iter()
        .any(|word| has_word(text, word))
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text
            .get(at + word.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Entry {
        Entry {
            package: "openai",
            kind: "Responses item",
            name: name.to_owned(),
        }
    }

    #[test]
    fn rows_cover_names_also_by_their_start() {
        let page = "| Package | Kind | Name | Decision | Because |\n|---|---|---|---|---|\n\
                    | openai, codex | Responses item | `mcp_*`, `program` | rejected | OpenAI runs it |\n";
        let decisions = parse(page).unwrap();
        assert_eq!(decisions.len(), 2);
        assert!(decisions[0].covers(&name("mcp_call")));
        assert!(decisions[1].covers(&name("program")));
        assert!(!decisions[1].covers(&name("program_output")));
    }

    #[test]
    fn a_row_needs_a_decision_and_a_reason() {
        assert!(parse("| a | b | `c` | perhaps | why |\n").is_err());
        assert!(parse("| a | b | `c` | rejected |  |\n").is_err());
    }

    #[test]
    fn names_are_found_in_the_spelling_of_rust() {
        assert!(mentions("pub tool_use: Option<ToolUse>,", "toolUse"));
        assert!(mentions("StopReason::EndTurn =>", "end_turn"));
        assert!(!mentions("tool_use_id", "toolUse"));
    }
}
