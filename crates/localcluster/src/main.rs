//! `localcluster`: a Kubernetes cluster on this machine from the command line.
#![expect(
    clippy::print_stdout,
    reason = "a command-line program prints its output"
)]

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use localcluster::{ApiServer, ClusterKind, Options, Target, Tools};
use tracing_subscriber::EnvFilter;

/// A real Kubernetes cluster on this machine.
#[derive(Debug, Parser)]
#[command(name = "localcluster")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start a cluster and keep it until Ctrl-C.
    Up {
        /// Tier of the cluster.
        #[arg(long, value_enum, default_value_t = Tier::Cluster)]
        tier: Tier,
        /// Unique name of the cluster.
        #[arg(long, default_value = "local")]
        name: String,
        /// Cluster to use: local, kind, or current for the one of the kube context. Only a local cluster is stopped.
        #[arg(long, default_value_t)]
        cluster: ClusterKind,
        /// Load the images of this docker archive on the nodes.
        #[arg(long, value_name = "FILE")]
        load: Vec<PathBuf>,
    },
    /// Remove leftovers of crashed runs and list active ones.
    Down,
    /// Build the cluster's programs if absent.
    Build,
    /// Print paths as shell assignments.
    Env,
    /// Run kubectl for the running cluster, or for KUBECONFIG if set.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Arguments of kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run Helm for the running cluster, or for KUBECONFIG if set.
    #[command(disable_help_flag = true)]
    Helm {
        /// Arguments of Helm.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tier {
    /// etcd, API server and controller manager on loopback.
    Api,
    /// A cluster that runs pods. Needs Linux and root.
    Cluster,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match Arguments::parse().command {
        Action::Up {
            tier,
            name,
            cluster,
            load,
        } => up(tier, name, cluster, &load).await,
        Action::Down => down(),
        Action::Build => {
            println!("{}", Tools::prepare()?.cluster_binary().display());
            Ok(())
        }
        Action::Env => env(),
        Action::Kubectl { arguments } => pass_on(Tools::prepare()?.kubectl(), &arguments),
        Action::Helm { arguments } => pass_on(Tools::prepare()?.helm(), &arguments),
    }
}

async fn up(tier: Tier, name: String, kind: ClusterKind, load: &[PathBuf]) -> Result<()> {
    // Registered before the start, so that Ctrl-C during the start cleans up as well.
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let life = async {
        let options = Options {
            name: Some(name),
            ..Options::default()
        };
        match tier {
            Tier::Api => {
                let server = ApiServer::start(options).await?;
                println!("export KUBECONFIG={}", server.kubeconfig().display());
                watch(|| server.check()).await?;
                server.shutdown().await
            }
            Tier::Cluster => {
                let target = Target::prepare(kind, options).await?;
                for archive in load {
                    target.load_image(archive).await?;
                }
                if let Some(kubeconfig) = target.kubeconfig() {
                    println!("export KUBECONFIG={}", kubeconfig.display());
                }
                watch(|| {
                    target
                        .local()
                        .map_or(Ok(()), |cluster| cluster.api().check())
                })
                .await?;
                target.shutdown().await
            }
        }
    };
    tokio::select! {
        ended = life => ended.map_err(Into::into),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Runs until `check` fails.
async fn watch(check: impl Fn() -> localcluster::Result<()>) -> localcluster::Result<()> {
    tracing::info!("ready; Ctrl-C ends the cluster");
    loop {
        check()?;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

fn down() -> Result<()> {
    let tools = Tools::prepare()?;
    for left_over in localcluster::clean_left_overs(&tools)? {
        println!("removed leftovers of {}", left_over.name);
    }
    for run in localcluster::running()? {
        println!(
            "{} is running; stop it with Ctrl-C in process {}",
            run.name, run.owner
        );
    }
    Ok(())
}

fn env() -> Result<()> {
    println!(
        "LOCALCLUSTER_BINARY={}",
        Tools::prepare()?.cluster_binary().display()
    );
    for run in localcluster::running()? {
        if let Some(kubeconfig) = run.kubeconfig {
            println!("# {}\nKUBECONFIG={}", run.name, kubeconfig.display());
        }
    }
    Ok(())
}

/// Becomes `program`.
fn pass_on(mut program: Command, arguments: &[String]) -> Result<()> {
    if std::env::var_os("KUBECONFIG").is_none() {
        let mut ready = localcluster::running()?
            .into_iter()
            .filter_map(|run| run.kubeconfig);
        match (ready.next(), ready.next()) {
            (Some(kubeconfig), None) => {
                program.env("KUBECONFIG", kubeconfig);
            }
            (Some(_), Some(_)) => {
                bail!(
                    "several clusters are running. Fix: set KUBECONFIG to one that `localcluster env` lists"
                )
            }
            (None, _) => {}
        }
    }
    Err(program.args(arguments).exec())
        .context("failed to run the cluster binary. Fix: run `localcluster build`")
}
