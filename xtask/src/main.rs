//! The one entry to this repository: everything a person or CI runs is a command of `cargo xtask`.
//!
//! Every command prints what it does and how long it took; the full output of what it ran is kept
//! in `target/xtask/`. It depends on little, so that a fresh clone can begin at once, and it never
//! links a product: it builds and runs them as a user would.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its user"
)]

mod bench;
mod build;
mod checks;
mod console;
mod debian;
mod demo;
mod double;
mod fuzz;
mod generated;
mod http;
mod image;
mod interrupt;
mod process;
mod properties;
mod repository;
mod suite;
mod tidy;
mod tools;

use std::{net::SocketAddr, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{console::Console, demo::ClusterKind, double::Identity, suite::Part};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything CI runs: formatting, lints, tidy, generated files, chart, unit and integration tests.
    Test {
        /// Only these parts; without any: all of them, after the checks.
        #[arg(value_enum)]
        parts: Vec<Part>,
        /// Only tests whose name contains this text.
        #[arg(long)]
        filter: Option<String>,
    },
    /// `test`, and before it the checks that need tools of their own: deny, machete.
    Check,
    /// Format all Rust code.
    Fmt {
        /// Change nothing; fail where something is not formatted.
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
    /// Check the rules of the house that no other tool knows.
    Tidy,
    /// Check that the generated files are what their sources make.
    Generated,
    /// Check licences, sources and duplicates of dependencies.
    Deny,
    /// Look for dependencies that no code uses.
    Machete,
    /// Lint and render the Helm chart.
    Chart,
    /// Write crds/ and the chart's copy from the types in crates/api.
    Crds {
        /// Change nothing; fail where a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Write docs/guide/*-fields.md from the data the translation uses.
    Fields {
        /// Change nothing; fail where the file differs.
        #[arg(long)]
        check: bool,
    },
    /// Write docs/reference/ from the types in crates/api.
    Reference {
        /// Change nothing; fail where a file differs.
        #[arg(long)]
        check: bool,
    },
    /// Write manifests/ from the chart.
    Manifests {
        /// Change nothing; fail where a file differs.
        #[arg(long)]
        check: bool,
    },
    /// The whole story on a real cluster: install, apply an access, chat through it.
    Demo {
        /// End after the chat; fail unless every answer was right.
        #[arg(long)]
        once: bool,
        /// Pods of every kind with the gateway as a sidecar, too.
        #[arg(long)]
        sidecar: bool,
        /// Which cluster to use.
        #[arg(long, value_enum, default_value_t = ClusterKind::Local)]
        cluster: ClusterKind,
        /// The nodes pull the images from here instead of getting them from us; `image` writes them.
        #[arg(long, value_name = "PREFIX")]
        registry: Option<String>,
    },
    /// The gateway in front of a simulated AWS, without Kubernetes, for trying clients.
    Double {
        /// Where the gateway listens.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
        /// Where its AWS credentials come from.
        #[arg(long, value_enum, default_value_t = Identity::Static)]
        identity: Identity,
        /// End when one chat was answered.
        #[arg(long)]
        once: bool,
    },
    /// Write container images of the programs into target/images/, without a container engine.
    Image {
        /// Optimised, as for a release; takes minutes more.
        #[arg(long)]
        release: bool,
    },
    /// Measure the gateway beside a proxy that does nothing, or the operator at scale.
    Bench(bench::Options),
    /// Feed hostile bytes to every parser that reads what others send.
    Fuzz {
        /// One target of fuzz/fuzz_targets; without it: each in turn.
        target: Option<String>,
        /// How long each runs.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Run the property tests with many cases each, optimised.
    Properties {
        /// Cases of each property.
        #[arg(long, default_value_t = 100_000)]
        cases: u32,
        /// Only properties whose name contains this text.
        #[arg(long)]
        filter: Option<String>,
    },
    /// Run the unit tests and accept what they print as the new snapshots; review the diff.
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
        Task::Test { parts, filter } => suite::test(&console, &parts, filter.as_deref()),
        Task::Check => suite::check(&console),
        Task::Fmt { check } => checks::fmt(&console, check),
        Task::Clippy => checks::clippy(&console),
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
        Task::Demo {
            once,
            sidecar,
            cluster,
            registry,
        } => demo::demo(&console, once, sidecar, cluster, registry.as_deref()),
        Task::Double {
            listen,
            identity,
            once,
        } => double::double(&console, listen, identity, once),
        Task::Image { release } => image::image(&console, release),
        Task::Bench(options) => bench::bench(&console, &options),
        Task::Fuzz { target, seconds } => fuzz::fuzz(&console, target.as_deref(), seconds),
        Task::Properties { cases, filter } => {
            properties::properties(&console, cases, filter.as_deref())
        }
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

/// The commands with one line each, as shown by a bare `cargo xtask`.
fn list() -> String {
    let mut text =
        String::from("Tasks of this repository; `cargo xtask TASK --help` says more.\n\n");
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
