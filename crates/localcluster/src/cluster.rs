//! The cluster tier: a control plane and one node that runs pods, in namespaces of their own.
//!
//! Processes, mounts, addresses, routes and packet rules all live in namespaces that end with one process, so nothing
//! of them can stay behind, and nothing on this machine is changed: the API server and Services are reached from
//! outside through [`Relay`]s alone.

mod node;
mod objects;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::rig::Rig;
use crate::run::{self, blocking};
use crate::{
    ApiServer, Error, ImageArchive, Options, Relay, Result, Tools, debian, environment, ports,
    progress,
};

/// Name of the run and of the node, unless the caller chose one.
const DEFAULT_NAME: &str = "local";

/// The node's address. All of 10.243.0.0/24 exists in the cluster's network namespace alone.
const NODE_ADDRESS: &str = "10.243.0.1";

/// The image of a pod's sandbox container.
const PAUSE_IMAGE: &str = "localhost/localcluster/pause:1";

/// How long a part may take to get ready on a busy machine. A part that ends fails the start at once instead.
const TIMEOUT: Duration = Duration::from_mins(3);

/// A running cluster. Dropping it ends every process and pod and removes every file of it.
#[derive(Debug)]
pub struct Cluster {
    // The door goes before the house: it would refuse connections one by one otherwise.
    _door: Relay,
    api: ApiServer,
}

impl Cluster {
    /// Starts a cluster and waits until its node is ready, Services are reachable and names resolve.
    ///
    /// # Errors
    /// When this machine cannot run one, which the error says with the alternatives, or when a part ends or does not
    /// get ready; the error then quotes its log.
    pub async fn start(options: Options) -> Result<Self> {
        let start = Instant::now();
        let tools = Tools::prepare_in_background().await?;
        blocking(debian::prepare).await?;
        let name = options
            .name
            .clone()
            .unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let claim = run::claim(&tools, &name, true).await?;
        let rig = Rig::start(tools.rig(), &name, &claim.folder, claim.cgroup.as_deref()).await?;
        let [api_port] = ports::free()?;
        let plane = ControlPlane {
            folder: claim.folder.clone(),
            etcd_port: 2379,
            etcd_peer_port: 2380,
            api_port,
            address: NODE_ADDRESS.to_owned(),
            node: Some(name),
        };
        let node = node::Node {
            folder: claim.folder.clone(),
            name: plane.node.clone().unwrap_or_default(),
            cgroup: claim.cgroup.clone().unwrap_or_default(),
            pki: plane.pki(),
        };
        drop(claim);
        // The same port on both sides, so that one kubeconfig serves in the namespace and out of it.
        let server = format!("127.0.0.1:{api_port}");
        let door = Relay::start(&tools, &server, &server, rig.inside())?;
        let cluster = Self {
            _door: door,
            api: ApiServer::new(tools, plane, options, rig),
        };
        cluster.start_parts(&node).await?;
        cluster.api.publish()?;
        tracing::info!(
            "the cluster is ready after {:.1} s",
            start.elapsed().as_secs_f64()
        );
        Ok(cluster)
    }

