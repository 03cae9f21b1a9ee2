//! Processes of the run: start, measurement through `/proc`, stop.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use http::HeaderMap;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{named, scenario::Handling, steps::Sums};

/// Longest time for the start of a process.
const TIMEOUT: Duration = Duration::from_mins(5);
/// Longest time for its end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Unit of CPU time in `/proc` on every platform (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that listens on an address; dropping it stops the process.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    address: SocketAddr,
    /// Where it reports time by step, if it does.
    recorder: Option<SocketAddr>,
    /// Headers that each request to it has.
    headers: HeaderMap,
    /// Names of the model in its responses.
    models: Vec<&'static str>,
}

impl Process {
    /// Starts `command`, which listens on `address`, with its output in `log`.
    ///
    /// # Errors
    /// When it does not listen in time; the error contains the end of its log.
    pub(crate) async fn start(
        name: &str,
        command: &mut Command,
        address: SocketAddr,
        log: &Path,
    ) -> Result<Self> {
        let open = File::create(log).with_context(|| format!("failed to write {}", named(log)))?;
        let also = open.try_clone().context("failed to share the log")?;
        let child = command
            // Kept open: the helpers exit when it closes.
            .stdin(Stdio::piped())
            .stdout(also)
            .stderr(open)
            .spawn()
            .with_context(|| {
                format!(
                    "failed to start {}",
                    command.get_program().to_string_lossy()
                )
            })?;
        let mut process = Self {
            name: name.to_owned(),
            child,
            address,
            recorder: None,
            headers: HeaderMap::new(),
            models: Handling::ALL.map(Handling::model).to_vec(),
        };
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(address).await.is_err() {
            let ended = process
                .child
                .try_wait()
                .context("failed to read the state of a process")?;
            if ended.is_some() || Instant::now() > deadline {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} does not listen on {address}; its log:\n{text}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    /// The process needs these headers in each request, and names the model in one of these ways.
    pub(crate) fn with_headers(mut self, headers: HeaderMap, models: &[&'static str]) -> Self {
        self.headers = headers;
        self.models = models.to_vec();
        self
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn models(&self) -> &[&'static str] {
        &self.models
    }

    /// The process reports time by step on this address.
    pub(crate) fn with_recorder(mut self, address: SocketAddr) -> Self {
        self.recorder = Some(address);
        self
    }

    /// Time and allocations by step so far, if it reports them.
    ///
    /// # Errors
    /// When it does not respond.
    pub(crate) async fn steps(&self) -> Result<Option<Sums>> {
        match self.recorder {
            None => Ok(None),
            Some(address) => Sums::read(address).await.map(Some),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time of all its threads and of its workers so far, user and system.
    ///
    /// # Errors
    /// When it has exited.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for id in tree(self.child.id()) {
            let text = self.read(id, "stat")?;
            let ticks = cpu_ticks(&text)
                .with_context(|| format!("/proc/{id}/stat is not as proc(5) says"))?;
            seconds += ticks / TICKS_PER_SECOND;
        }
        Ok(seconds)
    }

    /// Memory now that no file backs: without the program itself, whose pages processes share.
    ///
    /// # Errors
    /// When it has exited.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        self.memory("RssAnon")
    }

    /// Resident memory now.
    ///
    /// # Errors
    /// When it has exited.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.memory("VmRSS")
    }

    /// The most resident memory so far.
    ///
    /// # Errors
    /// When it has exited.
    pub(crate) fn peak_resident_bytes(&self) -> Result<u64> {
        self.memory("VmHWM")
    }

    fn memory(&self, field: &str) -> Result<u64> {
        let mut bytes = 0_u64;
        for id in tree(self.child.id()) {
            let text = self.read(id, "status")?;
            let one = memory(&text, field)
                .with_context(|| format!("/proc/{id}/status is not as proc(5) says"))?;
            bytes = bytes.saturating_add(one);
        }
        Ok(bytes)
    }

    fn read(&self, id: u32, file: &str) -> Result<String> {
        std::fs::read_to_string(format!("/proc/{id}/{file}")).with_context(|| {
            format!(
                "failed to read /proc of {}: it has exited, or this is not Linux",
                self.name
            )
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let workers = tree(self.child.id()).split_off(1);
        if !workers.is_empty() {
            let mut kill = Command::new("kill");
            kill.arg("-KILL").args(workers.iter().map(u32::to_string));
            kill.status().map(drop).unwrap_or_default();
        }
        self.terminate();
        // It may have exited already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Process {
    /// Asks the process to end, and waits for it: a gateway with counters then writes them (`cargo xtask profile`).
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing else runs when a process is stopped"
    )]
    fn terminate(&mut self) {
        let mut kill = Command::new("kill");
        kill.arg("-TERM").arg(self.child.id().to_string());
        let deadline = Instant::now() + END_TIMEOUT;
        let mut is_running = kill.status().is_ok_and(|status| status.success());
        while is_running && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            is_running = matches!(self.child.try_wait(), Ok(None));
        }
    }
}

/// A process and those that it has started, its workers.
fn tree(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut next = 0;
    while let Some(id) = all.get(next).copied() {
        next = next.saturating_add(1);
        // Any thread can have started one. A process that has just ended has none.
        let threads = std::fs::read_dir(format!("/proc/{id}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            let children = children.unwrap_or_default();
            let ids = children.split_whitespace();
            all.extend(ids.filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    all
}

/// A free port of loopback; another process may still take it.
///
/// # Errors
/// When no port is free.
pub(crate) fn free_address() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("failed to find a free port")
}

/// `utime` and `stime`, fields 14 and 15; the second field is a name that may hold anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some(ticks()? + ticks()?)
}

fn memory(status: &str, field: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 3 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(42.0));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn workers_are_part_of_a_process() {
        let mut worker = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(tree(std::process::id()).contains(&worker.id()));
        worker.kill().unwrap();
        worker.wait().unwrap();
        assert!(!tree(std::process::id()).contains(&worker.id()));
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(
            memory("Name:\tx\nVmHWM:\t 1 kB\nVmRSS:\t   13312 kB\n", "VmRSS"),
            Some(13_631_488)
        );
        assert_eq!(memory("Name:\tx\n", "VmRSS"), None);
    }
}
