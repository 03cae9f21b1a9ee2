//! The API tier: etcd, API server and controller manager on free loopback ports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;

use crate::control_plane::ControlPlane;
use crate::rig::Rig;
use crate::run::{self, blocking};
use crate::{Error, Result, Tools, kubeconfig, ports};

/// Issuer of the tokens that the cluster signs.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// Longest time until a component is ready on a busy machine. If a component exits, the start fails at once.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Attempts to find ports that no other process takes between the choice and the use.
const PORT_TRIES: usize = 3;

/// Options of a cluster; the default suits most tests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Unique name of the cluster. Default: a generated name for an [`ApiServer`], "local" for a
    /// [`Cluster`](crate::Cluster).
    pub name: Option<String>,
    /// Path of the API server's audit log, for [`AuditEvent::read`](crate::AuditEvent::read). The file is kept when the
    /// cluster stops.
    pub audit_log: Option<PathBuf>,
    /// Further flags of kube-apiserver; they override the defaults.
    pub api_server_arguments: Vec<String>,
    /// Further flags of kube-controller-manager; they override the defaults. `--controllers=*,-deployment-controller`
    /// allows a test to replace a controller.
    pub controller_manager_arguments: Vec<String>,
}

/// A running control plane. Dropping it stops its processes and removes its files.
#[derive(Debug)]
pub struct ApiServer {
    tools: Tools,
    plane: ControlPlane,
    options: Options,
    // Last, so that it is dropped last.
    rig: Rig,
}

impl ApiServer {
    /// Starts etcd, an API server and a controller manager and waits until the API server is ready and the default
    /// namespace has its ServiceAccount. Webhooks with a `https://127.0.0.1:…` URL work.
    ///
    /// # Errors
    /// When a component exits or does not become ready; the error quotes its log.
    pub async fn start(options: Options) -> Result<Self> {
        let tools = Tools::prepare_in_background().await?;
        for _ in 1..PORT_TRIES {
            match Self::try_start(&tools, &options).await {
                Err(Error::ComponentEnded { log, .. })
                    if log
                        .lines
                        .iter()
                        .any(|line| line.contains("address already in use")) => {}
                other => return other,
            }
        }
        Self::try_start(&tools, &options).await
    }

    async fn try_start(tools: &Tools, options: &Options) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = options.name.clone().unwrap_or_else(|| {
            format!(
                "api-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            )
        });
        let claim = run::claim(tools, &name, false).await?;
        let rig = Rig::start(tools.rig(), &name, &claim.directory, None).await?;
        let [etcd_port, etcd_peer_port, api_port] = ports::free_ports()?;
        let plane = ControlPlane {
            directory: claim.directory.clone(),
            etcd_port,
            etcd_peer_port,
            api_port,
            address: "127.0.0.1".to_owned(),
            node: None,
        };
        drop(claim);
        let server = Self {
            tools: tools.clone(),
            plane,
            options: options.clone(),
            rig,
        };
        server.start_control_plane().await?;
        server.publish()?;
        Ok(server)
    }

    /// A control plane that is not started yet, supervised by `rig`.
    pub(crate) fn new(tools: Tools, plane: ControlPlane, options: Options, rig: Rig) -> Self {
        Self {
            tools,
            plane,
            options,
            rig,
        }
    }

    /// Starts etcd, API server and controller manager, and waits for them.
    pub(crate) async fn start_control_plane(&self) -> Result<kube::Client> {
        let (plane, tools) = (self.plane.clone(), self.tools.clone());
        // etcd needs none of the files, so it starts while they are written.
        self.run("etcd", &self.plane.etcd())?;
        blocking(move || plane.write_files(&tools)).await?;
        self.run_api_server()?;
        // A private kubeconfig: the public one says that the cluster is ready.
        let early = self.plane.directory.join("early.kubeconfig");
        kubeconfig::write(&early, &self.plane.url(), &self.plane.pki(), "admin")?;
        let client = kubeconfig::client(&early).await?;
        self.wait_for_api_server(&client).await?;
        let mut arguments = self.plane.controller_manager();
        arguments.extend(self.options.controller_manager_arguments.iter().cloned());
        self.run("kube-controller-manager", &arguments)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        self.rig
            .wait(
                "the ServiceAccount of the default namespace",
                TIMEOUT,
                "kube-controller-manager",
                async || accounts.get("default").await.map(|_| ()),
            )
            .await?;
        Ok(client)
    }

