//! The suite: checks and tests in two lanes, and its parts one by one.
//!
//! The default lane runs after each change and in CI. The full lane has every case, every client and every long wait,
//! and runs before a release.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::{
    bench,
    binaries::{self, Binary, Run},
    build::{self, Profile},
    chaos, checks,
    console::{Console, Failures},
    debian,
    demo::{ClusterKind, demo},
    fuzz, generated, identities, image, plugin,
    process::{Beside, cargo, command, live},
    report::Report,
    repository, tidy, tools,
};

/// Package of the tests that run products and rigs together.
const TOGETHER: &str = "tests";
/// Modules of these tests that need an API server.
const API_TIER: &str = "api_tier::";
const FAULTS: &str = "faults::";
/// The module that measures, and whose attacks would disturb others.
const HOSTILE: &str = "hostile::";
/// Seed of the chaos in the full lane.
const CHAOS_SEED: u64 = 1;

/// Budget of the default lane once dependencies are compiled.
const DEFAULT: Duration = Duration::from_mins(12);
/// Budget of the full lane once dependencies are compiled.
const FULL: Duration = Duration::from_mins(49);
/// What an empty machine needs in addition, to compile dependencies and the programs of Kubernetes.
const EMPTY: Duration = Duration::from_mins(13);

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Tests beside the code: no cluster, no root.
    Unit,
    /// The operator against a real API server on loopback.
    Api,
    /// The operator while writes fail, watches break and operators die. Needs what `api` needs.
    Faults,
    /// Products in pods of a real cluster on this machine. Needs Linux and root.
    Cluster,
    /// The fuzz targets on golden files and changes of them, without a search.
    Fuzz,
}

/// Runs a whole lane, or some parts of it.
pub(crate) fn test(
    console: &Console,
    parts: &[Part],
    filter: Option<&str>,
    full: bool,
) -> Result<()> {
    if !parts.is_empty() {
        for part in parts {
            run_part(console, *part, filter, full)?;
        }
        return Ok(());
    }
    debian::ensure_for(console, full)?;
    if let Some(filter) = filter {
        build::programs(console, Profile::Dev)?;
        let binaries = binaries::compile(console, full)?;
        let how = Run {
            filters: &[filter],
            full,
            ..Run::default()
        };
        return binaries::run(console, "tests", &binaries, how);
    }
    lane(console, full)
}

/// Runs a whole lane and prints its times.
fn lane(console: &Console, full: bool) -> Result<()> {
    let budget = if full { FULL } else { DEFAULT };
    let empty = if is_prepared()? {
        Duration::ZERO
    } else {
        EMPTY
    };
    let mut report = Report::new(budget + empty);
    let budget = |default: u64, with_all: u64| if full { with_all } else { default };
    console.heading("Checks");
    report.run("format and rules", 15, || {
        let mut failures = Failures::default();
        failures.collect("fmt", checks::fmt(console, true));
        failures.collect("tidy", tidy::tidy(console));
        failures.conclude()
    });
    console.heading("Programs");
    let built = report.required("build", budget(150, 160) + empty.as_secs() / 2, || {
        build::programs(console, Profile::Dev)
    });
    // The programs of Kubernetes, unless this machine has them: in the background, since only later parts need them.
    let kubernetes = built
        .and_then(|()| tools::local_cluster().ok())
        .and_then(|mut program| Beside::start("programs of Kubernetes", program.arg("build")).ok());
    let compiled = report.required("compile the tests", budget(120, 130), || {
        binaries::compile(console, full)
    });
    report.run("clippy", budget(75, 90) + empty.as_secs() / 6, || {
        checks::clippy(console, full)
    });
    if let Some(kubernetes) = kubernetes {
        report.run("programs of Kubernetes", 2 + empty.as_secs() / 3, || {
            kubernetes.wait(console)
        });
    }
    report.run("tools of the chart", 2 + empty.as_secs() / 3, || {
        tools::chart(console)
    });
    // Everything below runs programs.
    if let (Some(()), Some(binaries)) = (built, compiled) {
        run_programs(console, &mut report, &binaries, full);
    }
    report.conclude(console)
}

