//! The comparison as text.

use std::io::{self, Write};

use super::{
    compare::{Comparison, CurComparison, Difference, LogComparison},
    ledger::{Summary, Tokens},
};
use crate::cli::output::{ERROR, OK, WARNING};

/// Differences of a kind that are printed.
const SHOWN: usize = 10;

pub(super) fn write(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Comparison {
        equal,
        ledger,
        invocation_log,
        cur,
    } = comparison;
    write_ledger(ledger, out)?;
    if let Some(log) = invocation_log {
        write_log(log, out)?;
    }
    if let Some(cur) = cur {
        write_cur(cur, out)?;
    }
    if *equal {
        writeln!(out, "{OK}The ledger agrees with AWS.{OK:#}")
    } else {
        writeln!(out, "{ERROR}The ledger and AWS's records differ.{ERROR:#}")
    }
}

fn write_ledger(ledger: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let Summary {
        records,
        calls,
        tokens,
        ..
    } = ledger;
    writeln!(
        out,
        "Ledger: {records} records, {calls} calls, {}",
        counts(tokens)
    )?;
    for (number, what) in [
        (ledger.cut_lines, "lines are cut or are no audit records"),
        (
            ledger.dropped_records,
            "records were dropped because the output was not writable",
        ),
        (
            ledger.missing_records,
            "records are missing between others of the same process",
        ),
        (ledger.calls_without_tokens, "calls have no known tokens"),
    ] {
        if number > 0 {
            writeln!(out, "  {WARNING}{number} {what}{WARNING:#}")?;
        }
    }
    Ok(())
}

fn write_log(log: &LogComparison, out: &mut dyn Write) -> io::Result<()> {
    let LogComparison {
        records,
        of_others,
        same,
        ..
    } = log;
    writeln!(
        out,
        "Invocation log: {records} records, {same} with the same tokens, {of_others} not of a gateway"
    )?;
    for (differences, what) in [
        (&log.tokens_differ, "calls have other tokens"),
        (
            &log.tokens_unknown,
            "calls have tokens that the gateway does not know",
        ),
        (
            &log.missing_in_ledger,
            "calls of a gateway are not in the ledger",
        ),
        (&log.missing_in_log, "calls are not in the invocation log"),
    ] {
        if differences.is_empty() {
            continue;
        }
        writeln!(out, "  {ERROR}{} {what}:{ERROR:#}", differences.len())?;
        for difference in differences.iter().take(SHOWN) {
            write_difference(difference, out)?;
        }
        let more = differences.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(out, "    and {more} more; -o json prints all")?;
        }
    }
    Ok(())
}

fn write_difference(difference: &Difference, out: &mut dyn Write) -> io::Result<()> {
    let text = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    write!(
        out,
        "    {} (request {}) {}",
        text(&difference.aws_request_id),
        text(&difference.request_id),
        difference.model
    )?;
    if let Some(result) = &difference.result {
        write!(out, ", {result}")?;
    }
    if let Some(tokens) = &difference.ledger {
        write!(out, "; ledger: {}", counts(tokens))?;
    }
    if let Some(tokens) = &difference.aws {
        write!(out, "; AWS: {}", counts(tokens))?;
    }
    writeln!(out)
}

fn write_cur(cur: &CurComparison, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "Cost and usage report: {} line items of tokens",
        cur.rows
    )?;
    for difference in &cur.differences {
        writeln!(
            out,
            "  {ERROR}{} {}: ledger {}, AWS {}{ERROR:#}",
            difference.region, difference.kind, difference.ledger, difference.aws
        )?;
    }
    Ok(())
}

fn counts(tokens: &Tokens) -> String {
    let kinds = tokens.kinds();
    let shown = kinds
        .iter()
        .filter(|(kind, count)| *count > 0 || *kind == "input" || *kind == "output");
    let texts: Vec<String> = shown
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    texts.join(", ")
}
