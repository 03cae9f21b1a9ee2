//! The crates of a program: `cargo tree` resolves features and targets exactly as a build does, `cargo metadata` has
//! licences and dependencies, and `Cargo.lock` checksums.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Component;
use crate::{
    build::Profile,
    console::Step,
    process::{capture, cargo, command},
    repository,
};

/// A crate by name and version.
type Key = (String, String);
/// Package URLs of crates, each with those of the crates that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// The crate of a package of this workspace, the crates that it needs, and which of them use each other.
pub(super) fn of(
    step: &Step,
    profile: Profile,
    package: &str,
) -> Result<(Component, Vec<Component>, Uses)> {
    let mut all = tree(step, profile, package, "normal,build")?;
    let mut shipped = tree(step, profile, package, "normal,no-proc-macro")?;
    let metadata = metadata(step)?;
    if profile == Profile::Dev {
        // Built together with the whole workspace, whose other members turn on features of shared crates.
        let more = reachable(&metadata, package)?;
        shipped.extend(more.difference(&all).cloned().collect::<Vec<_>>());
        all.extend(more);
    }
    let lock = repository::read(&repository::root().join("Cargo.lock"))?;
    let checksums = checksums(&lock);
    let mut found = BTreeMap::new();
    for described in list(&metadata, "/packages")? {
        let key = (
            word(described, "name")?.to_owned(),
            word(described, "version")?.to_owned(),
        );
        if all.contains(&key) {
            let component = component(described, &key, shipped.contains(&key), &checksums)?;
            found.insert(word(described, "id")?, (key, component));
        }
    }
    ensure!(
        found.len() == all.len(),
        "cargo metadata describes {} of {} crates",
        found.len(),
        all.len()
    );
    let uses = uses(&metadata, &found)?;
    let mut components: BTreeMap<Key, Component> = found.into_values().collect();
    let own = components
        .keys()
        .find(|(name, _)| name == package)
        .cloned()
        .and_then(|key| components.remove(&key))
        .with_context(|| format!("cargo metadata does not describe {package}"))?;
    Ok((own, components.into_values().collect(), uses))
}

/// Packages of the workspace and their dependencies on this platform.
fn metadata(step: &Step) -> Result<Value> {
    let host = capture(step, command("rustc").args(["--print", "host-tuple"]))?;
    let mut metadata = cargo();
    metadata.args(["metadata", "--locked", "--format-version=1"]);
    let metadata = capture(step, metadata.args(["--filter-platform", host.trim()]))?;
    serde_json::from_str(&metadata).context("the output of cargo metadata is not JSON")
}

/// The crates that a package needs with the features that the whole workspace turns on.
fn reachable(metadata: &Value, package: &str) -> Result<BTreeSet<Key>> {
    let mut nodes = BTreeMap::new();
    for node in list(metadata, "/resolve/nodes")? {
        nodes.insert(word(node, "id")?, needed(node)?);
    }
    let mut keys = BTreeMap::new();
    let mut left = Vec::new();
    for described in list(metadata, "/packages")? {
        let (id, name) = (word(described, "id")?, word(described, "name")?);
        keys.insert(
            id,
            (name.to_owned(), word(described, "version")?.to_owned()),
        );
        if name == package && described.get("source").is_none_or(Value::is_null) {
            left.push(id);
        }
    }
    let mut found = BTreeSet::new();
    while let Some(id) = left.pop() {
        if found.insert(id) {
            left.extend(nodes.get(id).into_iter().flatten());
        }
    }
    Ok(found
        .iter()
        .filter_map(|id| keys.get(id).cloned())
        .collect())
}

/// Ids of the crates that a node needs for other purposes than its tests.
fn needed(node: &Value) -> Result<Vec<&str>> {
    let is_needed = |dependency: &&Value| {
        let kinds = dependency.get("dep_kinds").and_then(Value::as_array);
        let mut kinds = kinds.into_iter().flatten();
        kinds.any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"))
    };
    let dependencies = list(node, "/deps")?.iter().filter(is_needed);
    dependencies.map(|needed| word(needed, "pkg")).collect()
}

