//! Notices that credential files were replaced, by looking at their metadata every two seconds.
//!
//! Polling on purpose: the kubelet swaps a symlink two directories up (`..data`), editors and `aws configure`
//! rename over the file, and overlay or network file systems tell inotify nothing. Following the path anew sees
//! all of them, costs a few microseconds a look, and needs no further dependency.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// When a replaced file is a reason to fetch anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Always: the file holds the credentials.
    Always,
    /// Only after a failure: the file is read at each exchange anyway.
    Failing,
}

/// A file, or the files of a folder, that credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) path: PathBuf,
    pub(crate) when: When,
}

/// What tells one state of a file from the next.
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

    /// Takes the present state as the one already read.
    pub(crate) async fn settle(&mut self) {
        for (file, seen) in &mut self.files {
            *seen = fingerprint(&file.path).await;
        }
    }

    /// Tells whether the last exchange failed.
    pub(crate) fn only_when_failing_is(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// Returns once a file that matters was replaced. May be dropped at any point: who drops it fetches anyway.
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
                // A file that is gone for a moment is being replaced; the next look sees what came instead.
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

/// Follows symlinks; none when there is nothing to see.
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
