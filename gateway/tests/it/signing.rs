//! Clients that sign: what is verified before their body is read, and what strangers can hold.

use std::{fmt::Write as _, time::Duration};

use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    rig::{MODEL, Plan, Rig, TIMEOUT, ask},
    signer::Signer,
};

const PATH: &str = "/model/amazon.nova-lite-v1:0/converse";
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

async fn rig(document: &str) -> Rig {
    Rig::start(Plan {
        document: Some(format!("allow: ['*']\n{document}")),
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-1"))),
        ..Plan::default()
    })
    .await
}

/// Sends the head of a request that announces a body, and nothing more.
async fn head_only(rig: &Rig, headers: &[(&str, String)], length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let mut head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n",
        rig.address
    );
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    stream
        .write_all(format!("{head}\r\n").as_bytes())
        .await
        .unwrap();
    stream
}

/// The status of the response.
async fn status(stream: &mut TcpStream) -> String {
    let mut start = [0; 12];
    let read = timeout(TIMEOUT, stream.read_exact(&mut start)).await;
    read.expect("a response without a body").unwrap();
    String::from_utf8_lossy(&start[9..]).into_owned()
}

fn headers(signer: &Signer, rig: &Rig) -> Vec<(&'static str, String)> {
    let host = rig.address.to_string();
    signer.headers((&Method::POST, &host, PATH), BODY.as_bytes())
}

#[tokio::test]
async fn signatures_with_and_without_the_hash_of_the_body_are_accepted() {
    let rig = rig("").await;
    for states_hash in [false, true] {
        let signer = Signer {
            states_hash,
            ..Signer::new("default", "sk-1")
        };
        let response = signer.call(&rig, Method::POST, PATH, BODY).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[tokio::test]
async fn what_needs_no_body_is_verified_before_it() {
    let rig = rig("").await;
    let right = || Signer::new("default", "sk-1");
    let old = right().time - Duration::from_mins(6);
    for (name, signer) in [
        ("an unknown name", Signer::new("stranger", "sk-1")),
        (
            "an old date",
            Signer {
                time: old,
                ..right()
            },
        ),
        (
            "another service",
            Signer {
                service: "s3",
                ..right()
            },
        ),
        (
            "another region",
            Signer {
                region: "eu-west-1",
                ..right()
            },
        ),
        (
            "a wrong key with a hash",
            Signer {
                states_hash: true,
                ..Signer::new("default", "sk-2")
            },
        ),
    ] {
        let mut stream = head_only(&rig, &headers(&signer, &rig), 1_000_000).await;
        assert_eq!(status(&mut stream).await, "401", "{name}");
    }
}

#[tokio::test]
async fn strangers_without_proof_take_no_place() {
    let rig = rig("limits: {maxInFlight: 1}\n").await;
    // The name of a key is no secret; the date is good and the signature is not.
    let forged = headers(&Signer::new("default", "guessed"), &rig);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(head_only(&rig, &forged, BODY.len()).await);
    }
    let bearer = [("authorization", "Bearer sk-1")];
    let body = ask(MODEL, "hi").to_string();
    let chat = rig
        .call(Method::POST, "/v1/chat/completions", &bearer, body)
        .await;
    assert_eq!(chat.status, 200, "{}", chat.text());
    for mut stream in waiting {
        stream.write_all(BODY.as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await, "401");
    }
}

#[tokio::test]
async fn bodies_without_proof_occupy_one_small_budget() {
    let rig = rig("").await;
    let forged = headers(&Signer::new("default", "guessed"), &rig);
    let piece = vec![b'x'; 12 * 1024 * 1024];
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut stream = head_only(&rig, &forged, piece.len() + 1).await;
        // A refused stream is closed while it is written.
        let _ = timeout(TIMEOUT, stream.write_all(&piece)).await.unwrap();
        waiting.push(stream);
    }
    let mut refused = 0;
    for stream in &mut waiting {
        let mut start = [0; 12];
        let read = timeout(Duration::from_millis(200), stream.read_exact(&mut start)).await;
        if let Ok(Ok(_)) = read {
            assert_eq!(&start[9..], b"503");
            refused += 1;
        } else if let Ok(Err(_)) = read {
            refused += 1;
        }
    }
    assert_eq!(refused, 2, "two of 12 MiB fit into 32 MiB");
    let proven = Signer {
        states_hash: true,
        ..Signer::new("default", "sk-1")
    };
    let response = proven.call(&rig, Method::POST, PATH, BODY).await;
    assert_eq!(response.status, 200, "{}", response.text());
}
