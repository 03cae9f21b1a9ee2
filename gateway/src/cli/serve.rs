//! `bedrock-gateway serve`: the gateway itself.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::{config::Settings, server, traces::Traces};

/// How long a gateway in a cluster still takes connections after SIGTERM: endpoints take that long to
/// be known everywhere.
const CLUSTER_QUIET_PERIOD: Duration = Duration::from_secs(3);

/// Run the gateway.
///
/// Without a configuration it is a proxy for this machine: it listens on 127.0.0.1:8000, takes any
/// model by its Bedrock id, asks for no key, and reads region, credentials and endpoints from the
/// environment and shared files as every AWS tool does.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Try it:\n  AWS_REGION=us-east-1 bedrock-gateway serve\n  bedrock-gateway chat --model us.amazon.nova-lite-v1:0 \"Say hello\"\n\nEnvironment: AWS_REGION, AWS_PROFILE and the rest of AWS's variables; AWS_ENDPOINT_URL_BEDROCK_RUNTIME,\nAWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL; BEDROCK_GATEWAY_CONFIG, BEDROCK_GATEWAY_API_KEY, BEDROCK_GATEWAY_LOG;\nOTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables for traces."
)]
pub struct Args {
    /// Configuration document; taken over again whenever it changes.
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Where the API listens. Beyond this machine only with client authentication.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// A Unix socket on which the API listens, too; whoever reaches its folder can connect.
    #[arg(long, value_name = "PATH")]
    pub listen_socket: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// File with a key that clients have to send. The variable BEDROCK_GATEWAY_API_KEY holds one too.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
}

/// Serves until SIGTERM or Ctrl-C, then drains. Fails if requests were dropped by that.
pub(super) async fn run(args: Args, settings: Settings) -> anyhow::Result<ExitCode> {
    let traces = Traces::from_environment(settings.environment.as_ref())?;
    let settings = Settings { traces, ..settings };
    let drained = server::serve(with_arguments(args, settings), told_to_end()?).await?;
    Ok(if drained.dropped == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn with_arguments(args: Args, settings: Settings) -> Settings {
    // On loopback there is no router that would have to learn of it: a sidecar ends with its pod.
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

/// Done at SIGTERM or Ctrl-C.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("unable to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("unable to listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
