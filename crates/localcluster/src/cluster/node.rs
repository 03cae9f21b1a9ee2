//! The command lines and configuration files of the node: containerd, kubelet, kube-proxy and DNS.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{NODE_ADDRESS, PAUSE_IMAGE};
use crate::{Error, Result, debian};

/// Addresses of pods.
const POD_RANGE: &str = "10.244.0.0/24";

/// The Service through which pods ask for names.
pub(super) const DNS_SERVICE: &str = "10.96.0.10";

/// Where kube-proxy tells whether its rules are in place.
pub(super) const PROXY_HEALTH: &str = "127.0.0.1:10256";

/// Where CoreDNS tells whether it knows the cluster's Services.
pub(super) const DNS_HEALTH: &str = "127.0.0.1:8181";

/// The one node of a cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) directory: PathBuf,
    pub(super) name: String,
    pub(super) cgroup: String,
    pub(super) pki: PathBuf,
}

/// containerd's socket, reachable from outside the cluster's namespaces as well.
pub(super) fn containerd_socket(directory: &Path) -> PathBuf {
    directory.join("containerd.sock")
}

impl Node {
    pub(super) fn containerd_socket(&self) -> PathBuf {
        containerd_socket(&self.directory)
    }

    pub(super) fn pod_logs(&self) -> PathBuf {
        self.directory.join("pod-logs")
    }

    pub(super) fn containerd(&self) -> Vec<String> {
        vec!["--config".to_owned(), self.path("containerd.toml")]
    }

    pub(super) fn kubelet(&self) -> Vec<String> {
        vec![
            format!("--config={}", self.path("kubelet.json")),
            format!("--kubeconfig={}", self.path("node.kubeconfig")),
            format!("--root-dir={}", self.path("kubelet")),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={NODE_ADDRESS}"),
        ]
    }

    pub(super) fn kube_proxy(&self) -> Vec<String> {
        vec![format!("--config={}", self.path("kube-proxy.json"))]
    }

    pub(super) fn coredns(&self) -> Vec<String> {
        vec!["-conf".to_owned(), self.path("Corefile")]
    }

    /// Writes the configuration files and makes the cgroup that all pods live under.
    pub(super) fn write_files(&self) -> Result<()> {
        self.make_cgroup()?;
        let plugins = debian::network_plugins().unwrap_or_default();
        self.write("containerd.toml", &self.containerd_config(&plugins))?;
        self.write("cni/10-localcluster.conflist", &cni_config().to_string())?;
        self.write("kubelet.json", &self.kubelet_config().to_string())?;
        self.write("kube-proxy.json", &self.kube_proxy_config().to_string())?;
        self.write("Corefile", &self.corefile())?;
        // Pods that ask the node's resolver get the cluster's, since there is no other network.
        self.write("resolv.conf", &format!("nameserver {NODE_ADDRESS}\n"))
    }

    fn containerd_config(&self, plugins: &Path) -> String {
        let [root, socket, configuration, opt] =
            ["containerd", "containerd.sock", "cni", "opt"].map(|name| self.path(name));
        let plugins = plugins.display();
        // restrict_oom_score_adj: without CAP_SYS_RESOURCE, as in many containers, runc cannot lower the score and
        // every pod would fail with "can't get final child's PID from pipe: EOF".
        format!(
            r#"version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{configuration}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#
        )
    }

    fn kubelet_config(&self) -> Value {
        let pki = |file: &str| self.pki.join(file);
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": pki("ca.crt") },
            },
            "authorization": { "mode": "Webhook" },
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.cgroup),
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": format!("unix://{}", self.containerd_socket().display()),
            // A full disk or little memory on this machine is no reason to evict a test's pods.
            "evictionHard": {
                "imagefs.available": "0%", "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            },
            "failCgroupV1": false,
            "failSwapOn": false,
            "healthzPort": 0,
            // Images come from archives alone: one that was collected could not be pulled again.
            "imageGCHighThresholdPercent": 100,
            "podLogsDir": self.pod_logs(),
            "resolvConf": self.directory.join("resolv.conf"),
            // Changed ConfigMaps and Secrets reach pods within seconds instead of a minute.
            "syncFrequency": "10s",
            "tlsCertFile": pki("node.crt"),
            "tlsPrivateKeyFile": pki("node.key"),
            "volumePluginDir": self.directory.join("volume-plugins"),
        })
    }

    fn kube_proxy_config(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": { "kubeconfig": self.directory.join("kube-proxy.kubeconfig") },
            "clusterCIDR": POD_RANGE,
            // The table's size belongs to the whole machine, which is not ours to tune.
            "conntrack": { "maxPerCore": 0 },
            "healthzBindAddress": PROXY_HEALTH,
            "hostnameOverride": self.name,
        })
    }

    /// Names outside the cluster are refused: no network is reached beyond this machine.
    fn corefile(&self) -> String {
        format!(
            ".:53 {{
    errors
    ready {DNS_HEALTH}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {} localcluster
        pods insecure
        ttl 5
    }}
    loadbalance
}}
",
            self.path("coredns.kubeconfig")
        )
    }

    /// On cgroup version 2 the controllers are handed down from the root; on version 1 each has a tree of its own.
    fn make_cgroup(&self) -> Result<()> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = root.join("cgroup.controllers");
        let mut directories = Vec::new();
        if controllers.is_file() {
            let names =
                std::fs::read_to_string(&controllers).map_err(Error::file("read", &controllers))?;
            for name in names.split_whitespace() {
                // One that cannot be handed down is missed by the kubelet, if it needs it, by name.
                let _ = std::fs::write(root.join("cgroup.subtree_control"), format!("+{name}"));
            }
            directories.push(root.join(&self.cgroup));
        } else {
            let entries = std::fs::read_dir(root).map_err(Error::file("read", root))?;
            let trees = entries.filter_map(|entry| Some(entry.ok()?.path()));
            directories.extend(
                trees
                    .filter(|tree| tree.join("cgroup.procs").is_file())
                    .map(|tree| tree.join(&self.cgroup)),
            );
        }
        for directory in directories {
            std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.directory.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        std::fs::write(&path, content).map_err(Error::file("write", &path))
    }
}

/// Each pod hangs on a cable of its own and the node routes between them, so that every packet passes the rules of
/// Services. On a bridge, answers between two pods would pass them by unless the kernel has `br_netfilter`.
fn cni_config() -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "localcluster",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": POD_RANGE }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}
