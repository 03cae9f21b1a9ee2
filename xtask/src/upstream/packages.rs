//! Downloads and unpacks the newest releases with the package managers' own clients, as the user has configured them.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::{
    console::Step,
    process::{capture, command, pip, quiet},
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

/// Codex's program in its package.
pub(super) const CODEX: &str = "vendor/x86_64-unknown-linux-musl/bin/codex";
/// Claude Code's program in its package.
pub(super) const CLAUDE_CODE: &str = "claude";

/// Downloads and unpacks all packages at once.
pub(super) fn download(step: &Step) -> Result<Vec<Package>> {
    let (python, codex, claude_code) = thread::scope(|scope| {
        let codex = scope.spawn(|| codex(step));
        let claude_code = scope.spawn(|| claude_code(step));
        (python(step), codex.join(), claude_code.join())
    });
    let mut packages = python?;
    for joined in [codex, claude_code] {
        match joined {
            Ok(package) => packages.push(package?),
            Err(_) => bail!("a download ended unexpectedly"),
        }
    }
    Ok(packages)
}

/// Downloads and unpacks the Python packages.
fn python(step: &Step) -> Result<Vec<Package>> {
    let directory = empty("upstream/python")?;
    quiet(step, &mut pip(&directory, &PYTHON))?;
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

/// Codex's package for one kind of machine; its texts are the same on all.
fn codex(step: &Step) -> Result<Package> {
    let version = newest(step, "@openai/codex")?;
    let package = format!("@openai/codex@{version}-linux-x64");
    unpack(step, "codex", version, &package, CODEX)
}

/// Claude Code's package for one kind of machine.
fn claude_code(step: &Step) -> Result<Package> {
    let version = newest(step, "@anthropic-ai/claude-code")?;
    let package = format!("@anthropic-ai/claude-code-linux-x64@{version}");
    unpack(step, "claude-code", version, &package, CLAUDE_CODE)
}

/// The version that a package's tag `latest` names, whatever version of Node.js is installed.
fn newest(step: &Step, package: &str) -> Result<String> {
    let arguments = ["view", &format!("{package}@latest"), "version"].map(str::to_owned);
    Ok(capture(step, command("npm").args(arguments))?
        .trim()
        .to_owned())
}

/// Downloads a package of npm and unpacks one file of it; keeps what an earlier run unpacked.
fn unpack(
    step: &Step,
    name: &'static str,
    version: String,
    package: &str,
    program: &str,
) -> Result<Package> {
    let place = format!("upstream/{name}-{version}");
    let directory = repository::scratch(&place)?;
    let unpacked = directory.join("package");
    if !unpacked.join(program).is_file() {
        quiet(
            step,
            command("npm")
                .args(["pack", "--silent", package, "--pack-destination"])
                .arg(&directory),
        )?;
        let names = names(&directory)?;
        let archive = names.iter().find(|name| name.contains(".tgz"));
        let archive = directory.join(archive.context("npm pack wrote no file")?);
        quiet(
            step,
            command("tar")
                .arg("xzf")
                .arg(&archive)
                .arg("-C")
                .arg(&directory)
                .arg(format!("package/{program}")),
        )?;
        fs::remove_file(&archive)
            .with_context(|| format!("failed to remove {}", archive.display()))?;
    }
    Ok(Package {
        name,
        version,
        directory: unpacked,
    })
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
