//! Limits that gateways count together, in a real server of Redis or Valkey that comes and goes.

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
/// Programs that will do, the same but for their name.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// A server on a free port of this machine, with a folder for what logs in to it; killed when dropped.
struct Server {
    url: String,
    process: Child,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl Server {
    /// One that wants a password.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let port = free_port();
        let listen = ["--port", &port.to_string(), "--requirepass", PASSWORD];
        Self::with(format!("redis://127.0.0.1:{port}"), folder, &listen)
    }

    /// One with users, that speaks TLS, with certificates of its own on both sides.
    fn encrypted() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Else it has the name of the certificates, which then look like their own authorities.
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
        Self::with(format!("rediss://localhost:{port}"), folder, &listen)
    }

    fn with(url: String, folder: tempfile::TempDir, listen: &[&str]) -> Self {
        let always = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let arguments: Vec<String> = always
            .iter()
            .chain(listen)
            .map(|argument| (*argument).to_owned())
            .collect();
        Self {
            url,
            process: Self::run(&arguments, &folder),
            arguments,
            folder,
        }
    }

    fn run(arguments: &[String], folder: &tempfile::TempDir) -> Child {
        PROGRAMS
            .iter()
            .find_map(|program| {
                Command::new(program)
                    .args(arguments)
                    .current_dir(folder.path())
                    .stdout(Stdio::null())
                    .spawn()
                    .ok()
            })
            .expect(
                "valkey-server or redis-server is needed: on Debian, apt-get install redis-server",
            )
    }

    /// As after a crash: another server, which knows nothing.
    fn restart(&mut self) {
        self.process = Self::run(&self.arguments, &self.folder);
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Takes connections and bytes, and answers nothing.
    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn document(&self, limits: &str) -> String {
        format!(
            "{{access: {{namespace: team-a, name: chat}}, clients: {{anonymous: true}}, allow: ['*'], limits: {{{limits}, store: {{redis: {{url: '{}', credentialsDirectory: '{}'}}}}}}}}",
            self.url,
            self.folder.path().display()
        )
    }

    async fn gateway(&self, limits: &str) -> Rig {
        let rig = Rig::with_document(&self.document(limits)).await;
        answers(&rig, true).await;
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

async fn answers(rig: &Rig, wanted: bool) {
    let wanted = f64::from(u8::from(wanted));
    eventually(&format!("{UP} is {wanted}"), async || {
        rig.metric(UP).await == Some(wanted)
    })
    .await;
}

/// The server goes by the time of this machine: not near the end of a minute, in which counts begin to fade.
async fn within_a_minute() {
    eventually("a minute that is not near its end", async || {
        now() % 60 < 40
    })
    .await;
}

async fn chat(rig: &Rig) -> u16 {
    rig.chat(&ask(MODEL, "hi")).await.status.as_u16()
}

#[tokio::test]
async fn gateways_share_one_count_of_requests() {
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
        let refused = rig.chat(&ask(MODEL, "hi")).await;
        assert_eq!(refused.status, 429);
        let message = refused.text();
        assert!(message.contains("BedrockAccess team-a/chat"), "{message}");
        let wait: u64 = refused.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        assert_eq!(rig.metric(FALLBACKS).await, Some(0.0));
    }
}

/// Two gateways that have charged and counted tokens together, by both scripts.
async fn counted_together(server: &Server) -> [Rig; 2] {
    let one = server.gateway("tokensPerDay: 1").await;
    let other = server.gateway("tokensPerDay: 1").await;
    assert_eq!(chat(&one).await, 200);
    // They are charged in the background.
    eventually("the tokens of one count for the other", async || {
        let refused = other.chat(&ask("no-such-model", "hi")).await;
        refused.status == 429 && refused.error()["code"] == "insufficient_quota"
    })
    .await;
    [one, other]
}

#[tokio::test]
async fn gateways_share_one_count_of_tokens() {
    counted_together(&Server::start()).await;
}

#[tokio::test]
async fn server_that_dies_holds_up_nothing_and_is_used_again_when_it_is_back() {
    let mut server = Server::start();
    let one = server.gateway("requestsPerMinute: 1000").await;
    let other = server.gateway("requestsPerMinute: 1000").await;
    assert_eq!(chat(&one).await, 200);
    server.kill();
    for _ in 0..20 {
        assert_eq!(chat(&one).await, 200);
        assert_eq!(chat(&other).await, 200);
    }
    answers(&one, false).await;
    assert!(one.metric(FALLBACKS).await.unwrap() >= 1.0);
    // What each has served counts for itself.
    let own = one.chat(&ask(MODEL, "hi")).await;
    let remaining: u64 = own.headers["x-ratelimit-remaining-requests"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((970..=985).contains(&remaining), "{remaining}");

    server.restart();
    answers(&one, true).await;
    answers(&other, true).await;
    within_a_minute().await;
    let shared = one.chat(&ask(MODEL, "hi")).await;
    assert_eq!(shared.headers["x-ratelimit-remaining-requests"], "999");
    let shared = other.chat(&ask(MODEL, "hi")).await;
    assert_eq!(shared.headers["x-ratelimit-remaining-requests"], "998");
}

#[tokio::test]
async fn server_that_hangs_costs_a_moment_once() {
    let server = Server::start();
    let rig = server.gateway("requestsPerMinute: 1000").await;
    assert_eq!(chat(&rig).await, 200);
    server.signal("-STOP");
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(chat(&rig).await, 200);
    }
    // Far below what 20 waits would take.
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    answers(&rig, false).await;
    server.signal("-CONT");
    answers(&rig, true).await;
    assert_eq!(chat(&rig).await, 200);
}

#[tokio::test]
async fn server_that_refuses_the_password_is_as_good_as_none() {
    let server = Server::start();
    std::fs::write(server.folder.path().join("password"), "another").unwrap();
    let rig = Rig::with_document(&server.document("requestsPerMinute: 2")).await;
    assert_eq!(chat(&rig).await, 200);
    answers(&rig, false).await;
    let own = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(own.status, 200);
    // A password that is put right is found without a restart.
    std::fs::write(server.folder.path().join("password"), PASSWORD).unwrap();
    answers(&rig, true).await;
}

#[tokio::test]
async fn store_is_taken_over_and_given_up_by_a_reload() {
    let server = Server::start();
    let rig = Rig::with_document(
        "{clients: {anonymous: true}, allow: ['*'], limits: {requestsPerMinute: 1000}}",
    )
    .await;
    assert_eq!(rig.metric(UP).await, None);
    rig.write_config(&server.document("requestsPerMinute: 1000"));
    answers(&rig, true).await;
    rig.write_config(
        "{clients: {anonymous: true}, allow: ['*'], limits: {requestsPerMinute: 1000}}",
    );
    eventually("there is no store any more", async || {
        rig.metric(UP).await.is_none()
    })
    .await;
    rig.write_config(
        "{clients: {anonymous: true}, allow: ['*'], limits: {store: {redis: {url: 'redis://a b'}}}}",
    );
    eventually("a bad address is refused", async || {
        let refused = "bedrock_gateway_config_reloads_total{result=\"refused\"}";
        rig.metric(refused).await == Some(1.0)
    })
    .await;
    assert_eq!(chat(&rig).await, 200);
}

#[tokio::test]
async fn server_with_users_and_certificates_of_its_own_is_logged_in_to_with_the_least_rights() {
    let server = Server::encrypted();
    for rig in &counted_together(&server).await {
        assert_eq!(rig.metric(FALLBACKS).await, Some(0.0));
    }
}

#[tokio::test]
async fn server_whose_certificate_is_not_trusted_is_not_used() {
    let server = Server::encrypted();
    std::fs::remove_file(server.folder.path().join("ca.crt")).unwrap();
    let rig = Rig::with_document(&server.document("requestsPerMinute: 3")).await;
    for _ in 0..3 {
        assert_eq!(chat(&rig).await, 200);
    }
    // By its own counts.
    assert_eq!(chat(&rig).await, 429);
    assert!(rig.metric(FALLBACKS).await.unwrap() >= 3.0);
    answers(&rig, false).await;
}
