//! Logs of the demo's programs, and a diagnosis of a failure.

use std::fs;

use anyhow::Result;

use super::{ACCESS, AWS, Story, TEAM};
use crate::{checks::NAMESPACE, console::Step, process, repository};

impl Story<'_> {
    /// Writes them to the log of the step, which the suite searches for secrets.
    pub(super) fn read_logs(&self, step: &Step) -> Result<()> {
        let gateway = format!("deployment/{ACCESS}-gateway");
        let mut all = vec![
            (NAMESPACE, "deployment/bedrock-access-operator"),
            (TEAM, gateway.as_str()),
            (AWS, "deployment/awsdouble"),
        ];
        if self.with_sidecars {
            all.push((TEAM, "deployment/web"));
        }
        for (namespace, deployment) in all {
            let mut kubectl = self.cluster.tool("kubectl")?;
            kubectl.args(["--namespace", namespace, "logs", deployment]);
            process::quiet(step, kubectl.args(["--all-pods", "--all-containers"]))?;
        }
        Ok(())
    }

    /// Writes the state of the cluster to a file and prints its start.
    pub(super) fn diagnose(&self, error: &str) {
        if !self.cluster.alive() {
            return;
        }
        let Ok(directory) = repository::scratch("log") else {
            return;
        };
        let path = directory.join("demo-diagnosis.log");
        let mut text = format!("{error}\n");
        let gateway = format!("deployment/{ACCESS}-gateway");
        let questions: [&[&str]; 9] = [
            &["get", "pods", "--all-namespaces", "--output", "wide"],
            &[
                "--namespace",
                TEAM,
                "get",
                "bda",
                ACCESS,
                "--output",
                "yaml",
            ],
            &[
                "get",
                "events",
                "--all-namespaces",
                "--sort-by=.metadata.creationTimestamp",
            ],
            &["--namespace", TEAM, "logs", &gateway, "--tail=60"],
            &[
                "--namespace",
                NAMESPACE,
                "logs",
                "deployment/bedrock-access-operator",
                "--tail=60",
            ],
            &[
                "--namespace",
                AWS,
                "logs",
                "deployment/awsdouble",
                "--tail=60",
            ],
            &[
                "--namespace",
                TEAM,
                "logs",
                "--selector=bedrockaccess.dev/inject",
                "--all-containers",
                "--prefix",
                "--tail=20",
            ],
            &["--namespace", TEAM, "describe", "pods"],
            &["--namespace", NAMESPACE, "describe", "pods"],
        ];
        for question in questions {
            let Ok(mut kubectl) = self.cluster.tool("kubectl") else {
                return;
            };
            let output = kubectl.args(question).output();
            let output = output
                .map(|output| [output.stdout, output.stderr].concat())
                .unwrap_or_default();
            text = format!(
                "{text}\n$ kubectl {}\n{}",
                question.join(" "),
                String::from_utf8_lossy(&output)
            );
        }
        if fs::write(&path, text).is_ok() {
            self.console
                .note(&format!("state of the cluster: {}", path.display()));
        }
    }
}
