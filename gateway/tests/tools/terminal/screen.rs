//! A command on a pseudo-terminal of `script`: what it shows, and what a person types.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Timeout of every wait.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A running command on a terminal.
pub(crate) struct Screen {
    child: Child,
    keyboard: Option<ChildStdin>,
    shown: Arc<(Mutex<State>, Condvar)>,
    /// Length of the text that `expect` has matched.
    seen: usize,
}

#[derive(Default)]
struct State {
    text: String,
    ended: bool,
}

impl State {
    fn after(&self, seen: usize) -> &str {
        self.text.get(seen..).unwrap_or_default()
    }
}

impl Screen {
    /// Starts the gateway's program with these arguments and only these variables.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let quoted = |text: &&str| format!("'{}'", text.replace('\'', r"'\''"));
        let arguments: Vec<String> = arguments.iter().map(quoted).collect();
        let program = env!("CARGO_BIN_EXE_bedrock-gateway");
        let line = format!("exec {program} {}", arguments.join(" "));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("script (package bsdutils): {error}"));
        let shown: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let mut output = child.stdout.take().unwrap();
        let writer = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = output.read(&mut buffer).unwrap_or(0);
                let (state, changed) = &*writer;
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state
                    .text
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
                state.ended = read == 0;
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self {
            keyboard: child.stdin.take(),
            child,
            shown,
            seen: 0,
        }
    }

    /// Waits until the terminal shows a text after the text that was expected before.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        let (state, changed) = &*self.shown;
        let state = state.lock().unwrap();
        let seen = self.seen;
        let (state, _) = changed
            .wait_timeout_while(state, TIMEOUT, |state| {
                !state.ended && state.after(seen).find(expected).is_none()
            })
            .unwrap();
        let Some(at) = state.after(seen).find(expected) else {
            panic!("{expected:?} is not in {:?}", state.text);
        };
        self.seen = seen + at + expected.len();
    }

    /// Types a text; `\r` is the Enter key.
    pub(crate) fn keys(&mut self, text: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(text.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Waits for the end of the command and returns its exit code.
    pub(crate) fn end(&mut self) -> i32 {
        let (state, changed) = &*self.shown;
        let guard = state.lock().unwrap();
        let (guard, timeout) = changed
            .wait_timeout_while(guard, TIMEOUT, |state| !state.ended)
            .unwrap();
        assert!(!timeout.timed_out(), "still running: {:?}", guard.text);
        drop(guard);
        drop(self.keyboard.take());
        self.child.wait().unwrap().code().unwrap()
    }

    /// All that the terminal has shown.
    pub(crate) fn text(&self) -> String {
        self.shown.0.lock().unwrap().text.clone()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
