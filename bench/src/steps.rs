//! `--steps`: CPU time and allocations of the gateway by step of a request.
//!
//! Measured is a build of the gateway with a recorder (its feature `measure`). It reports sums on its admin port, which
//! are read at both ends of each window. They must add up to the CPU time that the kernel has counted for the process,
//! and each step that a request takes must occur. The shipped build is measured in the same rounds: the difference is the
//! cost of the recorder.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    admin,
    load::Window,
    named,
    process::Process,
    report::float,
    run::{Options, Targets},
    scenario::{ALL, Handling, Mode, Scenario, Size},
};

/// Path of the sums on the admin port.
const PATH: &str = "/steps";
/// Largest difference between the sum of the steps and the CPU time of the process.
const TOLERANCE: f64 = 0.1;
/// Length of a window of a short run, in seconds: long enough for the kernel's unit of CPU time, 10 ms.
const QUICK_SECONDS: f64 = 0.5;

/// Steps that a request takes, by name.
const EVERY: [&str; 17] = [
    "HTTP server (hyper)",
    "HTTP client (hyper)",
    "receive the request (kernel)",
    "send the response (kernel)",
    "send the call (kernel)",
    "receive the reply (kernel)",
    "middleware and everything between steps",
    "authenticate the client",
    "collect the body",
    "rate limits",
    "find the model and the stream flag",
    "choose the target",
    "decode or edit the request",
    "build and sign the call",
    "encode the response or event",
    "record",
    "metrics",
];
const LOGGED: [&str; 2] = ["format the log line", "write log lines (thread)"];
const TRANSLATED: [&str; 2] = ["write the call for Converse", "decode the reply or event"];
const STREAMED: [&str; 2] = ["decode frames or server-sent events", "drive the stream"];

/// Sums of a step since the start of the process, or of a window.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Sum {
    step: String,
    visits: u64,
    nanoseconds: u64,
    allocations: u64,
    bytes: u64,
}

/// The sums of all steps.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sums(Vec<Sum>);

/// A step of one request.
#[derive(Clone, Debug, Serialize)]
struct Row {
    step: String,
    microseconds: f64,
    visits: f64,
    allocations: f64,
    bytes: f64,
}

/// The steps of a scenario, for one request.
#[derive(Clone, Debug, Serialize)]
struct Table {
    scenario: &'static str,
    requests: u64,
    rows: Vec<Row>,
    /// CPU time of the process with the recorder, as counted by the kernel.
    recorded_microseconds: f64,
    /// CPU time of the shipped build.
    shipped_microseconds: f64,
}

/// What was measured, as a file.
#[derive(Debug, Serialize)]
struct Report<'a> {
    cores: usize,
    rounds: usize,
    seconds: f64,
    scenarios: &'a [Table],
}

/// Windows of a scenario over all rounds.
#[derive(Debug, Default)]
struct Collected {
    sums: BTreeMap<usize, Sum>,
    requests: u64,
    cpu_seconds: f64,
    shipped_requests: u64,
    shipped_cpu_seconds: f64,
}

impl Sums {
    /// Reads the sums of a process from its admin port.
    ///
    /// # Errors
    /// When it does not report them.
    pub(crate) async fn read(admin: std::net::SocketAddr) -> Result<Self> {
        let (status, body) = admin::get(admin, PATH).await?;
        ensure!(
            status == StatusCode::OK,
            "the program has no recorder: build it with the feature `measure`"
        );
        serde_json::from_slice(&body).context("the sums are not readable")
    }

    /// What was added since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.0.iter().zip(&earlier.0);
        let differences = pairs.map(|(now, then)| Sum {
            step: now.step.clone(),
            visits: now.visits.saturating_sub(then.visits),
            nanoseconds: now.nanoseconds.saturating_sub(then.nanoseconds),
            allocations: now.allocations.saturating_sub(then.allocations),
            bytes: now.bytes.saturating_sub(then.bytes),
        });
        Self(differences.collect())
    }
}

