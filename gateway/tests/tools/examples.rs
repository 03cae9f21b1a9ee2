//! Checks the files under `examples/` and the commands in the guides without AWS: the files parse, their flags and
//! variables exist, their parts fit together, and their policies allow the example's calls and no others.

mod commands;
mod coverage;
mod documents;
mod kubernetes;
mod platforms;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use api::GatewayConfig;
use serde::Deserialize;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a multi-document YAML file.
fn documents(path: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&read(path))
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// Checks that the gateway accepts a command line, by its own parser with `--help`.
#[track_caller]
fn accepted(arguments: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args(arguments)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

fn strings(value: &Value) -> Vec<String> {
    let list = value
        .as_array()
        .unwrap_or_else(|| panic!("not a list: {value}"));
    list.iter()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}

/// Checks that the gateway or a library reads an environment variable.
#[track_caller]
fn variable_exists(name: &str) {
    const ELSEWHERE: [&str; 3] = [
        "AWS_LWA_PORT",
        "AWS_LWA_READINESS_CHECK_PATH",
        "AWS_LWA_INVOKE_MODE",
    ];
    // Read by the AWS SDK.
    const BY_THE_SDK: [&str; 1] = ["AWS_SHARED_CREDENTIALS_FILE"];
    if ELSEWHERE.contains(&name) || BY_THE_SDK.contains(&name) {
        return;
    }
    let quoted = format!("\"{name}\"");
    let found = ["crates/credentials/src", "gateway/src"]
        .iter()
        .any(|directory| {
            sources(&root().join(directory))
                .iter()
                .any(|text| text.contains(&quoted))
        });
    assert!(found, "nothing reads {name}");
}

fn sources(directory: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts
}

/// Words of a command line, with single and double quotes as in a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut started = false;
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                started = true;
            }
            None if c.is_whitespace() => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            _ => word.push(c),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

/// All commands of the gateway in a text: lines that start with its name, after an optional `#`, `run:` or
/// variables. A backslash continues a line.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n#", " ").replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let line = line.trim().trim_start_matches('#').trim();
        let line = line.strip_prefix("run:").unwrap_or(line).trim();
        let mut words = words(line).into_iter().peekable();
        while words.peek().is_some_and(|word| {
            word.split_once('=')
                .is_some_and(|(name, _)| name.starts_with("AWS_"))
        }) {
            variable_exists(words.next().unwrap().split_once('=').unwrap().0);
        }
        let is_the_gateway = words.next().is_some_and(|word| word == "bedrock-gateway");
        let after: Vec<String> = words
            .take_while(|word| !["|", "&", ">", "&&", ";"].contains(&word.as_str()))
            .collect();
        let is_a_command = after.first().is_some_and(|word| {
            [
                "serve",
                "health",
                "doctor",
                "iam",
                "models",
                "chat",
                "completions",
                "man",
                "cache",
                "bill",
            ]
            .contains(&word.as_str())
        });
        if is_the_gateway && is_a_command {
            found.push(after);
        }
    }
    found
}

#[test]
fn splits_words_and_commands_as_a_shell_does() {
    assert_eq!(words("a 'b c' \"d\" ''"), ["a", "b c", "d", ""]);
    let text = "# AWS_REGION=x bedrock-gateway iam \\\n#   --model m\n run: bedrock-gateway serve &\nbedrock-gateway\n";
    assert_eq!(commands(text), [vec!["iam", "--model", "m"], vec!["serve"]]);
}

#[test]
fn gateway_accepts_every_command_in_examples_and_guides() {
    let mut count = 0;
    let mut files = every_file(&root().join("examples"));
    files.extend(every_file(&root().join("docs/guide")));
    for file in files {
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for command in commands(&text) {
            accepted(&command);
            count += 1;
        }
    }
    assert!(count > 20, "only {count} commands found");
}

