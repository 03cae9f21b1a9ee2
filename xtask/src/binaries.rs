//! Test programs of the workspace: compiled once by cargo, then run one after the other without it.
//!
//! Cargo chooses the features of shared dependencies by the packages it is asked for, so running the tests of one
//! package through cargo would compile its dependencies again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    console::{Console, Failures},
    process::{capture, cargo, command, live},
    repository,
};

/// Tests that run at the same time in a program. Most of them wait for servers, not for the processor.
const THREADS: &str = "8";

/// A compiled test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    /// Package it belongs to.
    pub(crate) package: String,
    /// Whether its tests are in a directory of their own, rather than beside the code.
    pub(crate) is_integration: bool,
    program: PathBuf,
    /// Directory of the package, where cargo would start it.
    directory: PathBuf,
}

/// Compiles the tests of every default member, or of the whole workspace.
pub(crate) fn compile(console: &Console, whole_workspace: bool) -> Result<Vec<Binary>> {
    console.step("compile the tests", |step| {
        let mut command = cargo();
        command.args(["test", "--locked", "--no-run"]);
        command.arg("--message-format=json-render-diagnostics");
        if whole_workspace {
            command.arg("--workspace");
        }
        let messages = capture(step, &mut command)?;
        Ok(messages.lines().filter_map(binary).collect())
    })
}

/// The test program that a message of cargo reports.
fn binary(message: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message.get("reason")?.as_str()? != "compiler-artifact"
        || !message.pointer("/profile/test")?.as_bool()?
    {
        return None;
    }
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    let directory = manifest.parent()?;
    let kinds = message.pointer("/target/kind")?.as_array()?;
    Some(Binary {
        // Packages are named by their directory in this workspace.
        package: directory.file_name()?.to_str()?.to_owned(),
        is_integration: kinds.iter().any(|kind| kind == "test"),
        program: PathBuf::from(message.get("executable")?.as_str()?),
        directory: directory.to_owned(),
    })
}

/// How to run test programs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run<'a> {
    /// Tests whose name contains any of these; all if empty.
    pub(crate) filters: &'a [&'a str],
    /// Tests whose name contains any of these are left out.
    pub(crate) skip: &'a [&'a str],
    /// Whether tests of the full lane run.
    pub(crate) full: bool,
    /// Environment variables in addition.
    pub(crate) variables: &'a [(&'a str, &'a str)],
}

/// Runs test programs one after the other, all of them even if one fails.
pub(crate) fn run<'a>(
    console: &Console,
    name: &str,
    binaries: impl IntoIterator<Item = &'a Binary>,
    how: Run<'_>,
) -> Result<()> {
    console.live(name, |step| {
        let mut failures = Failures::default();
        for binary in binaries {
            let mut command = command(&binary.program);
            command
                .current_dir(&binary.directory)
                .args(["--test-threads", THREADS])
                .args([
                    "--color",
                    if console.is_terminal() {
                        "always"
                    } else {
                        "never"
                    },
                ])
                .args(how.filters);
            for skip in how.skip {
                command.args(["--skip", skip]);
            }
            // Tests may look for their own package, as cargo would tell them.
            command
                .env("CARGO_MANIFEST_DIR", &binary.directory)
                .env("INSTA_WORKSPACE_ROOT", repository::root())
                .env("INSTA_UPDATE", "no")
                .env("TEST_LANE", if how.full { "full" } else { "default" })
                .envs(how.variables.iter().copied());
            let label = binary.label();
            println!("    {}", console.paint("1", &label));
            failures.collect(&label, live(step, &mut command));
        }
        failures.conclude().context("log: target/xtask/log")
    })
}

impl Binary {
    fn label(&self) -> String {
        let kind = if self.is_integration {
            "integration tests"
        } else {
            "unit tests"
        };
        format!("{} ({kind})", self.package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_the_messages_of_cargo() {
        let message = |test: bool, kind: &str| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": "/w/crates/api/Cargo.toml",
                "target": {"kind": [kind], "name": "it"},
                "profile": {"test": test},
                "executable": "/w/target/debug/deps/it-1",
            })
            .to_string()
        };
        let found = binary(&message(true, "test")).unwrap();
        assert_eq!(found.label(), "api (integration tests)");
        assert_eq!(found.directory, Path::new("/w/crates/api"));
        assert_eq!(
            binary(&message(true, "lib")).unwrap().label(),
            "api (unit tests)"
        );
        assert_eq!(binary(&message(false, "bin")), None);
        assert_eq!(
            binary(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(binary("not JSON"), None);
    }
}
