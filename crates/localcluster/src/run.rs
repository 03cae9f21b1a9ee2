//! Directories of runs, the list of active runs, and the removal of leftovers of crashed runs.
//!
//! The helper process of a run holds a lock on a file in its directory, and the kernel frees it when that process dies.
//! So a directory whose lock is free has no owner. Process ids can be reused, so they are only used in messages.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Error, Result, Tools, environment, progress};

/// Longest time for the clean-up of a run after its owner exited.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// Description of a run, for other processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    owner: u32,
    /// Start time of the owner, in the kernel's own unit, which distinguishes it from a later process of that number.
    owner_start: Option<String>,
    cgroup: Option<String>,
}

/// An active run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// The process that started it.
    pub owner: u32,
    /// Its kubeconfig, once it is ready.
    pub kubeconfig: Option<PathBuf>,
}

/// Removed leftovers of a crashed run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// Its name.
    pub name: String,
}

/// Removes leftovers of crashed runs. Active runs are not touched.
///
/// # Errors
/// When a leftover cannot be removed.
pub fn clean_left_overs(tools: &Tools) -> Result<Vec<LeftOver>> {
    let _guard = everyone(&runs()?)?;
    clean_unlocked(tools)
}

/// The active runs on this machine.
///
/// # Errors
/// When the directory of runs cannot be read.
pub fn running() -> Result<Vec<Running>> {
    let mut found = Vec::new();
    for (name, directory) in directories(&runs()?)? {
        if is_locked(&directory)?
            && let Some(note) = Note::read(&directory)
        {
            let kubeconfig = Some(directory.join("kubeconfig")).filter(|path| path.is_file());
            found.push(Running {
                name,
                owner: note.owner,
                kubeconfig,
            });
        }
    }
    Ok(found)
}

/// A directory that belongs to this process until the helper process holds its lock.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) directory: PathBuf,
    pub(crate) cgroup: Option<String>,
    /// Prevents other processes from cleaning or claiming until the helper has locked the directory.
    _guard: File,
}

/// Claims `name` for a new run, after removing leftovers of earlier runs.
pub(crate) async fn claim(tools: &Tools, name: &str, isolated: bool) -> Result<Claim> {
    let start = Instant::now();
    loop {
        let guard = guard_in_background().await?;
        let runs = runs()?;
        let tools = tools.clone();
        for left_over in blocking(move || clean_unlocked(&tools)).await? {
            tracing::info!(
                "removed leftovers of an earlier run named {}",
                left_over.name
            );
        }
        let directory = runs.join(name);
        if !directory.exists() {
            create_private(&directory)?;
            let cgroup = isolated.then(|| format!("localcluster-{name}"));
            let owner = std::process::id();
            let note = Note {
                owner,
                owner_start: start_of(owner),
                cgroup: cgroup.clone(),
            };
            note.write(&directory)?;
            return Ok(Claim {
                directory,
                cgroup,
                _guard: guard,
            });
        }
        let note = Note::read(&directory);
        drop(guard);
        let owner = note.as_ref().map_or(0, |note| note.owner);
        // A run without an owner is cleaning up.
        if note.is_none_or(|note| note.owner_lives()) || start.elapsed() > CLEAN_UP {
            return Err(Error::AlreadyRunning {
                name: name.to_owned(),
                owner,
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Note {
    fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join("note.json")).ok()?).ok()
    }

    fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join("note.json");
        let text = serde_json::to_vec(self).map_err(|error| Error::Rig(error.to_string()))?;
        std::fs::write(&path, text).map_err(Error::file("write", &path))
    }

    fn owner_lives(&self) -> bool {
        // Without /proc this is unknown; assume that it is running.
        self.owner_start.is_none() || start_of(self.owner) == self.owner_start
    }
}

fn clean_unlocked(tools: &Tools) -> Result<Vec<LeftOver>> {
    let mut cleaned = Vec::new();
    for (name, directory) in directories(&runs()?)? {
        if is_locked(&directory)? {
            continue;
        }
        let cgroup = Note::read(&directory).and_then(|note| note.cgroup);
        let mut command = Command::new(tools.rig());
        command.arg("clean").arg(&directory).args(cgroup);
        progress::output(
            &format!("clean up after the run named {name}"),
            &mut command,
        )?;
        cleaned.push(LeftOver { name });
    }
    Ok(cleaned)
}

/// Whether the helper process of the run in `directory` is running.
fn is_locked(directory: &Path) -> Result<bool> {
    let path = directory.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::file("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
    }
}

fn runs() -> Result<PathBuf> {
    let directory = environment::cache()?.join("runs");
    std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
    Ok(directory)
}

fn directories(runs: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = std::fs::read_dir(runs).map_err(Error::file("read", runs))?;
    let mut found: Vec<_> = entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    found.sort();
    Ok(found)
}

/// Waits for the lock of a process that claims or cleans.
fn everyone(runs: &Path) -> Result<File> {
    let path = runs.join("lock");
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    file.lock().map_err(Error::file("lock", &path))?;
    Ok(file)
}

async fn guard_in_background() -> Result<File> {
    blocking(|| everyone(&runs()?)).await
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Rig(format!("a step was interrupted: {error}")))?
}

/// It contains keys, so only its owner may read it.
fn create_private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .map_err(Error::file("create", directory))
}

/// Start time of a process in the kernel's unit; `None` without `/proc` or without such a process.
fn start_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; the 22nd field of the line is the 20th after it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_or_another_one_does_not_count_as_the_owner() {
        let own = std::process::id();
        let note = |owner, owner_start: Option<&str>| Note {
            owner,
            owner_start: owner_start.map(ToOwned::to_owned),
            cgroup: None,
        };
        assert!(note(own, start_of(own).as_deref()).owner_lives());
        assert!(!note(own, Some("1")).owner_lives());
        assert!(!note(u32::MAX, Some("1")).owner_lives());
    }
}
