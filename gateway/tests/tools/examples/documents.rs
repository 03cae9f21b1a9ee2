//! Links and shell blocks of the documentation.
//!
//! Each shell block of every page has a comment above it: `<!-- runs: KIND -->` if a test runs it, or
//! `<!-- not run: REASON -->`. `commands.rs` runs the kinds `gateway` and `simulated`,
//! `tests/it/api_tier/documents.rs` runs the kind `cluster`, `tests/it/native/guide.rs` runs the kind `clients`, and
//! `tests/it/api_tier/upgrade.rs` runs the kinds `helm 3` and `helm 4`.

use super::{every_file, headings, read, root};

const LANGUAGES: [&str; 5] = ["sh", "bash", "console", "shell", "zsh"];
/// Kinds that run outside this program, and the tests that run them, which name their pages.
const ELSEWHERE: [(&str, &str); 4] = [
    ("cluster", "tests/it/api_tier/documents.rs"),
    ("clients", "tests/it/native/guide.rs"),
    ("helm 3", "tests/it/api_tier/rig.rs"),
    ("helm 4", "tests/it/api_tier/rig.rs"),
];
/// Kinds that `commands.rs` runs.
const HERE: [&str; 2] = ["gateway", "simulated"];

/// A shell block of a page.
pub(super) struct Block {
    page: String,
    line: usize,
    /// The line above it.
    comment: String,
    pub(super) text: String,
}

impl Block {
    /// Page and line.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// The text of its comment after a beginning.
    fn after(&self, start: &str) -> Option<&str> {
        let rest = self.comment.strip_prefix(start)?;
        rest.strip_suffix(" -->")
    }
}

/// The pages of the documentation.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for directory in ["docs", "examples"] {
        for file in every_file(&root().join(directory)) {
            if file.extension().is_some_and(|extension| extension == "md") {
                pages.push(file.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    pages.sort();
    pages
}

fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let language = line.trim_start().strip_prefix("```").unwrap_or_default();
        if !LANGUAGES.contains(&language) {
            continue;
        }
        let body = lines[index + 1..]
            .iter()
            .take_while(|line| !line.trim_start().starts_with("```"));
        found.push(Block {
            page: page.to_owned(),
            line: index + 1,
            comment: lines[index.saturating_sub(1)].to_owned(),
            text: body.copied().collect::<Vec<_>>().join("\n"),
        });
    }
    found
}

/// All blocks of a kind, page by page.
pub(super) fn of_kind(kind: &str) -> Vec<Block> {
    let all = pages().into_iter().flat_map(|page| blocks(&page));
    all.filter(|block| block.after("<!-- runs: ") == Some(kind))
        .collect()
}

#[test]
fn every_shell_block_runs_in_a_test_or_says_why_not() {
    let mut count = 0;
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let place = block.place();
        count += 1;
        if let Some(reason) = block.after("<!-- not run: ") {
            assert!(reason.len() > 10, "{place}: no reason");
            for test in reason.split(' ').filter(|word| word.contains(".rs")) {
                let path = test.trim_end_matches([',', ';', ')']);
                assert!(root().join(path).is_file(), "{place} names {path}");
            }
            continue;
        }
        let kind = block.after("<!-- runs: ");
        let kind = kind.unwrap_or_else(|| panic!("{place}: no comment above the block"));
        if HERE.contains(&kind) {
            continue;
        }
        let runner = ELSEWHERE.iter().find(|(name, _)| *name == kind);
        let (_, runner) = runner.unwrap_or_else(|| panic!("{place}: nothing runs {kind}"));
        assert!(
            read(runner).contains(&block.page),
            "{runner} does not run {place}"
        );
    }
    assert!(count > 80, "{count} blocks");
}

