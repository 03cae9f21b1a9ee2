//! Audit records, as files of JSON lines.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{error::Error, files};

/// Operations without billed tokens.
const FREE: [&str; 3] = ["CountTokens", "CountMessageTokens", "ApplyGuardrail"];

/// Tokens by kind. Writes to the cache include those for an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

/// The records of all files.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) summary: Summary,
    pub(super) attempts: Vec<Attempt>,
    by_aws_id: HashMap<String, usize>,
    /// Attempts without an id of AWS, by the id of their request.
    without_aws_id: HashMap<String, Vec<usize>>,
}

/// What the files contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) records: u64,
    /// Lines that are no records, such as those that a crash has cut.
    pub(super) cut_lines: u64,
    /// Records that a gateway could not write, by its own count.
    pub(super) dropped_records: u64,
    /// Numbers that are missing between the first and the last record of each process; dropped records are among them.
    pub(super) missing_records: u64,
    pub(super) calls: u64,
    /// Calls whose tokens the gateway does not know.
    pub(super) calls_without_tokens: u64,
    pub(super) tokens: Tokens,
    /// The sum of the known costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_nanodollars: Option<u64>,
}

/// A call to Bedrock.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) request_id: String,
    pub(super) aws_request_id: Option<String>,
    pub(super) operation: String,
    pub(super) service: String,
    pub(super) region: String,
    pub(super) model: String,
    pub(super) result: String,
    pub(super) tokens: Option<Tokens>,
}

#[derive(Deserialize)]
struct Line {
    instance: String,
    sequence: u64,
    #[serde(default)]
    dropped: u64,
    request_id: String,
    #[serde(default)]
    cost_nanodollars: Option<u64>,
    attempts: Vec<AttemptOfLine>,
}

#[derive(Deserialize)]
struct AttemptOfLine {
    #[serde(default)]
    aws_request_id: Option<String>,
    operation: String,
    service: String,
    region: String,
    model: String,
    result: String,
    #[serde(default)]
    tokens: Option<Tokens>,
}

impl Tokens {
    /// Kinds with their names.
    pub(super) fn kinds(&self) -> [(&'static str, u64); 4] {
        [
            ("input", self.input),
            ("output", self.output),
            ("cacheRead", self.cache_read),
            ("cacheWrite", self.cache_write),
        ]
    }

    pub(super) fn add(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.input, other.input),
            (&mut self.output, other.output),
            (&mut self.cache_read, other.cache_read),
            (&mut self.cache_write, other.cache_write),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

impl Attempt {
    /// Whether Bedrock's invocation log has the call.
    pub(super) fn is_logged(&self) -> bool {
        let is_logged = ["Converse", "ConverseStream", "InvokeModel"]
            .contains(&self.operation.as_str())
            || self.operation == "InvokeModelWithResponseStream";
        is_logged && self.service == "bedrock-runtime"
    }
}

impl Ledger {
    /// Reads the records of all files.
    ///
    /// # Errors
    /// When a file cannot be read, or has no record.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut ledger = Self::default();
        let mut numbers = BTreeMap::<String, BTreeSet<u64>>::new();
        for path in paths {
            let before = ledger.summary.records;
            for line in files::text(path)?.lines().filter(|line| !line.is_empty()) {
                let Ok(line) = serde_json::from_str::<Line>(line) else {
                    let cut = &mut ledger.summary.cut_lines;
                    *cut = cut.saturating_add(1);
                    continue;
                };
                let of_instance = numbers.entry(line.instance.clone()).or_default();
                // A file that is named twice.
                if of_instance.insert(line.sequence) {
                    ledger.add(line);
                }
            }
            if ledger.summary.records == before && ledger.summary.cut_lines > 0 {
                return Err(Error::Format {
                    path: path.clone(),
                    problem: "no audit record of a gateway. Fix: pass the file of `audit.output`, not that of the log"
                        .to_owned(),
                });
            }
        }
        for numbers in numbers.values() {
            let last = numbers.last().copied().unwrap_or(0);
            let first = numbers.first().copied().unwrap_or(1);
            let expected = last.saturating_sub(first).saturating_add(1);
            let found = u64::try_from(numbers.len()).unwrap_or(u64::MAX);
            let missing = &mut ledger.summary.missing_records;
            *missing = missing.saturating_add(expected.saturating_sub(found));
        }
        Ok(ledger)
    }

    fn add(&mut self, line: Line) {
        let summary = &mut self.summary;
        summary.records = summary.records.saturating_add(1);
        summary.dropped_records = summary.dropped_records.saturating_add(line.dropped);
        if let Some(cost) = line.cost_nanodollars {
            let sum = summary.cost_nanodollars.get_or_insert(0);
            *sum = sum.saturating_add(cost);
        }
        for attempt in line.attempts {
            if FREE.contains(&attempt.operation.as_str()) {
                continue;
            }
            summary.calls = summary.calls.saturating_add(1);
            let unknown = ["ok", "abandoned"].contains(&attempt.result.as_str());
            match attempt.tokens {
                Some(tokens) => summary.tokens.add(tokens),
                None if unknown => {
                    summary.calls_without_tokens = summary.calls_without_tokens.saturating_add(1);
                }
                None => {}
            }
            let index = self.attempts.len();
            if let Some(id) = &attempt.aws_request_id {
                self.by_aws_id.insert(id.clone(), index);
            } else {
                let of_request = self.without_aws_id.entry(line.request_id.clone());
                of_request.or_default().push(index);
            }
            self.attempts.push(Attempt {
                request_id: line.request_id.clone(),
                aws_request_id: attempt.aws_request_id,
                operation: attempt.operation,
                service: attempt.service,
                region: attempt.region,
                model: attempt.model,
                result: attempt.result,
                tokens: attempt.tokens,
            });
        }
    }

    /// The index of the attempt with this id of AWS; otherwise one without an id of the request with this id of the gateway,
    /// which is taken.
    pub(super) fn find(
        &self,
        aws_id: &str,
        request_id: Option<&str>,
        taken: &[bool],
    ) -> Option<usize> {
        self.by_aws_id.get(aws_id).copied().or_else(|| {
            let candidates = self.without_aws_id.get(request_id?)?;
            let is_free = |index: &&usize| !taken.get(**index).copied().unwrap_or(true);
            candidates.iter().find(is_free).copied()
        })
    }
}
