//! `bedrock-gateway health`: asks a gateway whether it is ready, for health checks in images without a shell.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use credentials::Proxies;
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::{
    listen::ListenAddress,
    output::{ERROR, OK, Output},
};
use crate::{
    config::Settings,
    http::{client, error::causes, payload::Payload},
};

/// Maximum size of a response, far above that of a readiness report.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// Check whether a gateway on this machine is ready.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Admin address of the gateway: the value of `serve --admin-listen` [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS", env = crate::config::ADMIN_LISTEN_VARIABLE)]
    pub admin_listen: Option<ListenAddress>,
    /// Check only that the gateway runs, whether it has AWS credentials or not.
    #[arg(long)]
    pub live: bool,
    /// Timeout in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=120))]
    pub timeout: u64,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
}

const AFTER_HELP: &str = "Exit code: 0 if the gateway is ready (with --live: if it runs), else 1.

Examples:
  HEALTHCHECK CMD [\"bedrock-gateway\", \"health\"]
  bedrock-gateway health --live --admin-listen 127.0.0.1:9091";

/// Calls `/readyz` or `/healthz` and writes the state to `out`.
///
/// # Errors
/// The address cannot be resolved, or the output is closed. A gateway that is not ready or not reachable is a result.
pub(super) async fn run(
    args: &Args,
    settings: &Settings,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let default = settings.admin_listen.unwrap_or(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        api::names::GATEWAY_ADMIN_PORT,
    ));
    let address = args.admin_listen.clone().unwrap_or_default();
    let address = address.resolve(default).await.context("--admin-listen")?;
    let path = if args.live { "/healthz" } else { "/readyz" };
    let url = format!("http://{}{path}", reachable(address));
    let timeout = Duration::from_secs(args.timeout);
    let (healthy, report) = match tokio::time::timeout(timeout, get(&url)).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => (
            false,
            unreachable(&format!("no gateway at {url}: {problem}")),
        ),
        Err(_elapsed) => {
            let problem = format!("no response from {url} within {} s", args.timeout);
            (false, unreachable(&problem))
        }
    };
    match args.output {
        Output::Text => write_text(healthy, args.live, &report, out)?,
        format => format.write(&report, out)?,
    }
    out.flush()?;
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The address to connect to, for a server that listens on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn unreachable(message: &str) -> Value {
    json!({
        "ready": false,
        "reason": "Unreachable",
        "message": format!("{message} (is `bedrock-gateway serve` running, with this --admin-listen?)"),
    })
}

/// Whether the response is a success, and its report.
async fn get(url: &str) -> Result<(bool, Value), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let url: Uri = url.parse().map_err(|error| failed(&error))?;
    let host = url.authority().map(ToString::to_string).unwrap_or_default();
    let client = client::connect(
        client::tls().map_err(|error| failed(&error))?,
        &Proxies::default(),
    );
    let request = Request::get(url).body(Payload::default());
    let request = request.map_err(|error| failed(&error))?;
    let response = client
        .request(request)
        .await
        .map_err(|error| causes(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES);
    let body = body.collect().await.map_err(|error| failed(&error))?;
    let body = body.to_bytes();
    let report = serde_json::from_slice::<Value>(&body);
    let report = report.ok().filter(|report| report.get("ready").is_some());
    Ok(match report {
        Some(report) => (status.is_success(), report),
        None if status.is_success() && body.trim_ascii() == b"ok" => (true, json!({"live": true})),
        None => {
            let message =
                format!("HTTP status {status} from {host}: another program listens there");
            (
                false,
                json!({"ready": false, "reason": "UnexpectedResponse", "message": message}),
            )
        }
    })
}

fn write_text(
    healthy: bool,
    live: bool,
    report: &Value,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let text = |name: &str| report.get(name).and_then(Value::as_str);
    let detail = match (text("reason"), text("message")) {
        (Some(reason), Some(message)) => format!(": {reason}: {message}"),
        (None, Some(message)) => format!(": {message}"),
        (Some(reason), None) => format!(": {reason}"),
        (None, None) => String::new(),
    };
    let (style, state) = match (healthy, live) {
        (true, true) => (OK, "running"),
        (true, false) => (OK, "ready"),
        (false, true) => (ERROR, "not running"),
        (false, false) => (ERROR, "not ready"),
    };
    let method =
        text("method").map_or_else(String::new, |method| format!(" (credentials: {method})"));
    writeln!(out, "{style}{state}{style:#}{method}{detail}")
}
