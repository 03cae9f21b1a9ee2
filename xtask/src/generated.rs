//! Generated files: `crds/`, the chart's copy of them, the chart's README, `manifests/install.yaml` and
//! `manifests/base`, the tables of request fields, and the reference of the custom resources.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    build::{self, Profile},
    checks::{self, CHART, NAMESPACE},
    console::{Console, Step},
    process::{capture, command, quiet},
    repository, tools,
};

/// First words of every generated file.
const NOTICE: &str = "# Generated";
/// Both places of the definitions: their own, and the one that the chart's template reads.
const CRD_DIRECTORIES: [&str; 2] = ["crds", "charts/bedrock-access/files/crds"];
/// The schema of the chart's values, and the copy that its templates read: Helm hides the file itself from them.
const SCHEMA: [&str; 2] = ["values.schema.json", "files/values.schema.json"];
/// Directories of the plain installation and of the Kustomize base.
const MANIFESTS: [&str; 2] = ["manifests", "manifests/base"];
/// The documentation of the custom resources.
const REFERENCE: &str = "docs/reference";

/// Tables of the treatment of request fields: endpoint, heading, file.
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

/// Writes or checks the custom resource definitions.
pub(crate) fn crds(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    settle_crds(console, check)
}

fn settle_crds(console: &Console, check: bool) -> Result<()> {
    console.step("crds", |step| {
        settle(&crd_files(step)?, &CRD_DIRECTORIES, check)
    })
}

/// Writes or checks the plain manifests.
pub(crate) fn manifests(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    settle_manifests(console, check)
}

fn settle_manifests(console: &Console, check: bool) -> Result<()> {
    let mut docs = tools::HELM_DOCS.command(console)?;
    console.step("manifests", |step| {
        let [schema, copy] = SCHEMA.map(|name| format!("{CHART}/{name}"));
        let schema = repository::read(&repository::root().join(schema))?;
        settle(&Files::from([(copy, schema)]), &[], check)?;
        if !check {
            quiet(step, docs.args(checks::README_ARGUMENTS))?;
        }
        settle(&manifest_files(step)?, &MANIFESTS, check)
    })
}

/// Writes or checks the tables of fields.
pub(crate) fn fields(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    settle_fields(console, check)
}

fn settle_fields(console: &Console, check: bool) -> Result<()> {
    console.step("fields", |step| {
        let program = repository::target().join("debug/examples/field_table");
        let mut files = Files::new();
        for (endpoint, heading, file) in FIELDS {
            let table = capture(step, command(&program).arg(endpoint))?;
            let content = format!(
                "<!-- Generated from crates/dialects by `cargo xtask fields`; do not edit. -->\n\
                 # {heading}: support for each field\n\n{table}"
            );
            files.insert(file.to_owned(), content);
        }
        settle(&files, &[], check)
    })
}

/// Writes or checks the documentation of the custom resources.
pub(crate) fn reference(console: &Console, check: bool) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    settle_reference(console, check)
}

fn settle_reference(console: &Console, check: bool) -> Result<()> {
    console.step("reference", |step| {
        let files = pages(step, Some("reference"))?
            .into_iter()
            .map(|(name, content)| (format!("{REFERENCE}/{name}"), content))
            .collect();
        settle(&files, &[], check)
    })
}

/// Checks all generated files with the programs that were built.
pub(crate) fn check_all(console: &Console) -> Result<()> {
    settle_crds(console, true)?;
    settle_manifests(console, true)?;
    settle_fields(console, true)?;
    settle_reference(console, true)
}

fn crd_files(step: &Step) -> Result<Files> {
    let mut files = Files::new();
    for (name, content) in pages(step, None)? {
        for directory in CRD_DIRECTORIES {
            files.insert(format!("{directory}/{name}"), content.clone());
        }
    }
    Ok(files)
}

