//! Files of an image with Python: the interpreter of this machine, its library, and packages installed for it.
//!
//! For the demo's apps only. The packages are in a directory of `target/` with the hash of their requirements.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::root::Root;
use crate::{
    console::Step,
    process::{capture, command, quiet},
    repository, tools,
};

/// The requirements, and the script that runs.
const DIRECTORY: &str = "manifests/demo/sidecar";
/// Prints the directories of an interpreter, one per line.
const WHERE: &str = "import os, sys, sysconfig; print(os.path.realpath(sys.executable)); print(sysconfig.get_path('stdlib')); print(sysconfig.get_path('purelib')); print('python%d.%d' % sys.version_info[:2])";
/// Parts of the library and of packages that no client needs, by the name of a directory or file.
const UNUSED: [&str; 13] = [
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pip",
    "setuptools",
    "pydoc_data",
];

/// Everything in one layer; the interpreter is `/usr/local/bin/python3`, the script `/app/ask.py`.
pub(super) fn root(step: &Step) -> Result<Root> {
    let interpreter = interpreter(step)?;
    let output = capture(step, command(&interpreter).args(["-c", WHERE]))?;
    let mut lines = output.lines();
    let mut line = || {
        lines
            .next()
            .context("Python does not print its directories")
    };
    let (program, library) = (PathBuf::from(line()?), PathBuf::from(line()?));
    let (packages, version) = (PathBuf::from(line()?), line()?);
    let mut root = Root::minimal()?;
    root.add_libraries_of(step, &program)?;
    root.add_program(&program, "usr/local/bin/python3")?;
    root.add_tree(&library, &format!("usr/local/lib/{version}"), &|path| {
        unused(path) || is_named(path, &["_tkinter", "_test", "_ctypes_test", "config-"])
    })?;
    root.add_tree(&packages, "app/packages", &|path| {
        (unused(path) && !is_named(path, &["__pycache__"])) || of_another_service(path)
    })?;
    let script = repository::root().join(DIRECTORY).join("ask.py");
    root.add_program(&script, "app/ask.py")?;
    let added = [library.as_path(), packages.as_path()];
    for module in modules(&added, step)? {
        root.add_libraries_of_module(step, &module, &added)?;
    }
    Ok(root)
}

/// An interpreter with the packages, installed at the first run.
fn interpreter(step: &Step) -> Result<PathBuf> {
    let requirements = repository::root().join(DIRECTORY).join("requirements.txt");
    let text = repository::read(&requirements)?;
    let hash = Sha256::digest(text.as_bytes());
    let hash = hash
        .iter()
        .take(6)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let directory = repository::target().join(format!("clients/demo-compiled-{hash}"));
    let compiled = directory.join("compiled");
    let python = tools::python(step, &directory, &requirements)?;
    if !compiled.is_file() {
        // The image is read-only, so each start would compile all modules again. By hash, since times in an image
        // differ.
        let mut compile = command(&python);
        compile.args([
            "-m",
            "compileall",
            "-qq",
            "--invalidation-mode",
            "unchecked-hash",
        ]);
        quiet(step, compile.arg(directory.join("lib")))?;
        repository::write(&compiled, "")?;
    }
    Ok(python)
}

/// Compiled modules, whose libraries are needed too.
fn modules(directories: &[&Path], step: &Step) -> Result<Vec<PathBuf>> {
    let mut find = command("find");
    find.args(directories).args(["-name", "*.so", "-type", "f"]);
    let found = capture(step, &mut find)?;
    let modules: Vec<PathBuf> = found.lines().map(PathBuf::from).collect();
    ensure!(
        !modules.is_empty(),
        "Python has no compiled module in {directories:?}"
    );
    Ok(modules
        .into_iter()
        .filter(|path| {
            !unused(
                path.strip_prefix(directories.first().copied().unwrap_or(path))
                    .unwrap_or(path),
            )
        })
        .filter(|path| !is_named(path, &["_tkinter", "_test", "_ctypes_test"]))
        .collect())
}

fn unused(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| UNUSED.iter().any(|unused| name == *unused))
}

fn is_named(path: &Path, beginnings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    beginnings
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

/// botocore has a large directory for every AWS service; the demo needs one of them.
fn of_another_service(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let (package, data, service) = (parts.next(), parts.next(), parts.next());
    matches!(package.as_deref(), Some("botocore" | "boto3"))
        && data.as_deref() == Some("data")
        && service.is_some_and(|service| !service.contains('.') && service != "bedrock-runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_clients_need_is_kept() {
        for (path, kept) in [
            ("botocore/data/endpoints.json", true),
            ("botocore/data/bedrock-runtime", true),
            ("botocore/data/s3", false),
            ("botocore/client.py", true),
            ("openai/resources", true),
        ] {
            assert_eq!(!of_another_service(Path::new(path)), kept, "{path}");
        }
        assert!(unused(Path::new("json/__pycache__")));
        assert!(!unused(Path::new("json")));
    }
}
