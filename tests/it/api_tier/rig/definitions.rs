//! Custom resources of other projects, from their Go modules.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::Value;

use super::{Rig, run};
use crate::support::eventually;

const CERT_MANAGER: &str = "github.com/cert-manager/cert-manager@v1.21.2";
const CERTIFICATES: &str = "deploy/crds/cert-manager.io_certificates.yaml";

const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.6.3";
const ROUTES: [&str; 2] = [
    "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    "config/crd/standard/gateway.networking.k8s.io_backendtlspolicies.yaml",
];

impl Rig {
    /// Serves `HTTPRoute` and `BackendTLSPolicy`, as an installation of the Gateway API does.
    pub(crate) async fn serve_gateway_api(&self) {
        for file in ROUTES {
            self.serve(&module(GATEWAY_API).join(file)).await;
        }
    }

    /// Serves `Certificate`, as an installation of cert-manager does.
    pub(crate) async fn serve_certificates(&self) {
        self.serve(&module(CERT_MANAGER).join(CERTIFICATES)).await;
    }

    /// Installs the definition in a file and waits until it is served.
    async fn serve(&self, file: &Path) {
        let name = run(self
            .cluster()
            .kubectl()
            .args([
                "apply",
                "--server-side",
                "--output",
                "jsonpath={.metadata.name}",
                "-f",
            ])
            .arg(file));
        self.until_served(&name).await;
    }

    /// Waits until a definition is served.
    pub(super) async fn until_served(&self, name: &str) {
        let definitions = Api::<CustomResourceDefinition>::all(self.client.clone());
        eventually(&format!("{name} is served"), || async {
            let found = definitions.get(name).await;
            let conditions = found
                .map_err(|error| error.to_string())?
                .status
                .and_then(|status| status.conditions);
            let established = conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            established
                .then_some(())
                .ok_or_else(|| format!("{conditions:?}"))
        })
        .await;
    }
}

/// The directory of a Go module, downloaded on first use. Go checks its hash with the checksum database.
fn module(module: &str) -> PathBuf {
    let installed = Path::new("/usr/local/go/bin/go");
    let go = if installed.exists() {
        installed
    } else {
        Path::new("go")
    };
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(go)
        .args(["mod", "download", "-json", module])
        .current_dir(&directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Value = serde_json::from_str(&text).unwrap();
    let error = &found["Error"];
    assert!(
        output.status.success() && error.is_null(),
        "{module}: {error}"
    );
    PathBuf::from(found["Dir"].as_str().unwrap())
}
