//! `cargo xtask chaos`: clients use a real cluster while one part after the other fails. The test `chaos` of the package
//! `tests` judges; this module gives it images.

use anyhow::{Context, Result};

use crate::{
    binaries::{self, Binary, Run},
    build::{self, Profile},
    console::Console,
    debian, image, repository,
};

/// Images that the cluster needs; the simulated AWS runs beside it.
const IMAGES: [&str; 2] = ["bedrock-access-operator", "bedrock-gateway"];

/// Builds everything and runs for a number of minutes.
pub(crate) fn chaos(console: &Console, seed: u64, minutes: u64, only: &[String]) -> Result<()> {
    debian::ensure(console)?;
    build::programs(console, Profile::Dev)?;
    let binaries = binaries::compile(console, false)?;
    run(console, &binaries, seed, minutes, only)
}

/// Runs with programs and tests that are built.
pub(crate) fn run(
    console: &Console,
    binaries: &[Binary],
    seed: u64,
    minutes: u64,
    only: &[String],
) -> Result<()> {
    let images: Vec<_> = image::write_all(console, Profile::Dev, &[])?
        .into_iter()
        .filter(|image| IMAGES.iter().any(|name| image.reference.contains(name)))
        .map(|image| image.path)
        .collect();
    let images = std::env::join_paths(images).context("the path of an image has a colon")?;
    let report = repository::target().join(format!("chaos-{seed}.json"));
    let (images, report) = (images.to_string_lossy(), report.to_string_lossy());
    let (seed, minutes, only) = (seed.to_string(), minutes.to_string(), only.join(","));
    let how = Run {
        filters: &["chaos::"],
        variables: &[
            ("CHAOS_IMAGES", &images),
            ("CHAOS_REPORT", &report),
            ("CHAOS_SEED", &seed),
            ("CHAOS_MINUTES", &minutes),
            ("CHAOS_ONLY", &only),
        ],
        ..Run::default()
    };
    let tests = binaries.iter().filter(|binary| binary.package == "tests");
    binaries::run(console, "chaos", tests, how)?;
    console.note(&format!("results: {report}"));
    Ok(())
}
