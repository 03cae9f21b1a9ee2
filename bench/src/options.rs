//! `--options`: the CPU time of rate limits, budgets, attribution and audit records, compared with the same gateway without them, and
//! on every API.
//!
//! Each option is a process of its own, and each round measures all of them. The store is a Valkey or Redis server on loopback.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    configuration::{self, Feature},
    process::{Process, free_address},
    run::{Options, QUICK_SECONDS, Targets, gateway, log, start_upstream},
    scenario::{self, Scenario},
    shares, table,
};

/// Server programs, in order of preference.
const STORES: [&str; 2] = ["valkey-server", "redis-server"];
/// Options by name. The first is the base of the comparison: keys, metrics and log lines; the last is everything.
const OPTIONS: [(&str, &[Feature]); 9] = [
    ("no option", &[]),
    ("limits", &[Feature::Limits]),
    ("budget", &[Feature::Budget, Feature::Shares]),
    (
        "limits, budget",
        &[Feature::Limits, Feature::Budget, Feature::Shares],
    ),
    ("limits in a store", &[Feature::Limits, Feature::Store]),
    (
        "limits, budget in a store",
        &[Feature::Limits, Feature::Budget, Feature::Store],
    ),
    ("attribution", &[Feature::Attribution]),
    (
        "attribution, audit records",
        &[Feature::Attribution, Feature::Audit],
    ),
    (
        "all",
        &[
            Feature::Limits,
            Feature::Budget,
            Feature::Store,
            Feature::Attribution,
            Feature::Audit,
        ],
    ),
];

/// Measures and prints.
///
/// # Errors
/// When a process does not start, or any response is wrong.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let scenarios = options.scenarios(scenario::options())?;
    let directory = tempfile::tempdir().context("failed to make a temporary directory")?;
    let store = start_store(directory.path()).await?;
    let mut targets = Targets::none(start_upstream(directory.path()).await?);
    for (name, features) in OPTIONS {
        let directory = directory.path().join(name);
        std::fs::create_dir(&directory).context("failed to create a directory")?;
        let addresses = (targets.upstream(), store.address());
        targets.add(start(options, name, features, addresses, &directory).await?);
    }
    let report = targets
        .report(&scenarios, options.rounds(QUICK_SECONDS))
        .await?;
    drop(targets);
    for (name, features) in OPTIONS {
        if features.contains(&Feature::Audit) {
            check_audit(&directory.path().join(name), &scenarios)?;
        }
    }
    if options.quick {
        println!("\nevery response was right: {} of them", report.responses());
        return Ok(());
    }
    let names = OPTIONS.map(|(name, _)| name);
    println!("\n{}", table::options(&report, &names));
    if let Some(path) = &options.out {
        report.write(path)?;
    }
    Ok(())
}

/// Starts the gateway with an option.
async fn start(
    options: &Options,
    name: &str,
    features: &[Feature],
    (upstream, store): (SocketAddr, SocketAddr),
    directory: &Path,
) -> Result<Process> {
    let document = configuration::with(features, upstream, Some(store), directory)?;
    let path = directory.join("gateway.yaml");
    configuration::write(&path, &document.to_string())?;
    let (address, admin) = (free_address()?, free_address()?);
    let mut command = gateway(&options.gateway, &path, address, admin);
    let process = Process::start(name, &mut command, address, &log(directory, "gateway")).await?;
    if features.contains(&Feature::Shares) {
        let budget = serde_json::from_value(configuration::budget())?;
        shares::grant(admin, &budget).await?;
    }
    Ok(process)
}

/// Starts an empty store.
async fn start_store(directory: &Path) -> Result<Process> {
    for program in STORES {
        let found = Command::new(program).arg("--version").output();
        if found.is_err() {
            continue;
        }
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .args(["--bind", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(directory);
        return Process::start("store", &mut command, address, &log(directory, "store")).await;
    }
    bail!(
        "{} is missing. Fix: install one of them, on Debian by apt-get install redis-server",
        STORES.join(" or ")
    )
}

/// Checks that requests of each scenario have records: otherwise the figures would be of something else.
fn check_audit(directory: &Path, scenarios: &[Scenario]) -> Result<()> {
    let path = configuration::audit_file(directory);
    let records = std::fs::read_to_string(&path)
        .with_context(|| format!("no audit records in {}", path.display()))?;
    for scenario in scenarios {
        let model = format!("\"model\":\"{}\",\"stream\":", scenario.model());
        ensure!(
            records.contains(&model),
            "{}: no audit record of its model",
            scenario.name
        );
    }
    Ok(())
}
