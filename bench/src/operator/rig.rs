//! The API server with the chart installed, and the operator as a process.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, api::ListParams};
use localcluster::{ApiServer, Options};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::audit::Requests;
use crate::process::{Process, free_address};

const NAMESPACE: &str = "bedrock-access-system";
const TIMEOUT: Duration = Duration::from_mins(10);
/// Controllers of Kubernetes for pods. There are no pods, and these controllers need as much CPU as the operator.
const OFF: [&str; 6] = [
    "deployment",
    "replicaset",
    "disruption",
    "endpoints",
    "endpointslice",
    "endpointslice-mirroring",
];
/// Time without a reconcile or a write that counts as idle.
const QUIET: Duration = Duration::from_secs(4);

pub(super) struct Rig {
    pub(super) client: Client,
    cluster: ApiServer,
    audit_log: PathBuf,
    /// Name of the operator's ServiceAccount.
    account: String,
    directory: tempfile::TempDir,
}

/// An operator process; dropping it stops the process.
pub(super) struct Operator {
    pub(super) process: Process,
    metrics: String,
    health: String,
    log: PathBuf,
}

impl Rig {
    /// Starts the API server and installs the chart; Deployments have no controller.
    pub(super) async fn start(chart: &Path) -> Result<Self> {
        let directory = tempfile::tempdir().context("failed to make a directory")?;
        let audit_log = directory.path().join("audit.log");
        let options = Options {
            audit_log: Some(audit_log.clone()),
            controller_manager_arguments: vec![format!(
                "--controllers=*,{}",
                OFF.map(|name| format!("-{name}-controller")).join(",")
            )],
            ..Options::default()
        };
        let cluster = ApiServer::start(options).await?;
        let client = cluster.client().await?;
        let installed = cluster
            .helm()
            .args(["install", "bedrock-access"])
            .arg(chart)
            .args(["--namespace", NAMESPACE, "--create-namespace"])
            .output()
            .context("failed to run helm")?;
        ensure!(
            installed.status.success(),
            "helm install: {}",
            String::from_utf8_lossy(&installed.stderr)
        );
        let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
        let account = deployments
            .list(&ListParams::default())
            .await
            .context("failed to read the installed objects")?
            .items
            .into_iter()
            .find_map(|deployment| deployment.spec?.template.spec?.service_account_name)
            .context("the chart's Deployment has no ServiceAccount")?;
        Ok(Self {
            client,
            cluster,
            audit_log,
            account,
            directory,
        })
    }

    /// Starts an operator with the roles of the chart.
    pub(super) async fn start_operator(&self, program: &Path) -> Result<Operator> {
        let audience = "https://kubernetes.default.svc";
        let lasts = Duration::from_hours(3);
        let token = self
            .cluster
            .service_account_token(NAMESPACE, &self.account, audience, lasts)
            .await?;
        let authority = self.directory.path().join("authority.crt");
        std::fs::write(&authority, self.cluster.certificate_authority()?)
            .context("failed to write the authority")?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {
                "server": self.cluster.url(), "certificate-authority": authority,
            }}],
            "users": [{"name": "bench", "user": {"token": token}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        });
        let kubeconfig = self.directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).context("failed to write a kubeconfig")?;
        let (health, metrics) = (free_address()?, free_address()?);
        let log = self.directory.path().join("operator.log");
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &kubeconfig)
            .arg(format!("--health-address={health}"))
            .arg(format!("--metrics-address={metrics}"));
        let process = Process::start("the operator", &mut command, health, &log).await?;
        Ok(Operator {
            process,
            metrics: format!("http://{metrics}/metrics"),
            health: format!("http://{health}/readyz"),
            log,
        })
    }

    /// Requests of the operators so far.
    pub(super) fn requests(&self) -> Result<Requests> {
        let user = format!("system:serviceaccount:{NAMESPACE}:{}", self.account);
        Requests::read(&self.audit_log, &user)
    }

    /// CPU time of the API server so far, in seconds.
    pub(super) async fn api_server_cpu(&self) -> Result<f64> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = self
            .client
            .request_text(request)
            .await
            .context("failed to read the API server's metrics")?;
        sum(&text, "process_cpu_seconds_total").context("the API server does not tell its CPU time")
    }
}

impl Operator {
    /// Waits until its caches are filled.
    pub(super) async fn ready(&self) -> Result<()> {
        let end = Instant::now() + TIMEOUT;
        while get(&self.health).await.is_err() {
            ensure!(
                Instant::now() < end,
                "the operator does not become ready: {}",
                self.said()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Reconciles so far.
    pub(super) async fn reconciles(&self) -> Result<f64> {
        self.metric("controller_runtime_reconcile_total").await
    }

    /// Waits for this number of reconciles and until none is running.
    pub(super) async fn reconciled(&self, count: usize) -> Result<()> {
        let end = Instant::now() + TIMEOUT;
        loop {
            let active = self
                .metric("controller_runtime_active_workers")
                .await
                .unwrap_or(1.0);
            let done = self.reconciles().await.unwrap_or(0.0);
            if active == 0.0 && done >= super::counted(count) {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "{done} of {count} reconciles: {}",
                self.said()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the operator is idle.
    pub(super) async fn quiet(&self) -> Result<()> {
        let end = Instant::now() + TIMEOUT;
        let mut seen = (self.reconciles().await?, Instant::now());
        while seen.1.elapsed() < QUIET {
            sleep(Duration::from_millis(200)).await;
            let now = self.reconciles().await?;
            if now > seen.0 {
                seen = (now, Instant::now());
            }
            ensure!(
                Instant::now() < end,
                "the operator does not become idle: {}",
                self.said()
            );
        }
        Ok(())
    }

    async fn metric(&self, name: &str) -> Result<f64> {
        sum(&get(&self.metrics).await?, name).with_context(|| format!("no metric {name}"))
    }

    /// The end of its log.
    fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// The content of a URL.
async fn get(url: &str) -> Result<String> {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::get(url).body(http_body_util::Empty::<bytes::Bytes>::new())?;
    let response = client.request(request).await?;
    ensure!(
        response.status().is_success(),
        "{url} responses {}",
        response.status()
    );
    let body = response.into_body().collect().await?.to_bytes();
    String::from_utf8(body.into()).with_context(|| format!("{url} gives no text"))
}

/// The sum of a metric over all its labels.
fn sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_summed_over_its_labels_and_not_over_its_namesakes() {
        let text = "# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3.5\na_total 9\n";
        assert_eq!(sum(text, "a"), Some(5.5));
        assert_eq!(sum(text, "c"), None);
    }
}
