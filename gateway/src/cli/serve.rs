//! `bedrock-gateway serve`: runs the gateway until SIGTERM or Ctrl-C.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::{config::Settings, server, telemetry::traces::Traces};

/// How long a gateway in a cluster accepts connections after SIGTERM: kube-proxy and load balancers need
/// this time to remove the pod.
const CLUSTER_QUIET_PERIOD: Duration = Duration::from_secs(3);

/// Run the gateway.
///
/// Without a configuration file, the gateway is a local proxy: it listens on 127.0.0.1:8000, accepts any
/// Bedrock model ID, requires no API key, and reads region, credentials and endpoints from the environment
/// and the shared AWS files, as other AWS tools do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration file; reloaded when it changes.
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Address of the API; an address other than loopback requires client authentication.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// Also listen on this Unix socket; directory permissions control access.
    #[arg(long, value_name = "PATH")]
    pub listen_socket: Option<PathBuf>,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// File with an API key that clients must send. BEDROCK_GATEWAY_API_KEY can hold a key as well.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  AWS_REGION=us-east-1 bedrock-gateway serve
  bedrock-gateway chat --model us.amazon.nova-lite-v1:0 \"Say hello\"

Environment variables:
  AWS_REGION, AWS_PROFILE and AWS's other variables
  AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_ENDPOINT_URL_STS
  OTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables, for traces
  BEDROCK_GATEWAY_CONFIG, BEDROCK_GATEWAY_API_KEY, BEDROCK_GATEWAY_LOG";

/// Serves until SIGTERM or Ctrl-C, then drains. The exit code is 1 if the drain dropped requests.
///
/// # Errors
/// The environment, the configuration file or an address cannot be used.
pub(super) async fn run(args: Args, settings: Settings) -> anyhow::Result<ExitCode> {
    let traces = Traces::from_environment(settings.environment.as_ref())?;
    let settings = Settings { traces, ..settings };
    let drained = server::serve(with_arguments(args, settings), shutdown_signal()?).await?;
    Ok(if drained.dropped == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn with_arguments(args: Args, settings: Settings) -> Settings {
    // No load balancer routes to a loopback address: a sidecar ends with its pod.
    let quiet_period = if args.config.is_some() && !args.listen.ip().is_loopback() {
        CLUSTER_QUIET_PERIOD
    } else {
        Duration::ZERO
    };
    Settings {
        listen: args.listen,
        socket: args.listen_socket,
        admin_required: args.admin_listen.is_some(),
        admin_listen: args.admin_listen.or(settings.admin_listen),
        config: args.config,
        api_key_file: args.api_key_file,
        quiet_period,
        ..settings
    }
}

/// Completes on SIGTERM or Ctrl-C.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("unable to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("unable to listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