    async fn start_parts(&self, node: &node::Node) -> Result<()> {
        self.lay_network()?;
        node.write_files()?;
        self.run_host_program("containerd", &node.containerd())?;
        tracing::info!("starting the control plane");
        let client = self.api.start_control_plane().await?;
        self.api
            .run("kube-scheduler", &self.api.plane().scheduler())?;
        self.load_pause_image(node).await?;
        tracing::info!("starting the node");
        self.api.run("kubelet", &node.kubelet())?;
        objects::apply(&client).await?;
        let nodes: Api<Node> = Api::all(client);
        self.api
            .rig()
            .wait("the node", TIMEOUT, "kubelet", async || {
                match nodes.get_opt(&node.name).await {
                    Ok(Some(node)) if is_ready(&node) => Ok(()),
                    Ok(Some(_)) => Err("it is not Ready yet".to_owned()),
                    Ok(None) => Err("it has not registered yet".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await?;
        // Not before the node is ready: kube-proxy ends when the node's addresses change.
        self.api.run("kube-proxy", &node.kube_proxy())?;
        self.api.run("coredns", &node.coredns())?;
        self.wait_for_health("kube-proxy", node::PROXY_HEALTH, "/healthz")
            .await?;
        self.wait_for_health("coredns", node::DNS_HEALTH, "/ready")
            .await
    }

    /// Gives the namespace its addresses. A bridge without ports stands in for a network card: not every kernel has
    /// the dummy device.
    fn lay_network(&self) -> Result<()> {
        for arguments in [
            "link set lo up",
            "link add node0 type bridge",
            &format!("address add {NODE_ADDRESS}/24 dev node0"),
            "link set node0 up",
            // Without a default route the addresses of Services count as unreachable before any rule sees them.
            "route add default dev node0",
        ] {
            let mut command = self.netns_command("ip");
            command.args(arguments.split(' '));
            progress::output("lay the cluster's network", &mut command)?;
        }
        let mut forward = self.netns_command("sh");
        forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        progress::output("let the cluster's node forward packets", &mut forward).map(|_| ())
    }

    async fn load_pause_image(&self, node: &node::Node) -> Result<()> {
        let socket = node.containerd_socket();
        self.api
            .rig()
            .wait("containerd", TIMEOUT, "containerd", async || {
                tokio::net::UnixStream::connect(&socket).await.map(|_| ())
            })
            .await?;
        let archive = node.folder.join("pause.tar");
        ImageArchive::new(PAUSE_IMAGE, &["/rig", "pause"])
            .program("rig", self.api.tools().rig())
            .write(&archive)?;
        self.load_image(&archive).await
    }

    /// Waits until an HTTP endpoint on the node's loopback says that all is well.
    async fn wait_for_health(&self, component: &str, address: &str, path: &str) -> Result<()> {
        let relay = self.relay(address)?;
        self.api
            .rig()
            .wait(component, TIMEOUT, component, async || {
                health(relay.address(), path).await
            })
            .await
    }

    /// Starts a program of this machine in the cluster's namespaces.
    fn run_host_program(&self, name: &str, arguments: &[String]) -> Result<()> {
        let program = environment::find(name).ok_or_else(|| Error::MissingProgram {
            program: name.to_owned(),
            purpose: "the cluster's node",
            hint: "install the package that has it".to_owned(),
        })?;
        let mut argv = vec![program.display().to_string()];
        argv.extend(arguments.iter().cloned());
        self.api.rig().run(name, &argv)
    }

    /// The cluster's API server: kubeconfig, client, tokens, kubectl, Helm, health.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Loads the images of a docker or OCI archive into the node, so that pods with `imagePullPolicy: Never` or
    /// `IfNotPresent` can run them. There is no registry.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        let mut command = Command::new(environment::find("ctr").unwrap_or_else(|| "ctr".into()));
        command
            .arg("--address")
            .arg(node::containerd_socket(&self.api.plane().folder))
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive);
        let what = format!("load image {}", archive.display());
        blocking(move || progress::output(&what, &mut command).map(|_| ())).await
    }

    /// A command that runs `program` of this machine inside the cluster's network namespace, where the addresses of
    /// pods and Services are.
    pub fn netns_command(&self, program: &str) -> Command {
        let mut command =
            Command::new(environment::find("nsenter").unwrap_or_else(|| "nsenter".into()));
        command
            .arg(format!("--net=/proc/{}/ns/net", self.api.rig().inside()))
            .arg("--")
            .arg(environment::find(program).unwrap_or_else(|| program.into()));
        command
    }

    /// Opens a port on this machine's loopback that leads to `to`, an address inside the cluster such as that of a
    /// Service: "10.96.12.34:8000". It closes when dropped.
    ///
    /// # Errors
    /// When the helper cannot listen.
    pub fn relay(&self, to: &str) -> Result<Relay> {
        Relay::start(self.api.tools(), "127.0.0.1:0", to, self.api.rig().inside())
    }

    /// Ends the cluster and says whether everything of it is gone. Dropping does the same, but can only log a failure.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn shutdown(self) -> Result<()> {
        let Self { _door: door, api } = self;
        drop(door);
        api.shutdown().await
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// One GET, answered with 200 or an error that says what came instead.
async fn health(address: SocketAddr, path: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    match answer.lines().next() {
        Some(status) if status.split(' ').nth(1) == Some("200") => Ok(()),
        status => Err(std::io::Error::other(
            status.unwrap_or("no answer").to_owned(),
        )),
    }
}
