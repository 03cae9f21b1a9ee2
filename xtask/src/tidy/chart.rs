//! Texts about the chart: what `docs/reference/chart.md` names exists, every link to this repository is the one of
//! `Chart.yaml`, and its list of changes is in the changelog.

use super::Finding;
use crate::checks::CHART;

/// The page with the tables of values and conventions.
pub(super) const PAGE: &str = "docs/reference/chart.md";
/// Its tables: heading, and for each row the columns that must name something that exists.
const TABLES: [(&str, &[usize]); 2] = [("## Habitual values", &[2, 3]), ("## Conventions", &[2])];
/// Beginning of the second column of a convention that the chart does not follow.
const MISSING: &str = "not ";

/// Checks that each row of the tables names a template, a test or a page, and that each of these exists.
pub(super) fn reference(page: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (heading, columns) in TABLES {
        let mut rows = 0;
        let lines = (1..).zip(page.lines());
        let table = lines
            .skip_while(|(_, line)| *line != heading)
            .skip(1)
            .take_while(|(_, line)| !line.starts_with("## "))
            .filter(|(_, line)| line.starts_with("| ") && !line.starts_with("|--"));
        // The first row has the names of the columns.
        for (number, line) in table.skip(1) {
            rows += 1;
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if cells.get(1).is_some_and(|cell| cell.starts_with(MISSING)) {
                continue;
            }
            for column in columns {
                let cell = cells.get(*column).copied().unwrap_or_default();
                let named = named(cell);
                let place = format!("{PAGE}:{number}");
                if named.is_empty() {
                    let what = format!("`{cell}` names no template, test, page or command");
                    findings.push(Finding::new(&place, what));
                }
                for places in named {
                    if !places.iter().any(|path| path.is_empty() || exists(path)) {
                        let what = format!("none of {places:?} exists");
                        findings.push(Finding::new(&place, what));
                    }
                }
            }
        }
        if rows == 0 {
            findings.push(Finding::new(PAGE, format!("no table below `{heading}`")));
        }
    }
    findings
}

/// What a cell names, each with the paths where it can be; a command has an empty path.
fn named(cell: &str) -> Vec<Vec<String>> {
    let quoted = cell.split('`').skip(1).step_by(2).map(|word| {
        if word.starts_with("cargo ") {
            vec![String::new()]
        } else if word.contains(['/', '.']) {
            let chart = [
                format!("{CHART}/{word}"),
                format!("{CHART}/templates/{word}"),
            ];
            [word.to_owned()].into_iter().chain(chart).collect()
        } else {
            vec![format!("{CHART}/tests/{word}_test.yaml")]
        }
    });
    let links = cell.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#']).next()?;
        Some(vec![match target.strip_prefix("../") {
            Some(above) => format!("docs/{above}"),
            None => format!("docs/reference/{target}"),
        }])
    });
    quoted.chain(links).collect()
}

/// The address of the repository in `Chart.yaml`.
pub(super) fn home(chart: &str) -> Option<&str> {
    chart.lines().find_map(|line| line.strip_prefix("home: "))
}

/// Checks that links to this repository in a file are below its home.
pub(super) fn links(name: &str, text: &str, home: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some((_, repository)) = home.rsplit_once('/') else {
        return findings;
    };
    for (number, line) in (1..).zip(text.lines()) {
        for host in ["https://github.com/", "https://raw.githubusercontent.com/"] {
            for (at, _) in line.match_indices(host) {
                let rest = line.get(at + host.len()..).unwrap_or_default();
                let mut parts = rest.split(['/', '.', ')', '"', ' ', '#']);
                let (owner, found) = (parts.next(), parts.next());
                let address = format!("https://github.com/{}/{repository}", owner.unwrap_or(""));
                if found == Some(repository) && address != home {
                    findings.push(Finding::new(
                        format!("{name}:{number}"),
                        format!("the home of this repository is {home} (Chart.yaml)"),
                    ));
                }
            }
        }
    }
    findings
}

