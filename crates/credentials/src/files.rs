//! Detects replaced credential files by polling their metadata every two seconds.
//!
//! Polling is deliberate: the kubelet swaps a symlink in the mount directory (`..data`), editors and `aws configure`
//! rename over the file, and overlay or network file systems do not send inotify events. Resolving the path each
//! time detects all of these, takes a few microseconds, and needs no further dependency.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Polling interval.
const INTERVAL: Duration = Duration::from_secs(2);

/// When a replaced file triggers a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Always: the file contains the credentials.
    Always,
    /// Only after a failure: the file is read at each exchange.
    Failing,
}

/// A file that credentials are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) path: PathBuf,
    pub(crate) when: When,
}

/// Identifies one version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

#[derive(Debug)]
pub(crate) struct FileWatch {
    files: Vec<(Watched, Option<Fingerprint>)>,
    failing: bool,
}

impl Watched {
    pub(crate) fn always(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            when: When::Always,
        }
    }

    pub(crate) fn when_failing(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            when: When::Failing,
        }
    }
}

impl FileWatch {
    pub(crate) fn new(watched: Vec<Watched>) -> Self {
        Self {
            files: watched.into_iter().map(|file| (file, None)).collect(),
            failing: false,
        }
    }

    /// Records the current state of all files as already read.
    pub(crate) async fn record_current(&mut self) {
        for (file, seen) in &mut self.files {
            *seen = fingerprint(&file.path).await;
        }
    }

    /// Sets whether the last exchange failed.
    pub(crate) fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// Returns when a watched file was replaced. Cancel-safe: a caller that drops the future fetches in any case.
    pub(crate) async fn replaced(&mut self) {
        if self.files.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            let mut replaced = false;
            for (file, seen) in &mut self.files {
                if file.when == When::Failing && !self.failing {
                    continue;
                }
                let now = fingerprint(&file.path).await;
                // A missing file is being replaced; the next poll detects the new one.
                if now.is_some() && now != *seen {
                    *seen = now;
                    replaced = true;
                }
            }
            if replaced {
                return;
            }
        }
    }
}

/// Follows symlinks; `None` if the file does not exist.
pub(crate) async fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some(Fingerprint {
        inode: inode(&metadata),
        length: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &std::fs::Metadata) -> u64 {
    0
}
