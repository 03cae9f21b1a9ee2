//! Watches break, and continue from their resource version or find it too old; lists fail at the start.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use api::v1alpha1::policy::BedrockAccessPolicy;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

use super::{
    oracle::{self, CHILDREN},
    proxy::Fault,
    world::{self, CHILD, World, every_child, with_gateway},
};
use crate::support::{eventually, lane};

type Story = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Further watched resources.
const WATCHED: [&str; 3] = ["bedrockaccesses", "pods", "pods inject"];

/// While the watch of a kind of children is broken, the child is deleted: the operator receives no event, unless the
/// watch continues from its resource version.
async fn deleted_unseen(world: Arc<World>, plural: &'static str, namespace: String, expired: bool) {
    let case = world.case(&namespace).await;
    let operator = case.operator().await;
    case.apply(&every_child()).await;
    let state = case.settled(&operator).await;
    operator.proxy.bar(plural);
    oracle::api(&world.client, &namespace, plural)
        .delete(CHILD, &DeleteParams::background())
        .await
        .unwrap();
    operator.proxy.allow(plural, expired);
    eventually(&format!("{plural} are watched again"), || async {
        let watched = operator.proxy.is_watched(plural);
        watched
            .then_some(())
            .ok_or_else(|| "they are not".to_owned())
    })
    .await;
    assert_eq!(operator.proxy.has_struck(), expired);
    case.settled_like(&operator, &state).await;
}

/// While the watch of BedrockAccess objects is broken, the spec is changed.
async fn changed_unseen(world: Arc<World>, namespace: String, expired: bool) {
    let mut changed = every_child();
    changed["models"][0]["name"] = json!("quick");
    let case = world.case(&namespace).await;
    let operator = case.operator().await;
    case.apply(&every_child()).await;
    case.settled(&operator).await;
    operator.proxy.bar("bedrockaccesses");
    case.apply(&changed).await;
    operator.proxy.allow("bedrockaccesses", expired);
    let end = case
        .settled_as(&operator, |state| {
            let seen = state.contains("\"observedGeneration\": 2") && state.contains("quick");
            seen.then_some(()).ok_or_else(|| state.to_owned())
        })
        .await;
    // The same, with an operator that received the events.
    let other = world.case(&format!("{namespace}-seen")).await;
    let seeing = other.operator().await;
    other.apply(&every_child()).await;
    other.settled(&seeing).await;
    other.apply(&changed).await;
    other.settled_like(&seeing, &end).await;
}

