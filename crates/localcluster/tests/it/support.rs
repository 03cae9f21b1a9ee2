//! Shared by the tests: the processes and mounts of this machine, waiting, and the lane.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// How long a condition may take to become true.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Whether a test of the full lane is skipped; then its name is printed. Pods take root and half a minute.
///
/// `cargo xtask test --full` sets the variable.
#[expect(
    clippy::disallowed_methods,
    reason = "the lane is a setting of the test run"
)]
pub(crate) fn is_left_to_full() -> bool {
    if std::env::var("TEST_LANE").is_ok_and(|lane| lane == "full") {
        return false;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Straight to the stream: libtest captures what `eprintln!` prints.
    let _ = writeln!(
        std::io::stderr(),
        "{test}: left to the full lane (cargo xtask test --full)"
    );
    true
}

/// Polls until `condition` is true.
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

/// Command lines of live processes that mention `directory`.
pub(crate) fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.display().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&directory))
        .collect()
}

/// Mounts of this machine that mention `directory`.
pub(crate) fn mounts_of(directory: &Path) -> Vec<String> {
    let directory = directory.display().to_string();
    std::fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains(&directory))
        .map(ToOwned::to_owned)
        .collect()
}
