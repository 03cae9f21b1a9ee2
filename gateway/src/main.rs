//! The `bedrock-gateway` program, which serves the OpenAI, Anthropic and Bedrock APIs: parses the
//! command line, runs the command and exits with its code. The commands are in [`gateway::cli`].

use std::{io::Write, process::ExitCode};

use clap::Parser;
use gateway::cli::{self, CommandLine, output::ERROR};

/// Returns memory to the system after large requests (ADR-0025).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match CommandLine::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            cli::exit_code(&error)
        }
    }
}

fn print_error(error: &anyhow::Error) {
    // A closed standard error leaves no place to report to.
    let _ = writeln!(
        anstream::stderr(),
        "{ERROR}error:{ERROR:#} {}",
        cli::message(error)
    );
}
