//! `cargo xtask fuzz`: hostile bytes for every parser that reads what others send.
//!
//! The targets are in `fuzz/`, a workspace of its own. They run on the pinned toolchain: coverage is all that is
//! taken of the unstable compiler, sanitizers have nothing to find in code without `unsafe`. What a target has learnt
//! stays in `target/fuzz/corpus`; golden files are where it begins.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    console::Console,
    process::{command, last_lines, quiet},
    repository, tools,
};

/// Target and the golden files that it begins with.
const SEEDS: [(&str, &[&str]); 4] = [
    ("openai_chat", &["crates/dialects/testdata/openai/requests"]),
    (
        "openai_responses",
        &["crates/dialects/testdata/responses/requests"],
    ),
    (
        "anthropic_messages",
        &[
            "crates/dialects/testdata/anthropic/requests",
            "crates/dialects/testdata/anthropic/passthrough",
        ],
    ),
    (
        "openai_passthrough",
        &["crates/dialects/testdata/openai/requests"],
    ),
];
/// Longest input; larger ones are slow and teach nothing new.
const MAX_BYTES: u32 = 16 * 1024;

/// Runs one target, or each in turn, for so long.
pub(crate) fn fuzz(console: &Console, only: Option<&str>, seconds: u64) -> Result<()> {
    let all = targets()?;
    let chosen: Vec<String> = match only {
        Some(name) => {
            ensure!(
                all.iter().any(|target| target == name),
                "no target {name:?}; there are {}",
                all.join(", ")
            );
            vec![name.to_owned()]
        }
        None => all,
    };
    let program = tools::FUZZ.path(console)?;
    let mut found = Vec::new();
    let cargo_fuzz = |verb: &str| {
        let mut command = command(&program);
        command
            .args(["fuzz", verb, "--fuzz-dir", "fuzz", "--sanitizer", "none"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "CARGO_TARGET_DIR",
                repository::root().join("target/fuzz/build"),
            )
            .env_remove("RUSTFLAGS");
        command
    };
    console.step("build the targets", |step| {
        quiet(step, cargo_fuzz("build").args(only))
    })?;
    for target in &chosen {
        let corpus = repository::root().join("target/fuzz/corpus").join(target);
        let artifacts = repository::root()
            .join("target/fuzz/artifacts")
            .join(target);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        let mut run = cargo_fuzz("run");
        run.arg(target).arg(&corpus);
        let seeds = SEEDS.iter().find(|(name, _)| name == target);
        for folder in seeds.map_or(&[][..], |(_, folders)| folders) {
            run.arg(repository::root().join(folder));
        }
        run.arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_BYTES}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048"]);
        let mut said = String::new();
        let ran = console.step(&format!("fuzz {target}: {seconds} s"), |step| {
            let ran = quiet(step, &mut run);
            said = statistics(&last_lines(step.log(), 40));
            ran
        });
        console.note(&said);
        if let Err(error) = ran {
            console.note(&format!("{error:#}"));
            found.push(format!("{target}: see {}", artifacts.display()));
        }
    }
    if !found.is_empty() {
        bail!(
            "{} of {} targets found something:\n  {}\neach becomes a test beside the code before it is mended",
            found.len(),
            chosen.len(),
            found.join("\n  ")
        );
    }
    Ok(())
}

/// Names of the targets: one file each.
fn targets() -> Result<Vec<String>> {
    let folder: PathBuf = repository::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        if let (Some(stem), Some("rs")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|kind| kind.to_str()),
        ) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What libFuzzer says of a run, in a few words.
fn statistics(log: &str) -> String {
    let of = |name: &str| {
        let line = log.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()
    };
    let executions = of("stat::number_of_executed_units:").unwrap_or("an unknown number of");
    let rate = of("stat::average_exec_per_sec:").unwrap_or("?");
    format!("{executions} executions, {rate} a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared_and_every_seed_is_there() {
        let manifest = fs::read_to_string(repository::root().join("fuzz/Cargo.toml")).unwrap();
        for target in targets().unwrap() {
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
        }
        for (target, folders) in SEEDS {
            assert!(targets().unwrap().iter().any(|name| name == target));
            for folder in folders {
                assert!(repository::root().join(folder).is_dir(), "{folder}");
            }
        }
    }

    #[test]
    fn statistics_are_read_from_the_end_of_the_output() {
        let log = "Done 1000 runs\nstat::number_of_executed_units: 1000\nstat::average_exec_per_sec:     500\n";
        assert_eq!(statistics(log), "1000 executions, 500 a second");
        assert!(statistics("").starts_with("an unknown number"));
    }
}
