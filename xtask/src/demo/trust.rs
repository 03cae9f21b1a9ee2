//! The part of the demo about the role: what the gateway itself finds, and what is seen where the role does not trust it.

use anyhow::{Result, ensure};

use super::{ACCESS, READY_SECONDS, Story, TEAM, account};
use crate::console::Step;

impl Story<'_> {
    /// Every finding in the gateway's own pod is ok, or kubectl passes on an exit code that is not 0.
    pub(super) fn ask_doctor(&self) -> Result<()> {
        let gateway = format!("deployment/{ACCESS}-gateway");
        let findings = self
            .console
            .step("bedrock-gateway doctor in its pod", |step| {
                let arguments = ["exec", &gateway, "--", "bedrock-gateway", "doctor"];
                self.kubectl(step, &[&["--namespace", TEAM], &arguments[..]].concat())
            })?;
        let lines = findings.lines().take_while(|line| !line.is_empty());
        self.console.note(&lines.collect::<Vec<_>>().join("\n"));
        Ok(())
    }

    /// A role that does not trust the gateway is named in the status, and the answer to it is one patch.
    pub(super) fn break_and_mend(&self) -> Result<()> {
        let console = self.console;
        console.heading("A role that does not let the gateway in");
        self.use_role(account::STRANGER)?;
        let message = console.step("wait until the status says so", |step| {
            self.wait_for(step, "condition=CredentialsReady=False")?;
            let path = "jsonpath={.status.conditions[?(@.type==\"CredentialsReady\")]}";
            self.kubectl(
                step,
                &["--namespace", TEAM, "get", "bda", ACCESS, "--output", path],
            )
        })?;
        console.note(&message);
        ensure!(
            message.contains("AccessDenied") && message.contains("AssumeRoleWithWebIdentity"),
            "the condition does not name what STS refused: {message}"
        );
        self.use_role(account::ROLE)?;
        console.step("mend it and wait until it is ready again", |step| {
            self.wait_for(step, "condition=CredentialsReady")?;
            self.wait_for(step, "condition=Ready")
        })
    }

    fn use_role(&self, role: &str) -> Result<()> {
        let change = serde_json::json!({"spec": {"identity": {"irsa": {"roleArn": role}}}});
        let change = change.to_string();
        self.console.step(&format!("use {role}"), |step| {
            let arguments = ["patch", "bda", ACCESS, "--type=merge", "--patch", &change];
            self.kubectl(step, &[&["--namespace", TEAM], &arguments[..]].concat())
                .map(|_| ())
        })
    }

    fn wait_for(&self, step: &Step, what: &str) -> Result<()> {
        let object = format!("bda/{ACCESS}");
        let timeout = format!("--timeout={READY_SECONDS}s");
        let what = format!("--for={what}");
        self.kubectl(
            step,
            &["--namespace", TEAM, "wait", &what, &object, &timeout],
        )
        .map(|_| ())
    }
}
