//! `--peers`: other gateways beside this one, in the same rounds.
//!
//! `cargo xtask bench --peers` installs them from package registries. Each gets the same requests, and its responses are checked
//! like those of the gateway, except that they may name the model as Bedrock does. A peer that does not start or gives a wrong
//! response is not left out: the results have the reason in its place.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    content::{self, Case, MODEL_IDS},
    load::{self, Times},
    named,
    process::{Process, free_address},
    report::{Measured, Report},
    run::{
        ACCESS_KEY_ID, CLIENT_KEY, GATEWAY, Options, PROXY, QUICK_SECONDS, Rounds,
        SECRET_ACCESS_KEY, Targets, print_round,
    },
    scenario::{ALL, Handling, Size},
    table,
};

/// Time in which a peer must serve its first request.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// Pause between attempts.
const START_PAUSE: Duration = Duration::from_secs(1);

/// A peer, and how it is started.
struct Peer {
    name: &'static str,
    command: Command,
    /// Headers of each request.
    headers: HeaderMap,
}

/// Measures and prints.
///
/// # Errors
/// When the gateway or the proxy gives a wrong response; reasons of peers are results.
pub(crate) async fn run(options: &Options, installed: &Path) -> Result<()> {
    let scenarios = ALL
        .into_iter()
        .filter(|one| one.handling == Handling::Translated && one.size != Size::Image)
        .filter(|one| one.clients <= 1_000);
    let scenarios = options.scenarios(scenarios)?;
    let Rounds { count, times } = options.rounds(QUICK_SECONDS);
    let directory = tempfile::tempdir().context("failed to make a temporary directory")?;
    let mut targets = Targets::start_reference(options, directory.path()).await?;
    let cases: Arc<[Case]> = content::cases().into();
    let mut report = Report::new(count, times.window);
    let mut names = vec![PROXY, GATEWAY];
    for make in [litellm, portkey] {
        let address = free_address()?;
        let peer = make(installed, directory.path(), address, targets.upstream())?;
        names.push(peer.name);
        let name = peer.name;
        match start(peer, address, directory.path(), &cases, times).await {
            Ok(process) => targets.add(process),
            Err(error) => report.fail("start", name, format!("{error:#}")),
        }
    }
    for target in targets.in_order(0) {
        report.at_rest(target.name(), target.memory_bytes()?);
    }
    for round in 0..count {
        for scenario in &scenarios {
            print_round(round, count, scenario);
            for target in targets.in_order(round) {
                match load::run(scenario, target, &cases, CLIENT_KEY, times).await {
                    Ok(window) => {
                        report.add(scenario, target.name(), Measured::new(scenario, &window));
                    }
                    Err(error) if [PROXY, GATEWAY].contains(&target.name()) => {
                        let place = format!("{} on the {}", scenario.name, target.name());
                        return Err(error.context(place));
                    }
                    Err(error) => {
                        report.fail(scenario.name, target.name(), format!("{error:#}"));
                        // Requests in progress end before the next target is measured.
                        sleep(START_PAUSE).await;
                    }
                }
            }
        }
    }
    drop(targets);
    let markdown = table::peers(&report, &names);
    println!("\n{markdown}");
    if let Some(path) = &options.out {
        report.write(path)?;
        let path = path.with_extension("md");
        std::fs::write(&path, &markdown)
            .with_context(|| format!("failed to write {}", named(&path)))?;
    }
    Ok(())
}

/// Starts a peer and waits until a request succeeds: some listen before they can serve.
async fn start(
    mut peer: Peer,
    address: SocketAddr,
    directory: &Path,
    cases: &Arc<[Case]>,
    times: Times,
) -> Result<Process> {
    let log = directory.join(format!("{}.log", peer.name));
    let process = Process::start(peer.name, &mut peer.command, address, &log).await?;
    let process = process.with_headers(peer.headers, &[Handling::Translated.model(), MODEL_IDS[0]]);
    let [first, ..] = ALL;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match load::run(&first, &process, cases, CLIENT_KEY, times).await {
            Ok(_) => return Ok(process),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(START_PAUSE).await,
        }
    }
}

/// LiteLLM's proxy with one worker for each core, a key, and no database.
fn litellm(
    installed: &Path,
    directory: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> Result<Peer> {
    let config = directory.join("litellm.yaml");
    let document = json!({
        "model_list": [{
            "model_name": Handling::Translated.model(),
            "litellm_params": {
                "model": format!("bedrock/converse/{}", MODEL_IDS[0]),
                "aws_bedrock_runtime_endpoint": format!("http://{upstream}"),
                "aws_region_name": "us-east-1",
                "aws_access_key_id": ACCESS_KEY_ID,
                "aws_secret_access_key": SECRET_ACCESS_KEY,
            },
        }],
        "general_settings": {"master_key": CLIENT_KEY},
    });
    std::fs::write(&config, document.to_string())
        .with_context(|| format!("failed to write {}", named(&config)))?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(installed.join("litellm/bin/litellm"));
    command
        .arg("--config")
        .arg(&config)
        .args(["--host", &listen.ip().to_string()])
        .args(["--port", &listen.port().to_string()])
        .args(["--num_workers", &workers.to_string()])
        .current_dir(directory)
        .env("LITELLM_MODE", "PRODUCTION")
        .env("LITELLM_LOG", "ERROR")
        // Prices from the package, not from the network.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    Ok(Peer {
        name: "LiteLLM",
        command,
        headers: HeaderMap::new(),
    })
}

/// Portkey's gateway. Requests bring its configuration; it checks no key.
fn portkey(
    installed: &Path,
    directory: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> Result<Peer> {
    let config: Value = json!({
        "provider": "bedrock",
        "aws_region": "us-east-1",
        "aws_access_key_id": ACCESS_KEY_ID,
        "aws_secret_access_key": SECRET_ACCESS_KEY,
        "custom_host": format!("http://{upstream}"),
        "override_params": {"model": MODEL_IDS[0]},
    });
    let config = HeaderValue::try_from(config.to_string()).context("not a header value")?;
    let program: PathBuf =
        installed.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js");
    let mut command = Command::new("node");
    command
        .arg(program)
        .arg(format!("--port={}", listen.port()))
        .arg("--headless")
        .current_dir(directory)
        .env("NODE_ENV", "production");
    Ok(Peer {
        name: "Portkey",
        command,
        headers: HeaderMap::from_iter([(HeaderName::from_static("x-portkey-config"), config)]),
    })
}
