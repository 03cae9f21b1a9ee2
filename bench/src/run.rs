//! A run: starts the processes, measures every scenario on every target, round after round.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use crate::{
    configuration::{self, Feature},
    content::{self, Case},
    load::{self, Times, Window},
    peers,
    process::{Process, free_address},
    report::{Measured, Report},
    scenario::{ALL, Scenario},
    steps, table,
};

/// Name of the reference among the targets.
pub(crate) const PROXY: &str = "proxy";
/// Name of the measured gateway with everything on: keys, rate limits, log lines.
pub(crate) const GATEWAY: &str = "gateway";
/// Name of the same build with nothing on.
pub(crate) const OPEN: &str = "open";
/// Name of another build of the gateway.
pub(crate) const OTHER: &str = "other";
/// Key of the clients.
pub(crate) const CLIENT_KEY: &str = "sk-bench-0123456789abcdef";
/// Name of the build with the recorder of steps.
const RECORDED: &str = "gateway with the recorder";
/// Credentials, as long as real ones; the fake Bedrock does not check signatures.
pub(crate) const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_ACCESS_KEY: &str = "0123456789012345678901234567890123456789";
/// Seconds of each measurement in a short round.
pub(crate) const QUICK_SECONDS: f64 = 0.2;
/// Most clients of a short round.
const QUICK_CLIENTS: usize = 32;
/// Time for a process to settle before its memory at rest is read.
const REST: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The program `bedrock-gateway`.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) gateway: PathBuf,
    /// Another build of it, measured in the same rounds.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Measure CPU time and allocations by step instead; the program has the feature `measure`.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["against", "gate", "compare"])]
    steps: Option<PathBuf>,
    /// Measure other gateways instead, which are installed in this directory.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["steps", "against", "gate", "compare", "quick"])]
    peers: Option<PathBuf>,
    /// Measure rate limits, budgets, attribution and audit records instead, compared with the gateway without them.
    #[arg(long = "options", conflicts_with_all = ["steps", "peers", "against", "gate", "compare"])]
    features: bool,
    /// Number of rounds; each round measures every scenario on every target once.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Length of each measurement in seconds.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Run scenarios whose name contains this text only.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Run one short round to check every response; its speed has no meaning.
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "out", "compare", "gate"])]
    pub(crate) quick: bool,
    /// Fail if the CPU time of a scenario is over its goal.
    #[arg(long)]
    gate: bool,
    /// Also write the results to a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print how the ratios changed since the run that wrote this file.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// How often each scenario is measured, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) count: usize,
    pub(crate) times: Times,
}

impl Options {
    /// Those of the scenarios that are to be measured.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn scenarios(
        &self,
        all: impl IntoIterator<Item = Scenario>,
    ) -> Result<Vec<Scenario>> {
        let text = self.only.as_deref().unwrap_or_default();
        let named = all.into_iter().filter(|one| one.name.contains(text));
        let scenarios: Vec<Scenario> = named.collect();
        ensure!(!scenarios.is_empty(), "--only: no scenario is called so");
        Ok(scenarios)
    }

    /// The rounds. `quick`: seconds of each measurement in a short one.
    pub(crate) fn rounds(&self, quick: f64) -> Rounds {
        let (count, seconds) = if self.quick {
            (1, quick)
        } else {
            (self.rounds.max(1), self.seconds)
        };
        let window = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(2));
        let warm_up = window / 5;
        let times = Times { warm_up, window };
        Rounds { count, times }
    }
}

/// Measures and prints.
///
/// # Errors
/// When a process does not start, or any response is wrong.
pub(crate) async fn run(options: &Options) -> Result<()> {
    if let Some(recorded) = &options.steps {
        return steps::run(options, recorded).await;
    }
    if let Some(installed) = &options.peers {
        return peers::run(options, installed).await;
    }
    if options.features {
        return crate::options::run(options).await;
    }
    // First: a missing file should be reported before minutes of measurements.
    let before = options.compare.as_deref().map(Report::read).transpose()?;
    let mut scenarios = options.scenarios(ALL)?;
    if options.quick {
        for scenario in &mut scenarios {
            scenario.clients = scenario.clients.min(QUICK_CLIENTS);
        }
    }
    let directory = tempfile::tempdir().context("failed to make a temporary directory")?;
    let targets = Targets::start(options, directory.path()).await?;
    let report = targets
        .report(&scenarios, options.rounds(QUICK_SECONDS))
        .await?;
    drop(targets);
    if options.quick {
        println!("\nevery response was right: {} of them", report.responses());
        return Ok(());
    }
    println!("\n{}", table::ratios(&report));
    if options.against.is_some() {
        println!("{}", table::against(&report));
    }
    if let Some(before) = before {
        println!("{}", table::change(&before, &report));
    }
    if let Some(path) = &options.out {
        report.write(path)?;
    }
    let over = if options.gate {
        over_goal(&report, &scenarios)
    } else {
        Vec::new()
    };
    ensure!(over.is_empty(), "over the goal: {}", over.join("; "));
    Ok(())
}

