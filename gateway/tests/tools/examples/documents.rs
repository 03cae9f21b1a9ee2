//! Commands and links of the documentation.
//!
//! Each shell block of a page in [`PAGES`] has a comment above it: `<!-- runs: KIND -->` if a test runs it, or
//! `<!-- not run: REASON -->`. This file runs the kind `gateway` and `simulated`; `tests/it/api_tier/documents.rs` runs
//! the kind `cluster`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{every_file, headings, read, root};

/// Pages in which every shell block has such a comment.
const PAGES: [&str; 11] = [
    "README.md",
    "docs/guide/concepts.md",
    "docs/guide/eks.md",
    "docs/guide/faq.md",
    "docs/guide/migrating.md",
    "docs/guide/operations.md",
    "docs/guide/quick-start.md",
    "docs/guide/teams.md",
    "docs/guide/upgrade-uninstall.md",
    "examples/ecs/README.md",
    "examples/terraform/README.md",
];
const LANGUAGES: [&str; 3] = ["sh", "bash", "console"];
const KINDS: [&str; 3] = ["cluster", "gateway", "simulated"];

/// A shell block of a page.
struct Block {
    /// Page and line.
    place: String,
    /// The line above it.
    comment: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let language = line.strip_prefix("```").unwrap_or_default();
        if !LANGUAGES.contains(&language) {
            continue;
        }
        let body = lines[index + 1..]
            .iter()
            .take_while(|line| !line.starts_with("```"));
        found.push(Block {
            place: format!("{page}:{}", index + 1),
            comment: lines[index.saturating_sub(1)].to_owned(),
            text: body.copied().collect::<Vec<_>>().join("\n"),
        });
    }
    found
}

fn of_kind(kind: &str) -> Vec<Block> {
    let marker = format!("<!-- runs: {kind} -->");
    let all = PAGES.iter().flat_map(|page| blocks(page));
    all.filter(|block| block.comment == marker).collect()
}

/// Commands of a block, and the output that it shows after each. Without `$` prompts, the block is one script.
fn session(text: &str) -> Vec<(String, Vec<&str>)> {
    if !text.starts_with("$ ") {
        return vec![(text.to_owned(), Vec::new())];
    }
    let mut steps: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push((command.to_owned(), Vec::new()));
        } else if let Some((command, output)) = steps.last_mut() {
            if command.ends_with('\\') {
                command.push('\n');
                command.push_str(line);
            } else {
                output.push(line);
            }
        }
    }
    steps
}

/// Runs a command with the gateway in the search path, in a directory with the repository's files.
fn run(command: &str, directory: &Path) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_bedrock-gateway")).parent();
    let path = format!("{}:/usr/bin:/bin", programs.unwrap().display());
    let output = Command::new("sh")
        .args(["-eu", "-c", command])
        .env_clear()
        .env("PATH", path)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_shell_block_runs_in_a_test_or_says_why_not() {
    for block in PAGES.iter().flat_map(|page| blocks(page)) {
        let inside = |start: &str| {
            let rest = block.comment.strip_prefix(start);
            rest.and_then(|rest| rest.strip_suffix(" -->"))
        };
        let runs = inside("<!-- runs: ").is_some_and(|kind| KINDS.contains(&kind));
        let is_left_out = inside("<!-- not run: ").is_some_and(|reason| reason.len() > 10);
        assert!(
            runs || is_left_out,
            "{}: no comment above the block",
            block.place
        );
    }
    for kind in ["cluster", "gateway"] {
        assert!(!of_kind(kind).is_empty(), "{kind}");
    }
}

#[test]
fn commands_of_the_gateway_in_documents_succeed() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("examples"), directory.path().join("examples")).unwrap();
    for block in of_kind("gateway") {
        for (command, _) in session(&block.text) {
            run(&command, directory.path());
        }
    }
    let policy = std::fs::read_to_string(directory.path().join("policy.json")).unwrap();
    assert!(policy.contains("bedrock:InvokeModel"), "{policy}");
}

/// A running program, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn first_chat_of_the_readme_prints_what_it_shows() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args(["serve", "--simulate", "--listen", "127.0.0.1:0"])
        .args(["--admin-listen", "127.0.0.1:0"])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept until the end: the program writes to it while it serves.
    let mut errors = BufReader::new(server.stderr.take().unwrap()).lines();
    let _server = Running(server);
    let address = errors.find_map(|line| {
        let line = line.unwrap();
        let rest = line.strip_prefix("Base URL: http://")?;
        rest.split('/').next().map(str::to_owned)
    });
    let address = address.expect("the greeting names the address");
    let directory = tempfile::tempdir().unwrap();
    let mut outputs = 0;
    for block in of_kind("simulated") {
        for (command, shown) in session(&block.text) {
            let mut command = command
                .replace("127.0.0.1:8000", &address)
                .replace("target/release/", "");
            if command.starts_with("bedrock-gateway chat") {
                let url = format!("chat --base-url http://{address}/v1");
                command = command.replacen("chat", &url, 1);
            }
            let printed = run(&command, directory.path());
            for line in shown {
                for part in line.split('…').filter(|part| !part.is_empty()) {
                    assert!(printed.contains(part), "{command}\nprinted {printed}");
                    outputs += 1;
                }
            }
        }
    }
    assert!(outputs > 3, "{outputs}");
}

#[test]
fn links_of_all_documents_have_targets() {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for directory in ["docs", "examples"] {
        for file in every_file(&root().join(directory)) {
            if file.extension().is_some_and(|extension| extension == "md") {
                pages.push(file.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    let mut count = 0;
    for page in &pages {
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
            for rest in text.split(&format!(" {kind}")).skip(1) {
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
