//! Checks of written images: equal bytes from equal sources, valid and complete SBOMs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{IMAGES, contents::Contents, write_all};
use crate::{
    build::{self, Profile},
    console::Console,
    process::{capture, cargo, command, quiet},
    repository, tools,
};

/// The script that validates SBOMs, and its requirements.
const SBOMS: &str = "tests/sbom";
/// The part of a path in a program that is before the directory of a registry and that of a crate.
const SOURCES: &[u8] = b"registry/src/";

/// Builds development programs and checks their images.
pub(crate) fn build_and_check(console: &Console) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    check(console)
}

/// Writes the images of development programs, which must be built, twice and compares the bytes; validates their
/// SBOMs with the libraries of both formats, and compares them with the programs.
pub(crate) fn check(console: &Console) -> Result<()> {
    let first = digests(&write_all(console, Profile::Dev, &[])?)?;
    let second = digests(&write_all(console, Profile::Dev, &[])?)?;
    ensure!(
        first == second,
        "the same programs gave other images: {first:?} and {second:?}"
    );
    console.step("validate SBOMs", |step| {
        let directory = repository::root().join(SBOMS);
        let environment = repository::target().join("clients/sbom");
        let python = tools::python(step, &environment, &directory.join("requirements.txt"))?;
        let mut validate = command(python);
        validate.arg(directory.join("validate.py"));
        for (name, _) in IMAGES {
            for format in ["cdx", "spdx"] {
                validate.arg(images().join(format!("{name}.{format}.json")));
            }
        }
        quiet(step, &mut validate)
    })?;
    console.step("compare SBOMs with programs", |step| {
        for (program, _) in IMAGES {
            let contents = Contents::new(step, Profile::Dev, program, &[], String::new())?;
            let listed = contents.components.iter();
            let listed: BTreeSet<String> = listed
                .map(|part| format!("{}-{}", part.name, part.version))
                .collect();
            let path = build::program(Profile::Dev, program)?;
            let bytes =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let linked = crates_in(&bytes);
            ensure!(
                linked.len() > 20,
                "found only {} crates in {program}",
                linked.len()
            );
            let missing: Vec<&String> = linked.difference(&listed).collect();
            ensure!(
                missing.is_empty(),
                "{program} contains crates that its SBOM lacks: {missing:?}"
            );
        }
        Ok(())
    })
}

/// Checks that published programs contain the list of their crates, and that it has everything that their SBOMs
/// call shipped.
pub(super) fn lists_of_crates(console: &Console, profile: Profile) -> Result<()> {
    let reader = tools::AUDIT_INFO.path(console)?;
    console.step("read the lists of crates in programs", |step| {
        for (program, _) in IMAGES {
            let mut read = command(&reader);
            let output = capture(step, read.arg(build::program(profile, program)?))
                .with_context(|| format!("{program} contains no list of crates"))?;
            let list: Value = serde_json::from_str(&output).context("the list is not JSON")?;
            let packages = list.get("packages").and_then(Value::as_array);
            let word = |package: &Value, key: &str| {
                let word = package.get(key).and_then(Value::as_str);
                word.unwrap_or_default().to_owned()
            };
            let listed: BTreeSet<(String, String)> = packages
                .into_iter()
                .flatten()
                .map(|package| (word(package, "name"), word(package, "version")))
                .collect();
            let contents = Contents::new(step, profile, program, &[], String::new())?;
            let missing: Vec<&str> = contents
                .components
                .iter()
                .filter(|part| part.shipped && part.checksum.is_some())
                .filter(|part| !listed.contains(&(part.name.clone(), part.version.clone())))
                .map(|part| part.purl.as_str())
                .collect();
            ensure!(
                missing.is_empty(),
                "the list in {program} lacks {missing:?}"
            );
        }
        Ok(())
    })
}

/// Builds the commit of this work tree again, from nothing in a clone in another directory, and compares the images
/// with those of `cargo xtask image`.
pub(crate) fn reproduce(console: &Console, release: bool) -> Result<()> {
    super::image(console, release)?;
    let clone = repository::scratch("reproduce")?.join("another-directory");
    if clone.exists() {
        fs::remove_dir_all(&clone)
            .with_context(|| format!("failed to remove {}", clone.display()))?;
    }
    console.step("build again in a clone", |step| {
        let mut git = command("git");
        git.args(["clone", "--quiet"]).arg(repository::root());
        quiet(step, git.arg(&clone))?;
        let mut again = cargo();
        again.args(["xtask", "image"]).current_dir(&clone);
        again.env_remove("CARGO_TARGET_DIR");
        if release {
            again.arg("--release");
        }
        quiet(step, &mut again)
    })?;
    let paths = |directory: &Path| {
        let paths = IMAGES.iter();
        let paths = paths.map(|(name, _)| directory.join(format!("{name}.tar")));
        paths.collect::<Vec<PathBuf>>()
    };
    let here = digests_of(&paths(&images()))?;
    let there = digests_of(&paths(&clone.join("target/images")))?;
    for (image, digest) in &here {
        console.note(&format!("{digest}  {image}"));
    }
    ensure!(
        here == there,
        "the clone gave other images: {there:?}. A work tree with changes differs from its commit"
    );
    fs::remove_dir_all(&clone).with_context(|| format!("failed to remove {}", clone.display()))
}

/// Directory of the archives.
fn images() -> PathBuf {
    repository::target().join("images")
}

fn digests(written: &[super::Written]) -> Result<BTreeMap<String, String>> {
    let paths: Vec<PathBuf> = written.iter().map(|image| image.path.clone()).collect();
    digests_of(&paths)
}

/// SHA-256 of files, by their names.
fn digests_of(paths: &[PathBuf]) -> Result<BTreeMap<String, String>> {
    let digest = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digest = Sha256::digest(&bytes)
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Ok((name.into_owned(), digest))
    };
    paths.iter().map(digest).collect()
}

/// The crates from a registry whose sources a program names, in panic messages and debug information, as
/// `NAME-VERSION`.
fn crates_in(program: &[u8]) -> BTreeSet<String> {
    let starts = program
        .windows(SOURCES.len())
        .enumerate()
        .filter(|(_, window)| *window == SOURCES)
        .map(|(at, _)| at + SOURCES.len());
    let parts = starts.filter_map(|start| {
        let directory = program.get(start..)?.split(|byte| *byte == b'/').nth(1)?;
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(*byte);
        let name = directory.iter().take_while(is_name).copied().collect();
        String::from_utf8(name).ok()
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_found_by_the_paths_of_their_sources() {
        let program = b"\0/h/registry/src/index-1/ring-0.17.14/src/a.rs\0/cargo/registry/src/i/rustls-0.23.1\0\0/x";
        let found: Vec<String> = crates_in(program).into_iter().collect();
        assert_eq!(found, ["ring-0.17.14", "rustls-0.23.1"]);
    }
}
