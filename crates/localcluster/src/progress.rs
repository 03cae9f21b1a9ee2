//! Long steps: runs a program with its output in a file and logs every few seconds that it is still running.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Quote;
use crate::{Error, Result};

/// Interval of the progress log.
const EVERY: Duration = Duration::from_secs(15);

/// Runs `command` to its end; both its streams go to the file `log`.
///
/// # Errors
/// When it cannot be started or fails; the error quotes the end of the log.
pub(crate) fn run(what: &str, command: &mut Command, log: &Path) -> Result<()> {
    let output = File::create(log).map_err(Error::file("write", log))?;
    let errors = output.try_clone().map_err(Error::file("write", log))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(Error::spawn(command.get_program().display()))?;
    let start = Instant::now();
    tracing::info!("{what}: started");
    let (ended, end) = channel();
    let waiter = std::thread::spawn(move || {
        let status = child.wait();
        // The receiver lives until this has been received.
        let _ = ended.send(status);
    });
    let status = loop {
        match end.recv_timeout(EVERY) {
            Ok(status) => break status,
            Err(RecvTimeoutError::Timeout) => {
                let last = Quote::of_file(log).lines.pop().unwrap_or_default();
                tracing::info!(
                    "{what}: {} s so far; now: {last}",
                    start.elapsed().as_secs()
                );
            }
            Err(RecvTimeoutError::Disconnected) => {
                break Err(std::io::Error::other("the waiting thread ended early"));
            }
        }
    };
    let _ = waiter.join();
    let status = status.map_err(Error::spawn(command.get_program().display()))?;
    if !status.success() {
        return Err(Error::Command {
            what: what.to_owned(),
            status: status.to_string(),
            output: Quote::of_file(log),
        });
    }
    tracing::info!("{what}: done after {} s", start.elapsed().as_secs());
    Ok(())
}

/// Runs a short `command` and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; the error quotes what it printed.
pub(crate) fn output(what: &str, command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::spawn(command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(Error::Command {
        what: what.to_owned(),
        status: output.status.to_string(),
        output: Quote::of_text(&String::from_utf8_lossy(&printed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_quotes_what_it_printed() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("step.log");
        let error = run(
            "try",
            Command::new("sh").args(["-c", "echo no such module >&2; exit 3"]),
            &log,
        )
        .unwrap_err();
        assert!(
            matches!(&error, Error::Command { output, .. } if output.lines == ["no such module"]),
            "{error}"
        );
    }
}