fn every_file(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(every_file(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn index_lists_every_example() {
    let index = read("examples/README.md");
    for file in every_file(&root().join("examples")) {
        let path = file
            .strip_prefix(root().join("examples"))
            .unwrap()
            .to_owned();
        let name = path.to_str().unwrap();
        let directory = format!("{}/", path.parent().unwrap().display());
        let listed =
            index.contains(&format!("({name})")) || index.contains(&format!("({directory}"));
        assert!(listed || name == "README.md", "{name} is not in the index");
    }
}

/// Anchors of a page's headings, as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn configuration_is_valid_and_shows_the_defaults() {
    let config = GatewayConfig::from_yaml(&read("examples/gateway.yaml")).unwrap();
    assert_eq!(config.models.len(), 2);
    let defaults = GatewayConfig::default().limits;
    assert_eq!(config.limits, defaults, "the example shows the defaults");
}

#[test]
fn development_files_set_existing_variables() {
    for line in read("examples/development/keys.env").lines() {
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            variable_exists(name);
            assert!(
                value.is_empty() || name == "AWS_REGION",
                "{name} holds a value"
            );
        }
    }
    for line in read("examples/development/profile.sh").lines() {
        if let Some(assignment) = line.strip_prefix("export ") {
            variable_exists(assignment.split_once('=').unwrap().0);
        }
    }
    let script = root().join("examples/development/profile.sh");
    let checked = Command::new("sh").arg("-n").arg(script).status().unwrap();
    assert!(checked.success());
}

#[test]
fn guide_explains_every_message_of_aws_that_has_a_hint() {
    let source = read("gateway/src/http/hints.rs");
    let rules = source.split("const RULES").nth(1).unwrap();
    let rules = rules.split("\n];").next().unwrap();
    let guide = read("docs/guide/troubleshooting.md")
        .to_lowercase()
        .replace("\n> ", " ");
    let mut count = 0;
    for rule in rules.split("Rule {").skip(1) {
        let list = |field: &str| -> Vec<String> {
            let list = rule.split(&format!("{field}: &[")).nth(1).unwrap();
            let list = list.split(']').next().unwrap();
            list.split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_lowercase)
                .collect()
        };
        for text in list("says").into_iter().chain(list("names")) {
            assert!(guide.contains(&text), "{text:?} is not in the guide");
            count += 1;
        }
    }
    assert!(count > 30, "only {count} texts found");
}

/// Texts that a new user copies models from.
const COPIED: [&str; 5] = ["README.md", "charts", "docs/guide", "examples", "manifests"];
/// A table of all lifecycles, and a page about errors that legacy and retired models cause.
const ABOUT_LIFECYCLES: [&str; 2] = [
    "docs/guide/authentication.md",
    "docs/guide/troubleshooting.md",
];

fn texts(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .flat_map(|entry| texts(&entry.unwrap().path()))
        .collect()
}

#[test]
fn samples_use_no_legacy_or_retired_model() {
    let catalogue = api::catalogue::builtin();
    let closed: Vec<&str> = catalogue
        .models()
        .filter(|(_, model)| model.lifecycle() != api::catalogue::Lifecycle::Active)
        .map(|(id, _)| id)
        .chain(catalogue.retired())
        .collect();
    assert!(closed.contains(&"anthropic.claude-3-haiku-20240307-v1:0"));
    let mut current = 0;
    for path in COPIED.iter().flat_map(|path| texts(&root().join(path))) {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue; // images and the like
        };
        current += text.matches(crate::support::PROFILE).count();
        if ABOUT_LIFECYCLES.contains(&name.as_str()) {
            continue;
        }
        for id in &closed {
            assert!(
                !text.contains(id),
                "{name} uses {id}, which is closed to new accounts"
            );
        }
    }
    assert!(current >= 8, "{current} uses of the example's model");
}

/// Rows of the guide's table of regions.
const ROWS: [(&str, &str); 5] = [
    ("Nova 2 Lite", "amazon.nova-2-lite-v1:0"),
    ("Nova Lite", "amazon.nova-lite-v1:0"),
    (
        "Claude Haiku 4.5",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    ("Claude Sonnet 5", "anthropic.claude-sonnet-5"),
    ("Claude 3 Haiku", "anthropic.claude-3-haiku-20240307-v1:0"),
];

#[test]
fn regions_in_the_guide_are_those_of_the_catalogue() {
    let catalogue = api::catalogue::builtin();
    let guide = read("docs/guide/authentication.md");
    let dated = format!("({}; prefer", catalogue.as_of());
    assert!(guide.contains(&dated), "the guide lacks {dated:?}");
    let heading = guide.lines().find(|line| line.starts_with("| Model | us-"));
    let regions: Vec<api::Region> = heading
        .unwrap()
        .split('|')
        .filter_map(|cell| cell.trim().parse().ok())
        .collect();
    assert_eq!(regions.len(), 5);
    for (title, id) in ROWS {
        let model = catalogue.model(id).unwrap();
        let legacy = match model.lifecycle() {
            api::catalogue::Lifecycle::Active => "",
            api::catalogue::Lifecycle::Legacy => " (legacy)",
        };
        let cells = regions.iter().map(|region| {
            let ids = model.ids_in(id, region);
            let cell = ids.iter().map(|one| match one.strip_suffix(id) {
                Some("") => "yes".to_owned(),
                prefix => format!("`{}`", prefix.unwrap_or_default()),
            });
            let cell: Vec<String> = cell.collect();
            if cell.is_empty() {
                "no".to_owned()
            } else {
                cell.join(", ")
            }
        });
        let row = format!(
            "| {title}{legacy} | {} |",
            cells.collect::<Vec<_>>().join(" | ")
        );
        assert!(guide.contains(&row), "the guide lacks the row\n{row}");
    }
}
