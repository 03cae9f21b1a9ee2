//! Measures the gateway against a pass-through proxy on loopback, and the operator with many objects (`operator.rs`).
//!
//! A run of the gateway has four kinds of processes: a fake Bedrock with prepared responses, the proxy, one or more builds
//! of the gateway, and the load generator, which is this program and checks every response. Each round measures each
//! scenario on all targets in turn, so that noise affects all of them; the results are ratios. `cargo xtask bench` builds
//! and runs it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its user"
)]

mod admin;
mod agent;
mod configuration;
mod content;
mod load;
mod operator;
mod options;
mod peers;
mod process;
mod proxy;
mod report;
mod response;
mod run;
mod scenario;
mod shares;
mod steps;
mod table;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::sync::oneshot;

/// The allocator of the gateway, so that the proxy does not differ by its allocator.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure the gateway against a pass-through proxy, or the operator.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Measure the gateway.
    Run(run::Options),
    /// Measure the operator.
    Operator(operator::Options),
    /// Run the fake Bedrock until standard input closes.
    #[command(hide = true)]
    Upstream {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Run the pass-through proxy until standard input closes.
    #[command(hide = true)]
    Proxy {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
    },
}

fn main() -> ExitCode {
    match start(Arguments::parse().role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(role: Role) -> Result<()> {
    // The proxy has one worker per core like the gateway. The other two need less than one core, and one thread
    // disturbs the measurement least.
    let mut builder = match role {
        Role::Proxy { .. } => tokio::runtime::Builder::new_multi_thread(),
        Role::Run(_) | Role::Operator(_) | Role::Upstream { .. } => {
            tokio::runtime::Builder::new_current_thread()
        }
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async {
        match role {
            Role::Run(options) => run::run(&options).await,
            Role::Operator(options) => operator::run(&options).await,
            Role::Upstream { listen } => until_orphaned(upstream::serve(listen)).await,
            Role::Proxy { listen, upstream } => {
                until_orphaned(proxy::serve(listen, upstream)).await
            }
        }
    })
}

/// Serves until standard input closes.
async fn until_orphaned(server: impl Future<Output = Result<()>>) -> Result<()> {
    let (gone, orphaned) = oneshot::channel();
    std::thread::spawn(move || {
        // The reader is gone, however reading ended.
        let _: std::io::Result<u64> = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        gone.send(()).unwrap_or_default();
    });
    tokio::select! {
        result = server => result,
        _ = orphaned => Ok(()),
    }
}

/// A file that a role writes or reads, for error messages.
fn named(path: &std::path::Path) -> String {
    PathBuf::from(path).display().to_string()
}
