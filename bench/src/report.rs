//! Results of a run by scenario, target and round; written as JSON, and read for a comparison.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    load::Window,
    named,
    run::PROXY,
    scenario::{Mode, Scenario},
};

/// Changes when files of an earlier form can no longer be compared with.
const FORMAT: u32 = 2;

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    format: u32,
    /// Cores that all processes shared.
    pub(crate) cores: usize,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) scenarios: Vec<ScenarioResult>,
    /// Bytes of memory by target that no file backs.
    pub(crate) at_rest: BTreeMap<String, u64>,
    /// The most seen at the end of any window.
    pub(crate) under_load: BTreeMap<String, u64>,
    /// Targets without results for a scenario: scenario, target and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed: Vec<(String, String, String)>,
}

/// A scenario, on all targets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ScenarioResult {
    pub(crate) name: String,
    /// What is counted.
    pub(crate) unit: String,
    /// By target, one for each round.
    pub(crate) targets: BTreeMap<String, Vec<Measured>>,
}

/// A scenario on one target in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    responses: u64,
    /// Rate in the scenario's unit.
    pub(crate) per_second: f64,
    /// Deltas with text; 0 for responses that are not streamed.
    pub(crate) events_per_second: f64,
    /// For a thousand of the unit; absent if the window is too short.
    pub(crate) cpu_seconds_per_1000: Option<f64>,
    /// Time to the complete response, or for streams to the first text.
    pub(crate) p50_seconds: Option<f64>,
    pub(crate) p99_seconds: Option<f64>,
    pub(crate) memory_bytes: u64,
}

/// Median and spread of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Measured {
    pub(crate) fn new(scenario: &Scenario, window: &Window) -> Self {
        let counted = match scenario.mode {
            Mode::Slow => window.events,
            Mode::Whole | Mode::Burst => window.responses,
        };
        let rate = |count: u64| float(count) / window.seconds.max(f64::EPSILON);
        Self {
            responses: window.responses,
            per_second: rate(counted),
            events_per_second: rate(window.events),
            cpu_seconds_per_1000: (counted > 0)
                .then(|| window.cpu_seconds * 1000.0 / float(counted)),
            p50_seconds: percentile(&window.latencies, 50),
            p99_seconds: percentile(&window.latencies, 99),
            memory_bytes: window.memory_bytes,
        }
    }
}

impl Report {
    pub(crate) fn new(rounds: usize, window: Duration) -> Self {
        Self {
            format: FORMAT,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            rounds,
            seconds: window.as_secs_f64(),
            scenarios: Vec::new(),
            at_rest: BTreeMap::new(),
            under_load: BTreeMap::new(),
            failed: Vec::new(),
        }
    }

    /// A target has no result for a scenario.
    pub(crate) fn fail(&mut self, scenario: &str, target: &str, reason: String) {
        self.failed
            .push((scenario.to_owned(), target.to_owned(), reason));
    }

    pub(crate) fn at_rest(&mut self, target: &str, bytes: u64) {
        self.at_rest.insert(target.to_owned(), bytes);
    }

    pub(crate) fn add(&mut self, scenario: &Scenario, target: &str, measured: Measured) {
        let most = self.under_load.entry(target.to_owned()).or_default();
        *most = measured.memory_bytes.max(*most);
        if !self.scenarios.iter().any(|one| one.name == scenario.name) {
            self.scenarios.push(ScenarioResult {
                name: scenario.name.to_owned(),
                unit: scenario.unit().to_owned(),
                targets: BTreeMap::new(),
            });
        }
        if let Some(one) = self.scenario_mut(scenario.name) {
            one.targets
                .entry(target.to_owned())
                .or_default()
                .push(measured);
        }
    }

    fn scenario_mut(&mut self, name: &str) -> Option<&mut ScenarioResult> {
        self.scenarios.iter_mut().find(|one| one.name == name)
    }

    pub(crate) fn scenario(&self, name: &str) -> Option<&ScenarioResult> {
        self.scenarios.iter().find(|one| one.name == name)
    }

