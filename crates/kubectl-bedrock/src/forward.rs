//! A connection to a port of a pod, through `kubectl port-forward`. It ends when it is dropped.

use std::{net::Ipv4Addr, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout},
};

use crate::cluster::{Cluster, no_kubectl};

/// Longest wait for the connection, and for a response.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest response, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What kubectl prints before the local port.
const FORWARDING: &str = "Forwarding from 127.0.0.1:";

/// A forwarded port.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Ends with this value.
    _kubectl: Child,
    port: u16,
}

impl Forward {
    /// Forwards a port of a pod to a free port of this machine.
    ///
    /// # Errors
    /// kubectl cannot be started, or the caller may not forward ports of the pod.
    pub(crate) async fn open(
        cluster: &Cluster,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> anyhow::Result<Self> {
        let mut kubectl = cluster
            .kubectl(namespace)
            .args(["port-forward", "--address=127.0.0.1"])
            .arg(format!("pod/{pod}"))
            .arg(format!(":{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(no_kubectl)?;
        let stdout = kubectl.stdout.take().context("kubectl has no output")?;
        let started = tokio::time::timeout(TIMEOUT, local_port(stdout)).await;
        match started {
            Ok(Some(port)) => Ok(Self {
                _kubectl: kubectl,
                port,
            }),
            Ok(None) => {
                let mut problem = String::new();
                if let Some(mut stderr) = kubectl.stderr.take() {
                    // An unreadable error message leaves the exit itself as the message.
                    let _ = stderr.read_to_string(&mut problem).await;
                }
                bail!(
                    "failed to forward port {port} of pod {pod}: {}",
                    problem.trim()
                )
            }
            Err(_) => bail!("failed to forward port {port} of pod {pod} within {TIMEOUT:?}"),
        }
    }

    /// The address on this machine.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The body of a successful response to a GET.
    ///
    /// # Errors
    /// The pod does not respond, or with an error.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}:{}{path}", Ipv4Addr::LOCALHOST, self.port);
        let request = http::Request::get(&url).body(Empty::<Bytes>::new())?;
        let client: Client<HttpConnector, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let exchange = async {
            let response = client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BYTES);
            let body = body.collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        let exchanged = tokio::time::timeout(TIMEOUT, exchange).await;
        let (status, body) = exchanged.with_context(|| format!("no response of {path}"))??;
        if !status.is_success() {
            bail!("{path} responds with status {status}");
        }
        Ok(body)
    }
}

/// The local port, once kubectl listens on it. Further output is discarded.
async fn local_port(stdout: ChildStdout) -> Option<u16> {
    let mut lines = BufReader::new(stdout).lines();
    loop {
        let line = lines.next_line().await.ok()??;
        let Some(rest) = line.strip_prefix(FORWARDING) else {
            continue;
        };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        // kubectl prints a line for each connection, and stops while these lines are not read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return digits.parse().ok();
    }
}
