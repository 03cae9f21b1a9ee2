//! The commands of `bedrock-gateway`: `serve` runs the gateway; `health`, `chat`, `doctor`, `iam`, `models`, `cache` and `bill`
//! are tools for its users; `completions` and `man` describe the command line to shells and readers.

pub mod bill;
pub mod cache;
pub mod chat;
pub mod completions;
pub mod doctor;
pub mod env_file;
pub mod health;
pub mod iam;
pub mod listen;
pub mod models;
pub mod output;
pub mod serve;
#[cfg(feature = "simulate")]
mod simulate;

mod aws;

use std::{io::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use credentials::ProcessEnvironment;

use self::output::ERROR;
use crate::{config::Settings, telemetry::logging};

/// Exit code of `models --model` if no region offers the model.
const EXIT_NOT_FOUND: u8 = 3;
/// Exit code of `serve` if the shutdown dropped requests.
const EXIT_DROPPED: u8 = 4;
/// Exit code of `bill` if the ledger and AWS's records differ.
const EXIT_DIFFERENT: u8 = 5;
/// Exit code of an invalid command line, the same as that of `clap`.
const EXIT_USAGE: u8 = 2;
/// Exit code if the reader of standard output exits, the same as that of a process that SIGPIPE terminates.
const EXIT_CLOSED_PIPE: u8 = 141;

/// Gateway to Amazon Bedrock that serves the OpenAI, Anthropic and Bedrock APIs.
///
/// Applications need no AWS credentials: the gateway signs each request to Bedrock with credentials that it
/// obtains and refreshes.
#[derive(Debug, Parser)]
#[command(name = "bedrock-gateway", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct CommandLine {
    /// Format of log lines on standard error.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true,
        help_heading = "Global options"
    )]
    log_format: logging::LogFormat,
    /// Log level (error, warn, info, debug, trace) or filter, such as `warn,gateway=debug`. Default: info for `serve`
    /// (warn with --simulate), error for the other commands.
    #[arg(long, value_name = "FILTER", env = crate::config::LOG_VARIABLE, global = true, help_heading = "Global options")]
    log_level: Option<String>,
    /// File with environment variables, one NAME=VALUE on each line. Variables that are set keep their values. Without
    /// this flag no file is read, not even .env.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Global options"
    )]
    env_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0    success
  1    failure: an error message is on standard error, or doctor found an error, or health found no ready gateway
  2    invalid command line
  3    models --model: no region offers the model
  4    serve: the shutdown dropped requests
  5    bill: the ledger and AWS's records differ
  130  interrupted with Ctrl-C
  141  standard output was closed, for example by head

Colors are used on terminals only; NO_COLOR=1 disables them.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Health(health::Args),
    Chat(chat::Args),
    Doctor(doctor::Args),
    Iam(Box<iam::Args>),
    Models(models::Args),
    Cache(cache::Args),
    Bill(bill::Args),
    Completions(completions::Args),
    Man(completions::ManArgs),
}

impl CommandLine {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// The command failed; the error says why, and [`exit_code`] is its exit code.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.env_file {
            match env_file::restart_with(path, &ProcessEnvironment)? {}
        }
        let level = self.log_level.as_deref();
        let _flush = logging::start(
            self.log_format,
            level.unwrap_or_else(|| self.command.log_level()),
        )?;
        match self.command.run().await {
            Err(error) if is_closed_pipe(&error) => Ok(ExitCode::from(EXIT_CLOSED_PIPE)),
            result => result,
        }
    }
}

/// The exit code of a failed command.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let chat = error.downcast_ref().is_some_and(chat::ChatError::is_usage);
    let iam = error.downcast_ref().is_some_and(iam::Error::is_usage);
    if chat || iam {
        ExitCode::from(EXIT_USAGE)
    } else {
        ExitCode::FAILURE
    }
}

impl Command {
    /// The default log level.
    fn log_level(&self) -> &'static str {
        match self {
            // The terminal has room for the greeting and for problems.
            Self::Serve(args) if args.simulate => "warn",
            Self::Serve(_) => "info",
            _ => "error",
        }
    }

    async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = Settings::new(Arc::new(ProcessEnvironment));
        let mut out = anstream::stdout();
        match self {
            Self::Serve(args) => serve::run(args, settings).await,
            Self::Health(args) => health::run(&args, &settings, &mut out).await,
            Self::Chat(args) => {
                chat::run(&args, &settings, &mut out).await?;
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
            Self::Cache(args) => {
                cache::run(&args, &mut out)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Bill(args) => {
                let equal = bill::run(&args, &mut out)?;
                Ok(if equal {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(EXIT_DIFFERENT)
                })
            }
            Self::Completions(args) => {
                completions::run(&args, &mut out)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Man(args) => {
                completions::man(&args, &mut out)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Parses the command line, runs the command, and prints its error.
pub async fn main() -> ExitCode {
    match CommandLine::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            // A closed standard error leaves no place to report to.
            let _ = writeln!(
                anstream::stderr(),
                "{ERROR}error:{ERROR:#} {}",
                message(&error)
            );
            exit_code(&error)
        }
    }
}

/// The text of an error with its causes, each once: some texts contain that of their cause.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    crate::http::error::causes(error.as_ref())
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
