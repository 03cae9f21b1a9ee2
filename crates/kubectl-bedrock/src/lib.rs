//! `kubectl bedrock`: commands for operators of BedrockAccess objects, with the caller's own permissions.
//!
//! Each command collects objects from the API server, makes a report of them without I/O, and writes the report as text,
//! JSON or YAML. `kubectl` runs what needs a connection into a pod: `exec` and `port-forward`. Nothing is installed in
//! the cluster, and no command except `check`, with a dry run, writes to it.

mod bundle;
mod chat;
mod check;
mod cluster;
mod doctor;
mod explain;
mod forward;
mod iam;
mod logs;
mod read;
mod redact;
mod state;
mod status;
mod top;
mod trace;
mod tree;
mod tunnel;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

use cluster::KubeArgs;

/// Inspect BedrockAccess objects, their gateways and the installation.
#[derive(Debug, Parser)]
#[command(name = "kubectl-bedrock", bin_name = "kubectl bedrock", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct CommandLine {
    #[command(flatten)]
    kube: KubeArgs,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0    success
  1    failure: an error message is on standard error, or status, check or doctor found an error
  2    invalid command line
  141  standard output was closed, for example by head

Colors are used on terminals only; NO_COLOR=1 disables them.";

#[derive(Debug, Subcommand)]
enum Command {
    Status(status::Args),
    Check(check::Args),
    Explain(explain::Args),
    Logs(logs::Args),
    Doctor(doctor::Args),
    Chat(Box<chat::Args>),
    Iam(Box<iam::Args>),
    Top(top::Args),
    Trace(trace::Args),
    Bundle(bundle::Args),
}

impl CommandLine {
    /// Parses a command line that begins with the name of the program.
    ///
    /// # Errors
    /// The command line is invalid, or requests help.
    pub fn of(words: impl IntoIterator<Item = String>) -> Result<Self, clap::Error> {
        Self::try_parse_from(words)
    }

    /// Runs the command, which writes to `out`, and returns its exit code.
    ///
    /// # Errors
    /// The command failed; the error says why.
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        if let Command::Explain(args) = &self.command {
            return explain::run(args, out);
        }
        let cluster = self.kube.connect().await?;
        match self.command {
            Command::Status(args) => Box::pin(status::run(&args, &cluster, out)).await,
            Command::Check(args) => Box::pin(check::run(&args, &cluster, out)).await,
            Command::Explain(args) => explain::run(&args, out),
            Command::Logs(args) => Box::pin(logs::run(&args, &cluster, out)).await,
            Command::Doctor(args) => Box::pin(doctor::run(&args, &cluster)).await,
            Command::Chat(args) => Box::pin(chat::run(*args, &cluster, out)).await,
            Command::Iam(args) => Box::pin(iam::run(*args, &cluster, out)).await,
            Command::Top(args) => Box::pin(top::run(&args, &cluster, out)).await,
            Command::Trace(args) => Box::pin(trace::run(&args, &cluster, out)).await,
            Command::Bundle(args) => Box::pin(bundle::run(&args, &cluster, out)).await,
        }
    }
}

/// The text of an error with its causes, each once.
#[must_use]
pub fn message(error: &anyhow::Error) -> String {
    gateway::cli::message(error)
}

/// Whether standard output was closed by its reader, such as `head`.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref().map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests;
