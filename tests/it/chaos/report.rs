//! The judgement of a run, as a table and as JSON.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write as _,
    io::Write as _,
    path::Path,
    time::Duration,
};

use localcluster::AuditEvent;
use serde_json::json;
use tokio::time::Instant;

use super::{
    accounting::Lines,
    faults::Fault,
    traffic::{Attempt, Outcome},
};

/// Violations that are printed; the others are counted.
const SHOWN: usize = 40;
/// Characters of the reason of a failed attempt.
const MAX_REASON: usize = 200;

/// A fault and the time until the cluster was as before.
pub(super) struct Turn {
    pub(super) fault: Fault,
    pub(super) start: Instant,
    pub(super) fault_end: Instant,
    pub(super) recovered: Result<Instant, String>,
}

/// What the oracle found.
pub(super) struct Report {
    seed: u64,
    start: Instant,
    turns: Vec<Turn>,
    rows: BTreeMap<String, Row>,
    violations: Vec<String>,
    requests: usize,
    failed: usize,
    accounted: usize,
    calls: usize,
}

/// All turns with one fault.
#[derive(Default)]
struct Row {
    turns: usize,
    requests: usize,
    failed: usize,
    /// How often an attempt failed for which reason.
    reasons: BTreeMap<String, usize>,
    /// Time from the end of the fault until the last failed attempt ended.
    last_failure: Duration,
    /// Time from the end of the fault until the cluster was as before.
    recovery: Duration,
}

/// What the simulated AWS and the gateways' logs tell.
pub(super) struct Accounting {
    pub(super) lines: Lines,
    /// AWS request ids of complete responses of Bedrock.
    pub(super) calls: Vec<(String, Instant)>,
    /// Times in which log lines cannot be written: a program is killed, or the disk is full.
    pub(super) unlogged: Vec<(Instant, Instant)>,
}

