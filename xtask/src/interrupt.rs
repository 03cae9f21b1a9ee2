//! Ctrl-C and SIGTERM: recorded, so that this program stops its children before it exits.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static SET: OnceLock<()> = OnceLock::new();

/// Records signals instead of exiting; children still receive them.
///
/// # Errors
/// When the handler cannot be installed.
pub(crate) fn note_signals() -> Result<()> {
    if SET.set(()).is_ok() {
        ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
            .context("failed to listen for signals")?;
    }
    Ok(())
}

/// Whether a signal arrived.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
