//! The command lines of etcd, API server, controller manager and scheduler, and the certificates they trust.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::error::Quote;
use crate::{Error, ISSUER, Options, Result, Tools, audit, kubeconfig};

/// First address of the Service range: the API server's own Service.
const KUBERNETES_SERVICE: &str = "10.96.0.1";

/// Addresses of Services.
const SERVICE_RANGE: &str = "10.96.0.0/16";

/// Directory and ports of a control plane.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlane {
    pub(crate) directory: PathBuf,
    pub(crate) etcd_port: u16,
    pub(crate) etcd_peer_port: u16,
    pub(crate) api_port: u16,
    /// Address of the API server for nodes and pods; loopback without nodes.
    pub(crate) address: String,
    /// The node that joins, if any.
    pub(crate) node: Option<String>,
}

impl ControlPlane {
    /// The directory of keys and certificates.
    pub(crate) fn pki(&self) -> PathBuf {
        self.directory.join("pki")
    }

    /// The API server's URL on loopback.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// The kubeconfig of a user that [`ControlPlane::write_files`] creates.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        match user {
            "admin" => self.directory.join("kubeconfig"),
            _ => self.directory.join(format!("{user}.kubeconfig")),
        }
    }

    /// Writes keys, certificates, kubeconfigs and policies. Blocks for a moment.
    pub(crate) fn write_files(&self, tools: &Tools) -> Result<()> {
        let pki = self.pki();
        std::fs::create_dir_all(&pki).map_err(Error::file("create", &pki))?;
        let users = self.users();
        let mut subjects = vec![json!({
            "file": "apiserver",
            "common_name": "kube-apiserver",
            "hosts": [
                "127.0.0.1", "localhost", self.address, KUBERNETES_SERVICE, "kubernetes", "kubernetes.default",
                "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
            ],
        })];
        for (user, common_name, organization) in &users {
            // The node's certificate is a server certificate as well: logs are requested by the kubelet's address.
            let hosts: Vec<&str> = if *user == "node" {
                vec![&self.address]
            } else {
                Vec::new()
            };
            subjects.push(json!({
                "file": user, "common_name": common_name, "organizations": [organization], "hosts": hosts,
            }));
        }
        make_certificates(tools, &pki, &serde_json::Value::from(subjects))?;
        for (user, ..) in &users {
            let path = self.kubeconfig(user);
            // The admin's kubeconfig marks the run as ready, so the caller writes it last.
            if *user != "admin" {
                kubeconfig::write(&path, &self.url(), &pki, user)?;
            }
        }
        let policy = self.directory.join("audit-policy.yaml");
        std::fs::write(&policy, audit::POLICY).map_err(Error::file("write", &policy))
    }

    /// File name, common name and organization of each client.
    fn users(&self) -> Vec<(&'static str, String, &'static str)> {
        let user = |file, name: &str| (file, name.to_owned(), "");
        let mut users = vec![
            ("admin", "localcluster-admin".to_owned(), "system:masters"),
            user("controller-manager", "system:kube-controller-manager"),
        ];
        if let Some(node) = &self.node {
            users.push(user("scheduler", "system:kube-scheduler"));
            users.push(user("kube-proxy", "system:kube-proxy"));
            users.push(user("coredns", "localcluster-coredns"));
            users.push(("node", format!("system:node:{node}"), "system:nodes"));
        }
        users
    }

    pub(crate) fn etcd(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        vec![
            "--name=localcluster".to_owned(),
            format!("--data-dir={}", self.directory.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=localcluster={peer}"),
            // No data here needs to survive a crash.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    }

    pub(crate) fn api_server(&self, options: &Options) -> Vec<String> {
        let pki = |file: &str| self.pki().join(file).display().to_string();
        let bind = if self.node.is_some() {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--bind-address={bind}"),
            format!("--advertise-address={}", self.address),
            format!("--secure-port={}", self.api_port),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--service-account-issuer={ISSUER}"),
            format!("--service-account-key-file={}", pki("service-account.pub")),
            format!(
                "--service-account-signing-key-file={}",
                pki("service-account.key")
            ),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            // By default the API server resolves the node's name for logs and exec.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--kubelet-certificate-authority={}", pki("ca.crt")),
            format!("--kubelet-client-certificate={}", pki("admin.crt")),
            format!("--kubelet-client-key={}", pki("admin.key")),
            "--shutdown-delay-duration=0s".to_owned(),
        ];
        // Without nodes, the advertised address is loopback, which is invalid in an endpoint.
        if self.node.is_none() {
            arguments.push("--endpoint-reconciler-type=none".to_owned());
        }
        if let Some(log) = &options.audit_log {
            arguments.push(format!(
                "--audit-policy-file={}",
                self.directory.join("audit-policy.yaml").display()
            ));
            arguments.push(format!("--audit-log-path={}", log.display()));
            arguments.push("--audit-log-maxsize=1000".to_owned());
        }
        arguments.extend(options.api_server_arguments.iter().cloned());
        arguments
    }

    pub(crate) fn controller_manager(&self) -> Vec<String> {
        let pki = |file: &str| self.pki().join(file).display().to_string();
        vec![
            format!(
                "--kubeconfig={}",
                self.kubeconfig("controller-manager").display()
            ),
            "--use-service-account-credentials=true".to_owned(),
            format!("--root-ca-file={}", pki("ca.crt")),
            format!(
                "--service-account-private-key-file={}",
                pki("service-account.key")
            ),
            format!("--cluster-signing-cert-file={}", pki("ca.crt")),
            format!("--cluster-signing-key-file={}", pki("ca.key")),
            "--leader-elect=false".to_owned(),
            // With the default of 20 requests a second the start takes five seconds longer: each controller gets credentials.
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            // It has no caller here, and without a listener its port cannot be taken.
            "--secure-port=0".to_owned(),
        ]
    }

    pub(crate) fn scheduler(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig("scheduler").display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ]
    }
}

fn make_certificates(tools: &Tools, pki: &Path, subjects: &serde_json::Value) -> Result<()> {
    let mut child = Command::new(tools.rig())
        .arg("certificates")
        .arg(pki)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::spawn(tools.rig().display()))?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(subjects.to_string().as_bytes())
            .map_err(Error::spawn(tools.rig().display()))?;
    }
    let output = child
        .wait_with_output()
        .map_err(Error::spawn(tools.rig().display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Command {
        what: "create the cluster's certificates".to_owned(),
        status: output.status.to_string(),
        output: Quote::of_text(&String::from_utf8_lossy(&output.stderr)),
    })
}
