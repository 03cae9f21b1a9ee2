//! The time of each part of the suite against its budget.
//!
//! Budgets are for two cores that do nothing else. A part over its budget is marked; only a total far over it fails,
//! since machines differ.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::console::{Console, Failures, seconds};

/// A total of more than this many times its budget is a failure.
const FAR_OVER: u32 = 2;

/// A part that ran.
#[derive(Debug)]
struct Part {
    name: &'static str,
    took: Duration,
    budget: Duration,
    failed: bool,
}

/// The parts that ran so far.
#[derive(Debug)]
pub(crate) struct Report {
    started: Instant,
    budget: Duration,
    parts: Vec<Part>,
    failures: Failures,
}

impl Report {
    /// An empty report with a budget for all parts together.
    pub(crate) fn new(budget: Duration) -> Self {
        Self {
            started: Instant::now(),
            budget,
            parts: Vec::new(),
            failures: Failures::default(),
        }
    }

    /// Runs a part, whose failure does not end the suite, and notes its time. `budget` is in seconds.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        budget: u64,
        work: impl FnOnce() -> Result<()>,
    ) {
        // The outcome is in the report.
        self.required(name, budget, work).unwrap_or_default();
    }

    /// Runs a part that the others need, and gives what it makes; `None` when it fails.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        budget: u64,
        work: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        let started = Instant::now();
        let result = work();
        self.parts.push(Part {
            name,
            took: started.elapsed(),
            budget: Duration::from_secs(budget),
            failed: result.is_err(),
        });
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failures.collect(name, Err(error));
                None
            }
        }
    }

    /// Prints the table and fails if a part failed or if the total is far over its budget.
    pub(crate) fn conclude(self, console: &Console) -> Result<()> {
        let total = self.started.elapsed();
        console.heading("Time");
        for line in self.table(total).lines() {
            let line = if line.contains(OVER) {
                console.paint("33", line)
            } else {
                line.to_owned()
            };
            println!("  {line}");
        }
        let budget = self.budget;
        self.failures.conclude()?;
        ensure!(
            total <= budget * FAR_OVER,
            "the suite took {}, more than {FAR_OVER} times its budget of {}",
            seconds(total),
            seconds(budget)
        );
        Ok(())
    }

    /// One line for each part and one for the total.
    fn table(&self, total: Duration) -> String {
        let mut table = format!("{:<28}{:>14}{:>14}\n", "part", "time", "budget");
        let sum = ("total", total, self.budget, false);
        let parts = self
            .parts
            .iter()
            .map(|part| (part.name, part.took, part.budget, part.failed));
        for (name, took, budget, failed) in parts.chain([sum]) {
            let mark = match (failed, took > budget) {
                (true, _) => "  failed".to_owned(),
                (false, true) => format!("  {OVER} {}", seconds(took.saturating_sub(budget))),
                (false, false) => String::new(),
            };
            table = format!(
                "{table}{name:<28}{:>14}{:>14}{mark}\n",
                seconds(took),
                seconds(budget)
            );
        }
        table
    }
}

/// Marks a part that took longer than it should.
const OVER: &str = "OVER BUDGET by";

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn part(name: &'static str, took: u64, budget: u64, failed: bool) -> Part {
        Part {
            name,
            took: Duration::from_secs(took),
            budget: Duration::from_secs(budget),
            failed,
        }
    }

    #[test]
    fn table_marks_parts_that_failed_or_took_too_long() {
        let mut report = Report::new(Duration::from_mins(12));
        report.parts = vec![
            part("compile", 200, 270, false),
            part("unit tests", 65, 60, false),
            part("demo", 5, 60, true),
        ];
        let table = report.table(Duration::from_secs(270));
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].ends_with("4 min 30 s"), "{table}");
        assert!(lines[2].ends_with("OVER BUDGET by 5.0 s"), "{table}");
        assert!(lines[3].ends_with("failed"), "{table}");
        assert!(lines[4].starts_with("total"), "{table}");
        assert!(lines[4].ends_with("12 min 0 s"), "{table}");
    }

    #[test]
    fn failure_of_a_part_is_the_failure_of_the_suite_and_the_others_still_run() {
        let mut report = Report::new(Duration::from_mins(12));
        let mut ran = false;
        report.run("first", 1, || bail!("broken"));
        report.run("second", 1, || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        let error = report.conclude(&Console::new()).unwrap_err();
        assert_eq!(error.to_string(), "failed: first");
    }

    #[test]
    fn total_far_over_its_budget_is_a_failure() {
        let report = Report::new(Duration::ZERO);
        let error = report.conclude(&Console::new()).unwrap_err().to_string();
        assert!(error.contains("more than 2 times its budget"), "{error}");
    }
}