/// Output of `examples/crds`: the definitions, or the pages that `what` selects.
fn pages(step: &Step, what: Option<&str>) -> Result<Files> {
    let directory = repository::scratch("crds")?;
    fs::remove_dir_all(&directory)
        .with_context(|| format!("failed to empty {}", directory.display()))?;
    let directory = repository::scratch("crds")?;
    let program = repository::target().join("debug/examples/crds");
    quiet(step, command(program).arg(&directory).args(what))?;
    let mut files = Files::new();
    for entry in fs::read_dir(&directory)
        .with_context(|| format!("failed to list {}", directory.display()))?
    {
        let entry = entry.context("failed to read a directory entry")?;
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
    let crds = [
        "--set=crds.keep=false",
        "--show-only=templates/custom-resources.yaml",
    ];
    let crds = without_helm(&checks::render(step, &crds)?);
    let operator = without_helm(&checks::render(
        step,
        &["--set=crds.enabled=false", "--skip-tests"],
    )?);
    let notice = format!("{NOTICE} from {CHART} by `cargo xtask manifests`; do not edit.\n");
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    );
    let install = "# Install: kubectl apply --server-side -f manifests/install.yaml\n";
    Ok(Files::from([
        (
            "manifests/install.yaml".to_owned(),
            format!("{notice}{install}{namespace}{crds}{operator}"),
        ),
        (
            "manifests/base/crds.yaml".to_owned(),
            format!("{notice}{crds}"),
        ),
        (
            "manifests/base/operator.yaml".to_owned(),
            format!("{notice}{namespace}{operator}"),
        ),
    ]))
}

/// Rendered objects without the labels that are true only of objects that Helm installs, and without empty lines
/// between them.
fn without_helm(rendered: &str) -> String {
    let of_helm = ["app.kubernetes.io/managed-by: Helm", "helm.sh/chart: "];
    let kept = rendered.lines().filter(|line| {
        let text = line.trim_start();
        !of_helm.iter().any(|label| text.starts_with(label))
    });
    let mut text = kept.fold(String::new(), |text, line| text + line + "\n");
    while text.contains("\n\n---") {
        text = text.replace("\n\n---", "\n---");
    }
    text.trim_start().to_owned()
}

/// Writes `files`, or compares them with the existing files. Removes or reports files of `directories` that are no
/// longer generated.
fn settle(files: &Files, directories: &[&str], check: bool) -> Result<()> {
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
    for name in directories
        .iter()
        .flat_map(|directory| generated_in(&root, directory))
    {
        if !files.contains_key(&name) {
            if check {
                stale.push(format!("{name} (no longer generated)"));
            } else {
                fs::remove_file(root.join(&name))
                    .with_context(|| format!("failed to remove {name}"))?;
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "out of date: {}. Fix: run `cargo xtask crds`, `manifests`, `fields` and `reference`",
            stale.join(", ")
        );
    }
    Ok(())
}

/// Files in a directory that begin with the notice.
fn generated_in(root: &Path, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(directory))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| text.starts_with(NOTICE)))
        .map(|entry| format!("{directory}/{}", entry.file_name().to_string_lossy()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_manifests_have_no_labels_of_helm() {
        let rendered = "---\nmetadata:\n  labels:\n    app.kubernetes.io/managed-by: Helm\n    a: b\n    helm.sh/chart: c-1\n\n\n---\nd: e\n";
        let plain = "---\nmetadata:\n  labels:\n    a: b\n---\nd: e\n";
        assert_eq!(without_helm(rendered), plain);
    }

    #[test]
    fn only_files_with_the_notice_count_as_generated() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("crds")).unwrap();
        let write =
            |name: &str, text: &str| fs::write(directory.path().join("crds").join(name), text);
        write("made.yaml", "# Generated from somewhere.\n").unwrap();
        write("by-hand.yaml", "kind: List\n").unwrap();
        assert_eq!(generated_in(directory.path(), "crds"), ["crds/made.yaml"]);
    }
}
