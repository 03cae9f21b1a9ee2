//! `cargo xtask fuzz`: fuzzing of every parser of untrusted input.
//!
//! The targets are in `fuzz/`, a workspace of its own. They run on the pinned toolchain with coverage, which needs an
//! unstable option, and without sanitizers, since the code has no `unsafe`. The corpus of a target is in
//! `target/fuzz/corpus`; it starts with the golden files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    console::Console,
    process::{cargo, command, last_lines, quiet},
    repository, tools,
};

/// Target and the golden files of its first corpus.
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
/// Longest input in bytes; longer ones are slow and cover no more code.
const MAX_BYTES: u32 = 16 * 1024;

/// Where the targets are built.
const BUILD: &str = "target/fuzz/build";
/// Changed copies of each golden file in the tests.
const CHANGES: usize = 16;

/// Runs one target, or all targets one after the other, for `seconds` each.
pub(crate) fn fuzz(console: &Console, only: Option<&str>, seconds: u64) -> Result<()> {
    let all = targets()?;
    let chosen: Vec<String> = match only {
        Some(name) => {
            ensure!(
                all.iter().any(|target| target == name),
                "no target {name:?}; targets: {}",
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
            .env("CARGO_TARGET_DIR", repository::root().join(BUILD))
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
        for directory in [&corpus, &artifacts] {
            fs::create_dir_all(directory)
                .with_context(|| format!("failed to create {}", directory.display()))?;
        }
        let mut run = cargo_fuzz("run");
        run.arg(target).arg(&corpus);
        let seeds = SEEDS.iter().find(|(name, _)| name == target);
        for directory in seeds.map_or(&[][..], |(_, directories)| directories) {
            run.arg(repository::root().join(directory));
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
            "{} of {} targets failed:\n  {}\nFix: add a test of the input beside the code, then correct the code",
            found.len(),
            chosen.len(),
            found.join("\n  ")
        );
    }
    Ok(())
}

/// Builds the targets without coverage, and runs those of [`SEEDS`] on their golden files and on changes of these. It finds a target that does
/// not compile, or that fails without much search.
pub(crate) fn smoke(console: &Console) -> Result<()> {
    console.step("fuzz targets: build", |step| {
        quiet(step, of_workspace("build").args(["--bins", "--locked"]))
    })?;
    console.step("fuzz targets: golden files, changed", |step| {
        for (target, directories) in SEEDS {
            let inputs = repository::scratch("fuzz")?.join(target);
            // Of an earlier run.
            if inputs.exists() {
                fs::remove_dir_all(&inputs)
                    .with_context(|| format!("failed to remove {}", inputs.display()))?;
            }
            fs::create_dir_all(&inputs)
                .with_context(|| format!("failed to create {}", inputs.display()))?;
            for directory in directories {
                write_changed(&repository::root().join(directory), &inputs)?;
            }
            let program = repository::root().join(BUILD).join("debug").join(target);
            let mut run = command(program);
            run.arg(&inputs)
                .arg("-runs=0")
                .arg(format!("-max_len={MAX_BYTES}"))
                .arg(format!("-artifact_prefix={}.", inputs.display()));
            quiet(step, &mut run)?;
        }
        Ok(())
    })
}

/// Writes each golden file of a directory, and [`CHANGES`] copies without a byte or with another one.
fn write_changed(directory: &Path, inputs: &Path) -> Result<()> {
    let listed = || format!("failed to list {}", directory.display());
    for entry in fs::read_dir(directory).with_context(listed)? {
        let path = entry.with_context(listed)?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let body = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let changed = (0..CHANGES).map(|change| changed(&body, change));
        for (number, input) in std::iter::once(body.clone()).chain(changed).enumerate() {
            let file = inputs.join(format!("{name}.{number}"));
            fs::write(&file, input)
                .with_context(|| format!("failed to write {}", file.display()))?;
        }
    }
    Ok(())
}

/// A body without one byte, or with another one in its place.
fn changed(body: &[u8], change: usize) -> Vec<u8> {
    const OTHERS: [u8; 8] = *b"\"\\}],:{0";
    // A step that has no factor in common with most lengths, so that the places differ between files.
    let at = change.wrapping_add(1).wrapping_mul(7919) % body.len().max(1);
    // Every other change replaces.
    let kept = OTHERS
        .get(change / 2 % OTHERS.len())
        .filter(|_| change % 2 == 1);
    let (before, after) = body.split_at_checked(at).unwrap_or_default();
    let after = after.get(1..).unwrap_or_default();
    [
        before,
        kept.map(std::slice::from_ref).unwrap_or_default(),
        after,
    ]
    .concat()
}

/// Lints the targets.
pub(crate) fn lint(console: &Console) -> Result<()> {
    console.step("fuzz targets: clippy", |step| {
        let mut clippy = of_workspace("clippy");
        clippy.args(["--bins", "--locked", "--", "-D", "warnings"]);
        quiet(step, &mut clippy)
    })
}

/// Cargo for the workspace of the targets.
fn of_workspace(verb: &str) -> Command {
    let mut cargo = cargo();
    cargo
        .args([verb, "--manifest-path", "fuzz/Cargo.toml"])
        .env("CARGO_TARGET_DIR", repository::root().join(BUILD));
    cargo
}

/// Names of the targets: one file each.
fn targets() -> Result<Vec<String>> {
    let directory: PathBuf = repository::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("no {}", directory.display()))? {
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

/// Summary of libFuzzer's statistics.
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
        for (target, directories) in SEEDS {
            assert!(targets().unwrap().iter().any(|name| name == target));
            for directory in directories {
                assert!(repository::root().join(directory).is_dir(), "{directory}");
            }
        }
    }

    #[test]
    fn changed_bodies_differ_in_one_byte() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        let mut all = std::collections::BTreeSet::new();
        for change in 0..CHANGES {
            let changed = changed(body, change);
            let same = body
                .iter()
                .zip(&changed)
                .take_while(|(old, new)| old == new);
            let at = same.count();
            let kept = changed.len() + 1 - body.len();
            assert!(at < body.len() && kept < 2, "{changed:?}");
            assert_eq!(changed[at + kept..], body[at + 1..]);
            all.insert(changed);
        }
        assert_eq!(all.len(), CHANGES);
        assert!(changed(b"", 1).len() < 2);
    }

    #[test]
    fn statistics_are_read_from_the_end_of_the_output() {
        let log = "Done 1000 runs\nstat::number_of_executed_units: 1000\nstat::average_exec_per_sec:     500\n";
        assert_eq!(statistics(log), "1000 executions, 500 a second");
        assert!(statistics("").starts_with("an unknown number"));
    }
}