impl Collected {
    fn add(&mut self, window: &Window) {
        let Some(sums) = &window.steps else {
            self.shipped_requests = self.shipped_requests.saturating_add(window.responses);
            self.shipped_cpu_seconds += window.cpu_seconds;
            return;
        };
        self.requests = self.requests.saturating_add(window.responses);
        self.cpu_seconds += window.cpu_seconds;
        for (index, sum) in sums.0.iter().enumerate() {
            let all = self.sums.entry(index).or_default();
            all.step.clone_from(&sum.step);
            all.visits = all.visits.saturating_add(sum.visits);
            all.nanoseconds = all.nanoseconds.saturating_add(sum.nanoseconds);
            all.allocations = all.allocations.saturating_add(sum.allocations);
            all.bytes = all.bytes.saturating_add(sum.bytes);
        }
    }

    fn table(&self, scenario: &Scenario) -> Table {
        let each = |sum: u64| float(sum) / float(self.requests.max(1));
        let rows = self.sums.values().map(|sum| Row {
            step: sum.step.clone(),
            microseconds: each(sum.nanoseconds) / 1e3,
            visits: each(sum.visits),
            allocations: each(sum.allocations),
            bytes: each(sum.bytes),
        });
        Table {
            scenario: scenario.name,
            requests: self.requests,
            rows: rows.collect(),
            recorded_microseconds: self.cpu_seconds * 1e6 / float(self.requests.max(1)),
            shipped_microseconds: self.shipped_cpu_seconds * 1e6
                / float(self.shipped_requests.max(1)),
        }
    }
}