    /// Responses that were checked within the windows.
    pub(crate) fn responses(&self) -> u64 {
        let targets = self.scenarios.iter().flat_map(|one| one.targets.values());
        targets.flatten().map(|measured| measured.responses).sum()
    }

    /// Reads the file of an earlier run.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", named(path)))?;
        let report: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of a run", named(path)))?;
        ensure!(
            report.format == FORMAT,
            "{} has form {}, this program reads form {FORMAT}",
            named(path),
            report.format
        );
        Ok(report)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("failed to write JSON")?;
        std::fs::write(path, text).with_context(|| format!("failed to write {}", named(path)))
    }
}

impl ScenarioResult {
    /// A value of one target over all rounds.
    pub(crate) fn spread(
        &self,
        target: &str,
        figure: impl Fn(&Measured) -> Option<f64>,
    ) -> Option<Spread> {
        let rounds = self.targets.get(target)?;
        Spread::of(rounds.iter().filter_map(figure).collect())
    }

    /// A value of `one` combined with the one of `other` in each round.
    pub(crate) fn joined(
        &self,
        one: &str,
        other: &str,
        figure: impl Fn(&Measured) -> Option<f64>,
        join: impl Fn(f64, f64) -> f64,
    ) -> Option<Spread> {
        let rounds = self.targets.get(one)?.iter().zip(self.targets.get(other)?);
        Spread::of(
            rounds
                .filter_map(|(one, other)| Some(join(figure(one)?, figure(other)?)))
                .filter(|joined| joined.is_finite())
                .collect(),
        )
    }

    /// A target's rate in units of the proxy's.
    pub(crate) fn rate_ratio(&self, target: &str) -> Option<Spread> {
        self.joined(target, PROXY, |one| Some(one.per_second), ratio)
    }

    /// A target's CPU time in units of the proxy's.
    pub(crate) fn cpu_ratio(&self, target: &str) -> Option<Spread> {
        self.joined(target, PROXY, |one| one.cpu_seconds_per_1000, ratio)
    }
}

/// `one` divided by `other`.
pub(crate) fn ratio(one: f64, other: f64) -> f64 {
    one / other
}

/// `one` minus `other`.
pub(crate) fn difference(one: f64, other: f64) -> f64 {
    one - other
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            *figures.get(middle)?
        } else {
            f64::midpoint(*figures.get(middle.checked_sub(1)?)?, *figures.get(middle)?)
        };
        Some(Self {
            median,
            least: *figures.first()?,
            most: *figures.last()?,
        })
    }
}

/// A percentile of sorted times, by nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted
        .get(rank.saturating_sub(1))
        .map(Duration::as_secs_f64)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a count of a few seconds is far below 2^52"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run::GATEWAY, scenario::ALL};

    #[test]
    fn middle_and_ends_of_figures() {
        let spread = |figures: &[f64]| {
            Spread::of(figures.to_vec()).map(|one| (one.least, one.median, one.most))
        };
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn percentiles_are_figures_that_occurred() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(percentile(&times, 50), Some(100.0));
        assert_eq!(percentile(&times, 99), Some(198.0));
        assert_eq!(percentile(&times[..1], 99), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn ratios_are_made_within_a_round_and_survive_the_file() {
        let mut report = Report::new(2, Duration::from_secs(1));
        // The second round has half the machine: the ratio stays.
        for (target, responses) in [(PROXY, 1000), (GATEWAY, 600), (PROXY, 500), (GATEWAY, 300)] {
            let window = Window {
                seconds: 1.0,
                responses,
                cpu_seconds: 0.5,
                ..Window::default()
            };
            report.add(&ALL[0], target, Measured::new(&ALL[0], &window));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        report.write(file.path()).unwrap();
        let read = Report::read(file.path()).unwrap();
        let ratio = read
            .scenario(ALL[0].name)
            .unwrap()
            .rate_ratio(GATEWAY)
            .unwrap();
        assert_eq!((ratio.least, ratio.most), (0.6, 0.6));
        assert_eq!(read.responses(), 2400);
    }
}
