//! `bedrock-gateway serve`: runs the gateway until SIGTERM or Ctrl-C.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::{EXIT_DROPPED, listen::ListenAddress};
use crate::{
    config::Settings,
    server::{self, Drained, ServeError},
    telemetry::{
        otlp::{LogsExport, MetricsExport},
        traces::Traces,
    },
};

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
    /// Address of the API: HOST:PORT, HOST or :PORT (all addresses of the machine) [default: 127.0.0.1:8000]. An
    /// address other than loopback requires client authentication.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["host", "port"])]
    pub listen: Option<ListenAddress>,
    /// Host name or IP address of the API, instead of --listen.
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub host: Option<ListenAddress>,
    /// Port of the API, instead of --listen.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Also listen on this Unix socket; directory permissions control access.
    #[arg(long, value_name = "PATH")]
    pub listen_socket: Option<PathBuf>,
    /// Address of /healthz, /readyz and /metrics [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS", env = crate::config::ADMIN_LISTEN_VARIABLE)]
    pub admin_listen: Option<ListenAddress>,
    /// File with an API key that clients must send. BEDROCK_GATEWAY_API_KEY can hold a key as well.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Use a simulated AWS in this process, to try clients without an AWS account or network.
    #[arg(long, hide = cfg!(not(feature = "simulate")))]
    pub simulate: bool,
}

const EXAMPLES: &str = "Exit code: 0 after a shutdown signal, 4 if requests were dropped, 1 if the gateway cannot start.

Examples:
  bedrock-gateway serve --simulate
  AWS_REGION=us-east-1 bedrock-gateway serve
  bedrock-gateway --env-file keys.env serve --host 0.0.0.0 --port 8080 --api-key-file api-key
  bedrock-gateway chat --model us.amazon.nova-lite-v1:0 \"Say hello\"

Environment variables:
  AWS_REGION, AWS_PROFILE and AWS's other variables
  AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_ENDPOINT_URL_STS
  OTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables, for traces and metrics
  BEDROCK_GATEWAY_CONFIG, BEDROCK_GATEWAY_API_KEY, BEDROCK_GATEWAY_ADMIN_LISTEN, BEDROCK_GATEWAY_LOG
  BEDROCK_GATEWAY_AUDIT, the file of the audit records, or - for standard output";

fn host(text: &str) -> Result<ListenAddress, String> {
    match text.parse::<ListenAddress>() {
        Ok(address) if address.port.is_none() => Ok(address),
        Ok(_) => {
            Err("expected a host without a port: use --port, or --listen HOST:PORT".to_owned())
        }
        Err(_) => Err("expected a host name or an IP address, such as 0.0.0.0".to_owned()),
    }
}

/// Serves until SIGTERM or Ctrl-C, then drains. The exit code is 4 if the drain dropped requests.
///
/// # Errors
/// The environment, the configuration file or an address cannot be used.
pub(super) async fn run(args: Args, settings: Settings) -> anyhow::Result<ExitCode> {
    let traces = Traces::from_environment(settings.environment.as_ref())?;
    let environment = settings.environment.as_ref();
    let metrics_export = MetricsExport::from_environment(environment, settings.clock.now())?;
    let logs_export = LogsExport::from_environment(environment)?;
    let settings = Settings {
        traces,
        metrics_export,
        logs_export,
        ..settings
    };
    let flag = args.flag();
    let simulate = args.simulate;
    let settings = with_arguments(args, settings).await?;
    let (api, admin) = (settings.listen, settings.admin_listen);
    let shutdown = shutdown_signal()?;
    let served = if simulate {
        serve_simulated(settings, shutdown).await?
    } else {
        server::serve(settings, shutdown).await
    };
    let drained = match served {
        Err(ServeError::Bind { address, source }) if address == api => {
            return Err(cannot_listen(flag, address, &source, "--port PORT"));
        }
        Err(ServeError::Bind { address, source }) if Some(address) == admin => {
            let other = "--admin-listen HOST:PORT";
            return Err(cannot_listen("--admin-listen", address, &source, other));
        }
        served => served?,
    };
    Ok(if drained.dropped == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_DROPPED)
    })
}

/// The error of an address that cannot be used, with the flag that sets another port if a program uses this one.
fn cannot_listen(
    flag: &str,
    address: SocketAddr,
    source: &std::io::Error,
    other: &str,
) -> anyhow::Error {
    let fix = if source.kind() == std::io::ErrorKind::AddrInUse {
        format!(". Stop the program that uses this port, or choose another port with {other}")
    } else {
        String::new()
    };
    anyhow::anyhow!("{flag}: failed to listen on {address}: {source}{fix}")
}

/// Serves with a simulated AWS. The outer error is that of the simulation.
#[cfg(feature = "simulate")]
async fn serve_simulated(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<Result<Drained, ServeError>> {
    super::simulate::serve(settings, shutdown).await
}

#[cfg(not(feature = "simulate"))]
async fn serve_simulated(
    _: Settings,
    _: impl Future<Output = ()>,
) -> anyhow::Result<Result<Drained, ServeError>> {
    anyhow::bail!(
        "this program has no simulated AWS: it was built without the Cargo feature `simulate`. Fix: build it with \
        `cargo install --path gateway`, or omit --simulate to call Amazon Bedrock"
    )
}

impl Args {
    /// The flag that sets the address of the API, for errors.
    fn flag(&self) -> &'static str {
        match (&self.host, self.port) {
            (Some(_), _) => "--host",
            (None, Some(_)) => "--port",
            (None, None) => "--listen",
        }
    }

    /// The address of the API as the flags name it.
    fn address(&self) -> ListenAddress {
        let named = self.listen.as_ref().or(self.host.as_ref());
        let mut address = named.cloned().unwrap_or_default();
        address.port = self.port.or(address.port);
        address
    }
}

async fn with_arguments(args: Args, settings: Settings) -> anyhow::Result<Settings> {
    let listen = args.address().resolve(settings.listen).await;
    let listen = listen.context(args.flag())?;
    let admin_listen = match (&args.admin_listen, settings.admin_listen) {
        (Some(address), Some(default)) => {
            let resolved = address.resolve(default).await;
            Some(resolved.context("--admin-listen")?)
        }
        (_, default) => default,
    };
    // No load balancer routes to a loopback address: a sidecar ends with its pod.
    let quiet_period = if args.config.is_some() && !listen.ip().is_loopback() {
        CLUSTER_QUIET_PERIOD
    } else {
        Duration::ZERO
    };
    Ok(Settings {
        listen,
        socket: args.listen_socket,
        admin_required: args.admin_listen.is_some(),
        admin_listen,
        config: args.config,
        api_key_file: args.api_key_file,
        quiet_period,
        ..settings
    })
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
