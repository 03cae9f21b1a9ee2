//! The proxies of the environment, with a proxy that tunnels (`CONNECT`) and forwards requests in absolute form.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::rig::{MODEL, Plan, Rig, ask, eventually};

/// A proxy that connects every destination to one address, and records the heads of requests to it.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(destination: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let record = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, destination, Arc::clone(&record)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn forward(mut client: TcpStream, to: SocketAddr, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads
        .lock()
        .unwrap()
        .push(String::from_utf8_lossy(&head).into_owned());
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    if head.starts_with(b"CONNECT ") {
        let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
        client.write_all(established).await.unwrap();
    } else {
        server.write_all(&head).await.unwrap();
    }
    let _closed = copy_bidirectional(&mut client, &mut server).await;
}

/// A rig whose Bedrock has a name that only the proxy knows.
async fn rig(environment: &[(&str, &str)], document: &str) -> (Rig, Proxy) {
    let mut plan = Plan {
        document: Some(format!(
            "clients: {{anonymous: true}}\nallow: ['*']\n{document}"
        )),
        ..Plan::default()
    };
    let double = awsdouble::Double::start(std::mem::take(&mut plan.double))
        .await
        .unwrap();
    let destination = double
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let proxy = Proxy::start(destination).await;
    for (name, value) in environment {
        let value = value.replace("{proxy}", &proxy.address.to_string());
        plan.environment.push(((*name).to_owned(), value));
    }
    (Rig::beside(double, plan).await.unwrap(), proxy)
}

const ENDPOINT: &str = "endpoints: {bedrockRuntime: 'http://bedrock.example'}";

#[tokio::test]
async fn calls_of_bedrock_are_tunnelled_with_the_credentials_of_the_proxy() {
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let (rig, proxy) = rig(&[(name, "http://user:p%40ss@{proxy}")], ENDPOINT).await;
        let response = rig.chat(&ask(MODEL, "hi")).await;
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let heads = proxy.heads();
        let tunnel = heads
            .iter()
            .find(|head| head.starts_with("CONNECT bedrock.example:80 "));
        let tunnel = tunnel.unwrap_or_else(|| panic!("{name}: {heads:?}"));
        // user:p@ss
        assert!(
            tunnel.contains("roxy-Authorization: Basic dXNlcjpwQHNz"),
            "{tunnel}"
        );
        let sent = format!("{:?}", rig.calls());
        assert!(
            !sent.to_lowercase().contains("proxy-authorization"),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn https_destinations_use_the_proxy_for_https() {
    let endpoint = "endpoints: {bedrockRuntime: 'https://bedrock.example'}";
    let proxies = [
        ("https_proxy", "{proxy}"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ];
    let (rig, proxy) = rig(&proxies, endpoint).await;
    // The double has no TLS.
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 502, "{}", response.text());
    let heads = proxy.heads();
    let found = heads
        .iter()
        .any(|head| head.starts_with("CONNECT bedrock.example:443 "));
    assert!(found, "{heads:?}");
}

#[tokio::test]
async fn no_proxy_and_this_machine_are_reached_directly() {
    for (no_proxy, endpoint, status) in [
        // Nothing but the proxy resolves the name.
        ("bedrock.example", ENDPOINT, 502),
        (".example", ENDPOINT, 502),
        ("*", ENDPOINT, 502),
        ("other.example, 10.0.0.0/8", ENDPOINT, 200),
        ("", "", 200),
    ] {
        let proxies = [("HTTP_PROXY", "http://{proxy}"), ("NO_PROXY", no_proxy)];
        let (rig, proxy) = rig(&proxies, endpoint).await;
        let response = rig.chat(&ask(MODEL, "hi")).await;
        assert_eq!(response.status, status, "{no_proxy}: {}", response.text());
        let asked = proxy
            .heads()
            .iter()
            .any(|head| head.contains("bedrock.example"));
        assert_eq!(asked, no_proxy.starts_with("other"), "{no_proxy}");
    }
}

#[tokio::test]
async fn errors_of_the_proxy_do_not_show_its_credentials() {
    let proxies = [("HTTP_PROXY", "http://user:secret@127.0.0.1:1")];
    let (rig, _proxy) = rig(&proxies, ENDPOINT).await;
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 502);
    assert!(!response.text().contains("secret"), "{}", response.text());
    let socks = [("HTTP_PROXY", "socks5://user:secret@127.0.0.1:1")];
    let (rig, _proxy) = self::rig(&socks, ENDPOINT).await;
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert!(!response.text().contains("secret"), "{}", response.text());
}

#[tokio::test]
async fn sts_is_reached_through_the_proxy() {
    let proxies = [("HTTP_PROXY", "http://user:pass@{proxy}")];
    let document = "endpoints: {sts: 'http://sts.example'}";
    let (rig, proxy) = rig(&proxies, document).await;
    eventually("STS is asked for the caller", async || {
        proxy
            .heads()
            .iter()
            .any(|head| head.contains("sts.example"))
    })
    .await;
    let heads = proxy.heads();
    let head = heads
        .iter()
        .find(|head| head.contains("sts.example"))
        .unwrap();
    assert!(
        head.to_lowercase().contains("proxy-authorization: basic"),
        "{head}"
    );
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
}
