//! The `bedrock-gateway` program, which serves the OpenAI, Anthropic and Bedrock APIs: parses the
//! command line, runs the command and exits with its code. The commands are in [`gateway::cli`].

use std::process::ExitCode;

use clap::Parser;
use gateway::cli::CommandLine;

#[tokio::main]
async fn main() -> ExitCode {
    match CommandLine::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a command-line program prints its error to standard error"
)]
fn print_error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
