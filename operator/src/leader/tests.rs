//! Elections against a scripted API server, with paused time.

use http::StatusCode;
use serde_json::json;

use super::*;
use crate::fixtures::Scripted;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator";

fn candidate(api: &Scripted, identity: &str) -> Candidacy {
    Candidacy::start(
        api.client(),
        Some(LeaderElection {
            namespace: "system".to_owned(),
            lease: "operator".to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
        }),
        Seed::default(),
        Arc::new(Metrics::new(1)),
    )
}

fn held(by: &str) -> serde_json::Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "operator", "namespace": "system", "resourceVersion": "1"},
        "spec": {"holderIdentity": by, "leaseDurationSeconds": 15, "leaseTransitions": 0},
    })
}

fn holder(api: &Scripted) -> String {
    api.object(PATH).unwrap()["spec"]["holderIdentity"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn leads(candidacy: &Candidacy) -> Duration {
    let started = Instant::now();
    candidacy.leadership.acquired().next().await.unwrap();
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn expired_lease_is_taken() {
    let api = Scripted::default();
    api.put(PATH, held("other"));
    let me = candidate(&api, "me");
    let waited = leads(&me).await;
    assert!(
        (Duration::from_secs(15)..Duration::from_secs(18)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(holder(&api), "me");
}

#[tokio::test(start_paused = true)]
async fn released_lease_is_taken_within_one_attempt() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    let other = candidate(&api, "other");
    // sleep: in paused time.
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!other.leadership.is_ours(), "the holder renews the Lease");
    me.resign().await;
    assert_eq!(holder(&api), "");
    let waited = leads(&other).await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn holder_that_cannot_renew_gives_up_before_the_lease_expires() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    api.fail(PATH, StatusCode::INTERNAL_SERVER_ERROR, "no");
    let started = Instant::now();
    me.lost.cancelled().await;
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(15)).contains(&took),
        "{took:?}"
    );
    assert!(!me.leadership.is_ours());
}

#[tokio::test(start_paused = true)]
async fn holder_that_fails_temporarily_keeps_the_lease() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    api.fail(PATH, StatusCode::CONFLICT, "no");
    // sleep: in paused time.
    tokio::time::sleep(Duration::from_secs(8)).await;
    api.heal();
    // sleep: in paused time.
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(me.leadership.is_ours());
}

#[tokio::test(start_paused = true)]
async fn lease_taken_by_force_is_lost_immediately() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    api.put(PATH, held("other"));
    let started = Instant::now();
    me.lost.cancelled().await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(holder(&api), "other");
}
