//! Slow, silent, cut and abandoned streams.

use std::time::Duration;

use awsdouble::{Fault, FaultAction};

use crate::rig::{MODEL, Plan, Rig, ask_stream, events, eventually, read_until};

const DISCONNECTED: &str = "bedrock_gateway_requests_total{route=\"/v1/chat/completions\",status=\"499\",reason=\"client_left\"}";

fn quick_pings() -> Plan {
    Plan {
        settings: Box::new(|settings| settings.ping_interval = Duration::from_millis(100)),
        ..Plan::default()
    }
}

#[tokio::test]
async fn cancels_the_bedrock_call_when_the_client_disconnects() {
    let rig = Rig::laptop().await;
    // Silent for longer than the test's timeout: only the client's disconnect can end the call.
    let mut response = rig.open_chat(&ask_stream(MODEL, "@slow 60s\nhello")).await;
    read_until(response.body_mut(), "assistant").await;
    drop(response);
    eventually("the call is cancelled", async || {
        let calls = rig.double.calls_of("ConverseStream");
        let stream = calls.first().and_then(|call| call.stream.clone());
        stream.is_some_and(|stream| stream.ended == "cancelled")
    })
    .await;
    eventually("the request is accounted for", async || {
        rig.metric(DISCONNECTED).await == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn cancels_the_call_when_the_client_disconnects_before_the_first_byte() {
    for stream in [false, true] {
        let rig = Rig::laptop().await;
        let mut body = ask_stream(MODEL, "@first 60s\nhello");
        body["stream"] = stream.into();
        let waiting = rig.open_chat(&body);
        let _ = tokio::time::timeout(Duration::from_millis(300), waiting).await;
        eventually("the request is accounted for", async || {
            rig.metric(DISCONNECTED).await == Some(1.0)
        })
        .await;
    }
}

#[tokio::test]
async fn forwards_events_immediately_without_buffering() {
    let rig = Rig::laptop().await;
    let mut response = rig
        .open_chat(&ask_stream(MODEL, "@stall 3\nhello there everybody"))
        .await;
    // The stream stalls after its third event: earlier events must have arrived.
    let text = read_until(response.body_mut(), "hell").await;
    assert!(text.contains("\"role\":\"assistant\""), "{text}");
}

#[tokio::test]
async fn a_silent_stream_sends_comments_as_keep_alive() {
    let rig = Rig::start(quick_pings()).await;
    let mut response = rig.open_chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let text = read_until(response.body_mut(), ": ping\n\n: ping\n\n").await;
    assert!(text.contains("assistant"), "{text}");
}

#[tokio::test]
async fn the_stream_starts_before_a_slow_model_responds() {
    let rig = Rig::start(quick_pings()).await;
    let response = rig.chat(&ask_stream(MODEL, "@first 500ms\nhello")).await;
    let text = response.text();
    assert!(text.starts_with(": ping\n\n"), "{text}");
    assert_eq!(events(&text).last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn an_error_after_the_stream_has_started_is_an_error_event() {
    let rig = Rig::start(quick_pings()).await;
    rig.double.inject(Fault::new(
        "ConverseStream",
        FaultAction::Delay { milliseconds: 400 },
    ));
    let prompt = ask_stream(MODEL, "@error ValidationException too wrong");
    let response = rig.chat(&prompt).await;
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with(": ping"), "{}", response.text());
    let events = response.events();
    let error = &events.last().unwrap()["error"];
    assert_eq!(error["code"], "ValidationException", "{error}");
    assert_eq!(error["message"], "too wrong");
    assert_eq!(error["status"], 400);
}

#[tokio::test]
async fn an_idle_stream_times_out_with_an_error() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nallow: ['*']\nlimits: {streamIdleSeconds: 1}",
    )
    .await;
    let response = rig.chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let events = response.events();
    assert_eq!(events.last().unwrap()["error"]["code"], "stream_idle");
    assert_eq!(events.last().unwrap()["error"]["status"], 504);
}

#[tokio::test]
async fn a_cut_or_truncated_stream_ends_with_an_error() {
    let rig = Rig::laptop().await;
    for (prompt, code) in [
        ("@cut 3\nhello there", "stream_cut"),
        ("@end 3\nhello there", "stream_truncated"),
    ] {
        let response = rig.chat(&ask_stream(MODEL, prompt)).await;
        let events = response.events();
        assert_eq!(response.status, 200);
        assert_eq!(events.last().unwrap()["error"]["code"], code, "{events:?}");
        assert_eq!(events.last().unwrap()["error"]["status"], 502);
        assert!(!response.text().contains("[DONE]"));
    }
}

#[tokio::test]
async fn frames_can_be_split_at_any_byte() {
    let rig = Rig::laptop().await;
    let text = "the quick brown fox jumps over the lazy dog";
    let whole = rig
        .chat(&ask_stream(MODEL, &format!("@coalesce\n{text}")))
        .await;
    for bytes in [1, 2, 3, 7, 61] {
        let split = rig
            .chat(&ask_stream(MODEL, &format!("@split {bytes}\n{text}")))
            .await;
        let text_of =
            |response: &crate::rig::Response| crate::rig::streamed_text(&response.events());
        assert_eq!(text_of(&split), text_of(&whole), "{bytes} bytes per write");
        assert_eq!(split.events().last().unwrap(), "[DONE]");
    }
}
