//! The comparison of a ledger with AWS's records. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    aws::{InvocationLog, LineItems},
    ledger::{Attempt, Ledger, Summary, Tokens},
};

/// The result, as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comparison {
    /// Whether nothing differs and nothing is missing.
    pub(super) equal: bool,
    pub(super) ledger: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invocation_log: Option<LogComparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cur: Option<CurComparison>,
}

/// The comparison with the invocation log, by request id.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogComparison {
    pub(super) records: u64,
    /// Records without metadata of a gateway that are not in the ledger.
    pub(super) of_others: u64,
    /// Calls that are in both with the same tokens.
    pub(super) same: u64,
    pub(super) tokens_differ: Vec<Difference>,
    /// AWS has logged tokens, and the gateway knows none: the response broke before its usage.
    pub(super) tokens_unknown: Vec<Difference>,
    /// A gateway has sent the call, and no record has it.
    pub(super) missing_in_ledger: Vec<Difference>,
    /// A record has a response with tokens, and AWS has not logged it.
    pub(super) missing_in_log: Vec<Difference>,
}

/// A call that differs.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aws_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    pub(super) model: String,
    /// Result of the attempt in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ledger: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aws: Option<Tokens>,
}

/// The comparison with line items, by region and kind of tokens.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CurComparison {
    pub(super) rows: u64,
    pub(super) differences: Vec<SumDifference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_dollars: Option<f64>,
}

/// A sum that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SumDifference {
    pub(super) region: String,
    pub(super) kind: &'static str,
    pub(super) ledger: u64,
    pub(super) aws: u64,
}

impl Comparison {
    pub(super) fn new(
        ledger: &Ledger,
        log: Option<InvocationLog>,
        items: Option<&LineItems>,
    ) -> Self {
        let invocation_log = log.map(|log| LogComparison::new(ledger, log));
        let cur = items.map(|items| CurComparison::new(ledger, items));
        let summary = ledger.summary;
        let is_whole =
            summary.cut_lines == 0 && summary.dropped_records == 0 && summary.missing_records == 0;
        Self {
            equal: is_whole
                && invocation_log.as_ref().is_none_or(LogComparison::is_equal)
                && cur.as_ref().is_none_or(|cur| cur.differences.is_empty()),
            ledger: summary,
            invocation_log,
            cur,
        }
    }
}

impl LogComparison {
    fn new(ledger: &Ledger, log: InvocationLog) -> Self {
        let mut found = Self::default();
        let mut taken = vec![false; ledger.attempts.len()];
        let mut seen = BTreeSet::new();
        for record in log.0 {
            // A log that is delivered twice.
            if !seen.insert(record.request_id.clone()) {
                continue;
            }
            found.records = found.records.saturating_add(1);
            let request_id = record.gateway_request_id.as_deref();
            let index = ledger.find(&record.request_id, request_id, &taken);
            let attempt = index.and_then(|index| ledger.attempts.get(index));
            if let Some(taken) = index.and_then(|index| taken.get_mut(index)) {
                *taken = true;
            }
            let difference = Difference {
                aws_request_id: Some(record.request_id),
                request_id: record.gateway_request_id,
                model: record.model,
                result: attempt.map(|attempt| attempt.result.clone()),
                timestamp: Some(record.timestamp),
                identity: Some(record.identity),
                ledger: attempt.and_then(|attempt| attempt.tokens),
                aws: Some(record.tokens),
            };
            match attempt.map(|attempt| attempt.tokens) {
                Some(Some(tokens)) if tokens == record.tokens => {
                    found.same = found.same.saturating_add(1);
                }
                Some(Some(_)) => found.tokens_differ.push(difference),
                // Nothing is missing, such as after a guardrail's refusal.
                Some(None) if record.tokens == Tokens::default() => {
                    found.same = found.same.saturating_add(1);
                }
                Some(None) => found.tokens_unknown.push(difference),
                None if difference.request_id.is_some() => {
                    found.missing_in_ledger.push(difference);
                }
                None => found.of_others = found.of_others.saturating_add(1),
            }
        }
        let unseen = ledger.attempts.iter().zip(&taken);
        let unseen = unseen
            .filter(|(attempt, taken)| !**taken && attempt.is_logged() && attempt.tokens.is_some());
        found.missing_in_log = unseen.map(|(attempt, _)| missing(attempt)).collect();
        found
    }

    fn is_equal(&self) -> bool {
        [
            &self.tokens_differ,
            &self.tokens_unknown,
            &self.missing_in_ledger,
            &self.missing_in_log,
        ]
        .iter()
        .all(|differences| differences.is_empty())
    }
}

fn missing(attempt: &Attempt) -> Difference {
    Difference {
        aws_request_id: attempt.aws_request_id.clone(),
        request_id: Some(attempt.request_id.clone()),
        model: attempt.model.clone(),
        result: Some(attempt.result.clone()),
        ledger: attempt.tokens,
        ..Difference::default()
    }
}

impl CurComparison {
    fn new(ledger: &Ledger, items: &LineItems) -> Self {
        let mut own = BTreeMap::<String, Tokens>::new();
        for attempt in &ledger.attempts {
            if let Some(tokens) = attempt.tokens {
                own.entry(attempt.region.clone()).or_default().add(tokens);
            }
        }
        let regions: BTreeSet<&String> = own.keys().chain(items.tokens.keys()).collect();
        let mut differences = Vec::new();
        for region in regions {
            let of =
                |sums: &BTreeMap<String, Tokens>| sums.get(region).copied().unwrap_or_default();
            let pairs = of(&own).kinds().into_iter().zip(of(&items.tokens).kinds());
            for ((kind, ledger), (_, aws)) in pairs.filter(|(own, aws)| own != aws) {
                differences.push(SumDifference {
                    region: region.clone(),
                    kind,
                    ledger,
                    aws,
                });
            }
        }
        Self {
            rows: items.rows,
            differences,
            cost_dollars: items.cost,
        }
    }
}
