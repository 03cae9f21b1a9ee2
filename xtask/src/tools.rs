//! Cargo tools at a pinned version, built on first use in the user's cache.
//!
//! All clones share them and `cargo clean` does not remove them. They are built without optimisation: they run for
//! seconds, and an optimised cargo-deny takes minutes to compile.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    build::{self, Profile},
    console::Console,
    process::{cargo, command, quiet},
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

/// Runs the targets of `fuzz/`.
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

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
