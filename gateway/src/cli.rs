//! The command line of `bedrock-gateway`: parses it and runs the command.

pub mod chat;
pub mod doctor;
pub mod iam;
pub mod models;
pub mod serve;

mod aws;

use std::{process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use credentials::ProcessEnvironment;

use crate::{config::Settings, logging};

/// Amazon Bedrock for clients that speak OpenAI's API: no key leaves this process, every call is signed
/// with credentials that refresh themselves.
#[derive(Debug, Parser)]
#[command(name = "bedrock-gateway", version, propagate_version = true)]
pub struct CommandLine {
    /// Form of log lines, which go to standard error.
    #[arg(long, value_enum, default_value_t, global = true)]
    log_format: logging::LogFormat,
    /// Which log lines: error, warn, info, debug, or a filter such as `warn,gateway=debug`.
    #[arg(long, value_name = "FILTER", env = crate::config::LOG_VARIABLE, global = true)]
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

impl CommandLine {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// What the command says, for people.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        logging::start(self.log_format, self.log_level.as_deref())?;
        let settings = Settings::new(Arc::new(ProcessEnvironment));
        let mut out = std::io::stdout();
        match self.command {
            Command::Serve(args) => serve::run(args, settings).await,
            Command::Chat(args) => {
                chat::run(&args, &mut out).await?;
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
}
