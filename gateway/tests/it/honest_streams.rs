//! Streams and responses that are not what they seem, and clients that leave or do not read.

use std::time::Duration;

use awsdouble::Fault;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    bedrock_api::upstream::{Reply, Upstream, event},
    messages::{VERSION, document},
    rig::{MODEL, Plan, Rig, ask, ask_stream, eventually, read_until},
};

const STREAM: &str = "/model/amazon.nova-lite-v1:0/converse-stream";
const NATIVE: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

/// A rig with a scripted Bedrock.
async fn scripted(reply: Reply) -> (Rig, Upstream) {
    let upstream = Upstream::start().await;
    upstream.set_reply(reply);
    let more = "- {name: gpt-oss, targets: [{modelId: 'openai.gpt-oss-20b-1:0'}]}\nallow: ['*']\n";
    let document = format!(
        "endpoints: {{bedrockRuntime: 'http://{}'}}\n{}{more}",
        upstream.address,
        document()
    );
    (Rig::with_document(&document).await, upstream)
}

fn json_reply(body: &'static str) -> Reply {
    Reply {
        content_type: "application/json",
        pieces: vec![Bytes::from_static(body.as_bytes())],
        ..Reply::default()
    }
}

#[tokio::test]
async fn foreign_json_with_status_200_is_a_bad_gateway() {
    for body in [
        r#"{"message":"boom"}"#,
        "[]",
        "{}",
        "null",
        r#"{"output":null}"#,
        r#"{"output":{"message":{"role":"assistant","content":null}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#,
    ] {
        let (rig, _upstream) = scripted(json_reply(body)).await;
        let messages = json!([{"role": "user", "content": "hi"}]);
        for (path, request) in [
            (
                "/v1/chat/completions",
                json!({"model": "nova", "messages": messages}),
            ),
            (
                "/v1/chat/completions",
                json!({"model": "gpt-oss", "messages": messages}),
            ),
            (
                "/v1/messages",
                json!({"model": "nova", "max_tokens": 9, "messages": messages}),
            ),
            (
                "/v1/messages",
                json!({"model": "invoke", "max_tokens": 9, "messages": messages}),
            ),
            (
                "/v1/responses",
                json!({"model": "nova", "store": false, "input": "hi"}),
            ),
        ] {
            let response = rig
                .call(Method::POST, path, &[VERSION], request.to_string())
                .await;
            assert_eq!(response.status, 502, "{path} {body}: {}", response.text());
        }
    }
    let empty = r#"{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":0,"totalTokens":1}}"#;
    let (rig, _upstream) = scripted(json_reply(empty)).await;
    let response = rig.chat(&ask("nova", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn foreign_body_with_status_200_is_a_bad_gateway_of_bedrocks_own_api() {
    let no_json = ["<html>sign in</html>", "", "null", "[1]", r#"{"output":"#];
    let no_usage = ["{}", r#"{"message":"boom"}"#];
    for body in no_json.into_iter().chain(no_usage) {
        let (rig, _upstream) = scripted(json_reply(body)).await;
        let turn = json!([{"role": "user", "content": [{"text": "hi"}]}]);
        let text = json!([{"role": "user", "content": "hi"}]);
        let claude = json!({
            "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": text,
        });
        let converse = ("/model/nova/converse", json!({ "messages": turn }));
        let invoke = ("/model/invoke/invoke", claude);
        for (path, request) in [converse, invoke] {
            let is_invoke = path.ends_with("/invoke");
            let response = rig.call(Method::POST, path, &[], request.to_string()).await;
            // InvokeModel returns what a model returns, which is a JSON object.
            let expected = if is_invoke && no_usage.contains(&body) {
                200
            } else {
                502
            };
            assert_eq!(
                response.status,
                expected,
                "{path} {body}: {}",
                response.text()
            );
        }
    }
}

#[tokio::test]
async fn native_streams_without_a_stop_end_with_an_exception() {
    let of = |name: &str, payload: &str| Bytes::from(event(name, payload.as_bytes()));
    let start = of("messageStart", r#"{"role":"assistant"}"#);
    let delta = r#"{"contentBlockIndex":0,"delta":{"text":"hi"}}"#;
    let text = of("contentBlockDelta", delta);
    let stop = of("messageStop", r#"{"stopReason":"end_turn"}"#);
    for (pieces, whole) in [
        (vec![start.clone(), text.clone()], false),
        (vec![start, text, stop], true),
    ] {
        let (rig, _upstream) = scripted(Reply {
            content_type: "application/vnd.amazon.eventstream",
            pieces,
            ..Reply::default()
        })
        .await;
        let response = rig.call(Method::POST, STREAM, &[], NATIVE).await;
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(
            body.contains("serviceUnavailableException"),
            !whole,
            "{body}"
        );
        let route = "/model/{id}/converse-stream";
        let (status, reason) = if whole {
            (200, "")
        } else {
            (502, "stream_cut")
        };
        let metric = format!(
            "bedrock_gateway_requests_total{{route=\"{route}\",status=\"{status}\",reason=\"{reason}\"}}"
        );
        eventually("the stream is recorded", async || {
            rig.metric(&metric).await == Some(1.0)
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_last_frame_is_charged() {
    let text = "clients: {anonymous: true}\nallow: ['*']\nlimits: {tokensPerDay: 1000000}\n";
    let prompt = "@say one two three four";
    let native = json!({"messages": [{"role": "user", "content": [{"text": prompt}]}]});
    let messages = json!({"model": MODEL, "max_tokens": 99, "stream": true,
        "messages": [{"role": "user", "content": prompt}]});
    for (path, body, last) in [
        (
            "/v1/chat/completions",
            ask_stream(MODEL, prompt),
            "\"finish_reason\":\"stop\"",
        ),
        ("/v1/messages", messages, "content_block_stop"),
        (STREAM, native, "messageStop"),
    ] {
        let rig = Rig::with_document(text).await;
        let response = rig
            .open(Method::POST, path, &[VERSION], body.to_string())
            .await;
        let mut stream = response.into_body();
        let reading = async {
            let mut read = Vec::new();
            while !String::from_utf8_lossy(&read).contains(last) {
                let Some(Ok(frame)) = stream.frame().await else {
                    panic!("{path} ended before {last}");
                };
                read.extend_from_slice(&frame.into_data().unwrap_or_default());
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .unwrap();
        drop(stream);
        eventually("the tokens are counted", async || {
            let page = rig.admin("/metrics").await.text();
            page.contains("gen_ai_token_type=\"output\"")
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_gives_its_place_back() {
    let rig = Rig::start(Plan {
        document: Some(
            "clients: {anonymous: true}\nallow: ['*']\nlimits: {maxInFlight: 1}\n".to_owned(),
        ),
        settings: Box::new(|settings| settings.write_timeout = Duration::from_millis(300)),
        ..Plan::default()
    })
    .await;
    let long = ask(MODEL, &format!("@say {}", "x".repeat(8_000_000))).to_string();
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        long.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(long.as_bytes()).await.unwrap();
    eventually("the response begins", async || {
        stream.readable().await.is_ok()
            && rig.metric("bedrock_gateway_in_flight_requests").await == Some(1.0)
    })
    .await;
    let busy = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(busy.status, 503, "the place is held: {}", busy.text());
    eventually("the place is free", async || {
        rig.chat(&ask(MODEL, "hi")).await.status == 200
    })
    .await;
    drop(stream);
}

#[tokio::test]
async fn silent_connections_end_and_give_way_to_others() {
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| {
            settings.detect_timeout = Duration::from_millis(300);
            settings.max_connections = Some(8);
        }),
        ..Plan::default()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(rig.admin("/healthz").await.status, 200);
    for stream in &mut silent {
        let mut rest = Vec::new();
        let ended =
            tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection is closed");
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_a_load_balancers() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nallow: ['*']\nlimits: {keepAliveSeconds: 2}\n",
    )
    .await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for pause in [0, 1000] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stream.write_all(request).await.unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        let mut rest = [0; 4096];
        let _read = stream.read(&mut rest).await.unwrap();
    }
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "closed after two idle seconds");
}

#[tokio::test]
async fn retries_end_with_the_budget_and_a_long_retry_after() {
    let rig = Rig::laptop().await;
    rig.double
        .inject(Fault::error("Converse", 429, "ThrottlingException"));
    for _ in 0..12 {
        let response = rig.chat(&ask(MODEL, "hi")).await;
        assert_eq!(response.status, 429, "{}", response.text());
        // Agents wait and continue; without a retry they would end their session.
        assert!(response.headers.contains_key("retry-after"));
        assert!(!response.headers.contains_key("x-should-retry"));
    }
    let calls = rig.double.calls_of("Converse").len();
    assert!(calls < 12 * 3, "{calls} calls for 12 requests");
}

#[tokio::test]
async fn clients_do_not_repeat_an_internal_error_that_the_gateway_has_repeated() {
    let rig = Rig::laptop().await;
    rig.double
        .inject(Fault::error("Converse", 500, "InternalServerException"));
    let response = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(rig.double.calls_of("Converse").len(), 3);
    assert!(!response.headers.contains_key("retry-after"));
    assert_eq!(response.headers["x-should-retry"], "false");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_repeated() {
    let (rig, upstream) = scripted(Reply {
        content_type: "application/json",
        pieces: vec![Bytes::from_static(b"{\"output\":")],
        breaks: true,
        ..Reply::default()
    })
    .await;
    let response = rig.chat(&ask("nova", "hi")).await;
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(upstream.received().len(), 1);
}

#[tokio::test]
async fn long_names_are_not_found_and_short_in_the_message() {
    let rig = Rig::laptop().await;
    let response = rig.chat(&ask(&"m".repeat(3_000_000), "hi")).await;
    assert_eq!(response.status, 404);
    assert!(response.body.len() < 100_000);
    assert!(rig.calls().is_empty());
    let value: Value = response.json();
    assert_eq!(value["error"]["code"], "model_not_found");
    let mut stream = rig.open_chat(&ask_stream(MODEL, "hi")).await.into_body();
    assert!(read_until(&mut stream, "[DONE]").await.contains("hi"));
}
