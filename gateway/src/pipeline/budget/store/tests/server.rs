//! A Redis or Valkey server of its own for each test, and gateways that use it.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use api::{GatewayConfig, config::RedisStore};
use tokio::time::{Instant, sleep};

use super::super::{super::Budgets, Store};
use crate::telemetry::metrics::{Conventions, Metrics};

/// Server programs, in order of preference.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// A server without persistence on a free loopback port; killed when dropped.
pub(super) struct Server {
    port: u16,
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = TcpListener::bind(free)
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let directory = tempfile::tempdir().unwrap();
        let process = Self::run(port, &directory);
        Self {
            port,
            process,
            directory,
        }
    }

    fn run(port: u16, directory: &tempfile::TempDir) -> Child {
        let port = port.to_string();
        let arguments = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &port,
        ];
        let started = PROGRAMS.iter().find_map(|program| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(directory.path());
            command.stdout(Stdio::null()).spawn().ok()
        });
        started.expect(
            "valkey-server or redis-server is required: on Debian, apt-get install redis-server",
        )
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a new server without data.
    pub(super) fn revive(&mut self) {
        self.process = Self::run(self.port, &self.directory);
    }

    pub(super) fn restart(&mut self) {
        self.kill();
        self.revive();
    }

    /// `login`: in the form `user:password@`; empty for the default user.
    fn settings(&self, login: &str) -> RedisStore {
        RedisStore {
            url: format!("redis://{login}127.0.0.1:{}", self.port),
            credentials_directory: None,
        }
    }

    pub(super) async fn store(&self) -> Store {
        self.store_as("").await
    }

    pub(super) async fn store_as(&self, login: &str) -> Store {
        let store = Store::start(&self.settings(login)).unwrap();
        eventually(|| store.is_up()).await;
        store
    }

    /// What one gateway process has.
    pub(super) async fn gateway(&self, budgets: &str) -> Arc<Budgets> {
        self.reloaded(budgets, None).await
    }

    /// What a process has after a reload.
    pub(super) async fn reloaded(&self, budgets: &str, previous: Option<&Budgets>) -> Arc<Budgets> {
        let text = format!(
            "{{access: {{namespace: team-a, name: chat}}, limits: {{budgets: [{budgets}], store: {{redis: {{url: '{}'}}}}}}}}",
            self.settings("").url
        );
        let config = GatewayConfig::from_yaml(&text).unwrap();
        let metrics = Metrics::new(Conventions::default());
        let budgets = Budgets::compile(&config, std::iter::empty(), &metrics, previous)
            .unwrap()
            .unwrap();
        eventually(|| budgets.store_is_up() == Some(true)).await;
        Arc::new(budgets)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) async fn eventually(mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !check() {
        assert!(Instant::now() < end, "not in time");
        // sleep: polls a server of another process
        sleep(Duration::from_millis(5)).await;
    }
}
