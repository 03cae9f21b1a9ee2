//! Checks by one tool each: formatting, lints, documentation, dependencies, chart.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    build::{self, Profile},
    console::{Console, Step},
    process::{capture, cargo, command, quiet},
    repository, tools,
};

/// The chart, relative to the root.
pub(crate) const CHART: &str = "charts/bedrock-access";
/// Default namespace of the operator.
pub(crate) const NAMESPACE: &str = "bedrock-access-system";

/// Formats the code, or checks its format.
pub(crate) fn fmt(console: &Console, check: bool) -> Result<()> {
    console.step("fmt", |step| {
        let mut command = cargo();
        command.args(["fmt", "--all"]);
        if check {
            command.args(["--", "--check"]);
        }
        quiet(step, &mut command).context("fix: run `cargo xtask fmt`")
    })
}

/// Lints the default members with their tests, or the whole workspace.
pub(crate) fn clippy(console: &Console, whole_workspace: bool) -> Result<()> {
    console.step("clippy", |step| {
        let mut command = cargo();
        command.args(["clippy", "--all-targets", "--locked"]);
        if whole_workspace {
            command.arg("--workspace");
        }
        quiet(step, command.args(["--", "-D", "warnings"]))
    })
}

/// Builds the API documentation; broken links are errors.
pub(crate) fn doc(console: &Console, open: bool) -> Result<()> {
    console.step("doc", |step| {
        let mut command = cargo();
        command
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "-D warnings");
        if open {
            command.arg("--open");
        }
        quiet(step, &mut command)
    })
}

/// Licences, sources, bans, duplicates and advisories, by `deny.toml`.
///
/// Advisories are checked where their database can be fetched; elsewhere a note says that they were not.
pub(crate) fn deny(console: &Console) -> Result<()> {
    let program = tools::DENY.path(console)?;
    let deny = |arguments: &[&str]| {
        let mut command = command(&program);
        command.args(["--all-features", "--locked"]).args(arguments);
        command
    };
    console.step("deny", |step| {
        quiet(step, &mut deny(&["check", "bans", "licenses", "sources"]))
    })?;
    let fetched = console.step("fetch the advisory database", |step| {
        Ok(quiet(step, &mut deny(&["fetch", "db"])))
    })?;
    if let Err(error) = fetched {
        console.note(&format!(
            "warning: advisories were NOT checked, the advisory database is unreachable:\n{error:#}"
        ));
        return Ok(());
    }
    console.step("advisories", |step| {
        quiet(step, &mut deny(&["check", "--disable-fetch", "advisories"]))
    })
}

/// Finds unused dependencies.
pub(crate) fn machete(console: &Console) -> Result<()> {
    let program = tools::MACHETE.path(console)?;
    console.step("machete", |step| {
        quiet(step, command(program).arg("--skip-target-dir"))
    })
}

/// Lints and renders the chart.
pub(crate) fn chart(console: &Console) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    lint_chart(console)
}

/// Lints the chart and renders it with its defaults and with each file of values in its `ci` directory, with the
/// programs that were built.
pub(crate) fn lint_chart(console: &Console) -> Result<()> {
    console.step("chart", |step| {
        quiet(step, tools::helm()?.args(["lint", "--strict", CHART]))?;
        let directory = repository::root().join(CHART).join("ci");
        let mut renderings = vec![None];
        if directory.is_dir() {
            for entry in fs::read_dir(&directory).with_context(|| format!("failed to list {}", directory.display()))? {
                renderings.push(Some(entry.context("failed to read a directory entry")?.path()));
            }
        }
        renderings.sort();
        for values in renderings {
            let text = render(step, values.as_deref())?;
            ensure!(text.contains("kind: Deployment"), "the chart renders no Deployment with {values:?}");
            ensure!(
                !text.contains("<no value>"),
                "the chart renders `<no value>` with {values:?}: a template reads a value that values.yaml lacks"
            );
        }
        Ok(())
    })
}

/// The objects that `helm install` would create, custom resource definitions included.
pub(crate) fn render(step: &Step, values: Option<&Path>) -> Result<String> {
    let mut helm = tools::helm()?;
    helm.args([
        "template",
        "bedrock-access",
        CHART,
        "--include-crds",
        "--namespace",
        NAMESPACE,
    ]);
    if let Some(values) = values {
        helm.arg("--values").arg(values);
    }
    capture(step, &mut helm)
}