    /// Writes the public kubeconfig.
    pub(crate) fn publish(&self) -> Result<()> {
        kubeconfig::write(
            &self.plane.kubeconfig("admin"),
            &self.plane.url(),
            &self.plane.pki(),
            "admin",
        )
    }

    fn run_api_server(&self) -> Result<()> {
        self.run("kube-apiserver", &self.plane.api_server(&self.options))
    }

    async fn wait_for_api_server(&self, client: &kube::Client) -> Result<()> {
        self.rig
            .wait("the API server", TIMEOUT, "kube-apiserver", async || {
                get(client, "/readyz").await.map(|_| ())
            })
            .await
    }

    /// Starts one of the cluster's own programs.
    pub(crate) fn run(&self, program: &str, arguments: &[String]) -> Result<()> {
        let mut argv = vec![
            self.tools.cluster_binary().display().to_string(),
            program.to_owned(),
        ];
        argv.extend(arguments.iter().cloned());
        self.rig.run(program, &argv)
    }

    pub(crate) fn rig(&self) -> &Rig {
        &self.rig
    }

    pub(crate) fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// A self-contained kubeconfig of an administrator. It is removed with the cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig("admin")
    }

    /// A client of an administrator. It belongs to the current tokio runtime, so each test needs its own.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.kubeconfig()).await
    }

    /// The API server's URL on loopback.
    pub fn url(&self) -> String {
        self.plane.url()
    }

    /// The certificate authority of the API server, as PEM.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn certificate_authority(&self) -> Result<String> {
        read(&self.plane.pki().join("ca.crt"))
    }

    /// The private key (RSA, PKCS #8, PEM) that signs ServiceAccount tokens, for tests that need a token the API
    /// server would not issue, such as one that expired.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn service_account_signing_key(&self) -> Result<String> {
        read(&self.plane.pki().join("service-account.key"))
    }

    /// The published keys that verify ServiceAccount tokens, as the JSON Web Key Set at `/openid/v1/jwks`.
    ///
    /// # Errors
    /// When the API server does not respond.
    pub async fn jwks(&self) -> Result<String> {
        get(&self.client().await?, "/openid/v1/jwks")
            .await
            .map_err(Error::api("read the published signing keys"))
    }

    /// A token of a ServiceAccount, requested by `TokenRequest` as the kubelet does for a projected volume. Its lifetime
    /// is at least ten minutes.
    ///
    /// # Errors
    /// When the API server refuses it, as for an account that does not exist.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        expiration: Duration,
    ) -> Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![audience.to_owned()],
                expiration_seconds: i64::try_from(expiration.as_secs()).ok(),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let answer: TokenRequest = accounts
            .create_subresource("token", name, &PostParams::default(), &request)
            .await
            .map_err(Error::api(format!(
                "get a token of ServiceAccount {namespace}/{name}"
            )))?;
        answer
            .status
            .map(|status| status.token)
            .ok_or_else(|| Error::Unexpected {
                what: "a token request".to_owned(),
                detail: "the response has no status".to_owned(),
            })
    }

    /// The programs to use with this cluster.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// kubectl for this cluster.
    pub fn kubectl(&self) -> Command {
        let mut command = self.tools.kubectl();
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Helm for this cluster.
    pub fn helm(&self) -> Command {
        let mut command = self.tools.helm();
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Checks that every component is running.
    ///
    /// # Errors
    /// When a component exited; the error quotes its log.
    pub fn check(&self) -> Result<()> {
        self.rig.check()
    }

    /// Kills the API server to simulate an outage; the other components keep running.
    ///
    /// # Errors
    /// When the cluster has stopped.
    pub async fn stop_api_server(&self) -> Result<()> {
        self.rig.kill("kube-apiserver").await
    }

    /// Starts the API server again after [`ApiServer::stop_api_server`] and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_api_server(&self) -> Result<()> {
        self.run_api_server()?;
        self.wait_for_api_server(&self.client().await?).await
    }

    /// The log of a component, such as "kube-apiserver" or "etcd".
    pub fn log(&self, component: &str) -> PathBuf {
        self.rig.log(component)
    }

    /// The process that supervises the components; they exit with it.
    pub fn supervisor_pid(&self) -> u32 {
        self.rig.pid()
    }

    /// Stops the cluster and removes its files. Dropping does the same, but can only log a failure.
    ///
    /// # Errors
    /// When a process or file could not be removed.
    pub async fn shutdown(self) -> Result<()> {
        blocking(move || self.rig.end()).await
    }
}

async fn get(client: &kube::Client, path: &str) -> kube::Result<String> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::file("read", path))
}
