//! Rate limits shared by gateways through a real Redis or Valkey server that stops and restarts.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::time::Instant;

use crate::rig::{MODEL, Rig, ask, eventually, now};

const UP: &str = "bedrock_gateway_limit_store_up{store=\"redis\"}";
const FALLBACKS: &str = "bedrock_gateway_limit_store_fallbacks_total";
const PASSWORD: &str = "a-password-of-the-test-suite-alone";
/// Server programs, in order of preference.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// A server on a free loopback port, with a directory for the gateway's credentials; killed when dropped.
struct Server {
    url: String,
    process: Child,
    arguments: Vec<String>,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server with a password.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let port = free_port();
        let listen = ["--port", &port.to_string(), "--requirepass", PASSWORD];
        Self::with(format!("redis://127.0.0.1:{port}"), directory, &listen)
    }

    /// Starts a server with users and mutual TLS.
    fn encrypted() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // With the default name, which equals that of the certificates, they would look self-signed.
        let name = &mut authority.distinguished_name;
        name.push(DnType::CommonName, "the test suite's authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = file("ca.crt", &authority.self_signed(&key).unwrap().pem());
        let authority = Issuer::new(authority, key);
        let pair = |certificate: &str, key_file: &str, name: &str| {
            let key = KeyPair::generate().unwrap();
            let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let signed = parameters.signed_by(&key, &authority).unwrap();
            let certificate = file(certificate, &signed.pem());
            (certificate, file(key_file, &key.serialize_pem()))
        };
        let (certificate, key) = pair("server.crt", "server.key", "localhost");
        pair("tls.crt", "tls.key", "gateway");
        file("username", "gateway\n");
        file("password", &format!("{PASSWORD}\n"));
        let port = free_port();
        let listen = [
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority_certificate,
            "--tls-auth-clients",
            "yes",
            "--user",
            "default",
            "off",
            "--user",
        ];
        // The rules of docs/guide/limits.md.
        let rules = format!(
            "gateway on >{PASSWORD} ~bedrockaccess:* +evalsha +script|load +time +hmget +hset +pexpire"
        );
        let listen: Vec<&str> = listen.into_iter().chain(rules.split(' ')).collect();
        Self::with(format!("rediss://localhost:{port}"), directory, &listen)
    }

    fn with(url: String, directory: tempfile::TempDir, listen: &[&str]) -> Self {
        let always = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let arguments: Vec<String> = always
            .iter()
            .chain(listen)
            .map(|argument| (*argument).to_owned())
            .collect();
        Self {
            url,
            process: Self::run(&arguments, &directory),
            arguments,
            directory,
        }
    }

    fn run(arguments: &[String], directory: &tempfile::TempDir) -> Child {
        PROGRAMS
            .iter()
            .find_map(|program| {
                Command::new(program)
                    .args(arguments)
                    .current_dir(directory.path())
                    .stdout(Stdio::null())
                    .spawn()
                    .ok()
            })
            .expect(
            "valkey-server or redis-server is required: on Debian, apt-get install redis-server",
            )
    }

    /// Starts a new server without data, as after a crash.
    fn restart(&mut self) {
        self.process = Self::run(&self.arguments, &self.directory);
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends a signal to the server; a stopped server accepts connections and does not respond.
    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn document(&self, limits: &str) -> String {
        format!(
            "{{access: {{namespace: team-a, name: chat}}, clients: {{anonymous: true}}, allow: ['*'], limits: {{{limits}, store: {{redis: {{url: '{}', credentialsDirectory: '{}'}}}}}}}}",
            self.url,
            self.directory.path().display()
        )
    }

    async fn gateway(&self, limits: &str) -> Rig {
        let rig = Rig::with_document(&self.document(limits)).await;
        store_up(&rig, true).await;
        rig
    }
}

