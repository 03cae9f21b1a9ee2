//! Runs other programs without a shell, with their output in the log of a step or also on the terminal.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    console::{Console, Step},
    repository,
};

/// Lines of a failed program's output that are printed; the log has all of it.
const TAIL_LINES: usize = 40;

/// A command that starts in the root of the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repository::root()).stdin(Stdio::null());
    command
}

/// The same command once more: a `Command` cannot be copied.
pub(crate) fn again(first: &Command) -> Command {
    let mut copy = command(first.get_program());
    copy.args(first.get_args());
    for (name, value) in first.get_envs() {
        match value {
            Some(value) => copy.env(name, value),
            None => copy.env_remove(name),
        };
    }
    copy
}

/// The cargo that runs this program, and so the pinned toolchain.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Python's package installer, which unpacks packages into a directory, without their dependencies and without running
/// code of them.
pub(crate) fn pip(directory: &Path, packages: &[&str]) -> Command {
    let mut pip = command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--no-compile"])
        .args(["--only-binary", ":all:", "--target"])
        .arg(directory)
        .args(packages);
    pip
}

/// Runs a program with its output in the log of the step.
///
/// # Errors
/// When it cannot be started or fails; the error contains the end of its output.
pub(crate) fn quiet(step: &Step, command: &mut Command) -> Result<()> {
    begin(step, command);
    let log = open(step.log())?;
    let status = command
        .stdout(log.try_clone().context("failed to share the log")?)
        .stderr(log)
        .status()
        .with_context(|| missing(command))?;
    judge(step, command, status)
}

/// Runs a program and returns its standard output; its standard error goes to the log.
///
/// # Errors
/// As [`quiet`].
pub(crate) fn capture(step: &Step, command: &mut Command) -> Result<String> {
    begin(step, command);
    let output = command
        .stdout(Stdio::piped())
        .stderr(open(step.log())?)
        .output()
        .with_context(|| missing(command))?;
    judge(step, command, output.status)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("the output of {} is not UTF-8", name(command)))
}

/// Runs a program with its output on the terminal and in the log.
///
/// # Errors
/// When it cannot be started or fails; the error names the log, since the output is on the terminal.
pub(crate) fn live(step: &Step, command: &mut Command) -> Result<()> {
    begin(step, command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| missing(command))?;
    let copies = [
        child.stdout.take().map(|stream| copy(stream, step)),
        child.stderr.take().map(|stream| copy(stream, step)),
    ];
    let status = child.wait().with_context(|| missing(command))?;
    for copy in copies.into_iter().flatten() {
        // A failure to copy output does not change the result of the program.
        copy?.join().unwrap_or_default();
    }
    if !status.success() {
        bail!(
            "{} ended with {status}; log: {}",
            name(command),
            step.log().display()
        );
    }
    Ok(())
}

/// Starts a program in the background, with its output in the log of the step.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn background(step: &Step, command: &mut Command) -> Result<Child> {
    begin(step, command);
    let log = open(step.log())?;
    command
        .stdout(log.try_clone().context("failed to share the log")?)
        .stderr(log)
        .spawn()
        .with_context(|| missing(command))
}

/// A program that runs beside other steps, with its output in a log of its own.
#[derive(Debug)]
pub(crate) struct Beside {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Beside {
    /// Starts the program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let step = Step::unseen(&format!("{name} beside"))?;
        Ok(Self {
            name,
            child: background(&step, command)?,
            log: step.log().to_owned(),
        })
    }

    /// Waits for its end and then shows its output.
    ///
    /// # Errors
    /// When it failed.
    pub(crate) fn wait(mut self, console: &Console) -> Result<()> {
        let status = console.step(&format!("wait for: {}", self.name), |_| {
            self.child
                .wait()
                .with_context(|| format!("failed to wait for {}", self.name))
        })?;
        console.note(&repository::read(&self.log)?);
        ensure!(
            status.success(),
            "{} ended with {status}; log: {}",
            self.name,
            self.log.display()
        );
        Ok(())
    }
}

impl Drop for Beside {
    /// Ends the program if the suite fails before it does.
    fn drop(&mut self) {
        stop(&mut self.child, Duration::from_mins(1));
    }
}

/// Sends SIGTERM to a program, and SIGKILL after `timeout`.
pub(crate) fn stop(child: &mut Child, timeout: Duration) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    // By kill(1): the standard library sends SIGKILL only, which leaves no time to clean up.
    let asked = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    let deadline = Instant::now() + timeout;
    while asked.is_ok() && Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    // It may have exited meanwhile.
    child.kill().unwrap_or_default();
    child.wait().map(drop).unwrap_or_default();
}

/// Whether a program is on the search path and succeeds with this argument.
pub(crate) fn answers(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The end of a file, without blank lines.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(count)
        .collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn begin(step: &Step, command: &Command) {
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    step.say(&format!(
        "$ {} {}",
        command.get_program().to_string_lossy(),
        arguments.join(" ")
    ));
}

fn judge(step: &Step, command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!(
        "{} ended with {status}; the end of {}:\n{}",
        name(command),
        step.log().display(),
        last_lines(step.log(), TAIL_LINES)
    )
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let base = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let first = command
        .get_args()
        .next()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default();
    format!("{base} {first}").trim_end().to_owned()
}

fn missing(command: &Command) -> String {
    format!(
        "failed to start {}",
        command.get_program().to_string_lossy()
    )
}

fn open(log: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .with_context(|| format!("failed to open the log {}", log.display()))
}

fn copy(stream: impl Read + Send + 'static, step: &Step) -> Result<JoinHandle<()>> {
    let mut log = open(step.log())?;
    Ok(thread::spawn(move || copy_lines(stream, &mut log)))
}

fn copy_lines(stream: impl Read, log: &mut File) {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        // With a closed terminal, the program's pipe is still read.
        std::io::stdout().write_all(&line).unwrap_or_default();
        log.write_all(&line).unwrap_or_default();
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_program_is_reported_with_the_end_of_its_output() {
        let error = Console::new()
            .step("process test: failure", |step| {
                quiet(
                    step,
                    command("sh").args(["-c", "echo first; echo why >&2; exit 3"]),
                )
            })
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c ended with exit status: 3"), "{error}");
        assert!(error.ends_with("first\nwhy"), "{error}");
    }

    #[test]
    fn captured_output_is_standard_output_only() {
        let output = Console::new()
            .step("process test: capture", |step| {
                capture(step, command("sh").args(["-c", "echo out; echo err >&2"]))
            })
            .unwrap();
        assert_eq!(output, "out\n");
    }

    #[test]
    fn missing_program_is_named_in_the_error() {
        let error = Console::new()
            .step("process test: missing", |step| {
                quiet(step, &mut command("no-such-program"))
            })
            .unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[test]
    fn stopped_program_has_time_to_clean_up() {
        let directory = tempfile::tempdir().unwrap();
        let (ready, cleaned) = (
            directory.path().join("ready"),
            directory.path().join("cleaned"),
        );
        let script = format!(
            "trap 'touch {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
            cleaned.display(),
            ready.display()
        );
        let mut child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        while !ready.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        stop(&mut child, Duration::from_secs(10));
        assert!(cleaned.exists());
    }
}
