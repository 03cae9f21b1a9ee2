//! Writes the custom resource definitions into a folder, for `cargo xtask crds`.
//!
//! An example, so that the types it needs are dependencies of tests and examples alone and
//! `cargo xtask` itself stays quick to compile; also what makes `build.rs` share one dependency
//! tree with the tests (ADR-0004).

use std::{fs, path::PathBuf};

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("the folder to write to is missing")?;
    for (name, yaml) in api::v1alpha1::crd_files()? {
        let path = folder.join(name);
        fs::write(&path, yaml).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}