fn free_port() -> u16 {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(free).unwrap();
    listener.local_addr().unwrap().port()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn store_up(rig: &Rig, wanted: bool) {
    let wanted = f64::from(u8::from(wanted));
    eventually(&format!("{UP} is {wanted}"), async || {
        rig.metric(UP).await == Some(wanted)
    })
    .await;
}

/// Waits until the current minute has more than 20 seconds left, because the weight of counts changes with the minute.
async fn within_a_minute() {
    eventually("a minute with enough time left", async || now() % 60 < 40).await;
}

async fn chat(rig: &Rig) -> u16 {
    rig.chat(&ask(MODEL, "hi")).await.status.as_u16()
}

#[tokio::test]
async fn gateways_share_the_request_count() {
    let server = Server::start();
    let one = server.gateway("requestsPerMinute: 4").await;
    let other = server.gateway("requestsPerMinute: 4").await;
    within_a_minute().await;
    assert_eq!(chat(&one).await, 200);
    assert_eq!(chat(&other).await, 200);
    assert_eq!(chat(&one).await, 200);
    let last = other.chat(&ask(MODEL, "hi")).await;
    assert_eq!(last.status, 200);
    assert_eq!(last.headers["x-ratelimit-limit-requests"], "4");
    assert_eq!(last.headers["x-ratelimit-remaining-requests"], "0");
    for rig in [&one, &other] {
        let rejected = rig.chat(&ask(MODEL, "hi")).await;
        assert_eq!(rejected.status, 429);
        let message = rejected.text();
        assert!(message.contains("BedrockAccess team-a/chat"), "{message}");
        let wait: u64 = rejected.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        assert_eq!(rig.metric(FALLBACKS).await, Some(0.0));
    }
}

/// Two gateways that share a token count, which uses both scripts.
async fn share_token_count(server: &Server) -> [Rig; 2] {
    let one = server.gateway("tokensPerDay: 1").await;
    let other = server.gateway("tokensPerDay: 1").await;
    assert_eq!(chat(&one).await, 200);
    // Tokens are charged in the background.
    eventually(
        "the tokens of one gateway count for the other",
        async || {
            let rejected = other.chat(&ask("no-such-model", "hi")).await;
            rejected.status == 429 && rejected.error()["code"] == "insufficient_quota"
        },
    )
    .await;
    [one, other]
}

#[tokio::test]
async fn gateways_share_the_token_count() {
    share_token_count(&Server::start()).await;
}

#[tokio::test]
async fn a_stopped_store_delays_no_request_and_is_used_again_after_a_restart() {
    let mut server = Server::start();
    let one = server.gateway("requestsPerMinute: 1000").await;
    let other = server.gateway("requestsPerMinute: 1000").await;
    assert_eq!(chat(&one).await, 200);
    server.kill();
    for _ in 0..20 {
        assert_eq!(chat(&one).await, 200);
        assert_eq!(chat(&other).await, 200);
    }
    store_up(&one, false).await;
    assert!(one.metric(FALLBACKS).await.unwrap() >= 1.0);
    // Each gateway counts its own requests.
    let own = one.chat(&ask(MODEL, "hi")).await;
    let remaining: u64 = own.headers["x-ratelimit-remaining-requests"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((970..=985).contains(&remaining), "{remaining}");

    server.restart();
    store_up(&one, true).await;
    store_up(&other, true).await;
    within_a_minute().await;
    let shared = one.chat(&ask(MODEL, "hi")).await;
    assert_eq!(shared.headers["x-ratelimit-remaining-requests"], "999");
    let shared = other.chat(&ask(MODEL, "hi")).await;
    assert_eq!(shared.headers["x-ratelimit-remaining-requests"], "998");
}

#[tokio::test]
async fn a_hanging_store_causes_one_short_delay() {
    let server = Server::start();
    let rig = server.gateway("requestsPerMinute: 1000").await;
    assert_eq!(chat(&rig).await, 200);
    server.signal("-STOP");
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(chat(&rig).await, 200);
    }
    // Much less than 20 timeouts.
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    store_up(&rig, false).await;
    server.signal("-CONT");
    store_up(&rig, true).await;
    assert_eq!(chat(&rig).await, 200);
}

#[tokio::test]
async fn falls_back_to_local_counters_if_the_store_rejects_the_password() {
    let server = Server::start();
    std::fs::write(server.directory.path().join("password"), "another").unwrap();
    let rig = Rig::with_document(&server.document("requestsPerMinute: 2")).await;
    assert_eq!(chat(&rig).await, 200);
    store_up(&rig, false).await;
    let own = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(own.status, 200);
    // A corrected password is used without a restart.
    std::fs::write(server.directory.path().join("password"), PASSWORD).unwrap();
    store_up(&rig, true).await;
}

#[tokio::test]
async fn a_reload_adds_and_removes_the_store() {
    let server = Server::start();
    let rig = Rig::with_document(
        "{clients: {anonymous: true}, allow: ['*'], limits: {requestsPerMinute: 1000}}",
    )
    .await;
    assert_eq!(rig.metric(UP).await, None);
    rig.write_config(&server.document("requestsPerMinute: 1000"));
    store_up(&rig, true).await;
    rig.write_config(
        "{clients: {anonymous: true}, allow: ['*'], limits: {requestsPerMinute: 1000}}",
    );
    eventually("the store is removed", async || {
        rig.metric(UP).await.is_none()
    })
    .await;
    rig.write_config(
        "{clients: {anonymous: true}, allow: ['*'], limits: {store: {redis: {url: 'redis://a b'}}}}",
    );
    eventually("an invalid address is rejected", async || {
        let rejected = "bedrock_gateway_config_reloads_total{result=\"refused\"}";
        rig.metric(rejected).await == Some(1.0)
    })
    .await;
    assert_eq!(chat(&rig).await, 200);
}

#[tokio::test]
async fn authenticates_to_the_store_with_tls_and_minimal_permissions() {
    let server = Server::encrypted();
    for rig in &share_token_count(&server).await {
        assert_eq!(rig.metric(FALLBACKS).await, Some(0.0));
    }
}

#[tokio::test]
async fn falls_back_to_local_counters_if_the_stores_certificate_is_not_trusted() {
    let server = Server::encrypted();
    std::fs::remove_file(server.directory.path().join("ca.crt")).unwrap();
    let rig = Rig::with_document(&server.document("requestsPerMinute: 3")).await;
    for _ in 0..3 {
        assert_eq!(chat(&rig).await, 200);
    }
    // Limited by local counters.
    assert_eq!(chat(&rig).await, 429);
    assert!(rig.metric(FALLBACKS).await.unwrap() >= 3.0);
    store_up(&rig, false).await;
}
