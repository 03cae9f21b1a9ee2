//! The command line of `bedrock-gateway`: parses, starts what is asked for, and ends with its exit code.
//!
//! What the commands do is in the library.

use std::{io::Read, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use credentials::ProcessEnvironment;
use gateway::{Settings, Traces, chat, doctor, iam, logging, models};
use tokio::signal::unix::{SignalKind, signal};

/// How long a gateway in a cluster still takes connections after SIGTERM: endpoints take that long to
/// be known everywhere.
const CLUSTER_QUIET_PERIOD: Duration = Duration::from_secs(3);

/// Amazon Bedrock for clients that speak OpenAI's API: no key leaves this process, every call is signed
/// with credentials that refresh themselves.
#[derive(Debug, Parser)]
#[command(name = "bedrock-gateway", version, propagate_version = true)]
struct CommandLine {
    /// Form of log lines, which go to standard error.
    #[arg(long, value_enum, default_value_t, global = true)]
    log_format: logging::LogFormat,
    /// Which log lines: error, warn, info, debug, or a filter such as `warn,gateway=debug`.
    #[arg(long, value_name = "FILTER", env = gateway::LOG_VARIABLE, global = true)]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(ServeArgs),
    Chat(chat::Args),
    Doctor(doctor::Args),
    Iam(Box<iam::Args>),
    Models(models::Args),
}

/// Run the gateway.
///
/// Without a configuration it is a proxy for this machine: it listens on 127.0.0.1:8000, takes any
/// model by its Bedrock id, asks for no key, and reads region, credentials and endpoints from the
/// environment and shared files as every AWS tool does.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Try it:\n  AWS_REGION=us-east-1 bedrock-gateway serve\n  bedrock-gateway chat --model us.amazon.nova-lite-v1:0 \"Say hello\"\n\nEnvironment: AWS_REGION, AWS_PROFILE and the rest of AWS's variables; AWS_ENDPOINT_URL_BEDROCK_RUNTIME,\nAWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL; BEDROCK_GATEWAY_CONFIG, BEDROCK_GATEWAY_API_KEY, BEDROCK_GATEWAY_LOG;\nOTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables for traces."
)]
struct ServeArgs {
    /// Configuration document; taken over again whenever it changes.
    #[arg(long, value_name = "FILE", env = gateway::CONFIG_VARIABLE)]
    config: Option<PathBuf>,
    /// Where the API listens. Beyond this machine only with client authentication.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// A Unix socket on which the API listens, too; whoever reaches its folder can connect.
    #[arg(long, value_name = "PATH")]
    listen_socket: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// File with a key that clients have to send. The variable BEDROCK_GATEWAY_API_KEY holds one too.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let line = CommandLine::parse();
    match run(line).await {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(line: CommandLine) -> anyhow::Result<ExitCode> {
    logging::start(line.log_format, line.log_level.as_deref())?;
    let settings = Settings::new(Arc::new(ProcessEnvironment));
    let mut out = std::io::stdout();
    match line.command {
        Command::Serve(args) => {
            let traces = Traces::from_environment(settings.environment.as_ref())?;
            let settings = Settings { traces, ..settings };
            let drained = gateway::serve(serve_settings(args, settings), told_to_end()?).await?;
            Ok(if drained.dropped == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Chat(args) => {
            let prompt = match &args.prompt {
                Some(prompt) => prompt.clone(),
                None => read_input()?,
            };
            chat::run(&args, &prompt, &mut out).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(args) => Ok(doctor::run(&args, &settings, &mut out).await?),
        Command::Iam(args) => Ok(iam::run(
            &args,
            settings.environment.as_ref(),
            &mut out,
            &mut std::io::stderr(),
        )?),
        Command::Models(args) => Ok(models::run(&args, &settings, &mut out).await?),
    }
}

fn serve_settings(args: ServeArgs, settings: Settings) -> Settings {
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

fn read_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("failed to read the prompt from standard input")?;
    Ok(text)
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of a command line go to standard error"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
