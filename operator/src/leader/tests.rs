//! Elections against a scripted API server, in paused time.

use http::StatusCode;
use serde_json::json;

use super::*;
use crate::fixtures::Scripted;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator";

fn candidate(api: &Scripted, identity: &str) -> Candidacy {
    Candidacy::start(
        api.client(),
        LeaderElection {
            namespace: "system".to_owned(),
            lease: "operator".to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
        },
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
    let begun = Instant::now();
    candidacy.leadership.won().next().await.unwrap();
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn lease_that_nobody_renews_is_taken_when_it_has_run_out() {
    let api = Scripted::default();
    api.put(PATH, held("she"));
    let me = candidate(&api, "me");
    let waited = leads(&me).await;
    assert!(
        (Duration::from_secs(15)..Duration::from_secs(18)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(holder(&api), "me");
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_given_back_is_taken_within_a_try() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    let other = candidate(&api, "other");
    // sleep: in paused time.
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!other.leadership.is_ours(), "it is renewed");
    me.resign().await;
    assert_eq!(holder(&api), "");
    let waited = leads(&other).await;
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn holder_that_cannot_renew_gives_up_before_anybody_can_have_taken_it() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    api.fail(PATH, StatusCode::INTERNAL_SERVER_ERROR, "no");
    let begun = Instant::now();
    me.lost.cancelled().await;
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(10)..Duration::from_secs(15)).contains(&took),
        "{took:?}"
    );
    assert!(!me.leadership.is_ours());
}

#[tokio::test(start_paused = true)]
async fn holder_that_fails_for_a_while_keeps_it() {
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
async fn lease_that_somebody_took_by_force_is_lost_at_once() {
    let api = Scripted::default();
    api.put(PATH, held("me"));
    let me = candidate(&api, "me");
    leads(&me).await;
    api.put(PATH, held("she"));
    let begun = Instant::now();
    me.lost.cancelled().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(holder(&api), "she");
}
