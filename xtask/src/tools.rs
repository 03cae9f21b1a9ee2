//! Cargo tools at a pinned version, built on first use into the user's cache.
//!
//! They outlive `cargo clean` and are shared by all clones. Unoptimised builds: they run for
//! seconds, and an optimised cargo-deny takes minutes to compile.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    build::{self, Profile},
    console::Console,
    process::{cargo, command, quiet},
    repository,
};

/// A tool of the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Licences, sources, bans, duplicates.
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
/// Dependencies that no code uses.
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
    /// Path of the program, which is built when it is not there.
    pub(crate) fn path(self, console: &Console) -> Result<PathBuf> {
        let folder = repository::cache()?
            .join("tools")
            .join(format!("{}-{}", self.name, self.version));
        let program = folder.join("bin").join(self.name);
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
                        .arg(&folder)
                        // Neither our flags nor our target folder are the tool's.
                        .env_remove("RUSTFLAGS")
                        .env_remove("CARGO_TARGET_DIR"),
                )
            })?;
        }
        Ok(program)
    }
}

/// Helm as the local cluster carries it, so that none need be installed; built by
/// [`crate::build::programs`].
pub(crate) fn helm() -> Result<Command> {
    let mut helm = command(build::program(Profile::Dev, "localcluster")?);
    helm.arg("helm");
    Ok(helm)
}
