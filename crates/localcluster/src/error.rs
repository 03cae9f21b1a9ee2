//! Errors of starting and using a cluster, each with a fix.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 15;

/// Why a cluster did not start or could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read, written or removed.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// The failed action, such as "write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` names a directory.
    #[error(
        "neither XDG_CACHE_HOME nor HOME is set, so there is no directory for the cluster's files; set one of them"
    )]
    NoCacheDirectory,
    /// A program is not installed.
    #[error("{program} is not installed; {purpose} needs it. Fix: {hint}")]
    MissingProgram {
        /// The program.
        program: String,
        /// What needs the program.
        purpose: &'static str,
        /// Fix.
        hint: String,
    },
    /// This machine cannot run the cluster tier.
    #[error(
        "a local cluster cannot run on this machine: {reason}. Fix: use `--cluster kind` or `--cluster current`"
    )]
    Unsupported {
        /// The missing requirement.
        reason: String,
    },
    /// A program could not be started.
    #[error("failed to run {program}: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("failed to {what}: {status}\n{output}")]
    Command {
        /// The failed action.
        what: String,
        /// Exit status or signal.
        status: String,
        /// The end of its output, and the path of the log.
        output: Quote,
    },
    /// A component of the cluster exited unexpectedly.
    #[error("{component} exited: {detail}\n{log}")]
    ComponentEnded {
        /// Name of the component, such as "kube-apiserver".
        component: String,
        /// Exit status or signal.
        detail: String,
        /// The end of its log.
        log: Quote,
    },
    /// A timeout, although every component is running.
    #[error("{what} was not ready after {waited:?}: {detail}\n{log}")]
    NotReady {
        /// What did not become ready.
        what: String,
        /// Elapsed time.
        waited: Duration,
        /// Result of the last check.
        detail: String,
        /// The end of the most relevant log.
        log: Quote,
    },
    /// The helper process that supervises the cluster's components exited or rejected a command.
    #[error("the cluster's helper process failed: {0}")]
    Rig(String),
    /// A cluster of that name is already running.
    #[error(
        "a cluster named {name} is already running, started by process {owner}. Fix: stop it with Ctrl-C there, or use another name"
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
        /// The failed action.
        action: String,
        /// Error of the API server.
        source: Box<kube::Error>,
    },
    /// A kubeconfig could not be used.
    #[error("failed to use kubeconfig {path}: {detail}")]
    Kubeconfig {
        /// Its path.
        path: String,
        /// The problem.
        detail: String,
    },
    /// A response differs from the documentation of Kubernetes.
    #[error("unexpected response for {what}: {detail}")]
    Unexpected {
        /// The request.
        what: String,
        /// The difference.
        detail: String,
    },
    /// Images cannot be loaded into the cluster of the current kube context.
    #[error(
        "image {} cannot be loaded into the cluster of context {context}. Fix: push it to a registry of that \
         cluster, or use `--cluster local` or `--cluster kind`", archive.display()
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

/// The end of a log, and its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quote {
    /// Path of the complete log, if kept.
    pub path: Option<PathBuf>,
    /// The last lines.
    pub lines: Vec<String>,
}

impl Quote {
    /// The end of the log at `path`, empty if it cannot be read.
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

    /// As [`Self::of_file`], for a log in a directory that is removed next: the log is copied to `kept`.
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
            Some(path) => write!(formatter, "  complete log: {}", path.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quote_has_the_end_of_a_long_log_and_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etcd.log");
        let text: String = (0..40)
            .map(|line| ["line ", &line.to_string(), "\n\n"].concat())
            .collect();
        std::fs::write(&path, text).unwrap();
        let shown = Quote::of_file(&path).to_string();
        assert!(!shown.contains("line 24\n"), "{shown}");
        assert!(shown.starts_with("  | line 25\n"), "{shown}");
        assert!(
            shown.ends_with(&format!("line 39\n  complete log: {}", path.display())),
            "{shown}"
        );
    }
}
