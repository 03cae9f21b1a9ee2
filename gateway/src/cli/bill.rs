//! `bedrock-gateway bill`: compares audit records with AWS's invocation log and with a cost and usage report.
//!
//! Calls nothing. The invocation log is compared by request id. A cost and usage report has no requests: its finest grain is
//! a usage type in an hour, so tokens are compared as sums by region and kind.

mod aws;
mod compare;
mod error;
mod files;
mod ledger;
mod text;

use std::{io::Write, path::PathBuf};

pub use self::error::Error;
use self::{aws::InvocationLog, compare::Comparison, ledger::Ledger};
use super::output::Output;

/// Compare audit records with what AWS has logged and billed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// File with audit records of a gateway; can be repeated, for rotated files and for other gateways.
    #[arg(long, value_name = "FILE", required = true)]
    ledger: Vec<PathBuf>,
    /// Model invocation log: a file or a directory with JSON documents or JSON lines, also compressed with gzip.
    #[arg(long, value_name = "PATH", required_unless_present = "cur")]
    invocation_logs: Option<PathBuf>,
    /// Cost and usage report (CUR 2.0) as CSV, also compressed with gzip.
    #[arg(long, value_name = "FILE")]
    cur: Option<PathBuf>,
    /// Only line items of this IAM principal, as an ARN in which `*` matches any number of characters. The column
    /// `line_item_iam_principal` must be in the report.
    #[arg(long, value_name = "ARN", requires = "cur")]
    principal: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const AFTER_HELP: &str = "Exit code: 0 if all agree, 5 if they differ, 1 if a file cannot be read.

Examples:
  bedrock-gateway bill --ledger audit.jsonl --invocation-logs AWSLogs/
  bedrock-gateway bill --ledger audit.jsonl --ledger audit.jsonl.1 --cur report.csv.gz \\
    --principal 'arn:aws:sts::123456789012:assumed-role/BedrockRole/*' -o json";

/// Compares the files; whether all agree.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<bool, Error> {
    let ledger = Ledger::read(&args.ledger)?;
    let log = args.invocation_logs.as_deref().map(InvocationLog::read);
    let items = args.cur.as_deref().map(|path| {
        let principal = args.principal.as_deref();
        aws::line_items(path, principal)
    });
    let items = items.transpose()?;
    let comparison = Comparison::new(&ledger, log.transpose()?, items.as_ref());
    if args.output == Output::Text {
        text::write(&comparison, out)?;
    } else {
        args.output.write(&comparison, out)?;
    }
    Ok(comparison.equal)
}

#[cfg(test)]
mod tests;
