//! `cargo xtask bench`: the gateway beside a proxy that does nothing, on loopback; `bench operator` and `bench webhook`:
//! the operator with many accesses, and with many pods at once, on a real API server.
//!
//! Builds the programs as they are shipped and the package `bench`, which does the measuring; see there. The pods are
//! a test's, which is told what program to start.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    build::{self, Profile},
    console::Console,
    process::{cargo, command, live, quiet},
    repository,
};

const OPERATOR: &str = "bedrock-access-operator";

/// What is measured.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    gateway: Gateway,
}

/// What else than the gateway.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// The operator with many accesses at once, cold started, and idle.
    Operator {
        /// Accesses.
        #[arg(long, default_value_t = 1000)]
        accesses: usize,
        /// How long it is watched doing nothing.
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        idle: u64,
    },
    /// The webhook while 1,000 pods are made: fails when 99 of 100 are not answered within 10 ms.
    Webhook,
}

/// What `bench run` is told; its own help says more.
#[derive(Debug, clap::Args)]
struct Gateway {
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
    match &options.what {
        None => gateway(console, &options.gateway),
        Some(What::Operator { accesses, idle }) => operator(console, *accesses, *idle),
        Some(What::Webhook) => webhook(console),
    }
}

fn operator(console: &Console, accesses: usize, idle: u64) -> Result<()> {
    build_release(console)?;
    let mut bench = command(build::program(Profile::Release, "bench")?);
    bench
        .args(["operator", "--operator"])
        .arg(build::program(Profile::Release, OPERATOR)?)
        .arg("--chart")
        .arg(repository::root().join("charts/bedrock-access"))
        .args(["--accesses", &accesses.to_string()])
        .args(["--idle", &idle.to_string()]);
    console.live("bench", |step| live(step, &mut bench))
}

fn webhook(console: &Console) -> Result<()> {
    build_release(console)?;
    let mut test = cargo();
    test.args(["test", "--locked", "--workspace", "--test", "it"])
        .args(["webhook_answers", "--", "--ignored", "--nocapture"])
        .env(
            "OPERATOR_PROGRAM",
            build::program(Profile::Release, OPERATOR)?,
        );
    console.live("bench", |step| live(step, &mut test))
}

/// All programs together: built one by one, their dependencies would be compiled for each.
fn build_release(console: &Console) -> Result<()> {
    console.step(
        "build the programs as they are shipped, and the bench",
        |step| {
            let mut command = cargo();
            command.args(["build", "--locked", "--release"]);
            command.args(["--package", "gateway", "--bin", "bedrock-gateway"]);
            command.args(["--package", "operator", "--bin", OPERATOR]);
            command.args(["--package", "bench", "--bin", "bench"]);
            quiet(step, &mut command)
        },
    )
}

fn gateway(console: &Console, options: &Gateway) -> Result<()> {
    if options.quick {
        build::programs(console, Profile::Dev)?;
        return quick(console);
    }
    build_release(console)?;
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
