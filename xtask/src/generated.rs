//! Files that are made from others: `crds/`, the chart's copy of them, `manifests/install.yaml`, the tables of
//! clients' fields, and the reference of the custom resources.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    build::{self, Profile},
    checks::{self, CHART, NAMESPACE},
    console::{Console, Step},
    process::{capture, command, quiet},
    repository,
};

/// Stands at the top of every generated file.
const NOTICE: &str = "# Generated";
/// The definitions stand twice: on their own, and where Helm looks for them.
const CRD_FOLDERS: [&str; 2] = ["crds", "charts/bedrock-access/crds"];
/// The plain installation.
const MANIFEST: &str = "manifests/install.yaml";
/// The documentation of the custom resources.
const REFERENCE: &str = "docs/reference";

/// Tables of what becomes of each field of a request: endpoint, heading, file.
const FIELDS: [(&str, &str, &str); 3] = [
    (
        "chat",
        "OpenAI Chat Completions",
        "docs/guide/openai-fields.md",
    ),
    (
        "responses",
        "OpenAI Responses",
        "docs/guide/responses-fields.md",
    ),
    (
        "messages",
        "Anthropic Messages by Converse",
        "docs/guide/anthropic-fields.md",
    ),
];

/// Relative path and content.
type Files = BTreeMap<String, String>;

/// Writes the custom resource definitions, or checks them.
pub(crate) fn crds(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    console.step("crds", |step| {
        settle(&crd_files(step)?, &CRD_FOLDERS, check)
    })
}

/// Writes the plain installation, or checks it.
pub(crate) fn manifests(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    console.step("manifests", |step| {
        settle(&manifest_files(step)?, &["manifests"], check)
    })
}

/// Writes the tables of fields, or checks them.
pub(crate) fn fields(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    console.step("fields", |step| {
        let program = repository::target().join("debug/examples/field_table");
        let mut files = Files::new();
        for (endpoint, heading, file) in FIELDS {
            let table = capture(step, command(&program).arg(endpoint))?;
            let content = format!(
                "<!-- Generated from crates/dialects by `cargo xtask fields`; do not edit. -->\n\
                 # {heading}: what becomes of each field\n\n{table}"
            );
            files.insert(file.to_owned(), content);
        }
        settle(&files, &[], check)
    })
}

/// Writes the documentation of the custom resources, or checks it.
pub(crate) fn reference(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    console.step("reference", |step| {
        let files = pages(step, Some("reference"))?
            .into_iter()
            .map(|(name, content)| (format!("{REFERENCE}/{name}"), content))
            .collect();
        settle(&files, &[], check)
    })
}

/// Checks all generated files.
pub(crate) fn check_all(console: &Console) -> Result<()> {
    crds(console, true)?;
    manifests(console, true)?;
    fields(console, true)?;
    reference(console, true)
}

fn crd_files(step: &Step) -> Result<Files> {
    let mut files = Files::new();
    for (name, content) in pages(step, None)? {
        for folder in CRD_FOLDERS {
            files.insert(format!("{folder}/{name}"), content.clone());
        }
    }
    Ok(files)
}

/// What `examples/crds` writes: the definitions, or what the word asks for.
fn pages(step: &Step, what: Option<&str>) -> Result<Files> {
    let folder = repository::scratch("crds")?;
    fs::remove_dir_all(&folder).with_context(|| format!("failed to empty {}", folder.display()))?;
    let folder = repository::scratch("crds")?;
    let program = repository::target().join("debug/examples/crds");
    quiet(step, command(program).arg(&folder).args(what))?;
    let mut files = Files::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?
    {
        let entry = entry.context("failed to read a folder entry")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, repository::read(&entry.path())?);
    }
    ensure!(
        !files.is_empty(),
        "crates/api has no custom resource definition"
    );
    Ok(files)
}

fn manifest_files(step: &Step) -> Result<Files> {
    let rendered = checks::render(step, None)?;
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    );
    let content = format!(
        "{NOTICE} from {CHART} by `cargo xtask manifests`; do not edit.\n\
         # Install: kubectl apply --server-side -f manifests/install.yaml\n{namespace}{rendered}"
    );
    Ok(Files::from([(MANIFEST.to_owned(), content)]))
}

/// Writes `files`, or compares them with what is there; generated files of `folders` that are no
/// longer made are removed, or reported.
fn settle(files: &Files, folders: &[&str], check: bool) -> Result<()> {
    let root = repository::root();
    let mut stale = Vec::new();
    for (name, content) in files {
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == *content) {
            continue;
        }
        if check {
            stale.push(name.clone());
        } else {
            repository::write(&path, content)?;
        }
    }
    for name in folders
        .iter()
        .flat_map(|folder| generated_in(&root, folder))
    {
        if !files.contains_key(&name) {
            if check {
                stale.push(format!("{name} (no longer made)"));
            } else {
                fs::remove_file(root.join(&name))
                    .with_context(|| format!("failed to remove {name}"))?;
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what their sources make: {}. `cargo xtask crds`, `manifests`, `fields` and `reference` write them anew",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Files in a folder that carry our notice.
fn generated_in(root: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| text.starts_with(NOTICE)))
        .map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_the_notice_count_as_generated() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("crds")).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join("crds").join(name), text);
        write("made.yaml", "# Generated from somewhere.\n").unwrap();
        write("by-hand.yaml", "kind: List\n").unwrap();
        assert_eq!(generated_in(folder.path(), "crds"), ["crds/made.yaml"]);
    }
}
