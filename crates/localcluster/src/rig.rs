//! The helper process that starts and watches a cluster's programs, and ends them all when this process ends.
//!
//! It reads orders from the pipe on its standard input. The kernel closes that pipe when this process dies, whatever
//! the reason, and the helper then kills what it started and removes the run's folder: the same clean-up as after an
//! orderly shutdown. No thread or runtime of this process has to survive for it.

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

/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(100);

/// One helper process and the programs it runs.
#[derive(Debug)]
pub(crate) struct Rig {
    name: String,
    logs: PathBuf,
    home: PathBuf,
    child: Mutex<Child>,
    orders: Mutex<Option<ChildStdin>>,
    /// Programs that were killed on purpose, so that their end is no failure.
    killed: Mutex<BTreeSet<String>>,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// The process whose namespaces the programs live in.
    inside: Option<u32>,
    running: BTreeMap<String, u32>,
    /// Programs that ended, and how.
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
    /// Starts the helper for the run in `folder`. With a `cgroup` its programs get namespaces of their own.
    pub(crate) async fn start(
        binary: &Path,
        name: &str,
        folder: &Path,
        cgroup: Option<&str>,
    ) -> Result<Self> {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(Error::file("create", &logs))?;
        let mut child = Command::new(binary)
            .arg("run")
            .arg(folder)
            .args(cgroup)
            .env("PATH", environment::search_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: Ctrl-C is for us, who then end it in order.
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
            home: folder.to_owned(),
            child: Mutex::new(child),
            orders: Mutex::new(orders),
            killed: Mutex::default(),
            state,
        })
    }

    /// Starts a program; its output goes to the log of that name.
    pub(crate) fn run(&self, name: &str, argv: &[String]) -> Result<()> {
        // An end before this start is over and done with.
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
                // All are Go programs, and memory is there: under load they collected garbage an eighth of their time.
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
            .map_err(|_| Error::Rig("it is gone".to_owned()))
    }

    /// Fails when any program that should run has ended.
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

    /// Polls `ready` until it says yes. Fails at once when a program ends, and at `timeout` in any case.
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
            // What is not ready yet refuses; that is no news for anybody's log.
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

    /// The process whose namespaces the programs live in, as seen from outside.
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

    /// Where the program of that name logs.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Ends every program, removes the run's folder, and says whether that worked.
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

    /// The run's folder goes away with a failed start, so the log that explains it is kept beside the user's
    /// temporary files.
    fn keep_log(&self, component: &str) -> Quote {
        let kept = std::env::temp_dir().join(format!("localcluster-{}-{component}.log", self.name));
        Quote::keeping(&self.log(component), &kept)
    }

    fn order(&self, order: &Order<'_>) -> Result<()> {
        let gone =
            |error: std::io::Error| Error::Rig(format!("it takes no orders any more: {error}"));
        let mut line = serde_json::to_vec(order).map_err(|error| Error::Rig(error.to_string()))?;
        line.push(b'\n');
        match self
            .orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            Some(pipe) => pipe.write_all(&line).map_err(gone),
            None => Err(Error::Rig("it was ended".to_owned())),
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

/// Keeps the state true to what the helper tells, until it closes its output.
fn follow(events: impl BufRead, state: &watch::Sender<State>) {
    for line in events.lines() {
        let Ok(line) = line else { break };
        let Ok(event) = serde_json::from_str::<Event>(&line) else {
            tracing::warn!("the cluster's helper process said something unknown: {line}");
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
