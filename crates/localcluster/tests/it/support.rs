//! What the tests share: looking at this machine's processes, and timeout.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take before a test gives up.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Polls until `condition` holds.
#[track_caller]
pub(crate) fn eventually(
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < TIMEOUT,
                "{what}: not within {TIMEOUT:?}, asked at {place}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Command lines of live processes that mention `folder`.
pub(crate) fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&folder))
        .collect()
}

/// Mounts of this machine that mention `folder`.
pub(crate) fn mounts_of(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    std::fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains(&folder))
        .map(ToOwned::to_owned)
        .collect()
}
