//! Checks that the test cases named in `docs/translation.md` exist.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic fails the test"
)]

mod work;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The findings of trials by kind, and their numbers.
const TRIALS: [(&str, usize); 4] = [("F", 14), ("G", 8), ("D", 10), ("K", 9)];

/// Rows of the tables: the id and the other columns.
fn rows(page: &str) -> Vec<(&str, Vec<&str>)> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells[0].starts_with(['R', 'U', 'F', 'G', 'D', 'K']))
        .map(|cells| (cells[0], cells[1..].to_vec()))
        .collect()
}

/// The cases in backticks in a cell.
fn cases(cell: &str) -> impl Iterator<Item = &str> {
    cell.split("<br>")
        .filter_map(|case| case.strip_prefix('`')?.strip_suffix('`'))
}

/// Golden inputs, such as `openai/requests/row-01-….json`, without their snapshots.
fn golden(testdata: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut directories: Vec<PathBuf> = vec![testdata.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|kind| kind != "snap") {
                let name = path.strip_prefix(testdata).unwrap().to_str().unwrap();
                found.insert(name.to_owned());
            }
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[test]
fn every_rule_names_existing_cases_and_every_case_is_named() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().nth(2).unwrap();
    let page = fs::read_to_string(root.join("docs/translation.md")).unwrap();
    let rows = rows(&page);
    let count = |kind| rows.iter().filter(|(id, _)| id.starts_with(kind)).count();
    let (rules, reports) = (count('R'), count('U'));
    assert_eq!(rules, 44);
    assert!(reports >= 60, "only {reports} reports");
    let expected =
        (1..=rules)
            .map(|number| format!("R{number}"))
            .chain((1..=reports).map(|number| format!("U{number}")))
            .chain(TRIALS.into_iter().flat_map(|(kind, count)| {
                (1..=count).map(move |number| format!("{kind}{number}"))
            }));
    assert!(expected.eq(rows.iter().map(|(id, _)| *id)), "ids in order");

    let golden = golden(&package.join("testdata"));
    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    for (id, cells) in &rows {
        let listed: Vec<_> = cases(cells.last().unwrap()).collect();
        let text = cells[cells.len() - 2];
        if listed.is_empty() && (id.starts_with('R') || !text.starts_with("not built: ")) {
            wrong.push(format!("{id}: names no case"));
        }
        for case in listed {
            if let Some((file, function)) = case.split_once("::") {
                let source = fs::read_to_string(root.join(file)).unwrap_or_default();
                if !source.contains(&format!("fn {function}(")) {
                    wrong.push(format!("{id}: the test {case} does not exist"));
                }
            } else {
                let found: Vec<_> = golden.iter().filter(|name| matches(case, name)).collect();
                if found.is_empty() {
                    wrong.push(format!("{id}: the golden file {case} does not exist"));
                }
                named.extend(found);
            }
        }
    }
    for name in golden.iter().filter(|name| !named.contains(name)) {
        if name.contains("/row-") || name.contains("/report-") {
            wrong.push(format!("{name} is not named by any row"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
