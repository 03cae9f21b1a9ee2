//! Output on the terminal: one line per step with its time, and progress while it runs.
//!
//! On a terminal the line of the running step is redrawn with the last line of its log. Elsewhere (CI, a pipe) a line
//! is written at the start, every 30 seconds, and at the end.

use std::{
    fs,
    io::{IsTerminal, Write, stdout},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{process, repository};

/// Time between two frames on a terminal.
const FRAME: Duration = Duration::from_millis(120);
/// Time between two lines of progress elsewhere.
const HEARTBEAT: Duration = Duration::from_secs(30);
const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇", "⠏", "⠋"];

/// The terminal or pipe of the output.
#[derive(Debug)]
pub(crate) struct Console {
    terminal: bool,
}

/// A running step and its log.
#[derive(Debug)]
pub(crate) struct Step {
    log: PathBuf,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self {
            terminal: stdout().is_terminal(),
        }
    }

    /// Whether the output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Runs `work` as a step; its programs write to a log only.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        let step = Step {
            log: log_file(name)?,
        };
        let started = Instant::now();
        let life = self.show_life(name, &step.log, started);
        let result = work(&step);
        life.end();
        self.close(name, started, result.is_ok());
        result
    }

    /// Runs `work` as a step; the output of its programs is shown as well.
    pub(crate) fn live<T>(&self, name: &str, work: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        let step = Step {
            log: log_file(name)?,
        };
        let started = Instant::now();
        println!("  {}", self.paint("1", &format!("▸ {name}")));
        let result = work(&step);
        self.close(name, started, result.is_ok());
        result
    }

    /// Prints a text between steps.
    pub(crate) fn note(&self, text: &str) {
        for line in text.lines() {
            println!("    {}", self.paint("2", line));
        }
    }

    /// Prints the heading of a part.
    pub(crate) fn heading(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// `text` in a colour of ECMA-48, on a terminal only.
    pub(crate) fn paint(&self, code: &str, text: &str) -> String {
        if self.terminal {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn close(&self, name: &str, started: Instant, succeeded: bool) {
        let (mark, code) = if succeeded {
            ("✔", "32")
        } else {
            ("✘", "31")
        };
        let time = self.paint("2", &seconds(started.elapsed()));
        println!("  {} {name}  {time}", self.paint(code, mark));
    }

    fn show_life(&self, name: &str, log: &Path, started: Instant) -> Life {
        let (stop, stopped) = mpsc::channel::<()>();
        let (terminal, name, log) = (self.terminal, name.to_owned(), log.to_owned());
        if !terminal {
            println!("  ▸ {name}");
        }
        let period = if terminal { FRAME } else { HEARTBEAT };
        let thread = thread::spawn(move || {
            let mut frames = SPINNER.iter().cycle();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
                let last = clip(&process::last_lines(&log, 1), 70);
                let time = seconds(started.elapsed());
                if terminal {
                    let frame = frames.next().unwrap_or(&"·");
                    print!(
                        "\r\x1b[2K  \x1b[36m{frame}\x1b[0m {name}  \x1b[2m{time}  {last}\x1b[0m"
                    );
                    // A closed terminal does not end the work.
                    stdout().flush().unwrap_or_default();
                } else {
                    println!("    … {name}, {time}: {last}");
                }
            }
            if terminal {
                print!("\r\x1b[2K");
            }
        });
        Life { stop, thread }
    }
}

impl Step {
    /// A step that is not shown, for a program that runs beside others.
    pub(crate) fn unseen(name: &str) -> Result<Self> {
        Ok(Self {
            log: log_file(name)?,
        })
    }

    /// File that the programs of this step write to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Writes a line to the log; a terminal shows it while the step runs.
    pub(crate) fn say(&self, line: &str) {
        if let Ok(mut file) = fs::OpenOptions::new().append(true).open(&self.log) {
            // The step continues without its log.
            writeln!(file, "{line}").unwrap_or_default();
        }
    }
}

struct Life {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Life {
    fn end(self) {
        drop(self.stop);
        // A failure to draw does not affect the step.
        self.thread.join().unwrap_or_default();
    }
}

/// Collects failures of independent steps.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<String>);

impl Failures {
    /// Prints a failure and keeps its name.
    pub(crate) fn collect(&mut self, name: &str, result: Result<()>) {
        if let Err(error) = result {
            println!("    {}", format!("{error:#}").replace('\n', "\n    "));
            self.0.push(name.to_owned());
        }
    }

    /// Fails with the names of everything that failed.
    pub(crate) fn conclude(self) -> Result<()> {
        if !self.0.is_empty() {
            bail!("failed: {}", self.0.join(", "));
        }
        Ok(())
    }
}

/// `8.4 s` or `12 min 3 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

/// A fresh log for a step.
fn log_file(name: &str) -> Result<PathBuf> {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let path = repository::scratch("log")?.join(format!("{}.log", name.trim_matches('-')));
    repository::write(&path, "")?;
    Ok(path)
}

/// At most `width` characters of a line, without control characters.
fn clip(line: &str, width: usize) -> String {
    line.chars()
        .filter(|c| !c.is_control())
        .take(width)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(seconds(Duration::from_millis(8_440)), "8.4 s");
        assert_eq!(seconds(Duration::from_secs(59)), "59.0 s");
        assert_eq!(seconds(Duration::from_secs(723)), "12 min 3 s");
    }

    #[test]
    fn failures_are_named_together_at_the_end() {
        let mut failures = Failures::default();
        failures.collect("fmt", Ok(()));
        failures.collect("tidy", Err(anyhow::anyhow!("a file is too long")));
        failures.collect("chart", Err(anyhow::anyhow!("does not render")));
        assert_eq!(
            failures.conclude().unwrap_err().to_string(),
            "failed: tidy, chart"
        );
        assert!(Failures::default().conclude().is_ok());
    }

    #[test]
    fn log_lines_are_shown_without_control_characters() {
        assert_eq!(clip("\u{1b}[1mCompiling\tapi", 12), "[1mCompiling");
    }
}
