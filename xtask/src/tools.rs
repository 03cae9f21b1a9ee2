//! Tools at a pinned version, built on first use in the user's cache: some with cargo, those of the chart with Go.
//!
//! All clones share them and `cargo clean` does not remove them. Those of cargo are built without optimisation: they
//! run for seconds, and an optimised cargo-deny takes minutes to compile.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    build::{self, Profile},
    console::{Console, Step},
    process::{capture, cargo, command, quiet},
    repository,
};

/// A tool from the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Licences, sources, bans, duplicates, advisories.
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
/// Unused dependencies.
pub(crate) const MACHETE: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
};

/// Puts the list of crates into programs.
pub(crate) const AUDITABLE: Tool = Tool {
    name: "cargo-auditable",
    version: "0.7.7",
};
/// Reads the list of crates in a program.
pub(crate) const AUDIT_INFO: Tool = Tool {
    name: "rust-audit-info",
    version: "0.5.4",
};

/// Runs the targets of `fuzz/`.
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

/// A tool from a Go module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoTool {
    name: &'static str,
    module: &'static str,
    /// Directory of the program in the module.
    package: &'static str,
    version: &'static str,
}

/// Helm 3, beside Helm 4 of the local cluster: users have both.
pub(crate) const HELM3: GoTool = GoTool {
    name: "helm",
    module: "helm.sh/helm/v3",
    package: "./cmd/helm",
    version: "v3.22.0",
};
/// Unit tests of the chart, `charts/bedrock-access/tests`.
pub(crate) const HELM_UNITTEST: GoTool = GoTool {
    name: "helm-unittest",
    module: "github.com/helm-unittest/helm-unittest",
    package: "./cmd/helm-unittest",
    version: "v1.1.2",
};
/// The README of the chart.
pub(crate) const HELM_DOCS: GoTool = GoTool {
    name: "helm-docs",
    module: "github.com/norwoodj/helm-docs",
    package: "./cmd/helm-docs",
    version: "v1.14.2",
};
/// Workflows of `.github`.
pub(crate) const ACTIONLINT: GoTool = GoTool {
    name: "actionlint",
    module: "github.com/rhysd/actionlint",
    package: "./cmd/actionlint",
    version: "v1.7.12",
};

/// krew, which installs plugins of kubectl.
pub(crate) const KREW: GoTool = GoTool {
    name: "krew",
    module: "sigs.k8s.io/krew",
    package: "./cmd/krew",
    version: "v0.4.3",
};
/// krew's own rules for manifests.
pub(crate) const VALIDATE_KREW_MANIFEST: GoTool = GoTool {
    name: "validate-krew-manifest",
    package: "./cmd/validate-krew-manifest",
    ..KREW
};

/// Go, of the path or of its usual place.
fn go() -> Command {
    let usual = PathBuf::from("/usr/local/go/bin/go");
    command(if usual.is_file() { usual } else { "go".into() })
}

impl GoTool {
    /// A command that runs the program, built if absent.
    ///
    /// # Errors
    /// Go is missing, or the build fails.
    pub(crate) fn command(self, console: &Console) -> Result<Command> {
        let directory = repository::cache()?
            .join("tools")
            .join(format!("{}-{}", self.name, self.version));
        let program = directory.join(self.name);
        if !program.is_file() {
            console.step(&format!("install {} {}", self.name, self.version), |step| {
                // Not `go install`: it refuses modules with `replace` directives.
                let module = format!("{}@{}", self.module, self.version);
                let download = ["mod", "download", "-json", &module];
                let downloaded = capture(step, go().args(download).current_dir("/"))
                    .context("fix: install Go 1.26 or newer")?;
                let downloaded: Value = serde_json::from_str(&downloaded)
                    .context("the output of go mod download is not JSON")?;
                let sources = downloaded.get("Dir").and_then(Value::as_str);
                let sources = sources.context("go mod download names no directory")?;
                let build = ["build", "-trimpath", "-o"];
                quiet(
                    step,
                    go().args(build)
                        .args([program.as_os_str(), self.package.as_ref()])
                        .current_dir(sources),
                )
            })?;
        }
        Ok(command(program))
    }
}

/// Builds the tools of the chart that are absent.
pub(crate) fn chart(console: &Console) -> Result<()> {
    for tool in [HELM3, HELM_UNITTEST, HELM_DOCS, ACTIONLINT] {
        tool.command(console)?;
    }
    Ok(())
}

impl Tool {
    /// Path of the program, built if absent.
    pub(crate) fn path(self, console: &Console) -> Result<PathBuf> {
        let directory = repository::cache()?
            .join("tools")
            .join(format!("{}-{}", self.name, self.version));
        let program = directory.join("bin").join(self.name);
        if !program.is_file() {
            console.step(&format!("install {} {}", self.name, self.version), |step| {
                quiet(
                    step,
                    cargo()
                        .args([
                            "install",
                            "--locked",
                            "--debug",
                            "--version",
                            self.version,
                            self.name,
                        ])
                        .arg("--root")
                        .arg(&directory)
                        // Flags and target directory of this workspace do not apply to the tool.
                        .env_remove("RUSTFLAGS")
                        .env_remove("CARGO_TARGET_DIR"),
                )
            })?;
        }
        Ok(program)
    }
}

/// Python with the packages of a file of requirements, in a virtual environment of this directory; installed at the
/// first run.
///
/// # Errors
/// When Python or a package is missing.
pub(crate) fn python(step: &Step, directory: &Path, requirements: &Path) -> Result<PathBuf> {
    let done = directory.join("done");
    if !done.is_file() {
        let mut venv = command("python3");
        venv.args(["-m", "venv", "--clear"]).arg(directory);
        quiet(step, &mut venv).context(
            "python3 with the venv module is missing. Fix: on Debian, apt-get install python3-venv",
        )?;
        let mut pip = command(directory.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        pip.arg("--no-compile");
        quiet(step, pip.arg("--requirement").arg(requirements))?;
        repository::write(&done, "")?;
    }
    Ok(directory.join("bin/python"))
}

/// The program `localcluster`; built by [`crate::build::programs`].
pub(crate) fn local_cluster() -> Result<Command> {
    Ok(command(build::program(Profile::Dev, "localcluster")?))
}

/// Helm as the local cluster contains it, so that it need not be installed.
pub(crate) fn helm() -> Result<Command> {
    let mut helm = local_cluster()?;
    helm.arg("helm");
    Ok(helm)
}
