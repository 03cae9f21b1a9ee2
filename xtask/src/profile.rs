//! `cargo xtask profile` counts how requests run through the code of the gateway. Published programs are optimised by the counts, which
//! are in the repository, so that a commit always results in the same program (ADR-0036).
//!
//! The load is that of `cargo xtask bench`, and a shorter one with `--options`. The program that merges counts is a component of the toolchain, which rustup installs
//! on request.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{
    bench,
    build::{self, PROFILE, Profile},
    console::Console,
    process::{capture, command, live, quiet},
    repository,
};

/// Builds the gateway with counters, sends it the load of the benchmark, and writes the profile.
pub(crate) fn profile(console: &Console) -> Result<()> {
    let merger = merger(console)?;
    bench::require_store()?;
    build::programs(console, Profile::Counting)?;
    let loads = bench::load(console)?;
    let counts = build::counts();
    // Build scripts have counters, too.
    if counts.exists() {
        fs::remove_dir_all(&counts)
            .with_context(|| format!("failed to remove {}", counts.display()))?;
    }
    for mut load in loads {
        console.live("load", |step| live(step, &mut load))?;
    }
    let files: Vec<PathBuf> = fs::read_dir(&counts)
        .context("the gateway wrote no counts")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    let file = repository::root().join(PROFILE);
    console.step("merge counts", |step| {
        let mut merge = command(&merger);
        merge.args(["merge", "--sparse", "--output"]).arg(&file);
        quiet(step, merge.args(&files))
    })
}

/// The program that merges counts, of the compiler's LLVM.
fn merger(console: &Console) -> Result<PathBuf> {
    console.step("llvm-profdata", |step| {
        let print = ["--print", "target-libdir"];
        let libraries = capture(step, command("rustc").args(print))?;
        let libraries = PathBuf::from(libraries.trim());
        let merger = libraries.with_file_name("bin").join("llvm-profdata");
        ensure!(
            merger.is_file(),
            "{} is missing. Fix: rustup component add llvm-tools",
            merger.display()
        );
        Ok(merger)
    })
}
