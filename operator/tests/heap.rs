//! The heap profile of the operator's program, read by the tool that people read it with.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(target_os = "linux")]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_mins(1);

/// Ended when dropped.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// An operator that waits for a cluster which never answers.
fn operator(folder: &Path, pprof: SocketAddr, malloc_conf: &str) -> Operator {
    let nowhere = free();
    let kubeconfig = folder.join(format!("heap-{}.kubeconfig", pprof.port()));
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: x, users: [{{name: x, user: {{}}}}], \
         clusters: [{{name: x, cluster: {{server: 'http://{nowhere}'}}}}], \
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]}}"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_bedrock-access-operator"))
        .env("KUBECONFIG", kubeconfig)
        .env("_RJEM_MALLOC_CONF", malloc_conf)
        .arg(format!("--pprof-address={pprof}"))
        .arg(format!("--metrics-address={}", free()))
        .arg(format!("--health-address={}", free()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Operator(child)
}

/// Status line and body.
async fn get(address: SocketAddr) -> (String, Vec<u8>) {
    let end = Instant::now() + TIMEOUT;
    let mut connection = loop {
        match TcpStream::connect(address) {
            Ok(connection) => break connection,
            Err(error) => assert!(Instant::now() < end, "nobody listens: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    connection
        .write_all(b"GET /debug/pprof/heap HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let body = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let status = String::from_utf8_lossy(&answer);
    let status = status.lines().next().unwrap().to_owned();
    (status, answer.split_off(body + 4))
}

/// What the tool says of a profile, with functions that hold next to nothing.
fn functions(profile: &Path) -> String {
    let pprof = Command::new("go")
        .args(["tool", "pprof", "-top", "-cum", "-nodecount=10000"])
        .args(["-nodefraction=0", "-edgefraction=0"])
        .arg(profile)
        .output()
        .unwrap();
    assert!(
        pprof.status.success(),
        "{}",
        String::from_utf8_lossy(&pprof.stderr)
    );
    String::from_utf8_lossy(&pprof.stdout).into_owned()
}

#[tokio::test]
async fn profile_names_the_functions_that_hold_memory() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let address = free();
    // Many samples: this operator has next to nothing.
    let _operator = operator(folder, address, "prof:true,lg_prof_sample:5");
    let file = folder.join("heap.pb.gz");
    let end = Instant::now() + TIMEOUT;
    // The profile is served from the start, when the operator holds nothing of its own yet.
    loop {
        let (status, body) = get(address).await;
        assert_eq!(
            status,
            "HTTP/1.1 200 OK",
            "{}",
            String::from_utf8_lossy(&body)
        );
        std::fs::write(&file, body).unwrap();
        let text = functions(&file);
        assert!(text.contains("Type: inuse_space"), "{text}");
        if text.contains("operator::run") {
            return;
        }
        assert!(Instant::now() < end, "{text}");
    }
}

#[tokio::test]
async fn without_sampling_the_answer_says_how_to_have_it() {
    let address = free();
    let _operator = operator(Path::new(env!("CARGO_TARGET_TMPDIR")), address, "");
    let (status, body) = get(address).await;
    assert_eq!(status, "HTTP/1.1 501 Not Implemented");
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("operator.heapProfile in the chart"), "{text}");
}
