//! Repository tasks: every check, test and measurement is a command of `cargo xtask`.
//!
//! Each command prints its steps with their times; the complete output of the programs it runs is in
//! `target/xtask/log`. It has few dependencies, so that it compiles quickly in a fresh clone, and it links no product:
//! it builds and runs them as a user would.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program prints its output"
)]

mod bench;
mod binaries;
mod build;
mod catalogue;
mod chaos;
mod checks;
mod console;
mod debian;
mod demo;
mod fuzz;
mod generated;
mod http;
mod identities;
mod image;
mod interrupt;
mod plugin;
mod process;
mod profile;
mod properties;
mod report;
mod repository;
mod suite;
mod tidy;
mod tools;
mod upstream;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{console::Console, demo::ClusterKind, suite::Part};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the suite as CI does: format, rules, lints, generated files, chart, tests, demo.
    Test {
        /// Run these parts only.
        #[arg(value_enum)]
        parts: Vec<Part>,
        /// Run tests whose name contains this text only.
        #[arg(long)]
        filter: Option<String>,
        /// Run everything: all fault cases, all clients, long waits, documentation, sidecars, bench.
        #[arg(long)]
        full: bool,
    },
    /// Check dependencies (`deny`, `machete`), then run `test`.
    Check {
        /// Run the full lane of `test`.
        #[arg(long)]
        full: bool,
    },
    /// Format all Rust code.
    Fmt {
        /// Change nothing; fail if a file is not formatted.
        #[arg(long)]
        check: bool,
    },
    /// Lint all Rust code; warnings are errors.
    Clippy,
    /// Build the API documentation; broken links are errors.
    Doc {
        /// Open it in a browser.
        #[arg(long)]
        open: bool,
    },
    /// Check the repository's own rules: dependencies between crates and modules, language, layout of files.
    Tidy,
    /// Check that generated files match their sources.
    Generated,
    /// Check licences, sources, duplicates and advisories of dependencies.
    Deny,
    /// Find unused dependencies.
    Machete,
    /// Lint and render the Helm chart.
    Chart,
    /// Generate crds/ and the chart's copy from the types in crates/api.
    Crds {
        /// Change nothing; fail if a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Generate docs/guide/*-fields.md from the tables of the translation.
    Fields {
        /// Change nothing; fail if a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Generate docs/reference/ from the types in crates/api.
    Reference {
        /// Change nothing; fail if a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Generate manifests/ from the chart.
    Manifests {
        /// Change nothing; fail if a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Regenerate the built-in table of models from published packages; needs Python's pip.
    Catalogue,
    /// Send requests to a real cluster while its parts and AWS fail; check every response and its log line. Needs
    /// Linux and root.
    Chaos {
        /// Order and times of the faults.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Length of the run.
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// Inject faults whose name contains one of these texts only.
        #[arg(long, value_name = "TEXT", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Install on a real cluster, apply a BedrockAccess, and chat through it.
    Demo {
        /// Exit after the chat; fail if a response is wrong.
        #[arg(long)]
        once: bool,
        /// Also run pods of every workload kind with the gateway as a sidecar.
        #[arg(long)]
        sidecar: bool,
        /// Cluster to use.
        #[arg(long, value_enum, default_value_t = ClusterKind::Local)]
        cluster: ClusterKind,
        /// Let the nodes pull the images from this registry instead of loading them; `image` writes them.
        #[arg(long, value_name = "PREFIX")]
        registry: Option<String>,
    },
    /// Write container images of the programs to target/images/, without a container engine.
    Image {
        /// Build optimised release programs; takes several minutes longer.
        #[arg(long)]
        release: bool,
        /// Write images of development programs twice, compare them, and check their SBOMs.
        #[arg(long, conflicts_with_all = ["release", "reproduce"])]
        check: bool,
        /// Build the commit again in a clone, and compare the images.
        #[arg(long)]
        reproduce: bool,
    },
    /// Archive the kubectl plugin for this machine, check its krew manifest, install it with krew and run it.
    Plugin {
        /// Write the archive of a release for this target instead, such as x86_64-unknown-linux-musl.
        #[arg(long, value_name = "TRIPLE")]
        target: Option<String>,
        /// Write the krew manifest of a release for the archives in this directory instead.
        #[arg(long, value_name = "DIRECTORY", conflicts_with = "target")]
        manifest: Option<PathBuf>,
    },
    /// Write the licences and SBOMs of the programs, without Debian packages; Containerfile adds them.
    Contents {
        /// Where to write a directory for each program.
        directory: PathBuf,
    },
    /// Measure the gateway against a pass-through proxy, or the operator at scale.
    Bench(bench::Options),
    /// Record which code of the gateway requests run; release builds are optimised by it. Needs llvm-tools of rustup.
    Profile,
    /// Fuzz every parser of untrusted input.
    Fuzz {
        /// Target in fuzz/fuzz_targets. Default: all targets, one after the other.
        target: Option<String>,
        /// Run time of each target in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Run the property tests with many cases each, optimised.
    Properties {
        /// Number of cases per property.
        #[arg(long, default_value_t = 100_000)]
        cases: u32,
        /// Run properties whose name contains this text only.
        #[arg(long)]
        filter: Option<String>,
    },
    /// Compare the newest AWS service models, SDKs and agents with what this repository supports.
    Upstream {
        /// Also renew the service models of the simulated AWS.
        #[arg(long)]
        write: bool,
    },
    /// Run the unit tests and accept their output as the new snapshots; review the diff.
    Golden,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(task) = arguments.task else {
        print!("{}", list());
        return ExitCode::SUCCESS;
    };
    let console = Console::new();
    let result = match task {
        Task::Test {
            parts,
            filter,
            full,
        } => suite::test(&console, &parts, filter.as_deref(), full),
        Task::Check { full } => suite::check(&console, full),
        Task::Fmt { check } => checks::fmt(&console, check),
        Task::Clippy => checks::clippy(&console, true),
        Task::Doc { open } => checks::doc(&console, open),
        Task::Tidy => tidy::tidy(&console),
        Task::Generated => generated::check_all(&console),
        Task::Deny => checks::deny(&console),
        Task::Machete => checks::machete(&console),
        Task::Chart => checks::chart(&console),
        Task::Crds { check } => generated::crds(&console, check),
        Task::Fields { check } => generated::fields(&console, check),
        Task::Reference { check } => generated::reference(&console, check),
        Task::Manifests { check } => generated::manifests(&console, check),
        Task::Catalogue => catalogue::catalogue(&console),
        Task::Chaos {
            seed,
            minutes,
            only,
        } => chaos::chaos(&console, seed, minutes, &only),
        Task::Demo {
            once,
            sidecar,
            cluster,
            registry,
        } => demo::demo(&console, once, sidecar, cluster, registry.as_deref()),
        Task::Image { check: true, .. } => image::build_and_check(&console),
        Task::Image {
            release,
            reproduce: true,
            ..
        } => image::reproduce(&console, release),
        Task::Image { release, .. } => image::image(&console, release),
        Task::Plugin {
            target: Some(target),
            ..
        } => plugin::archive(&console, &target),
        Task::Plugin {
            manifest: Some(directory),
            ..
        } => plugin::manifest(&directory),
        Task::Plugin { .. } => plugin::check(&console),
        Task::Contents { directory } => image::contents_to(&console, &directory),
        Task::Bench(options) => bench::bench(&console, &options),
        Task::Profile => profile::profile(&console),
        Task::Fuzz { target, seconds } => fuzz::fuzz(&console, target.as_deref(), seconds),
        Task::Properties { cases, filter } => {
            properties::properties(&console, cases, filter.as_deref())
        }
        Task::Upstream { write } => upstream::upstream(&console, write),
        Task::Golden => suite::golden(&console),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One line for each command, as `cargo xtask` without arguments prints it.
fn list() -> String {
    let mut text = String::from(
        "Tasks of this repository. `cargo xtask TASK --help` shows the options of a task.\n\n",
    );
    for task in Arguments::command().get_subcommands() {
        let about = task
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        text = format!("{text}  {:<10} {about}\n", task.get_name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed_and_the_list_names_every_task() {
        Arguments::command().debug_assert();
        let text = list();
        for name in ["test", "check", "tidy", "crds"] {
            assert!(text.contains(&format!("\n  {name} ")), "{name} in\n{text}");
        }
    }
}
