//! IAM roles in the demo: the gateway's own diagnosis, and the status when the role does not trust the gateway.

use anyhow::{Result, ensure};

use super::{ACCESS, READY_SECONDS, Story, TEAM, account};
use crate::console::Step;

impl Story<'_> {
    /// Runs `doctor` in the gateway's pod; kubectl returns its exit code.
    pub(super) fn run_doctor(&self) -> Result<()> {
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

    /// The status names a role that does not trust the gateway, and one patch fixes it.
    pub(super) fn break_and_fix(&self) -> Result<()> {
        let console = self.console;
        console.heading("A role that does not trust the gateway");
        self.use_role(account::STRANGER)?;
        let message = console.step("wait until the status reports it", |step| {
            self.wait_for(step, "condition=CredentialsReady=False")?;
            let path = "jsonpath={.status.conditions[?(@.type==\"CredentialsReady\")]}";
            self.kubectl(
                step,
                &[
                    "--namespace",
                    TEAM,
                    "get",
                    "bedrockaccess",
                    ACCESS,
                    "--output",
                    path,
                ],
            )
        })?;
        console.note(&message);
        ensure!(
            message.contains("AccessDenied") && message.contains("AssumeRoleWithWebIdentity"),
            "the condition does not contain STS's error: {message}"
        );
        self.use_role(account::ROLE)?;
        console.step(
            "fix it and wait until the BedrockAccess is ready again",
            |step| {
                self.wait_for(step, "condition=CredentialsReady")?;
                self.wait_for(step, "condition=Ready")
            },
        )
    }

    fn use_role(&self, role: &str) -> Result<()> {
        let change = serde_json::json!({"spec": {"identity": {"irsa": {"roleArn": role}}}});
        let change = change.to_string();
        self.console.step(&format!("use {role}"), |step| {
            let arguments = [
                "patch",
                "bedrockaccess",
                ACCESS,
                "--type=merge",
                "--patch",
                &change,
            ];
            self.kubectl(step, &[&["--namespace", TEAM], &arguments[..]].concat())
                .map(|_| ())
        })
    }

    fn wait_for(&self, step: &Step, what: &str) -> Result<()> {
        let object = format!("bedrockaccess/{ACCESS}");
        let timeout = format!("--timeout={READY_SECONDS}s");
        let what = format!("--for={what}");
        self.kubectl(
            step,
            &["--namespace", TEAM, "wait", &what, &object, &timeout],
        )
        .map(|_| ())
    }
}
