//! `kubectl bedrock` in the demo: the answers that a person on call needs, each from one command on the running cluster.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{ACCESS, MODEL, Story, TEAM};
use crate::{
    build::{self, Profile},
    console::Step,
    process::{self, command},
    repository,
};

const PROMPT: &str = "Which way to the harbour?";

impl Story<'_> {
    /// Runs the commands; kubectl's exit code is that of the plugin.
    pub(super) fn try_plugin(&self) -> Result<()> {
        let console = self.console;
        console.heading("kubectl bedrock");
        let shown = console.step("status", |step| self.plugin(step, &["status", ACCESS]))?;
        console.note(&shown);
        for part in [
            "✓ BedrockAccess",
            "✓ Deployment",
            "✓ Pod",
            "CredentialsReady=True",
        ] {
            ensure!(
                shown.contains(part),
                "status does not contain {part}: {shown}"
            );
        }
        let shown = console.step("check", |step| self.plugin(step, &["check"]))?;
        console.note(&shown);
        for part in [
            "the sidecar webhook responds",
            "the validation webhook responds",
        ] {
            ensure!(
                shown.contains(part),
                "check does not contain {part}: {shown}"
            );
        }
        let arguments = ["doctor", ACCESS, "-o", "json", "--", "--invoke", "none"];
        let shown = console.step("doctor", |step| self.plugin(step, &arguments))?;
        let errors = json(&shown)?.get("errors").and_then(Value::as_u64);
        ensure!(errors == Some(0), "doctor found errors: {shown}");
        let arguments = ["chat", ACCESS, "--model", MODEL, PROMPT];
        let shown = console.step("chat", |step| self.plugin(step, &arguments))?;
        ensure!(shown.trim_end() == PROMPT, "the response is {shown:?}");
        let shown = console.step("top", |step| self.plugin(step, &["top", ACCESS]))?;
        console.note(&shown);
        ensure!(
            shown.contains(&format!("{TEAM}/app")),
            "top has no client app: {shown}"
        );
        let arguments = ["logs", ACCESS, "-o", "json"];
        let shown = console.step("logs", |step| self.plugin(step, &arguments))?;
        let mut lines = shown.lines().filter(|line| line.contains("\"request_id\""));
        let line = json(lines.next_back().context("the logs have no request")?)?;
        let id = line.get("request_id").and_then(Value::as_str);
        let id = id.context("no request id")?;
        let shown = console.step("trace", |step| self.plugin(step, &["trace", id]))?;
        console.note(&shown);
        ensure!(
            shown.contains("AWS request id"),
            "trace has no AWS request id: {shown}"
        );
        let archive = repository::target().join("demo-bundle.tar");
        let file = archive.display().to_string();
        let arguments = ["bundle", ACCESS, "--file", &file, "-o", "json"];
        let shown = console.step("bundle", |step| self.plugin(step, &arguments))?;
        ensure!(
            shown.contains("operator/logs/"),
            "the archive has no log of the operator: {shown}"
        );
        fs::remove_file(&archive).with_context(|| file.clone())
    }

    fn plugin(&self, step: &Step, arguments: &[&str]) -> Result<String> {
        let programs = programs()?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = format!("{}:{}", programs.display(), path.display());
        let mut plugin = command(build::program(Profile::Dev, "kubectl-bedrock")?);
        if let Some(kubeconfig) = self.cluster.kubeconfig() {
            plugin.env("KUBECONFIG", kubeconfig);
        }
        plugin.env("PATH", path).args(["--namespace", TEAM]);
        process::capture(step, plugin.args(arguments))
    }
}

/// A directory with a program `kubectl`: that of the local cluster.
fn programs() -> Result<PathBuf> {
    let directory = repository::target().join("demo-programs");
    let path = directory.join("kubectl");
    let tool = build::program(Profile::Dev, "localcluster")?;
    let script = format!("#!/bin/sh\nexec '{}' kubectl \"$@\"\n", tool.display());
    let failed = || format!("failed to write {}", path.display());
    fs::create_dir_all(&directory).with_context(failed)?;
    fs::write(&path, script).with_context(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).with_context(failed)?;
    Ok(directory)
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))
}
