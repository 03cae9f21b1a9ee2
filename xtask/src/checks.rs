//! Checks that one tool each makes: formatting, lints, documentation, dependencies, chart.

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
/// Where the operator is installed when nothing else is said.
pub(crate) const NAMESPACE: &str = "bedrock-access-system";

/// Formats, or checks the format.
pub(crate) fn fmt(console: &Console, check: bool) -> Result<()> {
    console.step("fmt", |step| {
        let mut command = cargo();
        command.args(["fmt", "--all"]);
        if check {
            command.args(["--", "--check"]);
        }
        quiet(step, &mut command).context("`cargo xtask fmt` mends it")
    })
}

/// Lints everything, tests too.
pub(crate) fn clippy(console: &Console) -> Result<()> {
    console.step("clippy", |step| {
        quiet(
            step,
            cargo().args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        )
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

/// Licences, sources, bans and duplicates, by `deny.toml`.
pub(crate) fn deny(console: &Console) -> Result<()> {
    let program = tools::DENY.path(console)?;
    console.step("deny", |step| {
        // Not advisories: their database is no package, and a red build on a day without a change
        // helps nobody.
        quiet(
            step,
            command(program).args([
                "--all-features",
                "--locked",
                "check",
                "bans",
                "licenses",
                "sources",
            ]),
        )
    })
}

/// Dependencies that no code uses.
pub(crate) fn machete(console: &Console) -> Result<()> {
    let program = tools::MACHETE.path(console)?;
    console.step("machete", |step| {
        quiet(step, command(program).arg("--skip-target-dir"))
    })
}

/// The chart lints, and renders with its defaults and with each file of values in its `ci` folder.
pub(crate) fn chart(console: &Console) -> Result<()> {
    build::programs(console, Profile::Dev)?;
    console.step("chart", |step| {
        quiet(step, tools::helm()?.args(["lint", "--strict", CHART]))?;
        let folder = repository::root().join(CHART).join("ci");
        let mut renderings = vec![None];
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))? {
                renderings.push(Some(entry.context("failed to read a folder entry")?.path()));
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

/// What `helm install` would send to the cluster, custom resource definitions included.
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
