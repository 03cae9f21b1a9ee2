//! Shutdown of a gateway.

use http_body_util::BodyExt;

use crate::rig::{MODEL, Rig, ask, ask_stream, events, eventually, read_until};

#[tokio::test]
async fn an_open_stream_completes_before_shutdown() {
    let mut rig = Rig::laptop().await;
    let mut response = rig
        .open_chat(&ask_stream(
            MODEL,
            "@slow 100ms\none two three four five six",
        ))
        .await;
    let mut text = read_until(response.body_mut(), "assistant").await;
    rig.terminate();
    eventually("the gateway is not ready", async || {
        rig.admin("/readyz").await.status == 503
    })
    .await;
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    text.push_str(std::str::from_utf8(&rest).unwrap());
    assert_eq!(events(&text).last().unwrap(), "[DONE]", "{text}");
    assert_eq!(rig.ended().await.dropped, 0);
}

#[tokio::test]
async fn an_idle_gateway_shuts_down_at_once_and_accepts_no_connections() {
    let mut rig = Rig::laptop().await;
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    rig.terminate();
    assert_eq!(rig.ended().await.dropped, 0);
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn a_stream_that_exceeds_the_drain_time_ends_with_an_error() {
    let mut rig =
        Rig::with_document("clients: {anonymous: true}\nallow: ['*']\nlimits: {drainSeconds: 1}")
            .await;
    let mut response = rig.open_chat(&ask_stream(MODEL, "@stall 2\nhello")).await;
    let mut text = read_until(response.body_mut(), "assistant").await;
    rig.terminate();
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    text.push_str(std::str::from_utf8(&rest).unwrap());
    let events = events(&text);
    assert_eq!(
        events.last().unwrap()["error"]["code"],
        "gateway_shutting_down",
        "{text}"
    );
    assert_eq!(rig.ended().await.dropped, 0);
}
