//! `bedrock-gateway`: parses the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use gateway::cli::CommandLine;

#[tokio::main]
async fn main() -> ExitCode {
    match CommandLine::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of a command line go to standard error"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
