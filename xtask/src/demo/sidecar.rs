//! The part of the demo about sidecars: pods of every kind, and what becomes of a stream when its pod is evicted.
//!
//! The apps are real client libraries that nobody told an address. Each asks as soon as it starts and only once, so
//! that a gateway that came too late would be seen.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{AWS, Story, TEAM, account::WORKER};
use crate::{console::Step, interrupt, process};

/// The access without gateway pods.
const ACCESS: &str = "local";
/// Libraries that ask, by the names of `ask.py`.
const CLIENTS: [&str; 4] = ["openai", "anthropic", "bedrock", "socket"];
/// How long pods may take, a CronJob's minute among it.
const TIMEOUT: Duration = Duration::from_secs(150);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

impl Story<'_> {
    /// Makes the pods, which take their time, while the rest of the demo goes on.
    pub(super) fn start_sidecars(&self) -> Result<()> {
        let what = "apply an access for sidecars alone, and pods of every kind";
        self.console.step(what, |step| {
            let clients = CLIENTS.join(", ");
            let images = [("PYTHON_IMAGE", "bedrock-access-demo-python")];
            self.apply_file_with(step, "sidecar/pods.yaml", &images, &[("CLIENTS", &clients)])
        })
    }

    /// What becomes of a stream when its pod has to go.
    pub(super) fn evict_a_sidecar(&self) -> Result<()> {
        self.console.heading("Sidecars");
        self.console
            .step("evict a pod in the middle of a stream", |step| {
                self.evict(step)
            })
    }

    /// What every kind of pod has come to.
    pub(super) fn check_sidecars(&self) -> Result<()> {
        let console = self.console;
        console.heading("Clients in pods of every kind");
        for (what, pods, container) in [
            ("Deployment", "app=web", "app"),
            ("Deployment, second container", "app=web", "second"),
            ("StatefulSet", "app=stateful", "app"),
            ("Job", "app=job", "app"),
            ("CronJob", "app=cron", "app"),
        ] {
            console.step(&format!("answers in the pods of a {what}"), |step| {
                self.answered(step, pods, container)
            })?;
        }
        console.step("Job and CronJob complete", |step| {
            for label in ["app=job", "app=cron"] {
                self.until(step, &format!("a pod of {label} has succeeded"), || {
                    let phases = self.sidecar_pods(step, label, "{.items[*].status.phase}")?;
                    Ok(phases.contains("Succeeded").then_some(()))
                })?;
            }
            Ok(())
        })?;
        console.step("no app can read the token", |step| {
            self.look_for_the_token(step)
        })?;
        console.step(
            "whose identity it was, and how the access counts them",
            |step| {
                self.check_identity(step)?;
                self.check_counts(step)
            },
        )?;
        let table = console.step("kubectl get bda", |step| {
            self.kubectl(step, &["--namespace", TEAM, "get", "bda"])
        })?;
        console.note(&table);
        Ok(())
    }

    /// The stream goes on through `preStop`, the sidecar answers meanwhile, and the pod ends by itself.
    fn evict(&self, step: &Step) -> Result<()> {
        self.until(step, "the stream has begun", || {
            let log = self.sidecar_log(step, "bare", "app")?;
            Ok(log.contains("streaming").then_some(()))
        })?;
        let mut follow = self.cluster.tool("kubectl")?;
        follow.args([
            "--namespace",
            TEAM,
            "logs",
            "--follow",
            "bare",
            "--container",
            "app",
        ]);
        let follow = follow
            .stdout(std::process::Stdio::piped())
            .spawn()
            .context("failed to follow the log")?;
        let path = format!("/api/v1/namespaces/{TEAM}/pods/bare/eviction");
        let eviction = serde_json::json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "name": "bare", "namespace": TEAM },
        });
        let file = crate::repository::scratch("demo")?.join("eviction.json");
        crate::repository::write(&file, eviction.to_string())?;
        let file = file.display().to_string();
        self.kubectl(step, &["create", "--raw", &path, "--filename", &file])?;
        let output = follow
            .wait_with_output()
            .context("failed to read the log")?;
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        for expected in [
            "preStop: answered",
            "the stream came to its end (stop)",
            "told to end",
        ] {
            ensure!(
                log.contains(expected),
                "{expected:?} is not in the log of the evicted pod:\n{log}"
            );
        }
        self.console.note(log.lines().last().unwrap_or_default());
        self.until(step, "the pod is gone", || {
            let name = self.kubectl(
                step,
                &[
                    "--namespace",
                    TEAM,
                    "get",
                    "pod",
                    "bare",
                    "--ignore-not-found",
                    "--output",
                    "name",
                ],
            )?;
            Ok(name.trim().is_empty().then_some(()))
        })
    }

    /// Each pod's container has asked with every client and got its answer, at the first try.
    fn answered(&self, step: &Step, label: &str, container: &str) -> Result<()> {
        let done = |log: &str| {
            CLIENTS
                .iter()
                .all(|client| log.contains(&format!("{client} answered")))
        };
        self.until(step, &format!("all of {CLIENTS:?} answered"), || {
            let names = self.sidecar_pods(step, label, "{.items[*].metadata.name}")?;
            let mut names = names.split_whitespace().peekable();
            if names.peek().is_none() {
                return Ok(None);
            }
            self.undisturbed(step, label)?;
            for name in names {
                if !done(&self.sidecar_log(step, name, container)?) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })?;
        self.undisturbed(step, label)
    }

    /// Nothing was started again and nothing failed: then a first request has been too early.
    fn undisturbed(&self, step: &Step, label: &str) -> Result<()> {
        let path = "{.items[*].status.containerStatuses[*].restartCount}";
        let restarts = self.sidecar_pods(step, label, path)?;
        ensure!(
            restarts.split_whitespace().all(|count| count == "0"),
            "containers of {label} were started again: {restarts}"
        );
        let phases = self.sidecar_pods(step, label, "{.items[*].status.phase}")?;
        ensure!(!phases.contains("Failed"), "pods of {label}: {phases}");
        Ok(())
    }

    /// Also in a shared process namespace, where the app sees the sidecar's processes.
    fn look_for_the_token(&self, step: &Step) -> Result<()> {
        for (pod, container) in [
            ("deployment/web", "app"),
            ("deployment/web", "second"),
            ("statefulset/stateful", "app"),
        ] {
            let said = self.kubectl(
                step,
                &[
                    "--namespace",
                    TEAM,
                    "exec",
                    pod,
                    "--container",
                    container,
                    "--",
                    "python3",
                    "/app/ask.py",
                    "look",
                ],
            )?;
            ensure!(
                said.trim() == "no token can be read",
                "{pod}, {container}: {said}"
            );
        }
        // That there is one to find, the sidecar's own view shows.
        let doctor = self.kubectl(
            step,
            &[
                "--namespace",
                TEAM,
                "exec",
                "deployment/web",
                "--container",
                "bedrock-gateway",
                "--",
                "bedrock-gateway",
                "doctor",
            ],
        )?;
        ensure!(
            doctor.contains(WORKER),
            "doctor does not name the pod's ServiceAccount: {doctor}"
        );
        Ok(())
    }

    fn check_identity(&self, step: &Step) -> Result<()> {
        let path = format!(
            "/api/v1/namespaces/{AWS}/services/awsdouble:http/proxy/_double/calls?operation=AssumeRoleWithWebIdentity"
        );
        let calls = self.kubectl(step, &["get", "--raw", &path])?;
        let subject = format!("system:serviceaccount:{TEAM}:{WORKER}");
        ensure!(
            calls.contains(&subject),
            "no token of {subject} was exchanged: {calls}"
        );
        Ok(())
    }

    fn check_counts(&self, step: &Step) -> Result<()> {
        let counts = self.until(step, "three sidecars are counted", || {
            let path = "jsonpath={.status.sidecars}";
            let text = self.kubectl(
                step,
                &["--namespace", TEAM, "get", "bda", ACCESS, "--output", path],
            )?;
            let counts: Value = serde_json::from_str(&text).unwrap_or_default();
            // A CronJob's pod may run just now.
            let ready = counts
                .get("ready")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            Ok((ready >= 3).then_some(counts))
        })?;
        for none in ["outdated", "missing"] {
            ensure!(
                counts.get(none).and_then(Value::as_u64) == Some(0),
                "{none}: {counts}"
            );
        }
        Ok(())
    }

    fn sidecar_pods(&self, step: &Step, label: &str, path: &str) -> Result<String> {
        let path = format!("jsonpath={path}");
        self.kubectl(
            step,
            &[
                "--namespace",
                TEAM,
                "get",
                "pods",
                "--selector",
                label,
                "--output",
                &path,
            ],
        )
    }

    /// What a container has logged; nothing while it has not started.
    fn sidecar_log(&self, step: &Step, pod: &str, container: &str) -> Result<String> {
        let mut kubectl = self.cluster.tool("kubectl")?;
        kubectl.args(["--namespace", TEAM, "logs", pod, "--container", container]);
        Ok(process::capture(step, &mut kubectl).unwrap_or_default())
    }

    /// Looks until there is something, for a while.
    fn until<T>(
        &self,
        _step: &Step,
        what: &str,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < TIMEOUT {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if interrupt::interrupted() || !self.cluster.alive() {
                bail!("interrupted");
            }
            thread::sleep(LOOK_AGAIN);
        }
        bail!("{what}: not within {} s", TIMEOUT.as_secs())
    }
}
