//! Real client libraries, which the tests install into directories under `target/`.
//!
//! The name of a directory contains the hash of its requirements, so a change of version installs again and other
//! runs reuse the directory. A lock lets one process at a time install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} did not start"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// FNV-1a, sufficient to distinguish lists of requirements.
fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Fills `directory` unless an earlier run did; one process at a time.
fn prepared(directory: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(directory)?;
    let lock = fs::File::create(directory.join("lock"))?;
    lock.lock()?;
    let done = directory.join("done");
    if !done.exists() {
        fill(directory)?;
        fs::write(done, "")?;
    }
    Ok(())
}

/// A Python interpreter with the packages that `requirements.txt` beside the scripts names.
pub(crate) fn python(scripts: &Path) -> PathBuf {
    let requirements = scripts.join("requirements.txt");
    let text = fs::read_to_string(&requirements).unwrap();
    let directory = installed("python", &text);
    prepared(&directory, |directory| {
        let venv = directory.join("venv");
        if run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv))
        .is_err()
        {
            bail!(
                "python3 with the venv module is missing: on Debian, apt-get install python3-venv"
            );
        }
        run(Command::new(venv.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(&requirements))?;
        Ok(())
    })
    .unwrap();
    directory.join("venv/bin/python")
}

/// The programs of the Python packages of a directory of `tests/clients/python`.
pub(crate) fn python_programs(directory: &str) -> PathBuf {
    let interpreter = python(&repository().join("tests/clients/python").join(directory));
    interpreter.parent().unwrap().to_owned()
}

/// The Go program of a directory of `tests/clients`, built.
fn go(name: &str) -> PathBuf {
    let sources = repository().join("tests/clients").join(name);
    let text: String = ["go.mod", "go.sum", "main.go"]
        .iter()
        .map(|file| fs::read_to_string(sources.join(file)).unwrap())
        .collect();
    let directory = installed(name, &text);
    prepared(&directory, |directory| {
        let usual = Path::new("/usr/local/go/bin/go");
        let go = if usual.is_file() {
            usual
        } else {
            Path::new("go")
        };
        run(Command::new(go)
            .args(["build", "-o"])
            .arg(directory.join("client"))
            .arg(".")
            .current_dir(&sources))
        .context("Go 1.26 or newer is needed: https://go.dev/doc/install")?;
        Ok(())
    })
    .unwrap();
    directory.join("client")
}

/// A directory with the packages of `tests/clients/<kind>/package.json` and copies of the scripts there.
fn node(kind: &str) -> PathBuf {
    let scripts = repository().join("tests/clients").join(kind);
    let mut text = String::new();
    let mut files = Vec::new();
    for entry in fs::read_dir(&scripts).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.sort();
    for file in &files {
        text.push_str(&fs::read_to_string(file).unwrap());
    }
    let directory = installed(kind, &text);
    prepared(&directory, |directory| {
        for file in &files {
            fs::copy(file, directory.join(file.file_name().unwrap()))?;
        }
        npm_install(directory, None)
    })
    .unwrap();
    directory
}

/// A directory with one version of an npm package.
pub(crate) fn npm_package(package: &str, version: &str) -> PathBuf {
    let specification = format!("{package}@{version}");
    let kind = package.rsplit('/').next().unwrap();
    let directory = installed(kind, &specification);
    prepared(&directory, |directory| {
        fs::write(directory.join("package.json"), "{}")?;
        npm_install(directory, Some(&specification))
    })
    .unwrap();
    directory
}

/// Installs one package, or those of `package.json`.
fn npm_install(directory: &Path, specification: Option<&str>) -> anyhow::Result<()> {
    let install = [
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--silent",
    ];
    run(Command::new("npm")
        .args(install)
        .args(specification)
        .current_dir(directory))
    .context("node and npm are needed: on Debian, apt-get install nodejs npm")?;
    Ok(())
}

/// The newest version of an npm package in the registry.
pub(crate) fn newest_npm_version(package: &str) -> String {
    let latest = format!("{package}@latest");
    let version = run(Command::new("npm").args(["view", &latest, "version"])).unwrap();
    version.trim().to_owned()
}

fn installed(kind: &str, requirements: &str) -> PathBuf {
    repository()
        .join("target/clients")
        .join(format!("{kind}-{}", fingerprint(requirements)))
}

/// Runs a script of `tests/clients/python`, such as `openai/chat.py`, and reads the JSON it prints.
pub(crate) async fn python_client(script: &str, environment: &[(&str, &str)]) -> Value {
    let script = repository().join("tests/clients/python").join(script);
    printed(environment, move || {
        let mut command = Command::new(python(script.parent().unwrap()));
        command.arg(&script);
        command
    })
    .await
}

/// Runs a script of `tests/clients/node` and reads the JSON it prints.
pub(crate) async fn node_client(script: &'static str, environment: &[(&str, &str)]) -> Value {
    printed(environment, move || {
        let mut command = Command::new("node");
        command.arg(node("node").join(script));
        command
    })
    .await
}

/// The OpenTelemetry Collector of `tests/clients/collector`, which takes minutes to build once.
pub(crate) fn collector() -> PathBuf {
    go("collector")
}

/// Runs the program of `tests/clients/go` and reads the JSON it prints.
pub(crate) async fn go_client(environment: &[(&str, &str)]) -> Value {
    printed(environment, || Command::new(go("go"))).await
}

/// Runs the program of `tests/clients/examples` on this repository and reads the JSON it prints.
pub(crate) async fn examples(paths: &[&str], environment: &[(&str, &str)]) -> Value {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    printed(environment, move || {
        let mut command = Command::new(go("examples"));
        command.arg(repository()).args(paths);
        command
    })
    .await
}

/// Runs shell commands with `programs` first in the search path, and returns their output.
pub(crate) async fn shell(
    commands: String,
    programs: PathBuf,
    environment: &[(&str, &str)],
) -> String {
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new("sh");
        command.args([
            "-eu",
            "-c",
            &format!("PATH={}:$PATH; {commands}", programs.display()),
        ]);
        run(command.envs(environment)).unwrap()
    })
    .await
    .unwrap()
}

async fn printed(
    environment: &[(&str, &str)],
    command: impl FnOnce() -> Command + Send + 'static,
) -> Value {
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    tokio::task::spawn_blocking(move || {
        let printed = run(command().envs(environment)).unwrap();
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    })
    .await
    .unwrap()
}