/// Checks that each change in the annotation for Artifact Hub is in the changelog's section of the chart's version.
pub(super) fn changes(chart: &str, changelog: &str) -> Vec<Finding> {
    let field = |name: &str| {
        let mut lines = chart.lines();
        lines.find_map(|line| line.strip_prefix(name))
    };
    let version = field("version: ").unwrap_or_default();
    let place = format!("{CHART}/Chart.yaml");
    let heading = format!("## {version} - ");
    let section: Vec<&str> = changelog
        .lines()
        .skip_while(|line| !line.starts_with(&heading))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .flat_map(str::split_whitespace)
        .collect();
    let section = section.join(" ").replace('`', "");
    if section.is_empty() {
        let what = format!("CHANGELOG.md has no section `{heading}DATE`");
        return vec![Finding::new(place, what)];
    }
    let Some((_, listed)) = chart.split_once("artifacthub.io/changes: |\n") else {
        return vec![Finding::new(place, "has no artifacthub.io/changes")];
    };
    listed
        .lines()
        .take_while(|line| line.starts_with("    "))
        .filter_map(|line| line.trim().strip_prefix("description: "))
        .map(|text| text.trim_matches('"'))
        .filter(|text| !section.contains(text))
        .map(|text| {
            let what = format!("`{text}` is not in the changelog's section of {version}");
            Finding::new(&place, what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "## Habitual values\n| Value | From | Template | Test |\n|---|---|---|---|\n\
        | `a` | all | `deployment.yaml` | unit `pod`; `tests/it/a.rs` |\n\n\
        ## Conventions\n| C | Here | Shown by |\n|---|---|---|\n\
        | x | `b` | [Page](../guide/page.md#part), `cargo xtask chart` |\n| y | not yet | – |\n";

    #[test]
    fn each_row_names_something_that_exists() {
        let files = [
            "charts/bedrock-access/templates/deployment.yaml",
            "charts/bedrock-access/tests/pod_test.yaml",
            "tests/it/a.rs",
            "docs/guide/page.md",
        ];
        assert_eq!(reference(ROWS, &|path| files.contains(&path)), []);
        for missing in files {
            let found = reference(ROWS, &|path| path != missing && files.contains(&path));
            assert_eq!(found.len(), 1, "{missing}: {found:?}");
        }
        let without = ROWS.replace("unit `pod`; `tests/it/a.rs`", "by hand");
        assert_eq!(reference(&without, &|path| files.contains(&path)).len(), 1);
        assert_eq!(reference("", &|_| true).len(), 2);
    }

    #[test]
    fn links_to_another_home_of_the_repository_are_found() {
        let home = "https://github.com/acme/bedrock-access";
        let check = |text: &str| links("a.md", text, home).len();
        assert_eq!(check("https://github.com/acme/bedrock-access/tree/main"), 0);
        assert_eq!(
            check("git::https://github.com/acme/bedrock-access.git//x"),
            0
        );
        assert_eq!(check("see https://github.com/other/bedrock-access)"), 1);
        assert_eq!(
            check("https://raw.githubusercontent.com/x/bedrock-access/m"),
            1
        );
        assert_eq!(check("https://github.com/kube-rs/kube"), 0);
    }

    #[test]
    fn changes_of_the_chart_are_in_the_changelog() {
        let chart = "version: 1.2.0\nannotations:\n  artifacthub.io/changes: |\n    - kind: added\n      \
            description: \"A value for the port.\"\n  other: x\n";
        let changelog =
            "## 1.2.0 - 2026-01-01\n- A value for\n  the port. More.\n## 1.1.0 - 2025-01-01\n";
        assert_eq!(changes(chart, changelog), []);
        assert_eq!(changes(chart, "## 1.2.0 - 2026-01-01\n- Other.\n").len(), 1);
        assert_eq!(changes(chart, "## Unreleased\n").len(), 1);
        assert_eq!(changes("version: 1.2.0\n", changelog).len(), 1);
    }
}