/// Measures, prints and checks.
///
/// # Errors
/// When a response is wrong, a step is never reached, or the steps do not add up to the CPU time.
pub(crate) async fn run(options: &Options, recorded: &Path) -> Result<()> {
    let scenarios = options.scenarios(ALL.into_iter().filter(is_taken_apart))?;
    let rounds = options.rounds(QUICK_SECONDS);
    let directory = tempfile::tempdir().context("failed to make a temporary directory")?;
    let targets = Targets::start_recorded(options, recorded, directory.path()).await?;
    let mut collected: BTreeMap<&str, Collected> = BTreeMap::new();
    let add = |scenario: &Scenario, _: &Process, window: &Window| {
        collected.entry(scenario.name).or_default().add(window);
        Ok(())
    };
    targets.measure(&scenarios, rounds, add).await?;
    drop(targets);
    let tables = scenarios
        .iter()
        .filter_map(|one| Some(collected.get(one.name)?.table(one)));
    let tables: Vec<Table> = tables.collect();
    let mut markdown = String::new();
    for table in &tables {
        table.write(&mut markdown);
    }
    println!("\n{markdown}");
    if let Some(path) = &options.out {
        let report = Report {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            rounds: rounds.count,
            seconds: rounds.times.window.as_secs_f64(),
            scenarios: &tables,
        };
        let json = serde_json::to_string_pretty(&report).context("failed to write JSON")?;
        write(path, &json)?;
        write(&path.with_extension("md"), &markdown)?;
    }
    let mut problems: Vec<String> = Vec::new();
    for (scenario, table) in scenarios.iter().zip(&tables) {
        problems.extend(table.missing(scenario));
        if !options.quick {
            problems.extend(difference(table.scenario, &[table]));
        }
    }
    // The kernel counts CPU time in units of 10 ms, so that short windows are added up.
    let all: Vec<&Table> = tables.iter().collect();
    problems.extend(difference("all scenarios", &all));
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

/// Requests of 2 KB and 100 KB, and streams.
fn is_taken_apart(scenario: &Scenario) -> bool {
    scenario.clients > 1 && scenario.mode != Mode::Slow && scenario.size != Size::Image
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", named(path)))
}

/// How far the steps are from the CPU time, if that is too far.
fn difference(name: &str, tables: &[&Table]) -> Option<String> {
    let total = |figure: fn(&Table) -> f64| {
        tables
            .iter()
            .map(|table| figure(table) * float(table.requests))
            .sum::<f64>()
    };
    let (steps, process) = (
        total(Table::sum),
        total(|table| table.recorded_microseconds),
    );
    let off = steps / process - 1.0;
    (off.abs() > TOLERANCE).then(|| {
        format!(
            "{name}: the steps add up to {:+.1} % of the CPU time of the process, more than {:.0} % off",
            off * 100.0,
            TOLERANCE * 100.0
        )
    })
}

impl Table {
    fn sum(&self) -> f64 {
        self.rows.iter().map(|row| row.microseconds).sum()
    }

    /// Steps of the scenario that too few requests have taken.
    fn missing(&self, scenario: &Scenario) -> Vec<String> {
        let mut expected: Vec<&str> = EVERY.to_vec();
        let streams = scenario.mode != Mode::Whole;
        if streams {
            expected.extend(STREAMED);
        }
        if scenario.handling == Handling::Translated {
            expected.extend(TRANSLATED);
        }
        let found = |name: &str| self.rows.iter().find(|row| row.step == name);
        let mut missing: Vec<&str> = expected
            .into_iter()
            // A window begins and ends within requests.
            .filter(|name| found(name).is_none_or(|row| row.visits < 0.5))
            .collect();
        // One write is for many lines.
        missing.extend(
            LOGGED
                .iter()
                .filter(|name| found(name).is_none_or(|row| row.visits <= 0.0)),
        );
        let report = |step| format!("{}: no step {step:?}", self.scenario);
        missing.into_iter().map(report).collect()
    }

    /// Writes the table as Markdown, the most expensive step first.
    fn write(&self, text: &mut String) {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.visits > 0.0).collect();
        rows.sort_by(|one, other| other.microseconds.total_cmp(&one.microseconds));
        let sum = self.sum();
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _: std::fmt::Result = writeln!(text, "{line}");
        };
        line(format_args!("### {}\n", self.scenario));
        line(format_args!(
            "| Step | µs | Share | Visits | Allocations | Bytes |\n|---|---|---|---|---|---|"
        ));
        for row in rows {
            line(format_args!(
                "| {} | {:.2} | {:.1} % | {:.1} | {:.1} | {:.0} |",
                row.step,
                row.microseconds,
                row.microseconds / sum * 100.0,
                row.visits,
                row.allocations,
                row.bytes
            ));
        }
        let total = |figure: fn(&Row) -> f64| self.rows.iter().map(figure).sum::<f64>();
        line(format_args!(
            "| **Sum** | **{sum:.1}** | | | **{:.1}** | **{:.0}** |",
            total(|row| row.allocations),
            total(|row| row.bytes)
        ));
        line(format_args!(
            "| CPU time of the process | {:.1} | {:.1} % | | | |",
            self.recorded_microseconds,
            self.recorded_microseconds / sum * 100.0
        ));
        line(format_args!(
            "| CPU time of the shipped build, without the recorder | {:.1} | {:.1} % | | | |\n",
            self.shipped_microseconds,
            self.shipped_microseconds / sum * 100.0
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(steps: &[(&str, u64)], cpu_seconds: f64) -> Table {
        let mut collected = Collected::default();
        let sums = steps.iter().map(|(step, nanoseconds)| Sum {
            step: (*step).to_owned(),
            visits: 100,
            nanoseconds: *nanoseconds,
            allocations: 300,
            bytes: 5_000,
        });
        collected.add(&Window {
            responses: 100,
            cpu_seconds,
            steps: Some(Sums(sums.collect())),
            ..Window::default()
        });
        collected.table(&ALL[1])
    }

    #[test]
    fn steps_that_do_not_add_up_are_a_problem() {
        let right = table(&[("one", 600_000), ("other", 400_000)], 0.00105);
        assert_eq!(difference("", &[&right]), None);
        for cpu_seconds in [0.0012, 0.0008] {
            let wrong = table(&[("one", 600_000), ("other", 400_000)], cpu_seconds);
            assert!(difference("", &[&wrong]).is_some(), "{cpu_seconds}");
        }
    }

    #[test]
    fn a_step_that_no_request_takes_is_a_problem() {
        let all: Vec<(&str, u64)> = EVERY
            .iter()
            .chain(&LOGGED)
            .chain(&TRANSLATED)
            .map(|name| (*name, 1_000))
            .collect();
        assert_eq!(table(&all, 1.0).missing(&ALL[1]), Vec::<String>::new());
        let missing = table(&all[1..], 1.0).missing(&ALL[1]);
        assert!(missing[0].contains("HTTP server"), "{missing:?}");
    }

    #[test]
    fn rows_are_for_one_request_and_the_most_expensive_is_first() {
        let mut text = String::new();
        table(&[("small", 100_000), ("large", 900_000)], 0.001).write(&mut text);
        let rows: Vec<&str> = text.lines().skip(4).take(2).collect();
        assert_eq!(rows[0], "| large | 9.00 | 90.0 % | 1.0 | 3.0 | 50 |");
        assert!(rows[1].starts_with("| small | 1.00 "), "{}", rows[1]);
    }
}
