//! The connection to the cluster: kubectl's common flags, a client with the caller's credentials, and kubectl itself with
//! the same flags.

use std::path::PathBuf;

use anyhow::Context;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::process::Command;

/// Flags of kubectl that all commands have.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct KubeArgs {
    /// Namespace [default: namespace of the context].
    #[arg(
        short,
        long,
        value_name = "NAMESPACE",
        global = true,
        help_heading = "Global options"
    )]
    namespace: Option<String>,
    /// Context of the kubeconfig file.
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        help_heading = "Global options"
    )]
    context: Option<String>,
    /// Kubeconfig file [default: files in KUBECONFIG, then ~/.kube/config].
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Global options"
    )]
    kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(
        long = "as",
        value_name = "USER",
        global = true,
        help_heading = "Global options"
    )]
    user: Option<String>,
    /// Group to impersonate; may be repeated.
    #[arg(
        long = "as-group",
        value_name = "GROUP",
        requires = "user",
        global = true,
        help_heading = "Global options"
    )]
    groups: Vec<String>,
}

/// The cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// Namespace of the command.
    pub(crate) namespace: String,
    /// Flags of kubectl for the same connection.
    flags: Vec<String>,
}

impl KubeArgs {
    /// A client with the credentials of the kubeconfig file.
    ///
    /// # Errors
    /// There is no usable kubeconfig file.
    pub(crate) async fn connect(&self) -> anyhow::Result<Cluster> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path)
                    .with_context(|| format!("--kubeconfig {}", path.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let mut config = config.context("failed to read the kubeconfig file")?;
        if self.user.is_some() {
            config.auth_info.impersonate.clone_from(&self.user);
            config.auth_info.impersonate_groups =
                (!self.groups.is_empty()).then(|| self.groups.clone());
        }
        let namespace = self.namespace.clone();
        Ok(Cluster {
            namespace: namespace.unwrap_or_else(|| config.default_namespace.clone()),
            client: Client::try_from(config).context("failed to set up the connection")?,
            flags: self.flags(),
        })
    }

    fn flags(&self) -> Vec<String> {
        let kubeconfig = self.kubeconfig.as_ref().map(|path| path.display());
        let kubeconfig = kubeconfig.map(|path| format!("--kubeconfig={path}"));
        let context = self
            .context
            .as_ref()
            .map(|name| format!("--context={name}"));
        let user = self.user.as_ref().map(|user| format!("--as={user}"));
        let groups = self
            .groups
            .iter()
            .map(|group| format!("--as-group={group}"));
        let flags = kubeconfig.into_iter().chain(context).chain(user);
        flags.chain(groups).collect()
    }
}

impl Cluster {
    /// kubectl for the same cluster and user, in a namespace. It ends with the returned process's handle.
    pub(crate) fn kubectl(&self, namespace: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(&self.flags)
            .arg(format!("--namespace={namespace}"))
            .kill_on_drop(true);
        command
    }

    /// The response of the API server to a GET of a path, as text.
    ///
    /// # Errors
    /// The API server is not reachable or rejects the request.
    pub(crate) async fn get(&self, path: &str) -> kube::Result<String> {
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        self.client.request_text(request).await
    }
}

/// kubectl cannot be started.
pub(crate) fn no_kubectl(error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error)
        .context("failed to run kubectl, which this command uses: install it, or add it to PATH")
}

/// The message of an error of the API server; for other errors, the text with its causes, each once.
pub(crate) fn api_error(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

/// Why a command failed: what it tried, and the error of the API server.
pub(crate) fn failed(what: &str, error: &kube::Error) -> anyhow::Error {
    anyhow::anyhow!("failed to {what}: {}", api_error(error))
}

/// Whether the caller lacks a permission.
pub(crate) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Whether the object or its kind does not exist.
pub(crate) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
