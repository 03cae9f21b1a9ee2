//! Ctrl-C and SIGTERM: noted, so that what was started is ended before we end.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static SET: OnceLock<()> = OnceLock::new();

/// From now on a signal is noted instead of ending this program; programs we run still get it.
pub(crate) fn note_signals() -> Result<()> {
    if SET.set(()).is_ok() {
        ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
            .context("failed to listen for signals")?;
    }
    Ok(())
}

/// Whether there was one.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
