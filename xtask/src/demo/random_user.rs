//! Images run as a user that they do not know, with a read-only root and without capabilities: the operator by values
//! of the chart, the gateway in a pod of its own.

use anyhow::{Result, ensure};

use super::{Story, TEAM, account};
use crate::console::Step;

/// The user id, which is in no image.
pub(super) const USER: u32 = 1_234_567;
/// The pod of `manifests/demo/random-user.yaml`.
const POD: &str = "random-user";
/// The model that it uses, without a name of its own.
const MODEL: &str = "us.amazon.nova-2-lite-v1:0";

impl Story<'_> {
    /// Values with which the operator runs as the user.
    pub(super) fn user_values() -> String {
        let context = "podSecurityContext";
        format!("--set={context}.runAsUser={USER},{context}.runAsGroup={USER}")
    }

    /// Starts the gateway's image as the user, and chats through it.
    pub(super) fn chat_as_random_user(&self, step: &Step) -> Result<()> {
        self.apply_file_with(
            step,
            "random-user.yaml",
            &[("GATEWAY_IMAGE", "bedrock-gateway")],
            &[("THE_ROLE", account::ROLE)],
        )?;
        let pod = format!("pod/{POD}");
        let namespace = ["--namespace", TEAM];
        let wait = ["wait", "--for=condition=Ready", &pod, "--timeout=60s"];
        self.kubectl(step, &[&namespace[..], &wait].concat())?;
        let question = "Which user is this?";
        let url = "http://127.0.0.1:8000/v1";
        let chat = [
            "bedrock-gateway",
            "chat",
            "--base-url",
            url,
            "--model",
            MODEL,
        ];
        let exec = ["exec", POD, "--"];
        let answer = self.kubectl(step, &[&namespace[..], &exec, &chat, &[question]].concat())?;
        ensure!(
            answer.trim_end() == question,
            "the simulated model repeats the question, but the response is {answer:?}"
        );
        let delete = ["delete", &pod, "--wait=false"];
        self.kubectl(step, &[&namespace[..], &delete].concat())?;
        Ok(())
    }
}