impl Accounting {
    fn is_unlogged(&self, start: Instant, end: Instant) -> bool {
        self.unlogged
            .iter()
            .any(|(from, to)| start <= *to && *from <= end)
    }
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            start: Instant::now(),
            turns: Vec::new(),
            rows: BTreeMap::new(),
            violations: Vec::new(),
            requests: 0,
            failed: 0,
            accounted: 0,
            calls: 0,
        }
    }

    pub(super) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    /// Adds a turn and prints it.
    pub(super) fn add(&mut self, turn: Turn) {
        let name = turn.fault.name();
        let at = (turn.start - self.start).as_secs();
        let took = (turn.fault_end - turn.start).as_secs_f64();
        let end = match &turn.recovered {
            Ok(at) => format!("recovered in {:.1} s", (*at - turn.fault_end).as_secs_f64()),
            Err(why) => {
                self.violations.push(format!("{name}: {why}"));
                format!("did not recover: {why}")
            }
        };
        print(&format!("{at:>5} s  {name:<32} {took:>5.1} s  {end}"));
        self.turns.push(turn);
    }

    /// Judges what clients saw, and sorts it by the fault before it.
    pub(super) fn judge_attempts(&mut self, attempts: &[Attempt]) {
        self.requests = attempts.iter().filter(|attempt| !attempt.is_retry).count();
        for turn in &self.turns {
            let row = self.rows.entry(turn.fault.name().to_owned()).or_default();
            row.turns += 1;
            if let Ok(at) = turn.recovered {
                row.recovery = row.recovery.max(at - turn.fault_end);
            }
        }
        for attempt in attempts {
            let turn = self
                .turns
                .iter()
                .rev()
                .find(|turn| turn.start <= attempt.end);
            let name = turn.map_or("none", |turn| turn.fault.name());
            let row = self.rows.entry(name.to_owned()).or_default();
            row.requests += usize::from(!attempt.is_retry);
            match &attempt.outcome {
                Outcome::Good(_) => {}
                Outcome::Wrong(why) => self.violations.push(format!("{name}: wrong: {why}")),
                Outcome::Failed { why, .. } => {
                    if attempt.is_retry {
                        let text = format!("{name}: a retry failed: {:?}: {why}", attempt.surface);
                        self.violations.push(text);
                        continue;
                    }
                    self.failed += 1;
                    row.failed += 1;
                    let reason = why.chars().take(MAX_REASON).collect();
                    *row.reasons.entry(reason).or_default() += 1;
                    if let Some(turn) = turn {
                        let after = attempt.end.saturating_duration_since(turn.fault_end);
                        row.last_failure = row.last_failure.max(after);
                    }
                }
            }
        }
    }

    /// Compares the responses with the log lines.
    pub(super) fn judge_accounting(&mut self, accounting: &Accounting, attempts: &[Attempt]) {
        for attempt in attempts {
            let Outcome::Good(reply) = &attempt.outcome else {
                continue;
            };
            let lines = accounting.lines.get(&attempt.request_id);
            let lines = lines.map(Vec::as_slice).unwrap_or_default();
            match lines {
                [line]
                    if line.status == 200
                        && line.input_tokens == reply.input_tokens
                        && line.output_tokens == reply.output_tokens =>
                {
                    self.accounted += 1;
                }
                [] if accounting.is_unlogged(attempt.start, attempt.end) => {}
                lines => self.violations.push(format!(
                    "{}: {} of {:?} used {} and {} tokens; log lines: {lines:?}",
                    self.moment(attempt.end),
                    attempt.request_id,
                    attempt.surface,
                    reply.input_tokens,
                    reply.output_tokens
                )),
            }
        }
        let logged: HashSet<&str> = accounting
            .lines
            .values()
            .flatten()
            .map(|line| line.aws_request_id.as_str())
            .collect();
        for (id, at) in &accounting.calls {
            if logged.contains(id.as_str()) {
                self.calls += 1;
            } else if !accounting.is_unlogged(*at, *at + Duration::from_secs(10)) {
                let moment = self.moment(*at);
                let text =
                    format!("{moment}: call {id} of Bedrock is complete, but in no log line");
                self.violations.push(text);
            }
        }
    }

    /// The fault before a time, and the seconds since it began.
    fn moment(&self, at: Instant) -> String {
        let turn = self.turns.iter().rev().find(|turn| turn.start <= at);
        turn.map_or_else(String::new, |turn| {
            let seconds = (at - turn.start).as_secs_f64();
            format!("{}, {seconds:.1} s later", turn.fault.name())
        })
    }

    /// A permission is missing if the API server never grants it: for a moment after its own start, it rejects all
    /// requests with 403.
    pub(super) fn judge_permissions(&mut self, requests: &[AuditEvent]) {
        let what = |event: &AuditEvent| (event.verb.clone(), event.resource.clone());
        let (refused, other): (Vec<_>, Vec<_>) =
            requests.iter().partition(|event| event.code == 403);
        let granted: HashSet<_> = other.into_iter().map(what).collect();
        for (verb, resource) in refused.into_iter().map(what).collect::<BTreeSet<_>>() {
            if !granted.contains(&(verb.clone(), resource.clone())) {
                self.violation(format!("the operator may not {verb} {resource}"));
            }
        }
    }

    /// Writes the results.
    pub(super) fn write(&self, path: &Path) {
        let rows: BTreeMap<_, _> = self
            .rows
            .iter()
            .map(|(name, row)| {
                let row = json!({
                    "turns": row.turns,
                    "requests": row.requests,
                    "failed_attempts": row.failed,
                    "reasons": row.reasons,
                    "last_failure_s": row.last_failure.as_secs_f64(),
                    "recovery_s": row.recovery.as_secs_f64(),
                });
                (name, row)
            })
            .collect();
        let results = json!({
            "seed": self.seed,
            "seconds": self.start.elapsed().as_secs(),
            "requests": self.requests,
            "failed_attempts": self.failed,
            "responses_with_log_line": self.accounted,
            "aws_calls_with_log_line": self.calls,
            "violations": self.violations,
            "faults": rows,
        });
        std::fs::write(path, serde_json::to_string_pretty(&results).unwrap()).unwrap();
    }

    /// Prints the table. Fails if there is a violation.
    pub(super) fn conclude(&self) {
        let mut text = format!(
            "seed {}: {} requests, {} failed attempts; {} responses and {} calls of Bedrock have their log line\n",
            self.seed, self.requests, self.failed, self.accounted, self.calls
        );
        let _ = writeln!(
            text,
            "{:<32} {:>5} {:>8} {:>6} {:>12} {:>9}",
            "fault", "turns", "requests", "failed", "last failure", "recovery"
        );
        for (name, row) in &self.rows {
            let _ = writeln!(
                text,
                "{name:<32} {:>5} {:>8} {:>6} {:>10.1} s {:>7.1} s",
                row.turns,
                row.requests,
                row.failed,
                row.last_failure.as_secs_f64(),
                row.recovery.as_secs_f64()
            );
        }
        print(&text);
        let shown = &self.violations[..self.violations.len().min(SHOWN)];
        assert!(
            shown.is_empty(),
            "{} violations:\n{}",
            self.violations.len(),
            shown.join("\n")
        );
    }
}

/// Prints straight to the stream: libtest captures what `eprintln!` prints.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