/// The standard library, of which a program contains parts.
pub(super) fn standard_library(step: &Step) -> Result<Component> {
    // "rustc 1.95.0 (abc 2026-01-01)"
    let output = capture(step, command("rustc").arg("--version"))?;
    let version = output
        .split_whitespace()
        .nth(1)
        .context("rustc prints no version")?;
    Ok(Component {
        name: "rust-std".to_owned(),
        version: version.to_owned(),
        purl: format!("pkg:generic/rust-std@{version}"),
        licence: Some("MIT OR Apache-2.0".to_owned()),
        supplier: Some("The Rust Project"),
        shipped: true,
        ..Component::default()
    })
}

/// The crates that `cargo tree` lists for a package with these kinds of dependencies.
fn tree(step: &Step, profile: Profile, package: &str, edges: &str) -> Result<BTreeSet<Key>> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", package, "--edges", edges]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    if profile == Profile::Published {
        tree.arg("--no-default-features");
    }
    let output = capture(step, &mut tree)?;
    Ok(output.lines().filter_map(named).collect())
}

/// Name and version of a line such as `ring v0.17.14` or `api v0.1.0 (/source/crates/api)`.
fn named(line: &str) -> Option<Key> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

fn component(
    described: &Value,
    key: &Key,
    shipped: bool,
    checksums: &BTreeMap<Key, String>,
) -> Result<Component> {
    let (name, version) = key;
    let is_own = described.get("source").is_none_or(Value::is_null);
    let manifest = PathBuf::from(word(described, "manifest_path")?);
    Ok(Component {
        name: name.clone(),
        version: version.clone(),
        // A crate of this workspace is in no registry.
        purl: if is_own {
            format!("pkg:generic/bedrock-access/{name}@{version}")
        } else {
            format!("pkg:cargo/{name}@{version}")
        },
        // Manifests from before SPDX expressions separate alternatives by a slash.
        licence: described
            .get("license")
            .and_then(Value::as_str)
            .map(|licence| licence.replace(" / ", " OR ").replace('/', " OR ")),
        checksum: checksums.get(key).cloned(),
        supplier: is_own.then_some("Bedrock Access"),
        shipped,
        directory: manifest
            .parent()
            .filter(|_| !is_own)
            .map(std::path::Path::to_path_buf),
    })
}

/// Which of the found crates, by their ids, use each other.
fn uses(metadata: &Value, found: &BTreeMap<&str, (Key, Component)>) -> Result<Uses> {
    let purl = |id: &str| found.get(id).map(|(_, component)| component.purl.clone());
    let mut uses = Uses::new();
    for node in list(metadata, "/resolve/nodes")? {
        if let Some(user) = purl(word(node, "id")?) {
            let needed = needed(node)?.into_iter().filter_map(purl).collect();
            uses.insert(user, needed);
        }
    }
    Ok(uses)
}

/// The checksums of `Cargo.lock`, whose blocks have `name`, `version` and `checksum` in this order.
fn checksums(lock: &str) -> BTreeMap<Key, String> {
    let value = |block: &str, key: &str| {
        block.lines().find_map(|line| {
            let value = line.strip_prefix(key)?.strip_prefix(" = ")?;
            Some(value.trim_matches('"').to_owned())
        })
    };
    lock.split("[[package]]")
        .filter_map(|block| {
            let key = (value(block, "name")?, value(block, "version")?);
            Some((key, value(block, "checksum")?))
        })
        .collect()
}

fn list<'v>(value: &'v Value, pointer: &str) -> Result<&'v Vec<Value>> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .with_context(|| format!("cargo metadata has no list {pointer}"))
}

fn word<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("cargo metadata has no {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_read_from_the_lines_of_cargo_tree() {
        let key = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(named("ring v0.17.14"), key("ring", "0.17.14"));
        assert_eq!(
            named("async-trait v0.1.92 (proc-macro)"),
            key("async-trait", "0.1.92")
        );
        assert_eq!(named("api v0.1.0 (/s/crates/api) (*)"), key("api", "0.1.0"));
        assert_eq!(named(""), None);
    }

    #[test]
    fn checksums_are_read_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
            source = \"registry\"\nchecksum = \"0f\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let found = checksums(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("a".to_owned(), "1.0.0".to_owned())], "0f");
    }
}
