//! `docs/reference/guide-coverage.md`: every item names tests that exist, or a page with the reason.

use super::{read, root};

/// Names of the credential cases.
fn cases() -> Vec<String> {
    let page = read("docs/reference/credential-cases.md");
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .map(str::to_owned)
        .collect()
}

/// The parts of a text between two characters.
fn between(text: &str, quote: char) -> impl Iterator<Item = &str> {
    text.split(quote).skip(1).step_by(2)
}

#[test]
fn every_item_of_the_guide_names_its_tests_or_the_reason() {
    let cases = cases();
    assert!(cases.len() > 100, "{} cases", cases.len());
    let page = read("docs/reference/guide-coverage.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Item "));
    let mut items = 0;
    for row in rows {
        let [item, result, shown] = row
            .trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| panic!("three cells: {row}"));
        let mut tests = 0;
        for name in between(shown, '`').filter(|name| name.contains("::")) {
            let (file, function) = name.split_once("::").unwrap();
            assert!(root().join(file).is_file(), "{item}: {file}");
            let declared = format!("fn {function}(");
            assert!(read(file).contains(&declared), "{item}: {name}");
            tests += 1;
        }
        for name in between(shown, '"') {
            assert!(cases.iter().any(|case| case == name), "{item}: case {name}");
            tests += 1;
        }
        match result {
            "works" => assert!(tests > 0, "{item} names no test"),
            "not supported" => assert!(shown.contains("](../guide/"), "{item} names no page"),
            other => panic!("{item}: {other}"),
        }
        items += 1;
    }
    assert!(items > 85, "{items} items");
}

/// Whether a file declares a function, or a table of cases in Python.
fn declares(file: &str, name: &str) -> bool {
    let text = read(file);
    let starts = [
        format!("fn {name}("),
        format!("\ndef {name}("),
        format!("\n{name} = "),
    ];
    starts.iter().any(|start| text.contains(start))
}

#[test]
fn every_line_of_the_threat_model_names_tests_that_exist() {
    let page = read("docs/threat-model.md");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Attacker "));
    let mut lines = 0;
    for row in rows {
        let [_, path, defence, shown, risk] = row
            .trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap_or_else(|_| panic!("five cells: {row}"));
        assert!(!defence.is_empty() && !risk.is_empty(), "{path}");
        let mut tests = 0;
        for name in between(shown, '`') {
            let (file, function) = name.split_once("::").unwrap_or((name, ""));
            assert!(root().join(file).is_file(), "{path}: {file}");
            assert!(
                function.is_empty() || declares(file, function),
                "{path}: {name}"
            );
            tests += 1;
        }
        assert!(tests > 0, "{path}: {shown}");
        lines += 1;
    }
    assert!(lines > 35, "{lines} lines");
}
