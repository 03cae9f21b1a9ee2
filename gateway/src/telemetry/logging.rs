//! Log lines on standard error: JSON for machines, text for a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

const DEFAULT_LEVEL: &str = "info";

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

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// The filter is invalid.
    #[error("--log-level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another logger is installed in this process.
    #[error("failed to start logging: {0}")]
    Taken(String),
}

/// Sets up logging for this process. `level` is a level such as `debug`, or a filter in the syntax of
/// `tracing-subscriber`.
///
/// # Errors
/// When `level` is invalid, or a logger is installed already.
pub(crate) fn start(format: LogFormat, level: Option<&str>) -> Result<(), LoggingError> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    let filter = if level.contains(['=', ',']) {
        EnvFilter::try_new(level)?
    } else {
        // Libraries log warnings only.
        EnvFilter::try_new(format!(
            "warn,gateway={level},credentials={level},bedrock_gateway={level},opentelemetry_sdk=off,opentelemetry-otlp=off"
        ))?
    };
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal && !json);
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
    started.map_err(|error| LoggingError::Taken(error.to_string()))
}
