//! `kubectl bedrock doctor`: runs the gateway's own `doctor` in a gateway pod, with its identity and its network.

use std::process::ExitCode;

use api::names;
use gateway::cli::output::Output;
use kube::ResourceExt;

use crate::{
    cluster::{Cluster, no_kubectl},
    read,
};

/// Check credentials, network and models from inside a gateway pod.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Name of the BedrockAccess.
    #[arg(value_name = "NAME")]
    name: String,
    /// Pod with a gateway or a sidecar [default: the first running gateway pod, then the first sidecar].
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
    /// Arguments of `bedrock-gateway doctor`, such as `--invoke none`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

const AFTER_HELP: &str = "Requires permission to create pods/exec in the namespace. One model is called for one output token,
unless the arguments say otherwise.

Examples:
  kubectl bedrock doctor chat -n team-a
  kubectl bedrock doctor chat -o json -- --invoke none --strict";

/// Runs `doctor` and returns its exit code.
///
/// # Errors
/// No pod has a running gateway, or kubectl cannot be started.
pub(crate) async fn run(args: &Args, cluster: &Cluster) -> anyhow::Result<ExitCode> {
    let access = read::access(cluster, &args.name).await?;
    let pod = match &args.pod {
        Some(pod) => pod.clone(),
        None => read::running_pod(cluster, &access.name_any()).await?,
    };
    let output = match args.output {
        Output::Text => "text",
        Output::Json => "json",
        Output::Yaml => "yaml",
    };
    let status = cluster
        .kubectl(&cluster.namespace)
        .args(["exec", &pod, "--container", names::GATEWAY_NAME, "--"])
        .args([names::GATEWAY_NAME, "doctor", "--output", output])
        .args(&args.arguments)
        .status()
        .await
        .map_err(no_kubectl)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
