//! The console of the operator in the demo, as its guide opens it: through `kubectl port-forward` to a pod on a real kubelet,
//! with tokens of ServiceAccounts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{ACCESS, Story, TEAM};
use crate::{
    checks::{CHART, NAMESPACE},
    console::Step,
    http, interrupt, process,
};

/// The Deployment of the operator.
const OPERATOR: &str = "deployment/bedrock-access-operator";
/// Longest time until `kubectl port-forward` listens.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running `kubectl port-forward`; killed when dropped.
struct Forward {
    child: Child,
    address: SocketAddr,
}

impl Drop for Forward {
    fn drop(&mut self) {
        process::stop(&mut self.child, Duration::ZERO);
    }
}

impl Story<'_> {
    /// A user with the role `view` sees the endpoint and its gateways; a user without permissions sees nothing.
    pub(super) fn try_console(&self) -> Result<()> {
        let console = self.console;
        console.heading("Console");
        console.step("helm upgrade with the console", |step| {
            let mut helm = self.cluster.tool("helm")?;
            helm.args(["upgrade", "bedrock-access", CHART, "-n", NAMESPACE]);
            helm.args(["--reset-then-reuse-values", "--set", "console.enabled=true"]);
            process::quiet(step, &mut helm)?;
            let status = ["-n", NAMESPACE, "rollout", "status", OPERATOR];
            self.kubectl(step, &[&status[..], &["--timeout=120s"]].concat())?;
            Ok(())
        })?;
        let forward = console.step("kubectl port-forward", |step| self.forward(step))?;
        let [viewer, stranger] = console.step("create users and their tokens", |step| {
            let binding = ["--clusterrole=view", "--serviceaccount=team-a:viewer"];
            let create = ["-n", TEAM, "create"];
            for account in ["viewer", "stranger"] {
                self.kubectl(step, &[&create[..], &["serviceaccount", account]].concat())?;
            }
            self.kubectl(
                step,
                &[&create[..], &["rolebinding", "viewer"], &binding].concat(),
            )?;
            let token = |account| -> Result<String> {
                let token = self.kubectl(step, &[&create[..], &["token", account]].concat())?;
                Ok(token.trim().to_owned())
            };
            Ok([token("viewer")?, token("stranger")?])
        })?;
        console.step("sign in", |_| {
            let (status, page) = http::get(forward.address, "/")?;
            ensure!(
                status == 200 && page.contains("Token for the Kubernetes API"),
                "the page is {status}: {page}"
            );
            forward.shows_the_endpoint(&viewer)?;
            forward.shows_nothing(&stranger)
        })
    }

    /// Forwards a free port to the console of an operator pod.
    fn forward(&self, step: &Step) -> Result<Forward> {
        let mut kubectl = self.cluster.tool("kubectl")?;
        kubectl.args(["-n", NAMESPACE, "port-forward", OPERATOR, ":8083"]);
        let mut child = process::background(step, &mut kubectl)?;
        let end = Instant::now() + TIMEOUT;
        loop {
            let log = fs::read_to_string(step.log()).context("failed to read the log")?;
            let line = log.split("Forwarding from 127.0.0.1:").nth(1);
            let port = line.and_then(|line| line.split(' ').next()?.parse::<u16>().ok());
            if let Some(port) = port {
                let address = (Ipv4Addr::LOCALHOST, port).into();
                return Ok(Forward { child, address });
            }
            if Instant::now() > end || interrupt::interrupted() {
                process::stop(&mut child, Duration::ZERO);
                bail!("kubectl port-forward does not listen: {log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Forward {
    fn get(&self, path: &str, token: &str) -> Result<(u16, Value)> {
        let header = format!("Authorization: Bearer {token}\r\n");
        let (status, body) = http::get_with(self.address, path, &header)?;
        let body = serde_json::from_str(&body).with_context(|| format!("not JSON: {body}"))?;
        Ok((status, body))
    }

    fn shows_the_endpoint(&self, token: &str) -> Result<()> {
        let (status, overview) = self.get("/api/overview", token)?;
        let first = overview.pointer("/objects/0/name").and_then(Value::as_str);
        ensure!(
            status == 200 && first == Some(ACCESS),
            "the overview of a viewer is {status}: {overview}"
        );
        let path = format!("/api/bedrockaccesses/{TEAM}/{ACCESS}");
        let (status, detail) = self.get(&path, token)?;
        let at = |pointer: &str| detail.pointer(pointer).and_then(Value::as_str);
        ensure!(
            status == 200
                && at("/state") == Some("ok")
                && at("/pods/0/credentialsExpire").is_some(),
            "the endpoint is {status}: {detail}"
        );
        Ok(())
    }

    fn shows_nothing(&self, token: &str) -> Result<()> {
        let (status, overview) = self.get("/api/overview", token)?;
        let total = overview.get("total").and_then(Value::as_u64);
        ensure!(
            status == 200 && total == Some(0),
            "the overview of a user without permissions is {status}: {overview}"
        );
        let path = format!("/api/bedrockaccesses/{TEAM}/{ACCESS}");
        let (status, hidden) = self.get(&path, token)?;
        ensure!(
            status == 404,
            "a user without permissions gets {status}: {hidden}"
        );
        let (status, refused) = self.get("/api/overview", "not-a-token")?;
        ensure!(status == 401, "another token gets {status}: {refused}");
        Ok(())
    }
}
