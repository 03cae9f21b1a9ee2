//! Two operators work on the same objects at once, as they do when a lease is lost unnoticed, and one that is late
//! writes what was true once; and of two that agree by a Lease, the leader is lost.

use std::{future::Future, pin::Pin, sync::Arc};

use kube::api::DeleteParams;
use tokio::time::timeout;

use super::{
    oracle,
    proxy::Fault,
    world::{self, CHILD, TIMEOUT, World, every_child},
};
use crate::support::lane;

type Story = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Two operators from the first moment on.
async fn overlap(world: Arc<World>, namespace: String, state: Arc<String>) {
    let case = world.case(&namespace).await;
    let one = case.operator().await;
    let other = case.operator().await;
    case.apply(&every_child()).await;
    case.settled_like(&one, &state).await;
    case.settled_like(&other, &state).await;
    // Neither undoes what the other did, and both see to a child that is gone.
    oracle::api(&world.client, &namespace, "Service")
        .delete(CHILD, &DeleteParams::background())
        .await
        .unwrap();
    case.settled_like(&one, &state).await;
    case.settled_like(&other, &state).await;
}

/// An operator stands still in a write; another takes over and finishes; then the write comes through
/// after all, and its operator dies.
async fn late_write(world: Arc<World>, namespace: String, write: String, state: Arc<String>) {
    let case = world.case(&namespace).await;
    let late = case.operator().await;
    late.proxy.arm(&write, Fault::HoldRequest);
    case.apply(&every_child()).await;
    late.proxy.struck().await;
    let next = case.operator().await;
    case.settled_like(&next, &state).await;
    let proxy = late.kill().await;
    proxy.release();
    timeout(TIMEOUT, proxy.arrived()).await.unwrap();
    case.settled_like(&next, &state).await;
}

/// Of two replicas the leader is cut off right after a write, in the middle of a reconcile: it ends itself when it can
/// no longer renew the Lease, and the other continues from there.
async fn leader_lost(world: Arc<World>, namespace: String, write: String, state: Arc<String>) {
    let case = world.case(&namespace).await;
    case.allow_leases();
    let leader = case.replica("first").await;
    case.led_by("first").await;
    let standby = case.replica("second").await;
    leader.proxy.arm(&write, Fault::DeadAfter);
    case.apply(&every_child()).await;
    leader.proxy.struck().await;
    assert_eq!(standby.proxy.writes(), Vec::<String>::new());
    case.led_by("second").await;
    let ended = timeout(TIMEOUT, leader.ended()).await.unwrap();
    assert!(matches!(ended, Err(operator::RunError::LeadershipLost)));
    case.settled_like(&standby, &state).await;
}

/// The story without a fault: where it ends, and what it writes besides Events.
async fn oracle(world: &Arc<World>, namespace: &str) -> (Arc<String>, Vec<String>) {
    let case = world.case(namespace).await;
    let operator = case.operator().await;
    case.apply(&every_child()).await;
    let state = Arc::new(case.settled(&operator).await);
    let mut writes = operator.proxy.writes();
    writes.sort();
    writes.dedup();
    writes.retain(|write| !write.ends_with("events"));
    (state, writes)
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_may_be_lost_after_any_write() {
    let world = World::shared().await;
    let (state, writes) = oracle(&world, "lost-oracle").await;
    let cases = writes
        .into_iter()
        .enumerate()
        .filter(|(row, _)| world::is_sampled(*row, 0, 4))
        .map(|(number, write)| {
            let namespace = format!("lost-{number}");
            let name = format!("{write} is the leader's last");
            let case = leader_lost(Arc::clone(&world), namespace, write, Arc::clone(&state));
            (name, case)
        })
        .collect();
    world::run("leaders", lane::pick(2, 8), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_may_overlap() {
    let world = World::shared().await;
    let (state, writes) = oracle(&world, "overlap-oracle").await;
    let mut cases: Vec<(String, Story)> = Vec::new();
    for number in 0..lane::pick(1, 4) {
        let namespace = format!("overlap-{number}");
        let case = overlap(Arc::clone(&world), namespace, Arc::clone(&state));
        cases.push((format!("two operators, try {number}"), Box::pin(case)));
    }
    for (row, write) in writes.into_iter().enumerate() {
        if !world::is_sampled(row, 0, 3) {
            continue;
        }
        let namespace = format!("late-{}", cases.len());
        let name = format!("{write} comes late");
        let case = late_write(Arc::clone(&world), namespace, write, Arc::clone(&state));
        cases.push((name, Box::pin(case)));
    }
    world::run("operators", lane::pick(3, 12), cases).await;
}
