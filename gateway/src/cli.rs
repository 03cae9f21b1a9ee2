//! The commands of `bedrock-gateway`: `serve` runs the gateway; `chat`, `doctor`, `iam` and `models` are tools
//! for its users.

pub mod chat;
pub mod doctor;
pub mod iam;
pub mod models;
pub mod serve;

mod aws;

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use credentials::ProcessEnvironment;

use crate::{config::Settings, telemetry::logging};

/// Gateway to Amazon Bedrock that serves the OpenAI, Anthropic and Bedrock APIs.
///
/// Applications need no AWS credentials: the gateway signs each request to Bedrock with credentials that it
/// obtains and refreshes.
#[derive(Debug, Parser)]
#[command(name = "bedrock-gateway", version, propagate_version = true)]
pub struct CommandLine {
    /// Format of log lines on standard error.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true,
        help_heading = "Log options"
    )]
    log_format: logging::LogFormat,
    /// Log level (error, warn, info, debug, trace) or filter, such as `warn,gateway=debug`. Default: info for `serve`,
    /// error for the other commands, whose output contains their findings.
    #[arg(long, value_name = "FILTER", env = crate::config::LOG_VARIABLE, global = true, help_heading = "Log options")]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Chat(chat::Args),
    Doctor(doctor::Args),
    Iam(Box<iam::Args>),
    Models(models::Args),
}

/// Exit code if the reader of standard output exits, the same as that of a process that SIGPIPE terminates.
const CLOSED_PIPE: u8 = 141;

impl CommandLine {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// The command failed; the error says why.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let level = self.log_level.as_deref();
        logging::start(
            self.log_format,
            level.unwrap_or_else(|| self.command.log_level()),
        )?;
        match self.command.run().await {
            Err(error) if is_closed_pipe(&error) => Ok(ExitCode::from(CLOSED_PIPE)),
            result => result,
        }
    }
}

impl Command {
    /// The default log level.
    fn log_level(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info",
            Self::Chat(_) | Self::Doctor(_) | Self::Iam(_) | Self::Models(_) => "error",
        }
    }

    async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = Settings::new(Arc::new(ProcessEnvironment));
        let mut out = std::io::stdout();
        match self {
            Self::Serve(args) => serve::run(args, settings).await,
            Self::Chat(args) => {
                chat::run(&args, &mut out).await?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Doctor(args) => Ok(doctor::run(&args, &settings, &mut out).await?),
            Self::Iam(args) => Ok(iam::run(
                &args,
                settings.environment.as_ref(),
                &mut out,
                &mut std::io::stderr(),
            )?),
            Self::Models(args) => Ok(models::run(&args, &settings, &mut out).await?),
        }
    }
}

/// Whether standard output was closed by its reader, such as `head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = match cause.downcast_ref::<serde_json::Error>() {
            Some(error) => error.io_error_kind(),
            None => cause.downcast_ref().map(std::io::Error::kind),
        };
        kind == Some(std::io::ErrorKind::BrokenPipe)
    })
}
