//! Streams that are slow, silent, broken or left.

use std::time::Duration;

use awsdouble::{Fault, FaultAction};

use crate::rig::{MODEL, Plan, Rig, ask_stream, events, eventually, read_until};

const LEFT: &str = "bedrock_gateway_requests_total{route=\"/v1/chat/completions\",status=\"499\",reason=\"client_left\"}";

fn quick_pings() -> Plan {
    Plan {
        settings: Box::new(|settings| settings.ping_interval = Duration::from_millis(100)),
        ..Plan::default()
    }
}

#[tokio::test]
async fn client_that_leaves_ends_the_call_of_bedrock_at_once() {
    let rig = Rig::laptop().await;
    // Silent for longer than this test waits: nothing but the client's leaving can end the call.
    let mut response = rig.open_chat(&ask_stream(MODEL, "@slow 60s\nhello")).await;
    read_until(response.body_mut(), "assistant").await;
    drop(response);
    eventually("the double sees the call cancelled", async || {
        let calls = rig.double.calls_of("ConverseStream");
        let stream = calls.first().and_then(|call| call.stream.clone());
        stream.is_some_and(|stream| stream.ended == "cancelled")
    })
    .await;
    eventually("the request is accounted for", async || {
        rig.metric(LEFT).await == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn client_that_leaves_before_the_first_byte_ends_the_call_too() {
    for stream in [false, true] {
        let rig = Rig::laptop().await;
        let mut body = ask_stream(MODEL, "@first 60s\nhello");
        body["stream"] = stream.into();
        let waiting = rig.open_chat(&body);
        let _ = tokio::time::timeout(Duration::from_millis(300), waiting).await;
        eventually("the request is accounted for", async || {
            rig.metric(LEFT).await == Some(1.0)
        })
        .await;
    }
}

#[tokio::test]
async fn events_are_passed_on_as_they_come_and_not_gathered() {
    let rig = Rig::laptop().await;
    let mut response = rig
        .open_chat(&ask_stream(MODEL, "@stall 3\nhello there everybody"))
        .await;
    // The stream stalls for ever after its third event: what came before must be here already.
    let text = read_until(response.body_mut(), "hell").await;
    assert!(text.contains("\"role\":\"assistant\""), "{text}");
}

#[tokio::test]
async fn silent_stream_sends_comments_so_that_nobody_takes_it_for_dead() {
    let rig = Rig::start(quick_pings()).await;
    let mut response = rig.open_chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let text = read_until(response.body_mut(), ": ping\n\n: ping\n\n").await;
    assert!(text.contains("assistant"), "{text}");
}

#[tokio::test]
async fn stream_opens_before_a_slow_model_begins_and_still_answers() {
    let rig = Rig::start(quick_pings()).await;
    let answer = rig.chat(&ask_stream(MODEL, "@first 500ms\nhello")).await;
    let text = answer.text();
    assert!(text.starts_with(": ping\n\n"), "{text}");
    assert_eq!(events(&text).last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn refusal_after_the_stream_was_opened_is_an_error_event() {
    let rig = Rig::start(quick_pings()).await;
    rig.double.inject(Fault::new(
        "ConverseStream",
        FaultAction::Delay { milliseconds: 400 },
    ));
    let prompt = ask_stream(MODEL, "@error ValidationException too wrong");
    let answer = rig.chat(&prompt).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with(": ping"), "{}", answer.text());
    let events = answer.events();
    let error = &events.last().unwrap()["error"];
    assert_eq!(error["code"], "ValidationException", "{error}");
    assert_eq!(error["message"], "too wrong");
    assert_eq!(error["status"], 400);
}

#[tokio::test]
async fn stream_that_is_silent_for_too_long_ends_with_an_error() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nallow: ['*']\nlimits: {streamIdleSeconds: 1}",
    )
    .await;
    let answer = rig.chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let events = answer.events();
    assert_eq!(events.last().unwrap()["error"]["code"], "stream_idle");
    assert_eq!(events.last().unwrap()["error"]["status"], 504);
}

#[tokio::test]
async fn stream_that_breaks_or_ends_too_early_is_never_a_success() {
    let rig = Rig::laptop().await;
    for (prompt, code) in [
        ("@cut 3\nhello there", "stream_cut"),
        ("@end 3\nhello there", "stream_truncated"),
    ] {
        let answer = rig.chat(&ask_stream(MODEL, prompt)).await;
        let events = answer.events();
        assert_eq!(answer.status, 200);
        assert_eq!(events.last().unwrap()["error"]["code"], code, "{events:?}");
        assert_eq!(events.last().unwrap()["error"]["status"], 502);
        assert!(!answer.text().contains("[DONE]"));
    }
}

#[tokio::test]
async fn frames_split_anywhere_give_the_same_answer() {
    let rig = Rig::laptop().await;
    let text = "the quick brown fox jumps over the lazy dog";
    let whole = rig
        .chat(&ask_stream(MODEL, &format!("@coalesce\n{text}")))
        .await;
    for bytes in [1, 2, 3, 7, 61] {
        let split = rig
            .chat(&ask_stream(MODEL, &format!("@split {bytes}\n{text}")))
            .await;
        let said = |answer: &crate::rig::Answer| crate::rig::streamed_text(&answer.events());
        assert_eq!(said(&split), said(&whole), "{bytes} bytes a write");
        assert_eq!(split.events().last().unwrap(), "[DONE]");
    }
}
