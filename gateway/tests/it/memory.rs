//! The program within a memory limit of the kernel: many large requests at once, and its memory afterwards.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

const MIB: u64 = 1024 * 1024;
/// Memory that may remain after the requests, above that before them.
const REST: u64 = 20 * MIB;
const RESPONSE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#;

/// A control group with a memory limit; its processes end with it.
struct Group(PathBuf);

impl Group {
    /// `None` where control groups cannot be created.
    fn new(name: &str, limit: u64) -> Option<Self> {
        let root = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
        let root = root.iter().map(Path::new).find(|root| {
            root.join("memory.limit_in_bytes").exists() || root.join("cgroup.controllers").exists()
        })?;
        let group = Self(root.join(format!("bedrock-gateway-{}-{name}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        let file = group.either("memory.limit_in_bytes", "memory.max");
        fs::write(file, limit.to_string()).ok()?;
        Some(group)
    }

    /// The file of version 1 or 2.
    fn either(&self, one: &str, two: &str) -> PathBuf {
        let path = self.0.join(one);
        if path.exists() {
            path
        } else {
            self.0.join(two)
        }
    }

    fn bytes(&self, one: &str, two: &str) -> u64 {
        let text = fs::read_to_string(self.either(one, two)).unwrap();
        text.trim().parse().unwrap()
    }

    /// The most memory that was in use, in bytes.
    fn peak(&self) -> u64 {
        self.bytes("memory.max_usage_in_bytes", "memory.peak")
    }
}

impl Drop for Group {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel needs a moment, and there is no asynchronous drop"
    )]
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A gateway in a control group.
struct Gateway {
    child: Child,
    address: SocketAddr,
    // Dropped after the process has ended.
    group: Group,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Gateway {
    async fn start(group: Group, bedrock: SocketAddr) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let enter = group.0.join("cgroup.procs");
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$ENTER" && exec "$@""#, "sh"])
            .arg(env!("CARGO_BIN_EXE_bedrock-gateway"))
            .args(["serve", "--listen", &address.to_string()])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("ENTER", enter)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_ENDPOINT_URL", format!("http://{bedrock}"))
            .env("BEDROCK_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let gateway = Self {
            child,
            address,
            group,
        };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < end, "the gateway does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    /// Resident memory in bytes.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .strip_suffix(" kB")
            .unwrap()
            .parse()
            .unwrap();
        kib * 1024
    }

    /// Sends a body in two parts and returns the status.
    async fn chat(&self, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A gateway that is busy answers before it has read the body.
        let _sent = stream.write_all(body).await;
        let mut answer = Vec::new();
        let read = timeout(Duration::from_mins(2), stream.read_to_end(&mut answer));
        let _reset = read.await.expect("a response");
        String::from_utf8_lossy(&answer)
            .chars()
            .skip(9)
            .take(3)
            .collect()
    }
}

/// Answers every request of Bedrock once its body has arrived.
async fn bedrock() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = service_fn(|request: Request<Incoming>| async {
                let mut body = request.into_body();
                while let Some(Ok(_frame)) = body.frame().await {}
                let response = Response::builder().header("content-type", "application/json");
                response.body(Full::new(Bytes::from_static(RESPONSE.as_bytes())))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
        }
    });
    address
}

/// A message of many lines, so that its text is decoded and encoded again.
fn text(bytes: usize) -> Vec<u8> {
    let line = r#"A line of a text with \"quotes\".\n"#;
    let text = line.repeat(bytes / line.len());
    format!(
        r#"{{"model":"amazon.nova-lite-v1:0","messages":[{{"role":"user","content":"{text}"}}]}}"#
    )
    .into_bytes()
}

/// Five images as data URIs.
fn images(bytes: usize) -> Vec<u8> {
    let data = "iVBORw0KGgoAAAANSUhEUgAA".repeat(bytes / 24 / 5);
    let part =
        json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}});
    json!({"model": "amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": vec![part; 5]}]})
        .to_string()
        .into_bytes()
}

/// An unknown field with many small values.
fn values(bytes: usize) -> Vec<u8> {
    let list = "1,".repeat(bytes / 2);
    format!(r#"{{"model":"amazon.nova-lite-v1:0","messages":[{{"role":"user","content":"hi"}}],"unknown":[{list}1]}}"#)
        .into_bytes()
}

/// Whether this is `cargo xtask test --full`. An unoptimized gateway takes seconds for each of these requests.
#[expect(
    clippy::disallowed_methods,
    reason = "the lane is a setting of the test run"
)]
fn is_full() -> bool {
    std::env::var("TEST_LANE").is_ok_and(|lane| lane == "full")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_stay_within_the_memory_limit_and_memory_comes_back() {
    let bedrock = bedrock().await;
    let limits = [("sidecar", 256 * MIB), ("pod", 512 * MIB)];
    let (limits, at_once) = if is_full() {
        (&limits[..], 32)
    } else {
        (&limits[..1], 4)
    };
    for &(name, limit) in limits {
        let cases = [
            ("images", images(24_000_000), at_once),
            ("values", values(1_900_000), 2 * at_once),
            ("text", text(25_000_000), at_once),
        ];
        for (kind, body, at_once) in cases.into_iter().take(if is_full() { 3 } else { 2 }) {
            let Some(group) = Group::new(&format!("{name}-{kind}"), limit) else {
                let _ = writeln!(
                    std::io::stderr(),
                    "no right to create control groups: left out"
                );
                return;
            };
            let gateway = Arc::new(Gateway::start(group, bedrock).await);
            assert_eq!(gateway.chat(&text(1000)).await, "200");
            let before = gateway.resident();
            let body = Arc::new(body);
            let requests: Vec<_> = (0..at_once)
                .map(|_| {
                    let (gateway, body) = (Arc::clone(&gateway), Arc::clone(&body));
                    tokio::spawn(async move { gateway.chat(&body).await })
                })
                .collect();
            let mut answers = std::collections::BTreeMap::new();
            for request in requests {
                *answers.entry(request.await.unwrap()).or_insert(0) += 1;
            }
            let mut gateway = Arc::into_inner(gateway).unwrap();
            assert!(
                gateway.child.try_wait().unwrap().is_none(),
                "{name} {kind}: ended"
            );
            let peak = gateway.group.peak();
            let end = Instant::now() + Duration::from_secs(30);
            while gateway.resident() > before + REST && Instant::now() < end {
                sleep(Duration::from_millis(500)).await;
            }
            let after = gateway.resident();
            let _ = writeln!(
                std::io::stderr(),
                "{name} {kind}: answers {answers:?}, MiB: before {}, peak {}, after {}",
                before / MIB,
                peak / MIB,
                after / MIB
            );
            assert!(
                answers
                    .keys()
                    .all(|status| status == "200" || status == "503"),
                "{answers:?}"
            );
            assert!(answers.get("200").is_some_and(|count| *count > 0));
            assert!(peak < limit, "{name} {kind}: {} MiB", peak / MIB);
            assert!(
                after <= before + REST,
                "{name} {kind}: {} MiB remain",
                after / MIB
            );
        }
    }
}