#[test]
fn links_of_all_documents_have_targets() {
    let mut count = 0;
    for page in &pages() {
        let text = read(page);
        let home = root().join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            let (target, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") || target.contains(['\n', ' ']) {
                continue;
            }
            let file = if target.is_empty() {
                root().join(page)
            } else {
                home.join(target)
            };
            assert!(file.exists(), "{page} links to {target}");
            if !anchor.is_empty() {
                let anchors = headings(&std::fs::read_to_string(&file).unwrap());
                assert!(
                    anchors.contains(anchor),
                    "{page} links to {target}#{anchor}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} links");
}

/// The first cells of the rows of the first table after a text.
fn rows(page: &str, start: &str) -> Vec<String> {
    let text = read(page);
    let lines = text.split(start).nth(1).unwrap().lines();
    let table = lines
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with("| "));
    table
        .map(|line| line.split('|').nth(1).unwrap().trim().to_owned())
        .collect()
}

#[test]
fn every_row_of_the_comparison_has_sources() {
    let compared = rows("README.md", "## Compared with other gateways");
    assert!(compared.len() > 8, "{compared:?}");
    assert_eq!(compared, rows("docs/comparison.md", "Versions: "));
}

/// The words in double quotes of a text that begin with one of these.
fn quoted<'a>(text: &'a str, starts: &[&str]) -> Vec<&'a str> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| starts.iter().any(|start| word.starts_with(start)))
        .collect()
}

#[test]
fn operations_guide_lists_every_metric_and_log_field() {
    let guide = read("docs/guide/metrics.md");
    let mut count = 0;
    for file in [
        "metrics.rs",
        "metrics/calls.rs",
        "metrics/roles.rs",
        "metrics/routing.rs",
    ] {
        let source = read(&format!("gateway/src/telemetry/{file}"));
        for name in quoted(
            &source,
            &["bedrock_gateway_", "gen_ai_server_", "gen_ai_client_"],
        ) {
            let is_listed = guide.split('`').any(|word| {
                let suffix = word.strip_prefix(name);
                suffix.is_some_and(|suffix| ["", "_total", "_seconds", "_info"].contains(&suffix))
            });
            assert!(is_listed, "{name}");
            count += 1;
        }
    }
    assert!(count >= 20, "{count} metrics");
    let guide = read("docs/guide/operations.md");
    let source = read("gateway/src/telemetry/logging/request_line.rs");
    let mut count = 0;
    for field in source.lines() {
        let Some(field) = field.strip_prefix("    pub(crate) ") else {
            continue;
        };
        let Some((name, _)) = field.split_once(':') else {
            continue;
        };
        assert!(guide.contains(&format!("`{name}`")), "{name}");
        count += 1;
    }
    assert!(count > 15, "{count} fields");
}

#[test]
fn index_lists_every_guide() {
    let index = read("docs/README.md");
    for file in every_file(&root().join("docs/guide")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            index.contains(&format!("(guide/{name})")),
            "{name} is not in docs/README.md"
        );
    }
}

#[test]
fn kubectl_commands_name_deployments_that_exist() {
    // The chart's, the sample's, and those of the examples and the demo.
    const DEPLOYMENTS: [&str; 4] = [
        "bedrock-access-operator",
        "chat-gateway",
        "bedrock-gateway",
        "app",
    ];
    let mut count = 0;
    let mut files = every_file(&root().join("docs/guide"));
    files.extend(every_file(&root().join("charts/bedrock-access/templates")));
    files.push(root().join("README.md"));
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for kind in ["deploy/", "deployment/"] {
            // The chart computes names of its templates.
            let kind_of = format!(" {kind}");
            let named = text.split(&kind_of).skip(1);
            for rest in named.filter(|rest| !rest.starts_with("{{")) {
                let end = |c: char| !(c.is_alphanumeric() || c == '-');
                let name = rest.split(end).next().unwrap();
                assert!(
                    DEPLOYMENTS.contains(&name),
                    "{}: {kind}{name}",
                    file.display()
                );
                count += 1;
            }
        }
    }
    assert!(count > 3, "{count}");
}
