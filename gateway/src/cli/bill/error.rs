//! Errors of `bedrock-gateway bill`.

use std::{io, path::PathBuf};

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has another format.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// The output is closed.
    #[error("failed to write the comparison")]
    Write(#[from] io::Error),
}
