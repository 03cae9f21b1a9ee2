//! Builds the programs of this workspace.
//!
//! Always the whole workspace, and always with an example among the targets: cargo chooses the
//! features of a shared dependency by the packages built together and, once a test or an example is
//! among them, by their test dependencies too. Any other choice would compile the dependencies a
//! second time for the tests (ADR-0004).

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{
    console::Console,
    process::{cargo, quiet},
    repository,
};

/// How programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to compile and shared with the tests.
    Dev,
    /// Optimised, for what is shipped; without what only tests need.
    Release,
}

/// The programs that go into images: package and program.
const SHIPPED: [(&str, &str); 3] = [
    ("operator", "bedrock-access-operator"),
    ("gateway", "bedrock-gateway"),
    ("awsdouble", "awsdouble"),
];

/// Compiles every program; quick when nothing changed.
pub(crate) fn programs(console: &Console, profile: Profile) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--locked"]);
    match profile {
        Profile::Dev => {
            command.args(["--workspace", "--bins"]);
            command.args(["--example", "crds", "--example", "field_table"]);
        }
        Profile::Release => {
            command.arg("--release");
            for (package, program) in SHIPPED {
                command.args(["--package", package, "--bin", program]);
            }
        }
    }
    console.step("build", |step| quiet(step, &mut command))
}

/// Where a program that [`programs`] has built lies.
pub(crate) fn program(profile: Profile, name: &str) -> Result<PathBuf> {
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    let path = repository::target().join(folder).join(name);
    ensure!(
        path.is_file(),
        "{} is not there although cargo built it",
        path.display()
    );
    Ok(path)
}