/// The scenarios whose CPU time is over their goal.
fn over_goal(report: &Report, scenarios: &[Scenario]) -> Vec<String> {
    let goals = scenarios.iter().filter_map(|scenario| {
        let most = scenario.most_cpu?;
        let found = report.scenario(scenario.name)?.cpu_ratio(GATEWAY)?.median;
        (found > most).then(|| {
            format!(
                "{}: {found:.2} times the CPU time of the proxy, the goal is {most}",
                scenario.name
            )
        })
    });
    goals.collect()
}

/// A window without responses has no result; this is possible in a short window on a slow machine.
fn expect_something(window: &Window, scenario: &Scenario, target: &Process) -> Result<()> {
    ensure!(
        window.seconds < 1.0 || window.responses > 0 || window.events > 0,
        "{}: nothing came from the {} within {:.1} s",
        scenario.name,
        target.name(),
        window.seconds
    );
    Ok(())
}

/// The processes of a run.
pub(crate) struct Targets {
    /// The proxy, the gateway with everything and with nothing on, and its other build if given.
    measured: Vec<Process>,
    /// Kept while they run.
    upstream: Process,
}

/// A role of this program.
fn role(name: &str, listen: SocketAddr) -> Result<Command> {
    let own = std::env::current_exe().context("failed to find this program")?;
    let mut command = Command::new(own);
    command.arg(name).arg("--listen").arg(listen.to_string());
    Ok(command)
}

/// The file with the output of a process.
pub(crate) fn log(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.log"))
}

/// The fake Bedrock.
pub(crate) async fn start_upstream(directory: &Path) -> Result<Process> {
    let address = free_address()?;
    let mut command = role("upstream", address)?;
    let file = log(directory, "upstream");
    Process::start("fake Bedrock", &mut command, address, &file).await
}

impl Targets {
    async fn start(options: &Options, directory: &Path) -> Result<Self> {
        let builds = [
            (GATEWAY, "gateway.yaml", Some(&options.gateway)),
            (OPEN, "open.yaml", Some(&options.gateway)),
            (OTHER, "gateway.yaml", options.against.as_ref()),
        ];
        Self::start_builds(&builds, directory).await
    }

    /// No targets yet, only the fake Bedrock.
    pub(crate) fn none(upstream: Process) -> Self {
        let measured = Vec::new();
        Self { measured, upstream }
    }

    /// The proxy, and the gateway with everything on.
    pub(crate) async fn start_reference(options: &Options, directory: &Path) -> Result<Self> {
        let builds = [(GATEWAY, "gateway.yaml", Some(&options.gateway))];
        Self::start_builds(&builds, directory).await
    }

    /// The proxy, and builds of the gateway: name, configuration and program.
    async fn start_builds(
        builds: &[(&str, &str, Option<&PathBuf>)],
        directory: &Path,
    ) -> Result<Self> {
        let upstream = start_upstream(directory).await?;
        write_configurations(directory, upstream.address())?;
        let proxy = free_address()?;
        let mut command = role("proxy", proxy)?;
        command
            .arg("--upstream")
            .arg(upstream.address().to_string());
        let file = log(directory, PROXY);
        let mut measured = vec![Process::start(PROXY, &mut command, proxy, &file).await?];
        for &(name, document, program) in builds {
            if let Some(program) = program {
                let address = free_address()?;
                let (document, admin) = (directory.join(document), free_address()?);
                let mut command = gateway(program, &document, address, admin);
                if name == OPEN {
                    command.args(["--log-level", "error"]);
                }
                let file = log(directory, name);
                measured.push(Process::start(name, &mut command, address, &file).await?);
            }
        }
        Ok(Self { measured, upstream })
    }

