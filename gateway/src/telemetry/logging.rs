//! Log lines on standard error: JSON for machines, text for a terminal.

pub(crate) mod request_line;
pub(crate) mod writer;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use writer::{Flush, Lines};

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object for each line.
    Json,
    /// Text for a terminal.
    Text,
}

/// The credential providers of the SDK print external IDs, and what a `credential_process` writes to standard error. The
/// `credentials` crate logs the same errors without them.
const QUIET: &str = "aws_config=off";

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// The filter is invalid.
    #[error("--log-level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// No thread for the log.
    #[error("failed to start the logging thread")]
    Thread(#[from] std::io::Error),
    /// Another logger is installed in this process.
    #[error("failed to start logging: {0}")]
    Taken(String),
}

/// Sets up logging for this process, until the returned value is dropped. `level` is a level such as `debug`, or a filter in the syntax of
/// `tracing-subscriber`.
///
/// # Errors
/// When `level` is invalid, or a logger is installed already.
pub(crate) fn start(format: LogFormat, level: &str) -> Result<Flush, LoggingError> {
    let filter = if level.contains(['=', ',']) {
        EnvFilter::try_new(format!("{QUIET},{level}"))?
    } else {
        // Libraries log warnings at most.
        let libraries = if level == "error" { "error" } else { "warn" };
        EnvFilter::try_new(format!(
            "{libraries},{QUIET},gateway={level},credentials={level},bedrock_gateway={level},opentelemetry_sdk=off,opentelemetry-otlp=off"
        ))?
    };
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines = Lines::start(std::io::stderr())?;
    let flush = lines.flush_at_end();
    let of_requests = lines.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        // No colors: `tracing-subscriber` is built without them, and prints an error of its own if they are on.
        .with_ansi(false);
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| LoggingError::Taken(error.to_string()))?;
    if json {
        request_line::write_json(of_requests);
    }
    Ok(flush)
}
