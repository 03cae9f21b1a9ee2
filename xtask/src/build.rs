//! Builds the programs of this workspace.
//!
//! Always all default members, and always with an example among the targets: cargo chooses the features of a shared
//! dependency by the packages built together and, if a test or an example is among them, by their test dependencies
//! as well. Another choice would compile the dependencies a second time for the tests (ADR-0004). Only `bench` is no
//! default member; it adds no feature to a shared dependency.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    console::Console,
    process::{cargo, command, quiet},
    repository, tools,
};

/// How programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to compile; the tests share its dependencies.
    Dev,
    /// Optimised as released, without dependencies of tests.
    Release,
    /// As released, with the list of crates in each program and without paths of this machine, for images.
    Published,
}

/// Target directory of the programs of published images, in cargo's.
const PUBLISHED: &str = "published";

/// The programs that go into images: package and program.
const SHIPPED: [(&str, &str); 3] = [
    ("operator", "bedrock-access-operator"),
    ("gateway", "bedrock-gateway"),
    ("awsdouble", "awsdouble"),
];

/// The package of a program that goes into an image.
///
/// # Errors
/// When no image contains it.
pub(crate) fn package(program: &str) -> Result<&'static str> {
    let mut shipped = SHIPPED.iter();
    let found = shipped.find(|(_, name)| *name == program);
    found
        .map(|(package, _)| *package)
        .with_context(|| format!("no image contains {program}"))
}

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
    let mut command = match profile {
        Profile::Dev | Profile::Release => cargo(),
        Profile::Published => published(console)?,
    };
    command.args(["build", "--locked"]);
    match profile {
        Profile::Dev => {
            command.args(DEV);
        }
        Profile::Release | Profile::Published => {
            // Without `serve --simulate`: an image serves Amazon Bedrock only.
            command.args(["--release", "--no-default-features"]);
            for (package, program) in SHIPPED {
                command.args(["--package", package, "--bin", program]);
            }
        }
    }
    console.step("build", |step| quiet(step, &mut command))
}

/// Cargo with the list of crates in each program, for scanners, and with the same paths on every machine, in a target
/// directory of its own: with other flags, cargo would compile everything again for the next command.
fn published(console: &Console) -> Result<Command> {
    let mut command = command(tools::AUDITABLE.path(console)?);
    command.arg("auditable");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let flags = [(repository::root(), "/source"), (home, "/cargo")]
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command.env("CARGO_TARGET_DIR", repository::target().join(PUBLISHED));
    Ok(command)
}

/// Path of a program that [`programs`] has built.
///
/// # Errors
/// When it does not exist.
pub(crate) fn program(profile: Profile, name: &str) -> Result<PathBuf> {
    let directory = match profile {
        Profile::Dev => "debug".to_owned(),
        Profile::Release => "release".to_owned(),
        Profile::Published => format!("{PUBLISHED}/release"),
    };
    let path = repository::target().join(directory).join(name);
    ensure!(
        path.is_file(),
        "{} does not exist although cargo built it",
        path.display()
    );
    Ok(path)
}
