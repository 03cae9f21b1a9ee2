//! The cluster of the demo, held by the program `localcluster`, whose kubectl and Helm are used too.

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

/// What `localcluster up` says when everything is there.
const READY: &str = "ready; Ctrl-C ends the cluster";
/// What it says before the path of the kubeconfig.
const KUBECONFIG: &str = "export KUBECONFIG=";

/// A cluster that is ready.
#[derive(Debug)]
pub(super) struct Cluster {
    kind: ClusterKind,
    kubeconfig: Option<String>,
    /// Behind a cell, since looking whether it lives changes it.
    holder: RefCell<Child>,
}

impl Cluster {
    /// Starts or finds the cluster and brings the images to its nodes.
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

    /// `kubectl` or `helm`, told to use this cluster.
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

    /// Whether it ends with the demo.
    pub(super) fn is_local(&self) -> bool {
        self.kind == ClusterKind::Local
    }

    /// Whether its holder still runs.
    pub(super) fn alive(&self) -> bool {
        matches!(self.holder.borrow_mut().try_wait(), Ok(None))
    }

    /// Waits for Ctrl-C.
    pub(super) fn wait(&self) -> Result<()> {
        while !interrupt::interrupted() {
            if !self.alive() {
                bail!("the cluster ended by itself");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Ends it and waits until nothing of it is left.
    pub(super) fn end(&self, console: &Console) -> Result<()> {
        console.step("end the cluster", |_| {
            stop(&mut self.holder.borrow_mut(), END);
            Ok(())
        })
    }
}
