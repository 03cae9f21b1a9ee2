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
    /// As published, with counters instead of the profile, for `cargo xtask profile`.
    Counting,
}

/// Target directory of the programs of published images, in cargo's.
const PUBLISHED: &str = "published";
/// Target directory of the programs with counters, in cargo's.
const COUNTING: &str = "profile";
/// The profile of the gateway (ADR-0036), in the repository.
pub(crate) const PROFILE: &str = "gateway/gateway.profdata";

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

/// The gateway with the recorder of steps.
pub(crate) const WITH_RECORDER: &str = "bedrock-gateway-measured";

/// Compiles [`WITH_RECORDER`], with the same packages as the other programs, so that they share dependencies.
///
/// # Errors
/// When it does not compile.
pub(crate) fn with_recorder(console: &Console, profile: Profile) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--locked", "--features", "gateway/measure"]);
    if profile == Profile::Dev {
        command.args(["--workspace", "--example", "crds"]);
    } else {
        command.arg("--release");
        for package in ["gateway", "operator", "bench"] {
            command.args(["--package", package]);
        }
    }
    command.args(["--bin", WITH_RECORDER]);
    console.step("build with the recorder", |step| quiet(step, &mut command))
}

/// Compiles every program; quick if nothing changed.
///
/// # Errors
/// When a program does not compile.
pub(crate) fn programs(console: &Console, profile: Profile) -> Result<()> {
    let mut command = match profile {
        Profile::Dev | Profile::Release => cargo(),
        Profile::Published => {
            let profile = repository::root().join(PROFILE);
            let flag = format!("-Cprofile-use={}", profile.display());
            shipped(console, PUBLISHED, flag)?
        }
        Profile::Counting => {
            let flag = format!("-Cprofile-generate={}", counts().display());
            shipped(console, COUNTING, flag)?
        }
    };
    command.args(["build", "--locked"]);
    match profile {
        Profile::Dev => {
            command.args(DEV);
        }
        Profile::Release | Profile::Published | Profile::Counting => {
            // Without `serve --simulate`: an image serves Amazon Bedrock only.
            command.args(["--release", "--no-default-features"]);
            for (package, program) in SHIPPED {
                command.args(["--package", package, "--bin", program]);
            }
        }
    }
    console.step("build", |step| quiet(step, &mut command))
}

/// Directory of the counts, a file for each program that ended.
pub(crate) fn counts() -> PathBuf {
    repository::target().join(COUNTING).join("counts")
}

/// Cargo with the list of crates in each program, for scanners, and with the same paths on every machine, in a target
/// directory of its own: with other flags, cargo would compile everything again for the next command.
fn shipped(console: &Console, directory: &str, flag: String) -> Result<Command> {
    let mut command = command(tools::AUDITABLE.path(console)?);
    command.arg("auditable");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let [source, home] = [(repository::root(), "/source"), (home, "/cargo")]
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()));
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        [source, home, flag].join("\u{1f}"),
    );
    command.env("CARGO_TARGET_DIR", repository::target().join(directory));
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
        Profile::Counting => format!("{COUNTING}/release"),
    };
    let path = repository::target().join(directory).join(name);
    ensure!(
        path.is_file(),
        "{} does not exist although cargo built it",
        path.display()
    );
    Ok(path)
}
