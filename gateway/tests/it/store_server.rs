//! A real Redis or Valkey server for rate limits and budgets, which stops and restarts.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub(crate) const PASSWORD: &str = "a-password-of-the-test-suite-alone";
/// The commands of budgets.
const BUDGET_RULES: &str = "+hget +hdel +zadd +zrem +zrangebyscore";
/// Server programs, in order of preference.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// A server on a free loopback port, with a directory for the gateway's credentials; killed when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    process: Child,
    arguments: Vec<String>,
    pub(crate) directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server with a password.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let port = free_port();
        let listen = ["--port", &port.to_string(), "--requirepass", PASSWORD];
        Self::with(format!("redis://127.0.0.1:{port}"), directory, &listen)
    }

    /// Starts a server with users and mutual TLS.
    pub(crate) fn encrypted() -> Self {
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
            "gateway on >{PASSWORD} ~bedrockaccess:* +evalsha +script|load +time +hmget +hset +pexpire {BUDGET_RULES}"
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
    pub(crate) fn restart(&mut self) {
        self.process = Self::run(&self.arguments, &self.directory);
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends a signal to the server; a stopped server accepts connections and does not respond.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// The setting of the store.
    pub(crate) fn store(&self) -> String {
        format!(
            "store: {{redis: {{url: '{}', credentialsDirectory: '{}'}}}}",
            self.url,
            self.directory.path().display()
        )
    }

    pub(crate) fn document(&self, limits: &str) -> String {
        format!(
            "{{access: {{namespace: team-a, name: chat}}, clients: {{anonymous: true}}, allow: ['*'], limits: {{{limits}, {}}}}}",
            self.store()
        )
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
