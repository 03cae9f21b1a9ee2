//! `cargo xtask bench` compares the gateway with a proxy that does nothing, on loopback. `bench operator` and
//! `bench webhook` measure the operator with many BedrockAccess objects and with many pods at once, on a real API
//! server.
//!
//! It builds release programs and the package `bench`, which measures. The webhook is measured by a test, which takes
//! the program from an environment variable.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    build::{self, Profile},
    console::Console,
    process::{cargo, command, live, quiet},
    repository,
};

const OPERATOR: &str = "bedrock-access-operator";
/// Servers for rate limits and budgets.
const STORES: [&str; 2] = ["valkey-server", "redis-server"];
/// LiteLLM: the newest version whose proxy can be installed from the package index.
const LITELLM: &str = "litellm[proxy]==1.108.7";
const PORTKEY: &str = "@portkey-ai/gateway@1.15.2";

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
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Gateway {
    /// Run for a few seconds with development builds; fail only if a response is wrong.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "out", "compare", "against", "gate"])]
    quick: bool,
    /// Measure CPU time and allocations of the gateway by step of a request; fail if they do not add up.
    #[arg(long, conflicts_with_all = ["compare", "against", "gate"])]
    steps: bool,
    /// Measure other gateways beside this one, after installing them from package registries.
    #[arg(long, conflicts_with_all = ["quick", "steps", "compare", "against", "gate"])]
    peers: bool,
    /// Measure what rate limits, budgets, attribution and audit records cost, on every API; needs Valkey or Redis.
    #[arg(long, conflicts_with_all = ["steps", "peers", "compare", "against", "gate"])]
    options: bool,
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
        return match (options.steps, options.options) {
            (true, _) => quick_steps(console),
            (_, true) => quick_options(console),
            _ => quick(console),
        };
    }
    if options.options {
        require_store()?;
    }
    build_release(console)?;
    let mut bench = if options.steps {
        build::with_recorder(console, Profile::Release)?;
        let mut bench = run(Profile::Release, Profile::Release)?;
        add_recorder(&mut bench, Profile::Release)?;
        bench
    } else {
        // The gateway as it is published.
        build::programs(console, Profile::Published)?;
        run(Profile::Release, Profile::Published)?
    };
    if options.peers {
        bench
            .arg("--peers")
            .arg(absolute(&install_peers(console)?)?);
    }
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
    for (name, is_set) in [("--options", options.options), ("--gate", options.gate)] {
        if is_set {
            bench.arg(name);
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

/// One short round with development builds, which fails if a response is wrong.
pub(crate) fn quick(console: &Console) -> Result<()> {
    build::with_bench(console)?;
    console.step("bench: check every response", |step| {
        quiet(step, run(Profile::Dev, Profile::Dev)?.arg("--quick"))
    })
}

/// One short round with development builds, on every API with all options, which fails if a response is wrong.
pub(crate) fn quick_options(console: &Console) -> Result<()> {
    build::with_bench(console)?;
    console.step("bench: check every response with options", |step| {
        let mut bench = run(Profile::Dev, Profile::Dev)?;
        quiet(step, bench.args(["--quick", "--options"]))
    })
}

/// The load of a gateway with counters, which must be built: most of it as it is measured beside the proxy, and the rest with options and on
/// every API.
pub(crate) fn load(console: &Console) -> Result<[Command; 2]> {
    // The speed of the load does not matter.
    build::with_bench(console)?;
    let mut measured = run(Profile::Dev, Profile::Counting)?;
    measured.args(["--rounds", "1", "--seconds", "6"]);
    let mut options = run(Profile::Dev, Profile::Counting)?;
    options.args(["--options", "--rounds", "1", "--seconds", "0.3"]);
    Ok([measured, options])
}

/// Checks that a store for `--options` is installed, before minutes of compiling.
pub(crate) fn require_store() -> Result<()> {
    let installed = STORES
        .iter()
        .any(|program| command(program).arg("--version").output().is_ok());
    ensure!(
        installed,
        "{} is missing. Fix: install one of them, on Debian by apt-get install redis-server",
        STORES.join(" or ")
    );
    Ok(())
}

/// One short round with development builds, which fails if a step never occurs or if the steps do not add up.
pub(crate) fn quick_steps(console: &Console) -> Result<()> {
    build::with_bench(console)?;
    build::with_recorder(console, Profile::Dev)?;
    console.step("bench: steps", |step| {
        let mut bench = run(Profile::Dev, Profile::Dev)?;
        add_recorder(&mut bench, Profile::Dev)?;
        quiet(step, bench.arg("--quick"))
    })
}

/// Installs the peers of `bench --peers`, once for each version; returns their directory.
fn install_peers(console: &Console) -> Result<PathBuf> {
    let peers = repository::scratch("peers")?;
    let litellm = peers.join("litellm");
    let mut environment = command("python3");
    environment.args(["-m", "venv", "--clear"]).arg(&litellm);
    let mut pip = command(litellm.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "--only-binary", ":all:"])
        .arg(LITELLM);
    install_once(console, &litellm, LITELLM, &mut [environment, pip])?;
    let portkey = peers.join("portkey");
    let mut npm = command("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--silent",
    ])
    // No code of the packages runs.
    .args(["--ignore-scripts", "--prefix"])
    .arg(&portkey)
    .arg(PORTKEY);
    install_once(console, &portkey, PORTKEY, &mut [npm])?;
    Ok(peers)
}

/// Runs commands that install `version` into a directory, unless they have succeeded before.
fn install_once(
    console: &Console,
    directory: &Path,
    version: &str,
    commands: &mut [Command],
) -> Result<()> {
    let done = directory.join(".installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == version) {
        return Ok(());
    }
    fs::create_dir_all(directory)
        .with_context(|| format!("failed to create {}", directory.display()))?;
    console.step(&format!("install {version}"), |step| {
        for command in commands {
            quiet(step, command)?;
        }
        fs::write(&done, version).with_context(|| format!("failed to write {}", done.display()))
    })
}

fn add_recorder(bench: &mut Command, profile: Profile) -> Result<()> {
    let program = build::program(profile, build::WITH_RECORDER)?;
    bench.arg("--steps").arg(program);
    Ok(())
}

fn run(bench: Profile, gateway: Profile) -> Result<Command> {
    let mut bench = command(build::program(bench, "bench")?);
    bench
        .args(["run", "--gateway"])
        .arg(build::program(gateway, "bedrock-gateway")?);
    Ok(bench)
}

/// Programs start in the root of the repository, so paths of the caller become absolute.
fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("{} is not a path", file.display()))
}
