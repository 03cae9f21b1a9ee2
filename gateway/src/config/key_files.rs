//! Files with API keys of clients: one file for each client in a directory, as in a mounted Secret.

use std::path::{Path, PathBuf};

/// Failed to read API keys.
#[derive(Debug, thiserror::Error)]
#[error("failed to read API keys from {path}")]
pub struct KeyFileError {
    pub(crate) path: PathBuf,
    pub(crate) source: std::io::Error,
}

impl KeyFileError {
    /// Whether the directory or the file does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

/// The key files of a directory, sorted. Names that begin with a dot belong to the kubelet.
///
/// # Errors
/// When the directory is not readable.
pub(crate) fn key_files(directory: &Path) -> Result<Vec<PathBuf>, KeyFileError> {
    let failed = |source| KeyFileError {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
