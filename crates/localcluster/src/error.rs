//! What can go wrong when a cluster is started or used, each with the way out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 15;

/// Why a cluster did not start or could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read, written or removed.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// What was tried, such as "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` names a folder.
    #[error(
        "neither XDG_CACHE_HOME nor HOME is set, so there is no folder for the cluster's files; set one of them"
    )]
    NoCacheFolder,
    /// A program is not installed.
    #[error("{program} is not installed, and {purpose} needs it: {hint}")]
    MissingProgram {
        /// The program.
        program: String,
        /// What it is needed for.
        purpose: &'static str,
        /// How to get it.
        hint: String,
    },
    /// This machine cannot carry the cluster tier.
    #[error(
        "a local cluster cannot run here: {reason}; use `--cluster kind` or `--cluster current` instead"
    )]
    Unsupported {
        /// What is missing.
        reason: String,
    },
    /// A program could not be started at all.
    #[error("failed to run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("failed to {what}: {status}\n{output}")]
    Command {
        /// What it was to do.
        what: String,
        /// How it ended.
        status: String,
        /// The last lines it printed, and where the rest is.
        output: Quote,
    },
    /// A part of the cluster ended although it should run.
    #[error("{component} ended: {detail}\n{log}")]
    ComponentEnded {
        /// The part's name, such as "kube-apiserver".
        component: String,
        /// How it ended.
        detail: String,
        /// The end of its log.
        log: Quote,
    },
    /// Something did not become ready in time although every part runs.
    #[error("{what} was not ready after {waited:?}: {detail}\n{log}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What the last look showed.
        detail: String,
        /// The end of the log most likely to tell why.
        log: Quote,
    },
    /// The helper process that watches over the cluster's parts is gone or refused an order.
    #[error("the cluster's helper process failed: {0}")]
    Rig(String),
    /// A cluster of that name runs already.
    #[error(
        "a cluster named {name} runs already, started by process {owner}; end it with Ctrl-C there, or take another name"
    )]
    AlreadyRunning {
        /// The name.
        name: String,
        /// Process that started it.
        owner: u32,
    },
    /// The API server refused or failed a request.
    #[error("failed to {action}: {source}")]
    Api {
        /// What was tried.
        action: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// A kubeconfig could not be used.
    #[error("failed to use kubeconfig {path}: {detail}")]
    Kubeconfig {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An answer was not what Kubernetes documents.
    #[error("unexpected answer for {what}: {detail}")]
    Unexpected {
        /// What was asked.
        what: String,
        /// What is odd.
        detail: String,
    },
    /// Images cannot be brought into the cluster of the current kube context.
    #[error(
        "image {} cannot be loaded into the cluster of context {context}: push it to a registry that cluster \
         pulls from, or use `--cluster local` or `--cluster kind`", archive.display()
    )]
    NoImageLoading {
        /// The archive.
        archive: PathBuf,
        /// The context.
        context: String,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn spawn(program: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let program = program.to_string();
        move |source| Self::Spawn { program, source }
    }

    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api {
            action,
            source: Box::new(source),
        }
    }
}

/// The last lines of a log, and the file that has them all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quote {
    /// Where the whole log is, if anywhere.
    pub path: Option<PathBuf>,
    /// The last lines.
    pub lines: Vec<String>,
}

impl Quote {
    /// The end of the log at `path`; an unreadable log quotes as empty.
    pub(crate) fn of_file(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        Self {
            path: Some(path.to_owned()),
            ..Self::of_text(&String::from_utf8_lossy(&text))
        }
    }

    /// The end of `text`.
    pub(crate) fn of_text(text: &str) -> Self {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let skipped = lines.len().saturating_sub(QUOTED_LINES);
        Self {
            path: None,
            lines: lines
                .into_iter()
                .skip(skipped)
                .map(ToOwned::to_owned)
                .collect(),
        }
    }

    /// The same for a log whose folder is about to be removed: the log is kept as `kept`.
    pub(crate) fn keeping(path: &Path, kept: &Path) -> Self {
        let quote = Self::of_file(path);
        match std::fs::copy(path, kept) {
            Ok(_) => Self {
                path: Some(kept.to_owned()),
                ..quote
            },
            Err(_) => quote,
        }
    }
}

impl fmt::Display for Quote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(formatter, "  | {line}")?;
        }
        match &self.path {
            Some(path) => write!(formatter, "  the whole log: {}", path.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_quoted_from_its_end_and_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd.log");
        let text: String = (0..40)
            .map(|line| ["line ", &line.to_string(), "\n\n"].concat())
            .collect();
        std::fs::write(&path, text).unwrap();
        let shown = Quote::of_file(&path).to_string();
        assert!(!shown.contains("line 24\n"), "{shown}");
        assert!(shown.starts_with("  | line 25\n"), "{shown}");
        assert!(
            shown.ends_with(&format!("line 39\n  the whole log: {}", path.display())),
            "{shown}"
        );
    }
}
