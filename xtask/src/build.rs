//! Builds the programs of this workspace.
//!
//! Always all default members, and always with an example among the targets: cargo chooses the features of a shared
//! dependency by the packages built together and, if a test or an example is among them, by their test dependencies
//! as well. Another choice would compile the dependencies a second time for the tests (ADR-0004). Only `bench` is no
//! default member; it adds no feature to a shared dependency.

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
    /// Quick to compile; the tests share its dependencies.
    Dev,
    /// Optimised as released, without dependencies of tests.
    Release,
}

/// The programs that go into images: package and program.
const SHIPPED: [(&str, &str); 3] = [
    ("operator", "bedrock-access-operator"),
    ("gateway", "bedrock-gateway"),
    ("awsdouble", "awsdouble"),
];

/// What a development build compiles.
const DEV: [&str; 5] = ["--bins", "--example", "crds", "--example", "field_table"];

/// Compiles every program and the load generator of `bench`.
///
/// # Errors
/// When a program does not compile.
pub(crate) fn with_bench(console: &Console) -> Result<()> {
    console.step("build with bench", |step| {
        quiet(
            step,
            cargo().args(["build", "--locked", "--workspace"]).args(DEV),
        )
    })
}

/// Compiles every program; quick if nothing changed.
///
/// # Errors
/// When a program does not compile.
pub(crate) fn programs(console: &Console, profile: Profile) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--locked"]);
    match profile {
        Profile::Dev => {
            command.args(DEV);
        }
        Profile::Release => {
            // Without `serve --simulate`: an image serves Amazon Bedrock only.
            command.args(["--release", "--no-default-features"]);
            for (package, program) in SHIPPED {
                command.args(["--package", package, "--bin", program]);
            }
        }
    }
    console.step("build", |step| quiet(step, &mut command))
}

/// Path of a program that [`programs`] has built.
///
/// # Errors
/// When it does not exist.
pub(crate) fn program(profile: Profile, name: &str) -> Result<PathBuf> {
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    let path = repository::target().join(directory).join(name);
    ensure!(
        path.is_file(),
        "{} does not exist although cargo built it",
        path.display()
    );
    Ok(path)
}
