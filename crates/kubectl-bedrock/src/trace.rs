//! `kubectl bedrock trace`: what a request did, found in the logs of the gateways by the id that the client saw: status,
//! client, model, each attempt, the target, times, tokens, and the ids of AWS and of the trace.

mod request;

use std::{collections::BTreeSet, io::Write, process::ExitCode};

use api::{names, v1alpha1::BedrockAccess};
use futures::{AsyncBufReadExt, StreamExt};
use gateway::cli::output::Output;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::LogParams};
use serde_json::{Map, Value};

use self::request::RequestReport;
use crate::{
    cluster::{Cluster, api_error},
    read,
};

/// Find a request in the logs of the gateways, by the id that the client saw.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Request id of the gateway (x-request-id), request id of AWS, or trace id.
    #[arg(value_name = "ID")]
    id: String,
    /// Search the gateways of this BedrockAccess only.
    #[arg(long, value_name = "NAME", conflicts_with = "all_namespaces")]
    access: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Search only lines of the last SECONDS.
    #[arg(long, value_name = "SECONDS")]
    since: Option<u32>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const AFTER_HELP: &str = "The id is the response header x-request-id. The kubelet keeps about the last 10 MiB of the log of each pod,
and logs are lost with their pods; search the log collection of the cluster for older requests.

Examples:
  kubectl bedrock trace req_0123456789abcdef0123456789abcdef -n team-a
  kubectl bedrock trace 1b2c3d4e-0000-4000-8000-123456789abc -A -o json";

/// A log line about the request.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Namespace and name of the BedrockAccess.
    pub(crate) access: String,
    pub(crate) pod: String,
    pub(crate) fields: Map<String, Value>,
}

/// Writes the request to `out`. Several requests can have one trace id.
///
/// # Errors
/// No line has the id, no log can be read, or the output is closed.
pub(crate) async fn run(
    args: &Args,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let objects = read::objects(cluster, args.access.as_deref(), args.all_namespaces).await?;
    let mut search = Search::default();
    for access in &objects {
        search.access(cluster, access, args).await;
    }
    // The lines of the attempts have the id of the gateway only.
    let ids = request_ids(&search.found);
    if ids.iter().any(|id| *id != args.id) {
        let again = Args {
            id: String::new(),
            ..args.clone()
        };
        let pods: BTreeSet<String> = search.found.iter().map(|one| one.pod.clone()).collect();
        let problems = std::mem::take(&mut search.problems);
        search = Search {
            ids: ids.clone(),
            only: Some(pods),
            problems,
            ..Search::default()
        };
        for access in &objects {
            search.access(cluster, access, &again).await;
        }
    }
    let reports: Vec<RequestReport> = ids
        .iter()
        .filter_map(|id| RequestReport::new(id, &search.found))
        .collect();
    if reports.is_empty() {
        anyhow::bail!("{}", not_found(args, search.pods, &search.problems));
    }
    if args.output == Output::Text {
        for report in &reports {
            report.tree().write(out)?;
        }
    } else {
        args.output.write(&reports, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn not_found(args: &Args, pods: usize, problems: &[String]) -> String {
    let scope = if args.all_namespaces {
        "in the cluster"
    } else {
        "in the namespace; use -A for all namespaces"
    };
    let unread = if problems.is_empty() {
        String::new()
    } else {
        format!(" Not read: {}.", problems.join("; "))
    };
    format!(
        "no log line of {pods} gateways has the id {} ({scope}).{unread} The gateway logs no request above log level \
         info, only a sample of successful requests under high load, and none that it did not receive: see \
         spec.gateway.logLevel, and the logs of ingress or mesh",
        args.id
    )
}

/// The ids of the gateway in the lines, each once.
fn request_ids(found: &[Found]) -> Vec<String> {
    let mut ids = Vec::new();
    for one in found {
        let id = one.fields.get("request_id").and_then(Value::as_str);
        if let Some(id) = id.filter(|id| !ids.iter().any(|known| known == id)) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// A search in the logs.
#[derive(Debug, Default)]
struct Search {
    /// Further ids, besides that of the arguments.
    ids: Vec<String>,
    /// Pods to search; `None` for all.
    only: Option<BTreeSet<String>>,
    found: Vec<Found>,
    /// Number of pods that were searched.
    pods: usize,
    problems: Vec<String>,
}

impl Search {
    async fn access(&mut self, cluster: &Cluster, access: &BedrockAccess, args: &Args) {
        let namespace = access.namespace().unwrap_or_default();
        let name = access.name_any();
        let mut pods = Vec::new();
        for label in [names::ACCESS_LABEL, names::INJECT_LABEL] {
            let selector = format!("{label}={name}");
            pods.extend(read::pods(cluster, &namespace, &selector, &mut self.problems).await);
        }
        if let Some(only) = &self.only {
            pods.retain(|pod| only.contains(&pod.name_any()));
        }
        self.pods = self.pods.saturating_add(pods.len());
        let mut ids = self.ids.clone();
        if !args.id.is_empty() {
            ids.push(args.id.clone());
        }
        let access = format!("{namespace}/{name}");
        let calls = pods
            .iter()
            .map(|pod| of_pod(cluster, &namespace, pod, &ids, args.since));
        for (pod, lines) in futures::future::join_all(calls).await {
            match lines {
                Ok(lines) => self.found.extend(lines.into_iter().map(|fields| Found {
                    access: access.clone(),
                    pod: pod.clone(),
                    fields,
                })),
                Err(problem) => self.problems.push(format!("{pod}: {problem}")),
            }
        }
    }
}

type Lines = Vec<Map<String, Value>>;

/// The lines of a pod with one of the ids, also of the container before the last restart.
async fn of_pod(
    cluster: &Cluster,
    namespace: &str,
    pod: &Pod,
    ids: &[String],
    since: Option<u32>,
) -> (String, Result<Lines, String>) {
    let name = pod.name_any();
    let restarted = pod.status.as_ref().is_some_and(|status| {
        let containers = status.container_statuses.iter().flatten();
        let mut all = containers.chain(status.init_container_statuses.iter().flatten());
        all.any(|one| one.name == names::GATEWAY_NAME && one.restart_count > 0)
    });
    let api = Api::<Pod>::namespaced(cluster.client.clone(), namespace);
    let mut found = Vec::new();
    for previous in [true, false] {
        if previous && !restarted {
            continue;
        }
        let parameters = LogParams {
            container: Some(names::GATEWAY_NAME.to_owned()),
            previous,
            since_seconds: since.map(i64::from),
            ..LogParams::default()
        };
        let mut lines = match api.log_stream(&name, &parameters).await {
            Ok(lines) => lines.lines(),
            // The kubelet may have removed the log of the previous container.
            Err(_) if previous => continue,
            Err(error) => return (name, Err(api_error(&error))),
        };
        while let Some(Ok(line)) = lines.next().await {
            found.extend(matching(&line, ids));
        }
    }
    (name, Ok(found))
}

/// The fields of a line with one of the ids.
fn matching(line: &str, ids: &[String]) -> Option<Map<String, Value>> {
    if !ids.iter().any(|id| line.contains(id.as_str())) {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let has_id = ["request_id", "aws_request_id", "trace_id"]
        .iter()
        .any(|name| {
            let value = fields.get(*name).and_then(Value::as_str);
            value.is_some_and(|value| ids.iter().any(|id| id == value))
        });
    has_id.then_some(fields)
}

#[cfg(test)]
mod tests;