    /// The gateway with everything on, and its build with the recorder.
    pub(crate) async fn start_recorded(
        options: &Options,
        recorded: &Path,
        directory: &Path,
    ) -> Result<Self> {
        let upstream = start_upstream(directory).await?;
        write_configurations(directory, upstream.address())?;
        let document = directory.join("gateway.yaml");
        let mut measured = Vec::new();
        for (name, program) in [(GATEWAY, options.gateway.as_path()), (RECORDED, recorded)] {
            let (address, admin) = (free_address()?, free_address()?);
            let mut command = gateway(program, &document, address, admin);
            let file = log(directory, name);
            let process = Process::start(name, &mut command, address, &file).await?;
            measured.push(if name == RECORDED {
                process.with_recorder(admin)
            } else {
                process
            });
        }
        Ok(Self { measured, upstream })
    }

    /// Address of the fake Bedrock.
    pub(crate) fn upstream(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// Adds a target.
    pub(crate) fn add(&mut self, target: Process) {
        self.measured.push(target);
    }

    /// The targets, another one first in each round.
    pub(crate) fn in_order(&self, round: usize) -> impl Iterator<Item = &Process> {
        let count = self.measured.len();
        let all = self.measured.iter().cycle();
        all.skip(round % count).take(count)
    }

    /// Measures every scenario on every target, round after round.
    ///
    /// # Errors
    /// When any response is wrong, or `add` fails.
    pub(crate) async fn measure(
        &self,
        scenarios: &[Scenario],
        Rounds { count, times }: Rounds,
        mut add: impl FnMut(&Scenario, &Process, &Window) -> Result<()>,
    ) -> Result<()> {
        let cases: Arc<[Case]> = content::cases().into();
        for round in 0..count {
            for scenario in scenarios {
                print_round(round, count, scenario);
                for target in self.in_order(round) {
                    let window = load::run(scenario, target, &cases, CLIENT_KEY, times)
                        .await
                        .with_context(|| format!("{} on {:?}", scenario.name, target.name()))?;
                    add(scenario, target, &window)?;
                }
            }
        }
        Ok(())
    }

    /// The report of all measurements, and of the memory at rest.
    ///
    /// # Errors
    /// When any response is wrong, or none came.
    pub(crate) async fn report(&self, scenarios: &[Scenario], rounds: Rounds) -> Result<Report> {
        sleep(REST).await;
        let mut report = Report::new(rounds.count, rounds.times.window);
        for target in &self.measured {
            report.at_rest(target.name(), target.memory_bytes()?);
        }
        let add = |scenario: &Scenario, target: &Process, window: &Window| {
            expect_something(window, scenario, target)?;
            report.add(scenario, target.name(), Measured::new(scenario, window));
            Ok(())
        };
        self.measure(scenarios, rounds, add).await?;
        Ok(report)
    }
}

/// Prints what is measured next.
pub(crate) fn print_round(round: usize, count: usize, scenario: &Scenario) {
    let number = round.saturating_add(1);
    println!("round {number} of {count}: {}", scenario.name);
}

/// The configurations of the targets, which send calls to the fake Bedrock.
fn write_configurations(directory: &Path, upstream: SocketAddr) -> Result<()> {
    let everything = configuration::with(&[Feature::Limits], upstream, None, directory)?;
    let open = configuration::open(upstream);
    for (name, document) in [("gateway.yaml", everything), ("open.yaml", open)] {
        configuration::write(&directory.join(name), &document.to_string())?;
    }
    Ok(())
}

/// The gateway as it runs in a pod: a document, credentials of its own, its log.
pub(crate) fn gateway(
    program: &Path,
    document: &Path,
    listen: SocketAddr,
    admin: SocketAddr,
) -> Command {
    let nowhere = document.with_extension("none");
    let mut command = Command::new(program);
    command
        .arg("serve")
        .arg("--config")
        .arg(document)
        .args(["--listen", &listen.to_string()])
        .args(["--admin-listen", &admin.to_string()])
        .env_clear()
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", &nowhere)
        .env("AWS_SHARED_CREDENTIALS_FILE", &nowhere);
    command
}
