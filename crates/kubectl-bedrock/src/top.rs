//! `kubectl bedrock top`: requests, tokens, refusals and cost of each client, summed over the gateways of a BedrockAccess, from
//! their metrics.

use std::{collections::BTreeMap, io::Write, process::ExitCode, time::Duration};

use api::{
    names,
    v1alpha1::{BedrockAccess, sidecar::SidecarSpec},
};
use exposition::{Sample, Usage};
use futures::{StreamExt, stream};
use gateway::cli::output::{DIM, Output, WARNING};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Serialize;

use crate::{cluster::Cluster, forward::Forward, read};

/// Maximum concurrent connections.
const CONCURRENCY: usize = 8;

/// Show requests, tokens, refusals and cost of each client.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the BedrockAccess [default: all of the namespace].
    #[arg(value_name = "NAME", conflicts_with = "all_namespaces")]
    name: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Show the usage within the next SECONDS instead of the usage since each gateway started.
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const EXAMPLES: &str = "Requires permission to create pods/portforward in the namespace. Counters begin when a gateway starts; for longer
periods, query Prometheus. The cost is in US dollars; +? means that the price of some tokens is unknown.

Examples:
  kubectl bedrock top -n team-a
  kubectl bedrock top chat --for 60
  kubectl bedrock top -A -o json";

/// Usage of the clients of one BedrockAccess.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopReport {
    namespace: String,
    name: String,
    /// Gateways whose metrics were read, and all that run.
    gateways: usize,
    running: usize,
    /// The most requests first.
    clients: Vec<ClientUsage>,
    /// Gateways that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// Usage of one client.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientUsage {
    client: String,
    #[serde(flatten)]
    usage: Usage,
}

/// Writes the usage to `out`.
///
/// # Errors
/// The objects cannot be read, no gateway can be read, or the output is closed.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let objects = read::objects(cluster, args.name.as_deref(), args.all_namespaces).await?;
    let mut before = Vec::new();
    for access in &objects {
        before.push(sample(cluster, access).await?);
    }
    let mut reports = before.clone();
    if let Some(seconds) = args.seconds {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        reports.clear();
        for access in &objects {
            reports.push(sample(cluster, access).await?);
        }
        for (report, before) in reports.iter_mut().zip(&before) {
            report.subtract(before);
        }
    }
    let reports: Vec<TopReport> = reports.into_iter().map(Sampled::report).collect();
    let read: usize = reports.iter().map(|report| report.gateways).sum();
    if args.output == Output::Text {
        write_text(&reports, out)?;
    } else {
        args.output.write(&reports, out)?;
    }
    let failed = read == 0 && reports.iter().any(|report| report.running > 0);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Usage by pod and client.
#[derive(Clone, Debug, Default)]
struct Sampled {
    namespace: String,
    name: String,
    running: usize,
    pods: BTreeMap<String, Sample>,
    problems: Vec<String>,
}

impl Sampled {
    /// Subtracts an earlier sample. A gateway that started since then began at zero.
    fn subtract(&mut self, earlier: &Self) {
        for (pod, sample) in &mut self.pods {
            if let Some(earlier) = earlier.pods.get(pod) {
                sample.subtract(earlier);
            }
        }
    }

    fn report(self) -> TopReport {
        let mut clients: BTreeMap<String, Usage> = BTreeMap::new();
        for sample in self.pods.values() {
            for (client, usage) in &sample.clients {
                clients.entry(client.clone()).or_default().add(usage);
            }
        }
        let mut clients: Vec<ClientUsage> = clients
            .into_iter()
            .filter(|(_, usage)| *usage != Usage::default())
            .map(|(client, usage)| ClientUsage { client, usage })
            .collect();
        clients.sort_by_key(|client| std::cmp::Reverse(client.usage.requests));
        TopReport {
            namespace: self.namespace,
            name: self.name,
            gateways: self.pods.len(),
            running: self.running,
            clients,
            problems: self.problems,
        }
    }
}

async fn sample(cluster: &Cluster, access: &BedrockAccess) -> anyhow::Result<Sampled> {
    let namespace = access.namespace().unwrap_or_default();
    let name = access.name_any();
    let pods = read::running_pods(cluster, &namespace, &name).await?;
    let sidecar_port = access.spec.sidecar.as_ref().map(SidecarSpec::admin_port);
    let calls = pods.iter().map(|pod| {
        let own = pod.labels().contains_key(names::ACCESS_LABEL);
        let sidecar_port = sidecar_port.and_then(|port| u16::try_from(port).ok());
        let port = sidecar_port.filter(|_| !own);
        let port = port.unwrap_or(names::GATEWAY_ADMIN_PORT);
        read_metrics(cluster, &namespace, pod, port)
    });
    let mut sampled = Sampled {
        namespace: namespace.clone(),
        name,
        running: pods.len(),
        ..Sampled::default()
    };
    let found: Vec<_> = stream::iter(calls).buffered(CONCURRENCY).collect().await;
    for (pod, found) in found {
        match found {
            Ok(sample) => {
                sampled.pods.insert(pod, sample);
            }
            Err(error) => sampled.problems.push(format!("{pod}: {error:#}")),
        }
    }
    Ok(sampled)
}

async fn read_metrics(
    cluster: &Cluster,
    namespace: &str,
    pod: &Pod,
    port: u16,
) -> (String, anyhow::Result<Sample>) {
    let name = pod.name_any();
    let found = async {
        let forward = Forward::open(cluster, namespace, &name, port).await?;
        let text = forward.get(names::GATEWAY_METRICS_PATH).await?;
        Ok(Sample::parse(&text))
    };
    let found = found.await;
    (name, found)
}

/// The cost; `+?` if the price of some tokens is unknown.
fn cost(usage: &Usage) -> String {
    let known = usage.cost.rounded();
    match usage.unpriced_tokens {
        0 => known.to_string(),
        _ => format!("{known}+?"),
    }
}

fn write_text(reports: &[TopReport], out: &mut dyn Write) -> std::io::Result<()> {
    let header = [
        "NAMESPACE",
        "NAME",
        "CLIENT",
        "REQUESTS",
        "INPUT",
        "OUTPUT",
        "CACHE-READ",
        "CACHE-WRITE",
        "REFUSED",
        "COST-USD",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for report in reports {
        for client in &report.clients {
            let usage = &client.usage;
            rows.push([
                report.namespace.clone(),
                report.name.clone(),
                client.client.clone(),
                usage.requests.to_string(),
                usage.input_tokens.to_string(),
                usage.output_tokens.to_string(),
                usage.cache_read_tokens.to_string(),
                usage.cache_write_tokens.to_string(),
                usage.refused.to_string(),
                cost(usage),
            ]);
        }
    }
    if rows.len() > 1 {
        let mut widths = [0; 10];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                line = if column < 3 {
                    format!("{line}{cell:width$}  ")
                } else {
                    format!("{line}{cell:>width$}  ")
                };
            }
            let line = line.trim_end();
            if index == 0 {
                writeln!(out, "{DIM}{line}{DIM:#}")?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
    }
    for report in reports {
        let name = format!("{}/{}", report.namespace, report.name);
        if report.running == 0 {
            writeln!(out, "{WARNING}!{WARNING:#} {name}: no gateway runs")?;
        } else if report.clients.is_empty() && report.problems.is_empty() {
            writeln!(out, "{name}: no requests")?;
        }
        for problem in &report.problems {
            writeln!(out, "{WARNING}!{WARNING:#} {name}: not read: {problem}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
