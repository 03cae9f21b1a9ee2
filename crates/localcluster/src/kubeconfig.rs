//! Self-contained kubeconfig files, and clients that use them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::{Error, Result};

/// Writes a kubeconfig at `path` for the certificate pair `user` in the directory `pki`.
pub(crate) fn write(path: &Path, server: &str, pki: &Path, user: &str) -> Result<()> {
    let encoded = |file: String| -> Result<String> {
        let file = pki.join(file);
        std::fs::read(&file)
            .map(|bytes| STANDARD.encode(bytes))
            .map_err(Error::file("read", &file))
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "localcluster",
            "cluster": { "server": server, "certificate-authority-data": encoded("ca.crt".to_owned())? },
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate-data": encoded(format!("{user}.crt"))?,
                "client-key-data": encoded(format!("{user}.key"))?,
            },
        }],
        "contexts": [{
            "name": "localcluster",
            "context": { "cluster": "localcluster", "user": user, "namespace": "default" },
        }],
        "current-context": "localcluster",
    });
    let text = serde_yaml::to_string(&config).map_err(|error| failed(path, &error))?;
    std::fs::write(path, text).map_err(Error::file("write", path))
}

/// A client for the cluster of the kubeconfig at `path`. It belongs to the current tokio runtime.
pub(crate) async fn client(path: &Path) -> Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(path, &error))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| failed(path, &error))?;
    kube::Client::try_from(config).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Kubeconfig {
        path: path.display().to_string(),
        detail: error.to_string(),
    }
}
