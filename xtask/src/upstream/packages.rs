//! Downloads and unpacks the newest releases with the package managers' own clients, as the user has configured them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    console::Step,
    process::{capture, command, quiet},
    repository,
};

/// An unpacked package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) directory: PathBuf,
}

/// Packages of the Python index.
const PYTHON: [&str; 3] = ["botocore", "openai", "anthropic"];

/// Packages of npm with the agents' programs; the program for one kind of machine is enough to read its texts.
const NPM: [(&str, &str); 2] = [
    ("codex", "@openai/codex@linux-x64"),
    ("claude-code", "@anthropic-ai/claude-code-linux-x64@latest"),
];

/// Downloads and unpacks the Python packages.
pub(super) fn python(step: &Step) -> Result<Vec<Package>> {
    let directory = empty("upstream/python")?;
    quiet(
        step,
        command("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--no-compile", "--disable-pip-version-check", "--target"])
            .arg(&directory)
            .args(PYTHON),
    )?;
    PYTHON
        .into_iter()
        .map(|name| {
            let version = installed(&directory, name)?;
            let directory = directory.join(name);
            Ok(Package {
                name,
                version,
                directory,
            })
        })
        .collect()
}

/// Downloads and unpacks the packages of npm.
pub(super) fn npm(step: &Step) -> Result<Vec<Package>> {
    NPM.into_iter()
        .map(|(name, program)| {
            let directory = empty(&format!("upstream/{name}"))?;
            quiet(
                step,
                command("npm")
                    .args(["pack", "--silent", program, "--pack-destination"])
                    .arg(&directory),
            )?;
            let archive = only_file(&directory)?;
            quiet(
                step,
                command("tar")
                    .arg("xzf")
                    .arg(&archive)
                    .arg("-C")
                    .arg(&directory),
            )?;
            let directory = directory.join("package");
            let manifest = repository::read(&directory.join("package.json"))?;
            let manifest: Value =
                serde_json::from_str(&manifest).context("package.json is not valid JSON")?;
            let version = manifest["version"].as_str().unwrap_or_default().to_owned();
            Ok(Package {
                name,
                version,
                directory,
            })
        })
        .collect()
}

/// The text of a file that gzip compressed.
pub(super) fn decompress(step: &Step, file: &Path) -> Result<String> {
    capture(step, command("gzip").arg("-dc").arg(file))
}

/// Today's date in UTC.
pub(super) fn today(step: &Step) -> Result<String> {
    Ok(capture(step, command("date").args(["-u", "+%F"]))?
        .trim()
        .to_owned())
}

fn empty(name: &str) -> Result<PathBuf> {
    let directory = repository::scratch(name)?;
    fs::remove_dir_all(&directory)
        .with_context(|| format!("failed to empty {}", directory.display()))?;
    repository::scratch(name)
}

/// The version in the name of the package's metadata directory.
fn installed(directory: &Path, name: &str) -> Result<String> {
    for file in names(directory)? {
        let version = file
            .strip_prefix(&format!("{name}-"))
            .and_then(|rest| rest.strip_suffix(".dist-info"));
        if let Some(version) = version {
            return Ok(version.to_owned());
        }
    }
    bail!("pip did not install {name}")
}

fn only_file(directory: &Path) -> Result<PathBuf> {
    let names = names(directory)?;
    let name = names.first().context("npm pack wrote no file")?;
    Ok(directory.join(name))
}

/// Sorted names of the entries of a directory.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)
        .with_context(|| format!("failed to list {}", directory.display()))?
    {
        let entry = entry.context("failed to read a directory entry")?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
