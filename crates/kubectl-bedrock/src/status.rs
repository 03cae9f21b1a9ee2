//! `kubectl bedrock status`: each BedrockAccess as a tree: policy, identity, owned objects, pods, sidecars, models, clients
//! and conditions, each with its state, and the fix for what is wrong.

mod pods;
mod report;
mod text;

use std::{io::Write, process::ExitCode};

use gateway::cli::output::Output;
use k8s_openapi::jiff::Timestamp;

pub(crate) use self::{report::AccessReport, text::write as write_text};
use crate::{cluster::Cluster, read, state::State};

/// Show BedrockAccess objects with their gateways, models and conditions as a tree.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Name of the BedrockAccess [default: all of the namespace].
    #[arg(value_name = "NAME", conflicts_with = "all_namespaces")]
    name: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const AFTER_HELP: &str = "Exit code: 0 if every BedrockAccess is ready, else 1.

Examples:
  kubectl bedrock status
  kubectl bedrock status chat -n team-a
  kubectl bedrock status -A -o json";

/// Writes the reports to `out`.
///
/// # Errors
/// The objects cannot be read, or the output is closed.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let objects = read::objects(cluster, args.name.as_deref(), args.all_namespaces).await?;
    let now = Timestamp::now();
    let endpoints = read::endpoints(cluster, objects).await;
    let reports: Vec<AccessReport> = endpoints
        .iter()
        .map(|endpoint| AccessReport::new(endpoint, now))
        .collect();
    if args.output == Output::Text {
        write_text(&reports, out)?;
        if reports.is_empty() {
            let scope = if args.all_namespaces {
                "the cluster".to_owned()
            } else {
                format!("namespace {}; use -A for all namespaces", cluster.namespace)
            };
            writeln!(out, "No BedrockAccess in {scope}")?;
        }
    } else {
        args.output.write(&reports, out)?;
    }
    let worst = reports.iter().map(|report| report.state).max();
    Ok(if worst == Some(State::Error) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

#[cfg(test)]
mod tests;
