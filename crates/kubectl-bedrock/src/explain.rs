//! `kubectl bedrock explain`: what a condition or a reason means, and what to do. Needs no cluster.

mod guide;
mod reasons;

use std::{io::Write, process::ExitCode, sync::LazyLock};

use gateway::cli::output::{DIM, Output};
use serde::Serialize;

use self::{guide::Guide, reasons::Kind};

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

/// An explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    name: String,
    kind: Kind,
    meaning: String,
    /// What to do; empty if nothing.
    fix: String,
    /// Page of the documentation.
    guide: String,
    /// Sections of the troubleshooting guide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

/// Writes one explanation, or a list of all.
///
/// # Errors
/// Nothing has this name, or the output is closed.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let all = &*ALL;
    let Some(name) = &args.name else {
        if args.output == Output::Text {
            write_list(all, out)?;
        } else {
            args.output.write(all, out)?;
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

/// The next step for a reason, if something is to be done.
pub(crate) fn fix(reason: &str) -> Option<String> {
    let found = ALL
        .iter()
        .find(|one| one.kind == Kind::Reason && one.name == reason)?;
    if !found.details.is_empty() {
        // The fix depends on the cause, which the gateway knows.
        return Some(format!(
            "Run `kubectl bedrock doctor NAME`, which finds the cause; `kubectl bedrock explain {reason}` lists the causes."
        ));
    }
    (!found.fix.is_empty()).then(|| found.fix.clone())
}

/// All explanations.
static ALL: LazyLock<Vec<Explanation>> = LazyLock::new(all);

fn all() -> Vec<Explanation> {
    let rows = reasons::ROWS.iter().map(|row| Explanation {
        name: row.name.to_owned(),
        kind: row.kind,
        meaning: row.meaning.to_owned(),
        fix: row.fix.to_owned(),
        guide: row.guide.to_owned(),
        details: Vec::new(),
    });
    let mut all: Vec<Explanation> = rows.collect();
    let guide = Guide::builtin();
    for (name, fix, anchors) in guide.reasons() {
        if all.iter().any(|one| one.name == name) {
            continue;
        }
        let anchor = anchors.first().map_or("gateway-reasons", String::as_str);
        let details: Vec<String> = anchors
            .iter()
            .filter_map(|one| guide.section(one))
            .collect();
        all.push(Explanation {
            meaning: "A gateway reports this reason while it has no AWS credentials, or while they cannot be renewed."
                .to_owned(),
            kind: Kind::Reason,
            fix,
            guide: format!("docs/guide/troubleshooting.md#{anchor}"),
            details,
            name,
        });
    }
    all
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
