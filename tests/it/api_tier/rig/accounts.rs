//! Tokens and clients of ServiceAccounts.

use std::{fs, path::PathBuf, time::Duration};

use kube::{Client, Config};
use serde_json::json;

use super::{OPERATOR_NAMESPACE, Rig};

impl Rig {
    /// A client with the operator's own token.
    pub(crate) async fn operator_client(&self) -> Client {
        Client::try_from(self.operator_config().await).unwrap()
    }

    /// A token of the operator's ServiceAccount.
    async fn operator_token(&self) -> String {
        let account = self.operator_user.rsplit(':').next().unwrap();
        self.token(OPERATOR_NAMESPACE, account).await
    }

    /// A token of a ServiceAccount for the API server.
    pub(crate) async fn token(&self, namespace: &str, account: &str) -> String {
        let audience = "https://kubernetes.default.svc";
        let hour = Duration::from_hours(1);
        self.cluster
            .service_account_token(namespace, account, audience, hour)
            .await
            .unwrap()
    }

    /// For an operator in a process of its own: a kubeconfig with its ServiceAccount's token.
    pub(crate) async fn operator_kubeconfig(&self) -> PathBuf {
        let authority = self.directory.path().join("authority.crt");
        fs::write(&authority, self.cluster.certificate_authority().unwrap()).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": self.cluster.url(), "certificate-authority": authority,
            }}],
            "users": [{"name": "test", "user": {"token": self.operator_token().await}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        let path = self.directory.path().join("operator.kubeconfig");
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// What an operator's client needs: where the API server is, and the operator's own credentials.
    pub(crate) async fn operator_config(&self) -> Config {
        let account = self.operator_user.rsplit(':').next().unwrap();
        self.config_of(OPERATOR_NAMESPACE, account).await
    }

    /// What a client of a ServiceAccount needs.
    pub(crate) async fn config_of(&self, namespace: &str, account: &str) -> Config {
        let token = self.token(namespace, account).await;
        let mut config = Config::new(self.cluster.url().parse().unwrap());
        config.root_cert = Some(certificates(&self.cluster.certificate_authority().unwrap()));
        config.auth_info.token = Some(token.into());
        config
    }
}

/// The certificates of a PEM text, in DER.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    pem.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|rest| {
            let body: String = rest
                .split("-----END")
                .next()
                .unwrap()
                .split_whitespace()
                .collect();
            base64::engine::general_purpose::STANDARD
                .decode(body)
                .unwrap()
        })
        .collect()
}
