//! Bodies and streams are forwarded unchanged in both directions.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::upstream::{Reply, Upstream, event};
use crate::rig::{Plan, Rig};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

async fn rig() -> (Upstream, Rig) {
    let upstream = Upstream::start().await;
    let mut plan = Plan::default();
    let url = format!("http://{}", upstream.address);
    plan.environment
        .push(("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(), url));
    (upstream, Rig::start(plan).await)
}

/// Generates the same cases in every run.
fn runner() -> TestRunner {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(Config::default(), rng)
}

/// JSON text with unusual numbers, whitespace, escapes, duplicate members and deep nesting.
fn json() -> impl Strategy<Value = String> {
    let space = prop::sample::select(vec!["", " ", "\n", "\t \r\n"]);
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "0",
            "-0",
            "-0.0",
            "1.0",
            "1.50",
            "1e5",
            "1E+05",
            "1e-400",
            "0.1000000000000000055511151231257827",
            "123456789012345678901234567890",
            "\"\"",
            "\"\\u0041\\/\\ud83e\\udd8a\"",
            "\"\u{1F98A} é\\n\u{2028}\"",
            "\"\\u0000\"",
        ])
        .prop_map(ToOwned::to_owned),
        any::<f64>()
            .prop_filter("JSON has no NaN", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let value = leaf.prop_recursive(24, 60, 5, move |inner| {
        let key = prop::sample::select(vec![
            "messages",
            "x",
            "x",
            "guardrailConfig",
            "\\u0078",
            "temperature",
            "é",
        ]);
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), space.clone())
                .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
            (prop::collection::vec((key, inner), 0..5), space.clone()).prop_map(
                |(members, space)| {
                    let members: Vec<String> = members
                        .iter()
                        .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}"))
                        .collect();
                    format!("{{{}{space}}}", members.join(","))
                }
            ),
        ]
    });
    value.prop_map(|value| format!("{{\"messages\":[],\"unknown\":{value}}}"))
}

#[tokio::test]
async fn forwards_a_thousand_unusual_bodies_unchanged_in_both_directions() {
    let (upstream, rig) = rig().await;
    let mut runner = runner();
    let bodies = json();
    for number in 0..1000 {
        let body = Bytes::from(bodies.new_tree(&mut runner).unwrap().current());
        let back = bodies.new_tree(&mut runner).unwrap().current();
        // Converse always reports usage.
        let usage = r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"#;
        let back = Bytes::from(back.replacen('{', usage, 1));
        upstream.set_reply(Reply {
            content_type: "application/json",
            pieces: vec![back.clone()],
            ..Reply::default()
        });
        let operation = if number % 2 == 0 {
            "converse"
        } else {
            "invoke"
        };
        let path = format!("/model/amazon.nova-lite-v1%3A0/{operation}");
        let response = rig.call(Method::POST, &path, &[], body.clone()).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.body, back, "{operation} {number}: the response");
        let received = upstream.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].path, path);
        assert_eq!(received[0].body, body, "{operation} {number}: the request");
    }
}

#[tokio::test]
async fn forwards_a_body_that_is_not_json() {
    let (upstream, rig) = rig().await;
    upstream.set_reply(Reply {
        content_type: "image/png",
        pieces: vec![Bytes::from_static(b"\x89PNG\x00\xff")],
        ..Reply::default()
    });
    let body = Bytes::from_static(b"\xff\xfe\x00 no text at all");
    let headers = [
        ("content-type", "application/octet-stream"),
        ("accept", "image/png"),
    ];
    let response = rig
        .call(Method::POST, "/model/m/invoke", &headers, body.clone())
        .await;
    assert_eq!(&response.body[..], b"\x89PNG\x00\xff");
    assert_eq!(response.headers["content-type"], "image/png");
    let received = &upstream.received()[0];
    assert_eq!(received.body, body);
    assert_eq!(received.headers["content-type"], "application/octet-stream");
    assert_eq!(received.headers["accept"], "image/png");
}

