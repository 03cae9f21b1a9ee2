//! The cluster of the demo, run by the program `localcluster`, whose kubectl and Helm are used as well.

use std::{
    cell::RefCell,
    process::{Child, Command},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};

use super::{ClusterKind, END};
use crate::{
    build::{self, Profile},
    console::{Console, Step},
    image::Written,
    interrupt,
    process::{background, command, last_lines, stop},
    repository,
};

/// Output of `localcluster up` when the cluster is ready.
const READY: &str = "ready; Ctrl-C ends the cluster";
/// Its output before the path of the kubeconfig.
const KUBECONFIG: &str = "export KUBECONFIG=";

/// A cluster that is ready.
#[derive(Debug)]
pub(super) struct Cluster {
    kind: ClusterKind,
    kubeconfig: Option<String>,
    /// In a cell, since the check for its exit changes it.
    holder: RefCell<Child>,
}

impl Cluster {
    /// Starts or finds the cluster and loads the images on its nodes.
    pub(super) fn start(step: &Step, kind: ClusterKind, images: &[Written]) -> Result<Self> {
        let mut up = command(build::program(Profile::Dev, "localcluster")?);
        up.args(["up", "--name", "demo", "--cluster"]);
        up.arg(match kind {
            ClusterKind::Local => "local",
            ClusterKind::Current => "current",
            ClusterKind::Kind => "kind",
        });
        for image in images {
            up.arg("--load").arg(&image.path);
        }
        let mut holder = background(step, &mut up)?;
        loop {
            let log = repository::read(step.log())?;
            if log.contains(READY) {
                let kubeconfig = log
                    .lines()
                    .find_map(|line| line.strip_prefix(KUBECONFIG))
                    .map(str::to_owned);
                return Ok(Self {
                    kind,
                    kubeconfig,
                    holder: RefCell::new(holder),
                });
            }
            if let Ok(Some(status)) = holder.try_wait() {
                bail!(
                    "localcluster ended with {status}; the end of {}:\n{}",
                    step.log().display(),
                    last_lines(step.log(), 20)
                );
            }
            if interrupt::interrupted() {
                stop(&mut holder, END);
                bail!("interrupted");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// `kubectl` or `helm` for this cluster.
    pub(super) fn tool(&self, name: &str) -> Result<Command> {
        let mut tool = command(build::program(Profile::Dev, "localcluster")?);
        tool.arg(name);
        if let Some(kubeconfig) = &self.kubeconfig {
            tool.env("KUBECONFIG", kubeconfig);
        }
        Ok(tool)
    }

    /// Path of its kubeconfig, unless it is the user's own.
    pub(super) fn kubeconfig(&self) -> Option<&str> {
        self.kubeconfig.as_deref()
    }

    /// Whether it stops with the demo.
    pub(super) fn is_local(&self) -> bool {
        self.kind == ClusterKind::Local
    }

    /// Whether its process is running.
    pub(super) fn alive(&self) -> bool {
        matches!(self.holder.borrow_mut().try_wait(), Ok(None))
    }

    /// Waits for Ctrl-C.
    pub(super) fn wait(&self) -> Result<()> {
        while !interrupt::interrupted() {
            if !self.alive() {
                bail!("the cluster stopped unexpectedly");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stops it and waits until everything of it is removed.
    pub(super) fn end(&self, console: &Console) -> Result<()> {
        console.step("stop the cluster", |_| {
            stop(&mut self.holder.borrow_mut(), END);
            Ok(())
        })
    }
}
