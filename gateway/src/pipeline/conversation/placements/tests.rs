use std::time::Duration;

use api::{GatewayConfig, config::Routing};
use serde_json::json;

use super::{super::Outline, *};
use crate::{
    pipeline::{authenticate::Caller, route::Routes},
    upstream::{health::Failure, target::Endpoints},
};

const MINUTE: Duration = Duration::from_mins(1);

fn routes(targets: &str) -> Routes {
    let yaml = format!("models: [{{name: m, targets: [{targets}]}}]");
    let config = GatewayConfig::from_yaml(&yaml).unwrap();
    let region = "us-east-1".parse().unwrap();
    Routes::try_new(
        &config,
        std::borrow::Cow::Borrowed(api::prices::builtin()),
        region,
        Endpoints::default(),
        None,
    )
    .unwrap()
}

fn conversation(number: u32) -> Affinity {
    let body = json!({ "prompt_cache_key": number.to_string(), "messages": [{ "role": "user" }] });
    let outline = Outline::of_body(body.to_string().as_bytes()).unwrap();
    Affinity::new(Some(&outline), "m", &Routing::default())
}

/// The targets of a request in their order.
fn order(routes: &Routes, placements: &Placements, affinity: &mut Affinity) -> Targets {
    let caller = Caller {
        name: String::new(),
        models: Vec::new(),
    };
    let targets = routes.resolve("m", &caller, affinity.key).unwrap();
    placements.arrange(targets, affinity)
}

/// The ids of the targets of a request; the first of them serves it.
fn served(routes: &Routes, placements: &Placements, affinity: &mut Affinity) -> Vec<String> {
    let targets = order(routes, placements, affinity);
    placements.served(affinity, &targets.first);
    targets
        .iter()
        .map(|target| target.model_id.clone())
        .collect()
}

fn eject(routes: &Routes, model_id: &str) -> Duration {
    let target = routes
        .with_alternatives()
        .find(|target| target.model_id == model_id);
    let health = target.unwrap().health.as_ref().unwrap();
    (0..5)
        .find_map(|_| health.failed(Failure::Hidden, Instant::now(), None))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_ejected_target_is_the_last_resort() {
    let routes = routes("{modelId: a}, {modelId: b}, {modelId: spare, priority: 1}");
    let placements = Placements::default();
    eject(&routes, "a");
    for number in 0..20 {
        let ids = served(&routes, &placements, &mut conversation(number));
        assert_eq!(ids, ["b", "spare", "a"]);
    }
    eject(&routes, "b");
    eject(&routes, "spare");
    let ids = served(&routes, &placements, &mut conversation(0));
    assert_eq!(
        ids.len(),
        3,
        "all ejected: the order is that of the conversation"
    );
    assert_eq!(ids[2], "spare");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_returns_while_the_cache_of_its_home_is_warm() {
    let routes = routes("{modelId: a}, {modelId: b}");
    let placements = Placements::default();
    let mut affinity = conversation(1);
    let home = served(&routes, &placements, &mut affinity)[0].clone();
    let time = eject(&routes, &home);
    assert_ne!(served(&routes, &placements, &mut affinity)[0], home);
    tokio::time::advance(time + MINUTE).await;
    assert_eq!(served(&routes, &placements, &mut affinity)[0], home);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_stays_while_only_the_other_cache_is_warm() {
    let routes = routes("{modelId: a}, {modelId: b}");
    let placements = Placements::default();
    let mut affinity = conversation(1);
    let home = served(&routes, &placements, &mut affinity)[0].clone();
    for _ in 0..4 {
        let time = eject(&routes, &home);
        assert_ne!(served(&routes, &placements, &mut affinity)[0], home);
        tokio::time::advance(time).await;
    }
    // Away for 150 s so far.
    for _ in 0..2 {
        eject(&routes, &home);
        assert_ne!(served(&routes, &placements, &mut affinity)[0], home);
        tokio::time::advance(4 * MINUTE).await;
    }
    for _ in 0..5 {
        let first = served(&routes, &placements, &mut affinity)[0].clone();
        assert_ne!(
            first, home,
            "the cache of the home has expired, the other is warm"
        );
        tokio::time::advance(4 * MINUTE).await;
    }
    tokio::time::advance(2 * MINUTE).await;
    assert_eq!(
        served(&routes, &placements, &mut affinity)[0],
        home,
        "both have expired"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lower_priority_is_left_as_soon_as_possible() {
    let routes = routes("{modelId: a}, {modelId: spare, priority: 1}");
    let placements = Placements::default();
    let mut affinity = conversation(1);
    for _ in 0..5 {
        let time = eject(&routes, "a");
        assert_eq!(served(&routes, &placements, &mut affinity)[0], "spare");
        tokio::time::advance(time).await;
    }
    tokio::time::advance(MINUTE).await;
    assert_eq!(served(&routes, &placements, &mut affinity)[0], "a");
}

#[tokio::test(start_paused = true)]
async fn random_requests_have_no_place() {
    let routes = routes("{modelId: a}, {modelId: b}");
    let placements = Placements::default();
    let mut first = [0, 0];
    for _ in 0..200 {
        let ids = served(&routes, &placements, &mut Affinity::random());
        first[usize::from(ids[0] == "b")] += 1;
    }
    assert!(first.iter().all(|count| *count > 50), "{first:?}");
    assert_eq!(placements.lock().len(), 0);
}

/// The first targets of conversations, of which no request is answered yet.
fn firsts(routes: &Routes, placements: &Placements, numbers: std::ops::Range<u32>) -> Vec<String> {
    let first = |number| order(routes, placements, &mut conversation(number)).first;
    numbers
        .map(|number| first(number).model_id.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_of_many_requests_probes_a_target_after_its_ejection() {
    let routes = routes("{modelId: a}, {modelId: b}");
    let placements = Placements::default();
    let before = firsts(&routes, &placements, 0..50);
    let of_a = before.iter().filter(|id| *id == "a").count();
    assert!((10..40).contains(&of_a), "{of_a}");
    let time = eject(&routes, "a");
    tokio::time::advance(time).await;
    let probing = firsts(&routes, &placements, 0..50);
    let expected = before.iter().position(|id| id == "a");
    assert_eq!(probing.iter().position(|id| id == "a"), expected);
    assert_eq!(probing.iter().filter(|id| *id == "a").count(), 1);
    // A request of another home reaches the target only after all others.
    let of_b = u32::try_from(before.iter().position(|id| id == "b").unwrap()).unwrap();
    let ids = served(&routes, &placements, &mut conversation(of_b));
    assert_eq!(ids, ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_stays_away_leaves_the_probe_to_others() {
    let routes = routes("{modelId: a}, {modelId: b}");
    let placements = Placements::default();
    let homes = firsts(&routes, &placements, 0..50);
    let of_a: Vec<_> = (0..50).filter(|number| homes[*number] == "a").collect();
    let [away, other] = [of_a[0], of_a[1]].map(|number| u32::try_from(number).unwrap());
    let mut affinity = conversation(away);
    for _ in 0..5 {
        let time = eject(&routes, "a");
        assert_eq!(served(&routes, &placements, &mut affinity)[0], "b");
        tokio::time::advance(time).await;
    }
    // After more than 5 minutes, only the cache of `b` is warm.
    assert_eq!(served(&routes, &placements, &mut affinity)[0], "b");
    let ids = served(&routes, &placements, &mut conversation(other));
    assert_eq!(ids[0], "a");
}