/// The parts of a lane that run what was built.
fn run_programs(console: &Console, report: &mut Report, binaries: &[Binary], full: bool) {
    let budget = |default: u64, with_all: u64| if full { with_all } else { default };
    // Beside the tests in the default lane, since both mostly wait; alone in the full lane, where it takes minutes.
    let demo_beside = if full { None } else { Some(start_demo()) };
    report.run("generated files and chart", 15, || {
        let mut failures = Failures::default();
        failures.collect("generated", generated::check_all(console));
        failures.collect("chart", checks::lint_chart(console));
        failures.conclude()
    });
    console.heading("Tests");
    let how = Run {
        full,
        ..Run::default()
    };
    report.run("unit tests", 60, || {
        let units = binaries.iter().filter(|binary| !binary.is_integration);
        binaries::run(console, "unit tests", units, how)
    });
    report.run("products and rigs", budget(150, 200), || {
        let own = binaries
            .iter()
            .filter(|binary| binary.is_integration && binary.package != TOGETHER);
        binaries::run(console, "products and rigs", own, how)
    });
    let mut groups: Vec<(&str, u64, &[&str], &[&str])> = vec![
        (
            "clients and exchanges",
            budget(60, 200),
            &[],
            &[API_TIER, FAULTS, HOSTILE],
        ),
        ("API tier", budget(140, 240), &[API_TIER], &[]),
        ("fault injection", budget(75, 360), &[FAULTS], &[]),
    ];
    if full {
        groups.push(("hostile clients", 480, &[HOSTILE], &[]));
    }
    for (name, seconds, filters, skip) in groups {
        report.run(name, seconds, || {
            let together = binaries
                .iter()
                .filter(|binary| binary.is_integration && binary.package == TOGETHER);
            let how = Run {
                filters,
                skip,
                full,
                ..Run::default()
            };
            binaries::run(console, name, together, how)
        });
    }
    report.run("fuzz targets", 60, || fuzz::smoke(console));
    report.run("every identity", 20, || identities::every_identity(console));
    if full {
        report.run("documentation", 120, || checks::doc(console, false));
        report.run("images", 90, || image::check(console));
        report.run("archive of the plugin", 30, || plugin::check(console));
        report.run("fuzz targets: clippy", 120, || fuzz::lint(console));
        report.run("bench", 60, || bench::quick(console));
        report.run("bench of options", 30, || bench::quick_options(console));
        report.run("bench of steps", 90, || bench::quick_steps(console));
        report.run("chaos", 360, || {
            chaos::run(console, binaries, CHAOS_SEED, 3, &[])
        });
        report.run("demo", 300, || {
            demo(console, true, true, ClusterKind::Local, None)
        });
    }
    if let Some(demo) = demo_beside {
        report.run("demo (rest of it)", 30, || demo?.wait(console));
    }
    report.run("no secret in any log", 5, || no_secret_was_printed(console));
}

/// Starts `cargo xtask demo --once` beside the tests, by the program that was built: the file of this process may have
/// been replaced since its start.
fn start_demo() -> Result<Beside> {
    let mut demo = command(build::program(Profile::Dev, "xtask")?);
    Beside::start("demo", demo.args(["demo", "--once"]))
}

/// Whether this machine has compiled the dependencies and the programs of Kubernetes before.
fn is_prepared() -> Result<bool> {
    let contains = |directory: &std::path::Path, name: &str| {
        fs::read_dir(directory).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with(name))
        })
    };
    let dependencies = contains(&repository::target().join("debug/deps"), "libkube_client-");
    let kubernetes = fs::read_dir(repository::cache()?.join("cluster")).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| contains(&entry.path(), "cluster"))
    });
    Ok(dependencies && kubernetes)
}

/// Searches every log for the secrets that the tests and the demo use, and for tokens.
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
    console.step("no secret in any log", |_| {
        let directory = repository::scratch("log")?;
        let mut searched = 0_u64;
        for entry in fs::read_dir(&directory)
            .with_context(|| format!("failed to list {}", directory.display()))?
        {
            let path = entry.context("failed to read a directory entry")?.path();
            let text =
                fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let text = String::from_utf8_lossy(&text);
            searched += u64::try_from(text.len())?;
            for secret in SECRETS {
                ensure!(
                    !text.contains(secret),
                    "{} contains {secret}…",
                    path.display()
                );
            }
        }
        ensure!(searched > 0, "no log in {}", directory.display());
        Ok(())
    })
}

/// Everything of [`test()`], and the checks of dependencies, whose tools take minutes to build.
pub(crate) fn check(console: &Console, full: bool) -> Result<()> {
    let mut failures = Failures::default();
    console.heading("Dependencies");
    failures.collect("deny", checks::deny(console));
    failures.collect("machete", checks::machete(console));
    failures.collect("test", test(console, &[], None, full));
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
            command("git").args(["status", "--short", "--", "*.snap"]),
        )
    })
}

fn run_part(console: &Console, part: Part, filter: Option<&str>, full: bool) -> Result<()> {
    let (name, integration, module) = match part {
        Part::Unit => ("unit tests", false, None),
        Part::Api => ("API tier", true, Some(API_TIER)),
        Part::Faults => ("fault injection", true, Some(FAULTS)),
        Part::Fuzz => return fuzz::smoke(console),
        Part::Cluster => return demo(console, true, full, ClusterKind::Local, None),
    };
    if integration {
        debian::ensure_for(console, full)?;
        build::programs(console, Profile::Dev)?;
    }
    let binaries = binaries::compile(console, full)?;
    let chosen = binaries.iter().filter(|binary| {
        binary.is_integration == integration && (!integration || binary.package == TOGETHER)
    });
    // Several filters mean "any of them", so a narrower one replaces the module's.
    let filters: Vec<&str> = filter.or(module).into_iter().collect();
    let how = Run {
        filters: &filters,
        full,
        ..Run::default()
    };
    binaries::run(console, name, chosen, how)
}
