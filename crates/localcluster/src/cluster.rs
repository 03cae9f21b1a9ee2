//! The cluster tier: a control plane and one node that runs pods, in namespaces of their own.
//!
//! Processes, mounts, addresses, routes and packet rules are in namespaces that end with one process, so none of them
//! can remain, and this machine is not changed: only [`Relay`]s reach the API server and Services from outside.

mod node;
mod objects;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

/// Default name of the run and of the node.
const DEFAULT_NAME: &str = "local";

/// The node's address. The range 10.243.0.0/24 exists in the cluster's network namespace only.
pub const NODE_ADDRESS: &str = "10.243.0.1";

/// The image of a pod's sandbox container.
const PAUSE_IMAGE: &str = "localhost/localcluster/pause:1";

/// Longest time until a component is ready on a busy machine. If a component exits, the start fails at once.
const TIMEOUT: Duration = Duration::from_mins(3);

/// A running cluster. Dropping it stops its processes and pods and removes its files.
#[derive(Debug)]
pub struct Cluster {
    // Dropped first: otherwise it would reject connections one by one.
    _door: Relay,
    node: node::Node,
    api: ApiServer,
}

impl Cluster {
    /// Starts a cluster and waits until its node is ready, Services are reachable and names resolve.
    ///
    /// # Errors
    /// When this machine cannot run a cluster; the error names the alternatives. When a component exits or does not
    /// become ready; the error quotes its log.
    pub async fn start(options: Options) -> Result<Self> {
        let start = Instant::now();
        let tools = Tools::prepare_in_background().await?;
        blocking(debian::prepare).await?;
        let name = options
            .name
            .clone()
            .unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let claim = run::claim(&tools, &name, true).await?;
        let rig = Rig::start(
            tools.rig(),
            &name,
            &claim.directory,
            claim.cgroup.as_deref(),
        )
        .await?;
        let [api_port] = ports::free_ports()?;
        let plane = ControlPlane {
            directory: claim.directory.clone(),
            etcd_port: 2379,
            etcd_peer_port: 2380,
            api_port,
            address: NODE_ADDRESS.to_owned(),
            node: Some(name),
        };
        let node = node::Node {
            directory: claim.directory.clone(),
            name: plane.node.clone().unwrap_or_default(),
            cgroup: claim.cgroup.clone().unwrap_or_default(),
            pki: plane.pki(),
        };
        drop(claim);
        // The same port on both sides, so that one kubeconfig works inside and outside the namespace.
        let server = format!("127.0.0.1:{api_port}");
        let door = Relay::start(&tools, &server, &server, rig.inside())?;
        let cluster = Self {
            _door: door,
            node,
            api: ApiServer::new(tools, plane, options, rig),
        };
        cluster.start_parts(&cluster.node).await?;
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
                    Ok(Some(_)) => Err("the node is not Ready".to_owned()),
                    Ok(None) => Err("the node is not registered".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await?;
        // After the node is ready: kube-proxy exits when the node's addresses change.
        self.api.run("kube-proxy", &node.kube_proxy())?;
        self.api.run("coredns", &node.coredns())?;
        self.wait_for_health("kube-proxy", node::PROXY_HEALTH, "/healthz")
            .await?;
        self.wait_for_health("coredns", node::DNS_HEALTH, "/ready")
            .await
    }

    /// Configures the addresses of the namespace. A bridge without ports replaces a network card, since some kernels
    /// have no dummy device.
    fn lay_network(&self) -> Result<()> {
        for arguments in [
            "link set lo up",
            "link add node0 type bridge",
            &format!("address add {NODE_ADDRESS}/24 dev node0"),
            "link set node0 up",
            // Without a default route, addresses of Services are unreachable before any rule applies.
            "route add default dev node0",
        ] {
            let mut command = self.netns_command("ip");
            command.args(arguments.split(' '));
            progress::output("configure the cluster's network", &mut command)?;
        }
        let mut forward = self.netns_command("sh");
        forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        progress::output("enable packet forwarding on the node", &mut forward).map(|_| ())
    }

    async fn load_pause_image(&self, node: &node::Node) -> Result<()> {
        let socket = node.containerd_socket();
        self.api
            .rig()
            .wait("containerd", TIMEOUT, "containerd", async || {
                tokio::net::UnixStream::connect(&socket).await.map(|_| ())
            })
            .await?;
        let archive = node.directory.join("pause.tar");
        ImageArchive::new(PAUSE_IMAGE, &["/rig", "pause"])
            .program("rig", self.api.tools().rig())
            .write(&archive)?;
        self.load_image(&archive).await
    }

    /// Waits until a health endpoint on the node's loopback returns success.
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
            hint: "install its package".to_owned(),
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
    /// When containerd rejects it.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        let mut command = Command::new(environment::find("ctr").unwrap_or_else(|| "ctr".into()));
        command
            .arg("--address")
            .arg(node::containerd_socket(&self.api.plane().directory))
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

    /// Stops DNS in the cluster to simulate an outage.
    ///
    /// # Errors
    /// When the cluster has stopped.
    pub async fn stop_dns(&self) -> Result<()> {
        self.api.rig().kill("coredns").await
    }

    /// Starts DNS again after [`Cluster::stop_dns`] and waits until it knows the Services.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_dns(&self) -> Result<()> {
        self.api.run("coredns", &self.node.coredns())?;
        self.wait_for_health("coredns", node::DNS_HEALTH, "/ready")
            .await
    }

    /// Puts the logs of pods on a file system of `size` bytes, which a test can fill. Call it before any pod runs.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn limit_pod_logs(&self, size: u64) -> Result<()> {
        let directory = self.node.pod_logs();
        std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        let mut mount =
            Command::new(environment::find("nsenter").unwrap_or_else(|| "nsenter".into()));
        mount
            .arg(format!("--mount=/proc/{}/ns/mnt", self.api.rig().inside()))
            .args(["--", "mount", "-t", "tmpfs", "-o"])
            .arg(format!("size={size},mode=0755"))
            .args(["tmpfs"])
            .arg(&directory);
        progress::output("mount a file system for the logs of pods", &mut mount).map(drop)
    }

    /// Directory of the logs of pods, as seen from this machine: `NAMESPACE_POD_UID/CONTAINER/N.log`.
    pub fn pod_logs(&self) -> PathBuf {
        let inside = PathBuf::from(format!("/proc/{}/root", self.api.rig().inside()));
        let directory = self.node.pod_logs();
        inside.join(directory.strip_prefix("/").unwrap_or(&directory))
    }

    /// Opens a port on this machine's loopback that is forwarded to `to`, an address inside the cluster such as
    /// "10.96.12.34:8000" of a Service. Dropping it closes the port.
    ///
    /// # Errors
    /// When the helper cannot listen.
    pub fn relay(&self, to: &str) -> Result<Relay> {
        Relay::start(self.api.tools(), "127.0.0.1:0", to, self.api.rig().inside())
    }

    /// Stops the cluster and removes its files. Dropping does the same, but can only log a failure.
    ///
    /// # Errors
    /// When a process or file could not be removed.
    pub async fn shutdown(self) -> Result<()> {
        let Self {
            _door: door, api, ..
        } = self;
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

/// Sends a GET request; any status other than 200 is an error.
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
            status.unwrap_or("no response").to_owned(),
        )),
    }
}
