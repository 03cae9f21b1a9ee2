//! `cargo xtask bench`: the gateway beside a proxy that does nothing, on loopback.
//!
//! Builds the gateway as it is shipped and the package `bench`, which does the measuring; see there.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
    console::Console,
    process::{cargo, command, live, quiet},
};

/// What `bench run` is told; its own help says more.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A few seconds with development builds: fails only when an answer is wrong.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "out", "compare", "against"])]
    quick: bool,
    /// Rounds; every situation is measured on every target once a round.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that each measurement lasts.
    #[arg(long)]
    seconds: Option<f64>,
    /// Only situations whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Another build of the gateway, measured in the same rounds.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Also write the figures into a file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print how the ratios changed since the run that wrote this file.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// Builds and measures.
pub(crate) fn bench(console: &Console, options: &Options) -> Result<()> {
    if options.quick {
        build::programs(console, Profile::Dev)?;
        return quick(console);
    }
    console.step(
        "build the gateway as it is shipped, and the bench",
        |step| {
            let mut command = cargo();
            command.args(["build", "--locked", "--release"]);
            command.args(["--package", "gateway", "--bin", "bedrock-gateway"]);
            command.args(["--package", "bench", "--bin", "bench"]);
            quiet(step, &mut command)
        },
    )?;
    let mut bench = run(Profile::Release)?;
    let texts = [
        ("--rounds", options.rounds.map(|rounds| rounds.to_string())),
        (
            "--seconds",
            options.seconds.map(|seconds| seconds.to_string()),
        ),
        ("--only", options.only.clone()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            bench.args([name, &text]);
        }
    }
    let files = [
        ("--against", &options.against),
        ("--out", &options.out),
        ("--compare", &options.compare),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            bench.arg(name).arg(absolute(file)?);
        }
    }
    console.live("bench", |step| live(step, &mut bench))
}

/// One short round with the development builds that are there: fails when an answer is wrong.
pub(crate) fn quick(console: &Console) -> Result<()> {
    console.step("bench: every answer is right", |step| {
        quiet(step, run(Profile::Dev)?.arg("--quick"))
    })
}

fn run(profile: Profile) -> Result<Command> {
    let mut bench = command(build::program(profile, "bench")?);
    bench
        .args(["run", "--gateway"])
        .arg(build::program(profile, "bedrock-gateway")?);
    Ok(bench)
}

/// Programs start in the root of the repository, whoever calls may stand elsewhere.
fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("{} is no path", file.display()))
}
