//! The sequence of checks and tests that CI runs, and its parts.

use std::fs;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::{
    bench,
    build::{self, Profile},
    checks,
    console::{Console, Failures},
    debian,
    demo::{ClusterKind, demo},
    double, generated,
    process::{cargo, live, quiet},
    repository, tidy,
};

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Tests beside the code and examples in documentation: no cluster, no root, seconds.
    Unit,
    /// Products against a real API server on loopback.
    Api,
    /// The operator on bad days: writes fail, watches break, operators die. Needs what `api` needs.
    Faults,
    /// Products in pods of a real cluster on this machine; Linux, root.
    Cluster,
}

/// Runs everything, or only some parts.
pub(crate) fn test(console: &Console, parts: &[Part], filter: Option<&str>) -> Result<()> {
    if !parts.is_empty() {
        for part in parts {
            run_part(console, *part, filter)?;
        }
        return Ok(());
    }
    if let Some(filter) = filter {
        debian::ensure(console)?;
        build::programs(console, Profile::Dev)?;
        return run_tests(console, "tests", &[], &[filter]);
    }
    debian::ensure(console)?;
    let mut failures = Failures::default();
    console.heading("Checks");
    failures.collect("fmt", checks::fmt(console, true));
    failures.collect("tidy", tidy::tidy(console));
    failures.collect("clippy", checks::clippy(console));
    failures.collect("doc", checks::doc(console, false));
    // Everything below runs programs, so that a build that fails is the end.
    build::programs(console, Profile::Dev)?;
    failures.collect("generated", generated::check_all(console));
    failures.collect("chart", checks::chart(console));
    console.heading("Tests");
    console.step("compile the tests", |step| {
        quiet(
            step,
            cargo().args(["test", "--workspace", "--locked", "--no-run"]),
        )
    })?;
    failures.collect("tests", run_tests(console, "tests", &[], &[]));
    failures.collect("every identity", double::every_identity(console));
    failures.collect("bench", bench::quick(console));
    failures.collect(
        "cluster tier",
        demo(console, true, true, ClusterKind::Local, None),
    );
    failures.collect("secrets", no_secret_was_printed(console));
    failures.conclude()
}

/// Searches everything that was printed for the secrets that the tests and the demo use, and for tokens.
fn no_secret_was_printed(console: &Console) -> Result<()> {
    /// Beginnings of the secret keys, Bedrock keys and tokens in use; the last is how every JWT begins.
    const SECRETS: [&str; 6] = [
        "wJalrXUtnFEMI",
        "bedrock-api-key-",
        "container-authorization-token",
        "github-request-token",
        "sso-access-token",
        "eyJhbGciOi",
    ];
    console.step("no secret in what was printed", |_| {
        let folder = repository::scratch("log")?;
        let mut searched = 0_u64;
        for entry in
            fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?
        {
            let path = entry.context("failed to read a folder entry")?.path();
            let text =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let text = String::from_utf8_lossy(&text);
            searched += u64::try_from(text.len())?;
            for secret in SECRETS {
                ensure!(!text.contains(secret), "{} shows {secret}…", path.display());
            }
        }
        ensure!(searched > 0, "there is no log in {}", folder.display());
        Ok(())
    })
}

/// Everything of [`test()`], and what needs tools that take minutes to build.
pub(crate) fn check(console: &Console) -> Result<()> {
    let mut failures = Failures::default();
    console.heading("Dependencies");
    failures.collect("deny", checks::deny(console));
    failures.collect("machete", checks::machete(console));
    failures.collect("test", test(console, &[], None));
    failures.conclude()
}

/// Accepts what the unit tests print now as the new snapshots.
pub(crate) fn golden(console: &Console) -> Result<()> {
    console.live("golden", |step| {
        live(
            step,
            cargo()
                .args(["test", "--workspace", "--locked", "--lib", "--bins"])
                .env("INSTA_UPDATE", "always"),
        )?;
        live(
            step,
            crate::process::command("git").args(["status", "--short", "--", "*.snap"]),
        )
    })
}

fn run_part(console: &Console, part: Part, filter: Option<&str>) -> Result<()> {
    let (name, targets, module): (_, &[&str], _) = match part {
        Part::Unit => ("unit tests", &["--lib", "--bins"], None),
        Part::Api => ("API tier", &["--test", "it"], Some("api_tier::")),
        Part::Faults => ("fault injection", &["--test", "it"], Some("faults::")),
        Part::Cluster => return demo(console, true, true, ClusterKind::Local, None),
    };
    if part != Part::Unit {
        debian::ensure(console)?;
        build::programs(console, Profile::Dev)?;
    }
    // The test runner takes several filters as "any of them", so a narrower one replaces ours.
    let filters: Vec<&str> = filter.or(module).into_iter().collect();
    run_tests(console, name, targets, &filters)
}

fn run_tests(console: &Console, name: &str, targets: &[&str], filters: &[&str]) -> Result<()> {
    let color = if console.is_terminal() {
        "always"
    } else {
        "never"
    };
    console.live(name, |step| {
        let mut command = cargo();
        command
            .args(["test", "--workspace", "--locked", "--no-fail-fast"])
            .args(targets);
        command
            .env("INSTA_UPDATE", "no")
            .env("CARGO_TERM_COLOR", color);
        if !filters.is_empty() {
            command.arg("--").args(filters);
        }
        live(step, &mut command)
    })
}
