//! The cluster of a command: a new one on this machine, a kind cluster, or the one of the current kube context.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use crate::run::blocking;
use crate::{Cluster, Error, Options, Result, Tools, environment, progress};

/// Name of the kind cluster, which is reused if it exists.
const KIND_CLUSTER: &str = "bedrock-access";

/// Prefix of kind's context names.
const KIND_CONTEXT: &str = "kind-";

/// The value of `--cluster`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClusterKind {
    /// A new cluster on this machine. Needs Linux and root.
    #[default]
    Local,
    /// The cluster of the current kube context.
    Current,
    /// A kind cluster. Needs kind and docker.
    Kind,
}

impl FromStr for ClusterKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "current" => Ok(Self::Current),
            "kind" => Ok(Self::Kind),
            _ => Err(format!("{text:?} is none of local, current, kind")),
        }
    }
}

impl fmt::Display for ClusterKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Local => "local",
            Self::Current => "current",
            Self::Kind => "kind",
        })
    }
}

/// A cluster to use.
#[derive(Debug)]
pub struct Target {
    tools: Tools,
    kind: ClusterKind,
    context: String,
    /// `None` for the user's own kubeconfig.
    kubeconfig: Option<PathBuf>,
    local: Option<Cluster>,
    /// Contains the kubeconfig of a kind cluster.
    _directory: Option<tempfile::TempDir>,
}

impl Target {
    /// Finds or starts the cluster; `options` apply to a local one only.
    ///
    /// # Errors
    /// When it cannot be used; the error names the alternatives.
    pub async fn prepare(kind: ClusterKind, options: Options) -> Result<Self> {
        let tools = Tools::prepare_in_background().await?;
        match kind {
            ClusterKind::Local => {
                let cluster = Cluster::start(options).await?;
                Ok(Self {
                    tools,
                    kind,
                    context: "localcluster".to_owned(),
                    kubeconfig: Some(cluster.api().kubeconfig()),
                    local: Some(cluster),
                    _directory: None,
                })
            }
            ClusterKind::Current => {
                let context = current_context(&tools)?;
                let target = Self {
                    tools,
                    kind,
                    context,
                    kubeconfig: None,
                    local: None,
                    _directory: None,
                };
                let mut version = target.kubectl();
                version.args(["version", "--request-timeout=10s"]);
                let what = format!(
                    "reach the cluster of the current kube context {}",
                    target.context
                );
                blocking(move || progress::output(&what, &mut version)).await?;
                Ok(target)
            }
            ClusterKind::Kind => blocking(move || kind_cluster(tools)).await,
        }
    }

    /// The kubeconfig to use; `None` for the user's own.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref()
    }

    /// The name of the kube context.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The local cluster, if it is one.
    pub fn local(&self) -> Option<&Cluster> {
        self.local.as_ref()
    }

    /// A client of the cluster.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<kube::Client> {
        match &self.kubeconfig {
            Some(path) => crate::kubeconfig::client(path).await,
            None => kube::Client::try_default()
                .await
                .map_err(Error::api("use the current kube context")),
        }
    }

    /// kubectl for this cluster.
    pub fn kubectl(&self) -> Command {
        self.aimed(self.tools.kubectl())
    }

    /// Helm for this cluster.
    pub fn helm(&self) -> Command {
        self.aimed(self.tools.helm())
    }

    fn aimed(&self, mut command: Command) -> Command {
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        command
    }

    /// Loads the images of a docker archive on the cluster's nodes.
    ///
    /// # Errors
    /// When they are rejected, or when the cluster of the current context does not support it.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        if let Some(cluster) = &self.local {
            return cluster.load_image(archive).await;
        }
        let Some(name) = self.context.strip_prefix(KIND_CONTEXT) else {
            return Err(Error::NoImageLoading {
                archive: archive.to_owned(),
                context: self.context.clone(),
            });
        };
        let mut command = Command::new(kind_program()?);
        command
            .args(["load", "image-archive", "--name", name])
            .arg(archive);
        let what = format!("load image {} into kind", archive.display());
        blocking(move || progress::output(&what, &mut command).map(|_| ())).await
    }

    /// Stops a local cluster; other clusters keep running.
    ///
    /// # Errors
    /// When a process or file of a local cluster could not be removed.
    pub async fn shutdown(self) -> Result<()> {
        match self.local {
            Some(cluster) => cluster.shutdown().await,
            None => Ok(()),
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> ClusterKind {
        self.kind
    }
}

fn current_context(tools: &Tools) -> Result<String> {
    let mut command = tools.kubectl();
    command.args(["config", "current-context"]);
    progress::output("find the current kube context", &mut command)
        .map(|context| context.trim().to_owned())
        .map_err(|error| Error::Kubeconfig {
            path: "of the current context".to_owned(),
            detail: format!(
                "{error}\nset KUBECONFIG or `kubectl config use-context`, or use `--cluster local`"
            ),
        })
}

fn kind_program() -> Result<PathBuf> {
    environment::find("kind").ok_or_else(|| Error::MissingProgram {
        program: "kind".to_owned(),
        purpose: "`--cluster kind`",
        hint: "install kind and docker, or use `--cluster local` or `--cluster current`".to_owned(),
    })
}

fn kind_cluster(tools: Tools) -> Result<Target> {
    let program = kind_program()?;
    let directory = tempfile::tempdir().map_err(Error::file("create", &std::env::temp_dir()))?;
    let kubeconfig = directory.path().join("kubeconfig");
    let kind = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).args(["--name", KIND_CLUSTER]);
        command
    };
    let mut list = Command::new(&program);
    let clusters = progress::output("list kind clusters", list.args(["get", "clusters"]))?;
    if !clusters.lines().any(|name| name == KIND_CLUSTER) {
        let mut create = kind(&["create", "cluster", "--wait", "5m"]);
        let log = directory.path().join("kind.log");
        progress::run(
            "create a kind cluster",
            create.arg("--kubeconfig").arg(&kubeconfig),
            &log,
        )?;
    }
    let mut export = kind(&["export", "kubeconfig"]);
    progress::output(
        "get kind's kubeconfig",
        export.arg("--kubeconfig").arg(&kubeconfig),
    )?;
    Ok(Target {
        tools,
        kind: ClusterKind::Kind,
        context: format!("{KIND_CONTEXT}{KIND_CLUSTER}"),
        kubeconfig: Some(kubeconfig),
        local: None,
        _directory: Some(directory),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_kind_reads_back_as_it_is_shown() {
        for kind in [ClusterKind::Local, ClusterKind::Current, ClusterKind::Kind] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!(
            "minikube"
                .parse::<ClusterKind>()
                .unwrap_err()
                .contains("local, current, kind")
        );
    }
}
