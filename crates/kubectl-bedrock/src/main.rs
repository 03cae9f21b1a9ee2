//! The `kubectl-bedrock` program, which kubectl runs as `kubectl bedrock`: parses the command line, runs the command and
//! exits with its code. The commands are in the library.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use gateway::cli::output::ERROR;
use kubectl_bedrock::{CommandLine, is_closed_pipe, message};

/// Exit code if the reader of standard output exits, the same as that of a process that SIGPIPE terminates.
const EXIT_CLOSED_PIPE: u8 = 141;

#[tokio::main]
async fn main() -> ExitCode {
    match CommandLine::parse().run(&mut anstream::stdout()).await {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::from(EXIT_CLOSED_PIPE),
        Err(error) => {
            // A closed standard error leaves no place to report to.
            let text = message(&error);
            let _ = writeln!(anstream::stderr(), "{ERROR}error:{ERROR:#} {text}");
            ExitCode::FAILURE
        }
    }
}