/// While their watch is broken, the only policy is deleted, or the namespace loses its selected label.
async fn rules_change_unseen(world: &Arc<World>, resource: &str, expired: bool) {
    let how = if expired { "expired" } else { "cut" };
    let case = world.case(&format!("{how}-{resource}")).await;
    let operator = case.operator().await;
    // Without an autoscaler, which would change the owner of the replicas.
    case.apply(&with_gateway(json!({}))).await;
    let ungoverned = case.settled(&operator).await;
    let denied = |state: &str| {
        let denied = state.contains("NotAllowed") && state.contains("\"replicas\": 0");
        denied.then_some(()).ok_or_else(|| state.to_owned())
    };
    let policies = Api::<BedrockAccessPolicy>::all(world.client.clone());
    let reach = json!({"namespaces": {"selector": {"matchLabels": {"ai": "yes"}}}});
    let policy = serde_json::from_value(json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicy",
        "metadata": {"name": "labelled"}, "spec": reach,
    }))
    .unwrap();
    policies
        .create(&PostParams::default(), &policy)
        .await
        .unwrap();
    case.settled_as(&operator, denied).await;
    case.label(&json!({"ai": "yes"})).await;
    let governed = case.settled(&operator).await;
    assert!(governed.contains("\"type\": \"Accepted\""), "{governed}");

    operator.proxy.bar(resource);
    if resource == "namespaces" {
        case.label(&json!({"ai": null})).await;
    }
    let go = || async {
        policies
            .delete("labelled", &DeleteParams::default())
            .await
            .unwrap();
    };
    if resource == "bedrockaccesspolicies" {
        go().await;
    }
    operator.proxy.allow(resource, expired);
    if resource == "namespaces" {
        case.settled_as(&operator, denied).await;
        go().await;
    }
    case.settled_like(&operator, &ungoverned).await;
    assert_eq!(operator.proxy.has_struck(), expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_change_while_their_watch_is_broken_are_followed() {
    // Policies apply to every namespace: one case after the other.
    let world = World::alone().await;
    let resources = ["bedrockaccesspolicies", "namespaces"];
    for (row, resource) in resources.into_iter().enumerate() {
        for expired in [false, true] {
            if !world::is_sampled(row, usize::from(expired), 2) {
                continue;
            }
            rules_change_unseen(&world, resource, expired).await;
        }
    }
}

/// The first list of a resource fails; if `paged`, on an API server that does not stream lists.
async fn list_fails(
    world: Arc<World>,
    resource: &'static str,
    paged: bool,
    namespace: String,
    fault: Fault,
    state: Arc<String>,
) {
    let case = world.case(&namespace).await;
    let proxy = case.proxy().await;
    let list = if paged {
        proxy.arm_times(
            &format!("stream {resource}"),
            Fault::Answer(422),
            usize::MAX,
        );
        format!("list {resource}")
    } else {
        format!("stream {resource}")
    };
    proxy.arm(&list, fault);
    case.apply(&every_child()).await;
    let operator = case.operator_behind(proxy);
    case.settled_like(&operator, &state).await;
    let strikes = if paged { 2 } else { 1 };
    assert!(
        operator.proxy.strikes() >= strikes,
        "{list} was never asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_watches_do_not_delay_the_events_of_others() {
    let world = World::shared().await;
    let case = world.case("watches-beside").await;
    let operator = case.operator().await;
    case.apply(&every_child()).await;
    case.settled(&operator).await;
    for broken in ["podmonitors", "horizontalpodautoscalers", "pods inject"] {
        operator.proxy.bar(broken);
    }
    // sleep: several errors of each, after which a delay that they share is longer than the time below.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let maps = oracle::api(&world.client, "watches-beside", "configmaps");
    let before = maps.get(CHILD).await.unwrap().metadata.uid;
    maps.delete(CHILD, &DeleteParams::background())
        .await
        .unwrap();
    let made_again = async {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            let map = maps.get_opt(CHILD).await.unwrap();
            if map.is_some_and(|map| map.metadata.uid != before) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(4), made_again)
        .await
        .expect("the operator sees a deleted ConfigMap while other watches are broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_watch_may_break_and_every_list_may_fail() {
    let world = World::shared().await;
    let mut cases: Vec<(String, Story)> = Vec::new();
    for (row, (_, _, _, plural)) in CHILDREN.into_iter().enumerate() {
        for expired in [false, true] {
            if !world::is_sampled(row, usize::from(expired), 2) {
                continue;
            }
            let how = if expired { "expired" } else { "cut" };
            let case = deleted_unseen(
                Arc::clone(&world),
                plural,
                format!("{how}-{plural}"),
                expired,
            );
            cases.push((format!("watch of {plural} is {how}"), Box::pin(case)));
        }
    }
    for expired in [false, true] {
        if !world::is_sampled(1, usize::from(expired), 2) {
            continue;
        }
        let how = if expired { "expired" } else { "cut" };
        let case = changed_unseen(
            Arc::clone(&world),
            format!("{how}-bedrockaccesses"),
            expired,
        );
        cases.push((format!("watch of bedrockaccesses is {how}"), Box::pin(case)));
    }

    let oracle = world.case("watches-oracle").await;
    let operator = oracle.operator().await;
    oracle.apply(&every_child()).await;
    let state = Arc::new(oracle.settled(&operator).await);
    let faults = [
        ("answers 500", Fault::Answer(500)),
        ("times out", Fault::SilenceBefore),
        ("is cut off", Fault::CutBefore),
    ];
    let resources = CHILDREN
        .into_iter()
        .map(|(_, _, _, plural)| plural)
        .chain(WATCHED);
    for (row, resource) in resources.enumerate() {
        let ways = [false, true]
            .into_iter()
            .flat_map(|paged| faults.iter().map(move |fault| (paged, fault)));
        for (column, (paged, (how, fault))) in ways.enumerate() {
            if !world::is_sampled(row, column, 2 * faults.len()) {
                continue;
            }
            let form = if paged { "in pages" } else { "streamed" };
            let namespace = format!("list-{}", cases.len());
            let name = format!("first list of {resource}, {form}, {how}");
            let case = list_fails(
                Arc::clone(&world),
                resource,
                paged,
                namespace,
                fault.clone(),
                Arc::clone(&state),
            );
            cases.push((name, Box::pin(case)));
        }
    }
    world::run("watches", lane::pick(18, 80), cases).await;
}
