//! Checks by one tool each: formatting, lints, documentation, dependencies, chart.

use std::{fs, path::PathBuf, process::Command, thread};

use anyhow::{Context, Result, anyhow, ensure};

use crate::{
    build::{self, Profile},
    console::{Console, Step},
    process::{again, answers, capture, cargo, command, quiet},
    repository, tools,
};

/// The chart, relative to the root.
pub(crate) const CHART: &str = "charts/bedrock-access";
/// Default namespace of the operator.
pub(crate) const NAMESPACE: &str = "bedrock-access-system";

/// The oldest version of Kubernetes that the chart supports.
const OLDEST_KUBERNETES: &str = "1.33.0";

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

/// Lints, tests and renders the chart with Helm 3 and Helm 4: with its defaults, with `values-ha.yaml`, and with each
/// file of values in its `ci` directory. Checks its README and the workflows. Uses the programs that were built.
pub(crate) fn lint_chart(console: &Console) -> Result<()> {
    let helms = [tools::HELM3.command(console)?, tools::helm()?];
    let mut unittest = tools::HELM_UNITTEST.command(console)?;
    let mut docs = tools::HELM_DOCS.command(console)?;
    let mut actionlint = tools::ACTIONLINT.command(console)?;
    console.step("chart", |step| {
        let readme = repository::root().join(CHART).join("README.md");
        let generated = capture(step, docs.args(README_ARGUMENTS).arg("--dry-run"))?;
        ensure!(
            generated.trim() == repository::read(&readme)?.trim(),
            "the chart's README.md is out of date. Fix: run `cargo xtask manifests`"
        );
        let values = values_files()?;
        thread::scope(|scope| {
            let checks = helms
                .each_ref()
                .map(|helm| scope.spawn(|| lint_with(step, helm, &values)));
            quiet(step, unittest.args(["--strict", CHART]))?;
            for check in checks {
                check
                    .join()
                    .map_err(|_| anyhow!("a check of the chart stopped"))??;
            }
            Ok(())
        })
    })?;
    console.step("alerts", alerts)?;
    console.step("workflows", |step| quiet(step, &mut actionlint))
}

/// Checks the syntax of the alert rules, and runs their unit tests.
fn alerts(step: &Step) -> Result<()> {
    ensure!(
        answers("promtool", "--version"),
        "promtool is missing. Fix: as root, run apt-get install -y --no-install-recommends prometheus"
    );
    let rules = format!("{CHART}/files/rules.yaml");
    quiet(step, command("promtool").args(["check", "rules", &rules]))?;
    let tests = ["test", "rules", "tests/rules/rules.test.yaml"];
    quiet(step, command("promtool").args(tests))
}

/// Lints the chart and renders it with its defaults and with each of these files.
fn lint_with(step: &Step, helm: &Command, values: &[PathBuf]) -> Result<()> {
    quiet(step, again(helm).args(["lint", "--strict", CHART]))?;
    let files = values
        .iter()
        .map(|file| vec![format!("--values={}", file.display())]);
    for arguments in files.chain([Vec::new()]) {
        let text = template(step, again(helm), &arguments)?;
        ensure!(
            text.contains("kind: Deployment"),
            "the chart renders no Deployment with {arguments:?}"
        );
        ensure!(
            !text.contains("<no value>"),
            "the chart renders `<no value>` with {arguments:?}: a template reads a value that values.yaml lacks"
        );
    }
    Ok(())
}

/// Arguments of helm-docs for the chart's README.
pub(crate) const README_ARGUMENTS: [&str; 5] = [
    "--chart-search-root=charts",
    "--document-dependency-values=false",
    "--sort-values-order=file",
    "--skip-version-footer",
    "--log-level=warning",
];

/// The files of values that the chart is rendered with.
fn values_files() -> Result<Vec<PathBuf>> {
    let chart = repository::root().join(CHART);
    let directory = chart.join("ci");
    let entries = fs::read_dir(&directory)
        .with_context(|| format!("failed to list {}", directory.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry.context("failed to read a directory entry")?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.push(chart.join("values-ha.yaml"));
    files.sort();
    Ok(files)
}

/// The objects that `helm install` would create, with Helm 4.
pub(crate) fn render(step: &Step, arguments: &[&str]) -> Result<String> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    template(step, tools::helm()?, &arguments)
}

fn template(step: &Step, mut helm: Command, arguments: &[String]) -> Result<String> {
    helm.args([
        "template",
        "bedrock-access",
        CHART,
        "--namespace",
        NAMESPACE,
    ]);
    // A Helm that is built from its module does not know the current version of Kubernetes.
    helm.arg(format!("--kube-version={OLDEST_KUBERNETES}"));
    capture(step, helm.args(arguments))
}