#[tokio::test]
async fn forwards_only_the_headers_of_bedrocks_api() {
    let (upstream, rig) = rig().await;
    upstream.set_reply(Reply {
        content_type: "application/json",
        headers: vec![
            ("x-amzn-bedrock-input-token-count", "3"),
            ("x-amzn-bedrock-service-tier", "flex"),
            ("x-amzn-requestid", "aws-1"),
            ("set-cookie", "of-aws=1"),
        ],
        pieces: vec![Bytes::from_static(b"{}")],
        ..Reply::default()
    });
    let headers = [
        ("x-amzn-bedrock-trace", "ENABLED"),
        ("x-amzn-bedrock-performanceconfig-latency", "optimized"),
        ("x-amzn-bedrock-accept", "application/json"),
        ("x-amzn-bedrock-service-tier", "flex"),
        ("x-amzn-bedrock-request-metadata", "{\"team\":\"a\"}"),
        ("cookie", "session=of-the-client"),
        ("x-forwarded-for", "10.0.0.1"),
        ("amz-sdk-invocation-id", "1"),
    ];
    let response = rig
        .call(Method::POST, "/model/m/invoke", &headers, "{}")
        .await;
    assert_eq!(response.headers["x-amzn-bedrock-input-token-count"], "3");
    assert_eq!(response.headers["x-amzn-bedrock-service-tier"], "flex");
    assert_eq!(response.headers["x-amzn-requestid"], "aws-1");
    assert!(!response.headers.contains_key("set-cookie"));
    let received = &upstream.received()[0].headers;
    for (name, value) in &headers[..4] {
        assert_eq!(received[*name], *value);
    }
    for (name, _) in &headers[4..] {
        assert!(!received.contains_key(*name), "{name}");
    }
}

#[tokio::test]
async fn forwards_event_streams_unchanged_however_they_are_split() {
    let (upstream, rig) = rig().await;
    let mut runner = runner();
    let streams = (
        prop::collection::vec("[a-zA-Z ]{0,200}", 1..20),
        prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    );
    let usage = br#"{"usage":{"inputTokens":2,"outputTokens":3,"totalTokens":5},"metrics":{"latencyMs":1},"p":"abc"}"#;
    for number in 0..100 {
        let (texts, cuts) = streams.new_tree(&mut runner).unwrap().current();
        let mut whole = event("messageStart", br#"{"p":"ab","role":"assistant"}"#);
        for text in &texts {
            let payload = format!(
                "{{\"contentBlockIndex\":0,\"delta\":{{\"text\":\"{text}\"}} ,\"p\":\"\"}}"
            );
            whole.extend(event("contentBlockDelta", payload.as_bytes()));
        }
        whole.extend(event("somethingNew", b"not even JSON \xff"));
        // Larger than the frames that the gateway inspects.
        if number % 10 == 0 {
            whole.extend(event("image", &vec![b'x'; 400_000]));
        }
        whole.extend(event("messageStop", br#"{"stopReason":"end_turn"}"#));
        whole.extend(event("metadata", usage));
        let whole = Bytes::from(whole);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces = cuts
            .windows(2)
            .map(|pair| whole.slice(pair[0]..pair[1]))
            .filter(|piece| !piece.is_empty());
        upstream.set_reply(Reply {
            content_type: EVENT_STREAM,
            pieces: pieces.collect(),
            ..Reply::default()
        });
        let response = rig
            .call(Method::POST, "/model/m/converse-stream", &[], "{}")
            .await;
        assert_eq!(response.status, 200, "{number}");
        assert_eq!(response.headers["content-type"], EVENT_STREAM);
        assert_eq!(response.body, whole, "{number}");
    }
    let name = "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"m\",gen_ai_token_type=\"output\"}";
    assert_eq!(
        rig.metric(name).await,
        Some(300.0),
        "the tokens of each stream are counted"
    );
}

#[tokio::test]
async fn a_stream_cut_inside_a_frame_is_cut_for_the_client() {
    let (upstream, rig) = rig().await;
    let start = event("messageStart", br#"{"role":"assistant"}"#);
    let delta = event("contentBlockDelta", br#"{"delta":{"text":"half of it"}}"#);
    upstream.set_reply(Reply {
        content_type: EVENT_STREAM,
        pieces: vec![start.clone().into(), Bytes::copy_from_slice(&delta[..20])],
        breaks: true,
        ..Reply::default()
    });
    let response = rig
        .open(Method::POST, "/model/m/converse-stream", &[], "{}")
        .await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut got = Vec::new();
    let error = loop {
        match body.frame().await {
            Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(
        error.is_some(),
        "the body must not end like a complete stream"
    );
    assert!(got.starts_with(&start));
    assert!(
        !got.windows(7).any(|window| window == b"Unavail"),
        "no exception frame is written inside a frame"
    );
}
