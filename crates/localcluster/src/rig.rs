//! The helper process that starts and supervises a cluster's programs, and stops them when this process exits.
//!
//! It reads commands from a pipe. The kernel closes that pipe when this process exits for any reason; the helper then
//! kills the programs and removes the run's directory, as after an orderly shutdown. This needs no thread or runtime of
//! this process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::error::Quote;
use crate::{Error, Result, environment};

/// Interval of readiness checks.
const POLL: Duration = Duration::from_millis(100);

/// One helper process and the programs it runs.
#[derive(Debug)]
pub(crate) struct Rig {
    name: String,
    logs: PathBuf,
    home: PathBuf,
    child: Mutex<Child>,
    orders: Mutex<Option<ChildStdin>>,
    /// Programs that were killed on purpose, whose exit is not a failure.
    killed: Mutex<BTreeSet<String>>,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// The process that owns the namespaces of the programs.
    inside: Option<u32>,
    running: BTreeMap<String, u32>,
    /// Programs that exited, with their status.
    ended: BTreeMap<String, String>,
    closed: bool,
}

#[derive(Serialize, Default)]
struct Order<'a> {
    start: &'a str,
    argv: Vec<&'a str>,
    env: Vec<String>,
    log: &'a str,
    kill: &'a str,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    detail: String,
}

impl Rig {
    /// Starts the helper for the run in `directory`. With a `cgroup` its programs get namespaces of their own.
    pub(crate) async fn start(
        binary: &Path,
        name: &str,
        directory: &Path,
        cgroup: Option<&str>,
    ) -> Result<Self> {
        let logs = directory.join("logs");
        std::fs::create_dir_all(&logs).map_err(Error::file("create", &logs))?;
        let mut child = Command::new(binary)
            .arg("run")
            .arg(directory)
            .args(cgroup)
            .env("PATH", environment::search_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A process group of its own: this process handles Ctrl-C and then stops the helper.
            .process_group(0)
            .spawn()
            .map_err(Error::spawn(binary.display()))?;
        let state = Arc::new(watch::Sender::new(State::default()));
        if let Some(events) = child.stdout.take() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || follow(BufReader::new(events), &state));
        }
        let orders = child.stdin.take();
        let mut changes = state.subscribe();
        let inside = changes
            .wait_for(|state| state.inside.is_some() || state.closed)
            .await;
        if !inside.is_ok_and(|state| state.inside.is_some()) {
            let status = child
                .wait()
                .map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(Error::Rig(format!(
                "it ended before it was ready ({status}); its message is above"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            logs,
            home: directory.to_owned(),
            child: Mutex::new(child),
            orders: Mutex::new(orders),
            killed: Mutex::default(),
            state,
        })
    }

    /// Starts a program; its output goes to the log of that name.
    pub(crate) fn run(&self, name: &str, argv: &[String]) -> Result<()> {
        // Forget an exit before this start.
        self.state
            .send_modify(|state| drop(state.ended.remove(name)));
        self.killed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        self.order(&Order {
            start: name,
            argv: argv.iter().map(String::as_str).collect(),
            env: vec![
                format!("PATH={}", environment::search_path().display()),
                format!("HOME={}", self.home.display()),
                // Go programs: with the default, garbage collection took an eighth of their time under load.
                "GOGC=400".to_owned(),
            ],
            log: &self.log(name).to_string_lossy(),
            ..Order::default()
        })
    }

    /// Kills a program, and waits until it is gone.
    pub(crate) async fn kill(&self, name: &str) -> Result<()> {
        self.killed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
        self.order(&Order {
            kill: name,
            ..Order::default()
        })?;
        let mut state = self.state.subscribe();
        state
            .wait_for(|state| state.closed || !state.running.contains_key(name))
            .await
            .map(|_| ())
            .map_err(|_| Error::Rig("it exited".to_owned()))
    }

    /// Fails if a program exited unexpectedly.
    pub(crate) fn check(&self) -> Result<()> {
        let state = self.state.borrow().clone();
        let killed = self
            .killed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((component, detail)) = state
            .ended
            .into_iter()
            .find(|(name, _)| !killed.contains(name))
        {
            return Err(Error::ComponentEnded {
                log: self.keep_log(&component),
                component,
                detail,
            });
        }
        if state.closed {
            return Err(Error::Rig(
                "it ended, and every program of the cluster with it".to_owned(),
            ));
        }
        Ok(())
    }

    /// Polls `ready` until it succeeds. Fails when a program exits, or after `timeout`.
    pub(crate) async fn wait<F, D>(
        &self,
        what: &str,
        timeout: Duration,
        log: &str,
        mut ready: F,
    ) -> Result<()>
    where
        F: AsyncFnMut() -> std::result::Result<(), D>,
        D: ToString,
    {
        let start = Instant::now();
        loop {
            self.check()?;
            // Errors are expected until the component is ready, so they are not logged.
            let Err(detail) = ready().with_subscriber(NoSubscriber::default()).await else {
                return Ok(());
            };
            if start.elapsed() > timeout {
                return Err(Error::NotReady {
                    what: what.to_owned(),
                    waited: timeout,
                    detail: detail.to_string(),
                    log: self.keep_log(log),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process that owns the namespaces of the programs, as seen from outside.
    pub(crate) fn inside(&self) -> u32 {
        self.state.borrow().inside.unwrap_or_default()
    }

    /// The helper process itself.
    pub(crate) fn pid(&self) -> u32 {
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .id()
    }

    /// Log of the program of that name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Stops every program and removes the run's directory.
    pub(crate) fn end(&self) -> Result<()> {
        drop(
            self.orders
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let status = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wait();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::Rig(format!(
                "its clean-up failed ({status}); its message is above"
            ))),
            Err(error) => Err(Error::Rig(error.to_string())),
        }
    }

    /// A failed start removes the run's directory, so its log is copied to the user's temporary files.
    fn keep_log(&self, component: &str) -> Quote {
        let kept = std::env::temp_dir().join(format!("localcluster-{}-{component}.log", self.name));
        Quote::keeping(&self.log(component), &kept)
    }

    fn order(&self, order: &Order<'_>) -> Result<()> {
        let gone =
            |error: std::io::Error| Error::Rig(format!("it no longer accepts commands: {error}"));
        let mut line = serde_json::to_vec(order).map_err(|error| Error::Rig(error.to_string()))?;
        line.push(b'\n');
        match self
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            Some(pipe) => pipe.write_all(&line).map_err(gone),
            None => Err(Error::Rig("it was stopped".to_owned())),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("{}: {error}", self.name);
        }
    }
}

/// Updates the state from the helper's events until it closes its output.
fn follow(events: impl BufRead, state: &watch::Sender<State>) {
    for line in events.lines() {
        let Ok(line) = line else { break };
        let Ok(event) = serde_json::from_str::<Event>(&line) else {
            tracing::warn!("unknown event of the cluster's helper process: {line}");
            continue;
        };
        state.send_modify(|state| apply(state, event));
    }
    state.send_modify(|state| state.closed = true);
}

fn apply(state: &mut State, event: Event) {
    match event.kind.as_str() {
        "ready" => state.inside = Some(event.pid),
        "started" => {
            state.ended.remove(&event.name);
            state.running.insert(event.name, event.pid);
        }
        "exited" => {
            state.running.remove(&event.name);
            state.ended.insert(event.name, event.detail);
        }
        "failed" => {
            state.ended.insert(event.name, event.detail);
        }
        _ => {}
    }
}
