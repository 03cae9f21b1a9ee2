//! A gateway in this process, on free ports of loopback.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use gateway::{Drained, Server, Settings};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    eventually,
    http::{self, Answer},
};

/// A running gateway; dropping it stops it at once.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    task: JoinHandle<Drained>,
}

/// The key of every test client.
pub(crate) const KEY: &str = "sk-integration-test";

impl Gateway {
    /// Starts with this environment and, if given, this configuration document.
    pub(crate) async fn start(environment: &[(&str, &str)], config: Option<&Path>) -> Self {
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_with_admin(admin, environment, config).await
    }

    /// The same with its admin port at this address.
    pub(crate) async fn start_with_admin(
        admin: SocketAddr,
        environment: &[(&str, &str)],
        config: Option<&Path>,
    ) -> Self {
        let environment: BTreeMap<String, String> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut settings = Settings::new(Arc::new(environment));
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.admin_listen = Some(admin);
        settings.admin_required = true;
        settings.config = config.map(Path::to_owned);
        settings.api_key = Some(gateway::ApiKey::new(KEY));
        let server = Server::bind(settings).await.unwrap();
        let (address, admin) = (server.local_addr(), server.admin_addr().unwrap());
        let task = tokio::spawn(server.run(std::future::pending()));
        Self {
            address,
            admin,
            task,
        }
    }

    /// Address of the admin port.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Base URL for Anthropic's clients.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Base URL for OpenAI's clients.
    pub(crate) fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// One user turn with a response that is not streamed.
    pub(crate) async fn chat(&self, model: &str, text: &str) -> Result<Answer, String> {
        let body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
        http::post(
            &format!("{}/chat/completions", self.openai_url()),
            KEY,
            &body,
        )
        .await
    }

    /// Status and body of `/readyz`.
    pub(crate) async fn readiness(&self) -> Result<(u16, Value), String> {
        let answer = http::get(&format!("http://{}/readyz", self.admin)).await?;
        Ok((answer.status.as_u16(), answer.json()))
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        eventually("the gateway is ready", || async {
            match self.readiness().await? {
                (200, _) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}
