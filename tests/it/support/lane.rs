//! Lanes: the default lane is quick enough to run after each change, the full lane has every case and every long wait.
//!
//! `cargo xtask test --full` sets [`VARIABLE`]. A test that belongs to the full lane alone returns at once when
//! [`is_left_to_full`] says so; a test with many cases or a long wait takes its numbers from [`pick`].

use std::io::Write as _;

/// Environment variable that selects the lane: `full`, or anything else for the default lane.
pub(crate) const VARIABLE: &str = "TEST_LANE";

/// Whether this is the full lane.
#[expect(
    clippy::disallowed_methods,
    reason = "the lane is a setting of the test run"
)]
pub(crate) fn is_full() -> bool {
    std::env::var(VARIABLE).is_ok_and(|lane| lane == "full")
}

/// The value for this lane.
pub(crate) fn pick<T>(default: T, full: T) -> T {
    if is_full() { full } else { default }
}

/// Whether a test of the full lane is skipped in this one; then its name is printed.
pub(crate) fn is_left_to_full() -> bool {
    if is_full() {
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
