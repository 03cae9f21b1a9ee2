//! The Helm release in the demo: its tests, and upgrade, rollback and uninstall while an app chats.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{ACCESS, MODEL, Story, TEAM, TOKEN};
use crate::{
    checks::{CHART, NAMESPACE},
    console::Step,
    image::{REGISTRY, VERSION},
    process, repository,
};

/// Version that the demo upgrades to: the same chart and the same images under another version, so that the upgrade
/// replaces operator and gateway pods.
pub(super) const NEXT: &str = "99.0.0";
/// Clients that send one request after the other at the same time.
const CLIENTS: usize = 4;
/// Requests that each of them must have sent during each change.
const ENOUGH: usize = 5;

impl Story<'_> {
    /// The values with which `helm test` chats with the BedrockAccess of the demo.
    pub(super) fn test_values() -> String {
        let chat = "helmTest.chat";
        format!(
            "--set={chat}.name={ACCESS},{chat}.namespace={TEAM},{chat}.serviceAccountName=app,{chat}.model={MODEL}"
        )
    }

    /// The tests of the chart: the operator is ready, and the BedrockAccess responds to a chat.
    pub(super) fn test_release(&self, step: &Step) -> Result<()> {
        let output = process::capture(step, self.helm(&["test"])?.args(["--timeout", "120s"]))?;
        let succeeded = output.matches("Succeeded").count();
        // The Service and the pod that test the operator, and the pod that chats.
        ensure!(succeeded == 3, "helm test:\n{output}");
        Ok(())
    }

    /// Upgrades, rolls back and uninstalls the chart while the app chats. Upgrade and rollback also replace the gateway
    /// pods. No request fails.
    pub(super) fn change_release(&self, endpoint: &str) -> Result<()> {
        self.console
            .heading("Upgrade, rollback and uninstall during requests");
        self.under_load("helm upgrade", endpoint, |step| {
            let chart = self.next_chart(step)?;
            let mut helm = self.helm(&["upgrade"])?;
            helm.args([&chart, "--reset-then-reuse-values", "--wait"]);
            process::quiet(step, &mut helm)?;
            self.expect_release(step, NEXT)
        })?;
        self.under_load("helm rollback", endpoint, |step| {
            process::quiet(step, self.helm(&["rollback"])?.args(["1", "--wait"]))?;
            self.expect_release(step, VERSION)
        })?;
        self.under_load("helm uninstall", endpoint, |step| {
            process::quiet(step, self.helm(&["uninstall"])?.arg("--wait"))?;
            let access = format!("bedrockaccess/{ACCESS}");
            let gateway = format!("deployment/{ACCESS}-gateway");
            self.kubectl(step, &["--namespace", TEAM, "get", &access, &gateway])?;
            Ok(())
        })
    }

    /// `helm` with a command for the release of the demo.
    fn helm(&self, words: &[&str]) -> Result<Command> {
        let mut helm = self.cluster.tool("helm")?;
        helm.args(words)
            .args(["bedrock-access", "--namespace", NAMESPACE]);
        Ok(helm)
    }

    /// Checks that the CRDs are those of a version of the chart, and waits for the gateway pods of its operator.
    fn expect_release(&self, step: &Step, version: &str) -> Result<()> {
        let crd = "crd/bedrockaccesses.bedrockaccess.dev";
        let label = "jsonpath={.metadata.labels.helm\\.sh/chart}";
        let found = self.kubectl(step, &["get", crd, "--output", label])?;
        let expected = format!("bedrock-access-{version}");
        ensure!(found == expected, "the CRD is of {found}, not {expected}");
        let gateway = format!("deployment/{ACCESS}-gateway");
        let namespace = ["--namespace", TEAM];
        // The new operator acts when it is the leader.
        let image = format!(
            "--for=jsonpath={{.spec.template.spec.containers[0].image}}={}/bedrock-gateway:{}",
            self.registry,
            self.app_version(version)
        );
        let changed = ["wait", &image, &gateway, "--timeout=120s"];
        self.kubectl(step, &[&namespace[..], &changed].concat())?;
        let status = ["rollout", "status", &gateway, "--timeout=120s"];
        self.kubectl(step, &[&namespace[..], &status].concat())?;
        Ok(())
    }

    /// Runs `change` while the app sends one request after the other.
    fn under_load(
        &self,
        what: &str,
        endpoint: &str,
        change: impl FnOnce(&Step) -> Result<()>,
    ) -> Result<()> {
        self.console
            .step(&format!("{what} during requests"), |step| {
                let done = AtomicBool::new(false);
                let request = self.request(endpoint)?;
                thread::scope(|scope| {
                    let client = || {
                        let mut sent = 0;
                        while sent < ENOUGH || !done.load(Ordering::Relaxed) {
                            process::capture(step, &mut process::again(&request))
                                .with_context(|| format!("request {} failed", sent + 1))?;
                            sent += 1;
                        }
                        Ok::<usize, anyhow::Error>(sent)
                    };
                    let clients = [(); CLIENTS].map(|()| scope.spawn(client));
                    let changed = change(step);
                    done.store(true, Ordering::Relaxed);
                    let mut sent = 0;
                    for client in clients {
                        let joined = client.join();
                        sent += joined.map_err(|_| anyhow!("the requests stopped"))??;
                    }
                    changed.map(|()| sent)
                })
            })
            .map(|sent| self.console.note(&format!("{sent} requests, no failure")))
    }

    /// One chat of the app, without retries.
    fn request(&self, endpoint: &str) -> Result<Command> {
        let mut kubectl = self.cluster.tool("kubectl")?;
        kubectl
            .args(["--namespace", TEAM, "exec", "deployment/app", "--"])
            .args(["bedrock-gateway", "chat", "--base-url", endpoint])
            .args([
                "--token-file",
                TOKEN,
                "--model",
                MODEL,
                "--stream",
                "Hello.",
            ]);
        Ok(kubectl)
    }

    /// Tag of the images of a version of the chart. A registry has only the images of this version.
    fn app_version<'v>(&self, version: &'v str) -> &'v str {
        if self.registry == REGISTRY {
            version
        } else {
            VERSION
        }
    }

    /// The packaged chart under the next version.
    fn next_chart(&self, step: &Step) -> Result<String> {
        let directory = repository::scratch("next-chart")?;
        let mut package = self.cluster.tool("helm")?;
        package.args(["package", CHART, "--version", NEXT]);
        package.args(["--app-version", self.app_version(NEXT)]);
        process::quiet(step, package.arg("--destination").arg(&directory))?;
        let chart = directory.join(format!("bedrock-access-{NEXT}.tgz"));
        Ok(chart.display().to_string())
    }
}
