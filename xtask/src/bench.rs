//! `cargo xtask bench` compares the gateway with a proxy that does nothing, on loopback. `bench operator` and
//! `bench webhook` measure the operator with many BedrockAccess objects and with many pods at once, on a real API
//! server.
//!
//! It builds release programs and the package `bench`, which measures. The webhook is measured by a test, which takes
//! the program from an environment variable.

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

/// The subject of the measurement, the gateway by default.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    gateway: Gateway,
}

/// Subjects other than the gateway.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measure the operator with many BedrockAccess objects: creation, cold start, idle.
    Operator {
        /// Number of BedrockAccess objects.
        #[arg(long, default_value_t = 1000)]
        objects: usize,
        /// Length of the idle phase.
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        idle: u64,
    },
    /// Measure the webhook while 1,000 pods are created; fail if its p99 latency is over 10 ms.
    Webhook,
}

/// Options of `bench run`; its own help explains them.
#[derive(Debug, clap::Args)]
struct Gateway {
    /// Run for a few seconds with development builds; fail only if a response is wrong.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "out", "compare", "against", "gate"])]
    quick: bool,
    /// Fail if the CPU time of a scenario is over its goal.
    #[arg(long)]
    gate: bool,
    /// Number of rounds; each round measures every scenario on every target once.
    #[arg(long)]
    rounds: Option<usize>,
    /// Length of each measurement in seconds.
    #[arg(long)]
    seconds: Option<f64>,
    /// Run scenarios whose name contains this text only.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Measure another build of the gateway in the same rounds.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Also write the results to a file.
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
        Some(What::Operator { objects, idle }) => operator(console, *objects, *idle),
        Some(What::Webhook) => webhook(console),
    }
}

fn operator(console: &Console, objects: usize, idle: u64) -> Result<()> {
    build_release(console)?;
    let mut bench = command(build::program(Profile::Release, "bench")?);
    bench
        .args(["operator", "--operator"])
        .arg(build::program(Profile::Release, OPERATOR)?)
        .arg("--chart")
        .arg(repository::root().join("charts/bedrock-access"))
        .args(["--objects", &objects.to_string()])
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

/// Builds all programs together: one by one, their dependencies would be compiled for each.
fn build_release(console: &Console) -> Result<()> {
    console.step("build release programs and bench", |step| {
        let mut command = cargo();
        command.args(["build", "--locked", "--release"]);
        command.args(["--package", "gateway", "--bin", "bedrock-gateway"]);
        command.args(["--package", "operator", "--bin", OPERATOR]);
        command.args(["--package", "bench", "--bin", "bench"]);
        quiet(step, &mut command)
    })
}

fn gateway(console: &Console, options: &Gateway) -> Result<()> {
    if options.quick {
        return quick(console);
    }
    build_release(console)?;
    // The gateway as it is published.
    build::programs(console, Profile::Published)?;
    let gateway = build::program(Profile::Published, "bedrock-gateway")?;
    let mut bench = run(&build::program(Profile::Release, "bench")?, &gateway);
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
    if options.gate {
        bench.arg("--gate");
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

/// One short round with development builds, which fails if a response is wrong.
pub(crate) fn quick(console: &Console) -> Result<()> {
    build::with_bench(console)?;
    let bench = build::program(Profile::Dev, "bench")?;
    let gateway = build::program(Profile::Dev, "bedrock-gateway")?;
    console.step("bench: check every response", |step| {
        quiet(step, run(&bench, &gateway).arg("--quick"))
    })
}

/// The load of every scenario on a gateway with counters.
pub(crate) fn load(console: &Console, gateway: &Path) -> Result<Command> {
    build_release(console)?;
    let mut bench = run(&build::program(Profile::Release, "bench")?, gateway);
    bench.args(["--rounds", "1", "--seconds", "3"]);
    Ok(bench)
}

fn run(bench: &Path, gateway: &Path) -> Command {
    let mut bench = command(bench);
    bench.args(["run", "--gateway"]).arg(gateway);
    bench
}

/// Programs start in the root of the repository, so paths of the caller become absolute.
fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("{} is not a path", file.display()))
}
