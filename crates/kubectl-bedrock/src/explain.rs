//! `kubectl bedrock explain`: what a condition or a reason means, and what to do. Needs no cluster.

use std::{io::Write, process::ExitCode};

use api::v1alpha1::explain::{self, Explanation, Kind};
use gateway::cli::output::{DIM, Output};

/// Explain a condition or a reason, and print the fix.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Type of a condition or a reason, as `status`, `kubectl describe` and Events show it; all are listed if omitted.
    #[arg(value_name = "CONDITION|REASON")]
    name: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const EXAMPLES: &str = "Examples:
  kubectl bedrock explain CredentialsReady
  kubectl bedrock explain InvalidIdentityToken
  kubectl bedrock explain -o json";

/// Writes one explanation, or a list of all.
///
/// # Errors
/// Nothing has this name, or the output is closed.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let all = explain::all();
    let Some(name) = &args.name else {
        if args.output == Output::Text {
            write_list(all, out)?;
        } else {
            args.output.write(&all, out)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let found = all.iter().filter(|one| one.name.eq_ignore_ascii_case(name));
    let found: Vec<&Explanation> = found.collect();
    match found.as_slice() {
        [] => anyhow::bail!(
            "no condition or reason {name}; `kubectl bedrock explain` lists all. A reason of cert-manager or of a \
             Gateway is explained in their documentation"
        ),
        found if args.output == Output::Text => {
            for one in found {
                write_one(one, out)?;
            }
        }
        [one] => args.output.write(one, out)?,
        several => args.output.write(&several, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_one(one: &Explanation, out: &mut dyn Write) -> std::io::Result<()> {
    let kind = match one.kind {
        Kind::Condition => "condition",
        Kind::Reason => "reason",
    };
    writeln!(out, "{} {DIM}({kind}){DIM:#}", one.name)?;
    writeln!(out, "  {}", one.meaning)?;
    if !one.fix.is_empty() {
        let below = if one.details.is_empty() {
            ""
        } else {
            " (see below)"
        };
        writeln!(out, "  Fix: {}{below}", one.fix)?;
    }
    writeln!(out, "  See: {}", one.guide)?;
    for details in &one.details {
        writeln!(out, "\n{details}")?;
    }
    Ok(())
}

fn write_list(all: &[Explanation], out: &mut dyn Write) -> std::io::Result<()> {
    let width = all
        .iter()
        .map(|one| one.name.len())
        .max()
        .unwrap_or_default();
    for (kind, title) in [(Kind::Condition, "Conditions"), (Kind::Reason, "Reasons")] {
        writeln!(out, "{title}:")?;
        for one in all.iter().filter(|one| one.kind == kind) {
            let text = if one.details.is_empty() || one.fix.is_empty() {
                &one.meaning
            } else {
                &one.fix
            };
            writeln!(out, "  {:width$}  {text}", one.name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
