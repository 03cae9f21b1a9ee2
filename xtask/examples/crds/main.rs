//! Writes the custom resource definitions into a directory, for `cargo xtask crds`, or with the word `reference` behind
//! it their documentation, for `cargo xtask reference`.
//!
//! An example, so that the types it needs are dependencies of tests and examples alone and
//! `cargo xtask` itself stays quick to compile; also what makes `build.rs` share one dependency
//! tree with the tests (ADR-0004).

mod reference;

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().map(PathBuf::from);
    let directory = directory.context("the directory to write to is missing")?;
    let files = match arguments.next() {
        None => api::v1alpha1::crd_files()?,
        Some(what) if what == "reference" => reference::files()?,
        Some(what) => bail!("{} is neither left out nor `reference`", what.display()),
    };
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}
