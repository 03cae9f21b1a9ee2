//! Rate limits shared by gateways through a real Redis or Valkey server that stops and restarts.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    rig::{MODEL, Rig, ask, eventually, now},
    store_server::{PASSWORD, Server},
};

const UP: &str = "bedrock_gateway_limit_store_up{store=\"redis\"}";
const FALLBACKS: &str = "bedrock_gateway_limit_store_fallbacks_total";

async fn gateway(server: &Server, limits: &str) -> Rig {
    let rig = Rig::with_document(&server.document(limits)).await;
    store_up(&rig, true).await;
    rig
}

async fn store_up(rig: &Rig, wanted: bool) {
    let wanted = f64::from(u8::from(wanted));
    eventually(&format!("{UP} is {wanted}"), async || {
        rig.metric(UP).await == Some(wanted)
    })
    .await;
}

/// Waits until the current minute has more than 20 seconds left, because the weight of counts changes with the minute.
async fn within_a_minute() {
    eventually("a minute with enough time left", async || now() % 60 < 40).await;
}

async fn chat(rig: &Rig) -> u16 {
    rig.chat(&ask(MODEL, "hi")).await.status.as_u16()
}

#[tokio::test]
async fn gateways_share_the_request_count() {
    let server = Server::start();
    let one = gateway(&server, "requestsPerMinute: 4").await;
    let other = gateway(&server, "requestsPerMinute: 4").await;
    within_a_minute().await;
    assert_eq!(chat(&one).await, 200);
    assert_eq!(chat(&other).await, 200);
    assert_eq!(chat(&one).await, 200);
    let last = other.chat(&ask(MODEL, "hi")).await;
    assert_eq!(last.status, 200);
    assert_eq!(last.headers["x-ratelimit-limit-requests"], "4");
    assert_eq!(last.headers["x-ratelimit-remaining-requests"], "0");
    for rig in [&one, &other] {
        let rejected = rig.chat(&ask(MODEL, "hi")).await;
        assert_eq!(rejected.status, 429);
        let message = rejected.text();
        assert!(message.contains("BedrockAccess team-a/chat"), "{message}");
        let wait: u64 = rejected.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        assert_eq!(rig.metric(FALLBACKS).await, Some(0.0));
    }
}

/// Two gateways that share a token count, which uses both scripts.
async fn share_token_count(server: &Server) -> [Rig; 2] {
    let one = gateway(server, "tokensPerDay: 1").await;
    let other = gateway(server, "tokensPerDay: 1").await;
    assert_eq!(chat(&one).await, 200);
    // Tokens are charged in the background.
    eventually(
        "the tokens of one gateway count for the other",
        async || {
            let rejected = other.chat(&ask("no-such-model", "hi")).await;
            rejected.status == 429 && rejected.error()["code"] == "insufficient_quota"
        },
    )
    .await;
    [one, other]
}

#[tokio::test]
async fn gateways_share_the_token_count() {
    share_token_count(&Server::start()).await;
}

#[tokio::test]
async fn a_stopped_store_delays_no_request_and_is_used_again_after_a_restart() {
    let mut server = Server::start();
    let one = gateway(&server, "requestsPerMinute: 1000").await;
    let other = gateway(&server, "requestsPerMinute: 1000").await;
    assert_eq!(chat(&one).await, 200);
    server.kill();
    for _ in 0..20 {
        assert_eq!(chat(&one).await, 200);
        assert_eq!(chat(&other).await, 200);
    }
    store_up(&one, false).await;
    assert!(one.metric(FALLBACKS).await.unwrap() >= 1.0);
    // Each gateway counts its own requests.
    let own = one.chat(&ask(MODEL, "hi")).await;
    let remaining: u64 = own.headers["x-ratelimit-remaining-requests"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((970..=985).contains(&remaining), "{remaining}");

    server.restart();
    store_up(&one, true).await;
    store_up(&other, true).await;
    within_a_minute().await;
    let shared = one.chat(&ask(MODEL, "hi")).await;
    assert_eq!(shared.headers["x-ratelimit-remaining-requests"], "999");
    let shared = other.chat(&ask(MODEL, "hi")).await;
    assert_eq!(shared.headers["x-ratelimit-remaining-requests"], "998");
}

#[tokio::test]
async fn a_hanging_store_causes_one_short_delay() {
    let server = Server::start();
    let rig = gateway(&server, "requestsPerMinute: 1000").await;
    assert_eq!(chat(&rig).await, 200);
    server.signal("-STOP");
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(chat(&rig).await, 200);
    }
    // Much less than 20 timeouts.
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    store_up(&rig, false).await;
    server.signal("-CONT");
    store_up(&rig, true).await;
    assert_eq!(chat(&rig).await, 200);
}

#[tokio::test]
async fn falls_back_to_local_counters_if_the_store_rejects_the_password() {
    let server = Server::start();
    std::fs::write(server.directory.path().join("password"), "another").unwrap();
    let rig = Rig::with_document(&server.document("requestsPerMinute: 2")).await;
    assert_eq!(chat(&rig).await, 200);
    store_up(&rig, false).await;
    let own = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(own.status, 200);
    // A corrected password is used without a restart.
    std::fs::write(server.directory.path().join("password"), PASSWORD).unwrap();
    store_up(&rig, true).await;
}

#[tokio::test]
async fn a_reload_adds_and_removes_the_store() {
    let server = Server::start();
    let rig = Rig::with_document(
        "{clients: {anonymous: true}, allow: ['*'], limits: {requestsPerMinute: 1000}}",
    )
    .await;
    assert_eq!(rig.metric(UP).await, None);
    rig.write_config(&server.document("requestsPerMinute: 1000"));
    store_up(&rig, true).await;
    rig.write_config(
        "{clients: {anonymous: true}, allow: ['*'], limits: {requestsPerMinute: 1000}}",
    );
    eventually("the store is removed", async || {
        rig.metric(UP).await.is_none()
    })
    .await;
    rig.write_config(
        "{clients: {anonymous: true}, allow: ['*'], limits: {store: {redis: {url: 'redis://a b'}}}}",
    );
    eventually("an invalid address is rejected", async || {
        let rejected = "bedrock_gateway_config_reloads_total{result=\"refused\"}";
        rig.metric(rejected).await == Some(1.0)
    })
    .await;
    assert_eq!(chat(&rig).await, 200);
}

#[tokio::test]
async fn authenticates_to_the_store_with_tls_and_minimal_permissions() {
    let server = Server::encrypted();
    for rig in &share_token_count(&server).await {
        assert_eq!(rig.metric(FALLBACKS).await, Some(0.0));
    }
}

#[tokio::test]
async fn falls_back_to_local_counters_if_the_stores_certificate_is_not_trusted() {
    let server = Server::encrypted();
    std::fs::remove_file(server.directory.path().join("ca.crt")).unwrap();
    let rig = Rig::with_document(&server.document("requestsPerMinute: 3")).await;
    for _ in 0..3 {
        assert_eq!(chat(&rig).await, 200);
    }
    // Limited by local counters.
    assert_eq!(chat(&rig).await, 429);
    assert!(rig.metric(FALLBACKS).await.unwrap() >= 3.0);
    store_up(&rig, false).await;
}
