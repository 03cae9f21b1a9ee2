//! The folder of each run, which of them are alive, and the removal of what crashed ones left behind.
//!
//! The helper process of a run holds a lock on a file in its folder, and the kernel frees it when that process dies.
//! So a folder whose lock is free belongs to nobody, however its owner ended: no process id is trusted to mean the
//! process it once meant, except to tell a person who owns a live run.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Error, Result, Tools, environment, progress};

/// How long a run that lost its owner may take to clean up after itself.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// What a run writes down about itself for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    owner: u32,
    /// When the owner started, in the kernel's own unit, so that a process that got its number later is told apart.
    owner_start: Option<String>,
    cgroup: Option<String>,
}

/// A run that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// The process that started it.
    pub owner: u32,
    /// Its kubeconfig, once it is ready.
    pub kubeconfig: Option<PathBuf>,
}

/// What a run that is gone left behind, and was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// Its name.
    pub name: String,
}

/// Removes what runs left behind whose processes are gone. Live runs are not touched.
///
/// # Errors
/// When something cannot be removed.
pub fn clean_left_overs(tools: &Tools) -> Result<Vec<LeftOver>> {
    let _guard = everyone(&runs()?)?;
    clean_unlocked(tools)
}

/// The runs that are alive on this machine.
///
/// # Errors
/// When the folder of runs cannot be read.
pub fn running() -> Result<Vec<Running>> {
    let mut found = Vec::new();
    for (name, folder) in folders(&runs()?)? {
        if is_locked(&folder)?
            && let Some(note) = Note::read(&folder)
        {
            let kubeconfig = Some(folder.join("kubeconfig")).filter(|path| path.is_file());
            found.push(Running {
                name,
                owner: note.owner,
                kubeconfig,
            });
        }
    }
    Ok(found)
}

/// A folder that is ours until the helper process holds its lock.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) folder: PathBuf,
    pub(crate) cgroup: Option<String>,
    /// Keeps others from cleaning or claiming until the helper has locked the folder.
    _guard: File,
}

/// Takes `name` for a new run, after removing what earlier runs left behind.
pub(crate) async fn claim(tools: &Tools, name: &str, isolated: bool) -> Result<Claim> {
    let start = Instant::now();
    loop {
        let guard = guard_in_background().await?;
        let runs = runs()?;
        let tools = tools.clone();
        for left_over in blocking(move || clean_unlocked(&tools)).await? {
            tracing::info!(
                "removed what an earlier run named {} left behind",
                left_over.name
            );
        }
        let folder = runs.join(name);
        if !folder.exists() {
            create_private(&folder)?;
            let cgroup = isolated.then(|| format!("localcluster-{name}"));
            let owner = std::process::id();
            let note = Note {
                owner,
                owner_start: start_of(owner),
                cgroup: cgroup.clone(),
            };
            note.write(&folder)?;
            return Ok(Claim {
                folder,
                cgroup,
                _guard: guard,
            });
        }
        let note = Note::read(&folder);
        drop(guard);
        let owner = note.as_ref().map_or(0, |note| note.owner);
        // A run whose owner is gone is just cleaning up after itself.
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
    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join("note.json")).ok()?).ok()
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("note.json");
        let text = serde_json::to_vec(self).map_err(|error| Error::Rig(error.to_string()))?;
        std::fs::write(&path, text).map_err(Error::file("write", &path))
    }

    fn owner_lives(&self) -> bool {
        // Without /proc there is nothing to tell it by; assume the best.
        self.owner_start.is_none() || start_of(self.owner) == self.owner_start
    }
}

fn clean_unlocked(tools: &Tools) -> Result<Vec<LeftOver>> {
    let mut cleaned = Vec::new();
    for (name, folder) in folders(&runs()?)? {
        if is_locked(&folder)? {
            continue;
        }
        let cgroup = Note::read(&folder).and_then(|note| note.cgroup);
        let mut command = Command::new(tools.rig());
        command.arg("clean").arg(&folder).args(cgroup);
        progress::output(
            &format!("clean up after the run named {name}"),
            &mut command,
        )?;
        cleaned.push(LeftOver { name });
    }
    Ok(cleaned)
}

/// Whether the helper process of the run in `folder` lives.
fn is_locked(folder: &Path) -> Result<bool> {
    let path = folder.join("lock");
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
    let folder = environment::cache()?.join("runs");
    std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    Ok(folder)
}

fn folders(runs: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = std::fs::read_dir(runs).map_err(Error::file("read", runs))?;
    let mut found: Vec<_> = entries
        .filter_map(std::result::Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    found.sort();
    Ok(found)
}

/// Waits for the lock that whoever claims or cleans holds.
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

/// Keys lie in there: nobody else may look.
fn create_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(Error::file("create", folder))
}

/// When a process started, as the kernel counts; none where there is no `/proc` or no such process.
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
