//! Each write fails, or takes effect without a response, or is the last one of its operator.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    proxy::Fault,
    world::{self, Case, Operator, World, every_child, with_gateway},
};
use crate::support::lane;

/// Faults of a write and their descriptions. The last two apply to creations only, which need no prior state.
const FAULTS: [(&str, Fault); 9] = [
    ("answers 409", Fault::Answer(409)),
    ("answers 429", Fault::Answer(429)),
    ("answers 500", Fault::Answer(500)),
    ("answers 503", Fault::Answer(503)),
    ("times out before it took effect", Fault::SilenceBefore),
    ("times out after it took effect", Fault::SilenceAfter),
    ("is the operator's last", Fault::DeadAfter),
    ("is cut off before it took effect", Fault::CutBefore),
    ("is cut off after it took effect", Fault::CutAfter),
];

/// A story: a BedrockAccess exists or not, and then gets a spec.
#[derive(Clone)]
struct Story {
    name: &'static str,
    before: Option<Value>,
    spec: Value,
}

/// A story without faults: its writes and its final state.
struct Oracle {
    writes: Vec<String>,
    state: String,
}

impl Story {
    /// Prepares the state before the story.
    async fn prologue(&self, case: &Case) -> Operator {
        let operator = case.operator().await;
        if let Some(before) = &self.before {
            case.apply(before).await;
            case.settled(&operator).await;
        }
        operator
    }

    async fn oracle(&self, world: &Arc<World>) -> Oracle {
        let case = world.case(&format!("{}-oracle", self.name)).await;
        let operator = self.prologue(&case).await;
        let before = operator.proxy.writes().len();
        case.apply(&self.spec).await;
        let state = case.settled(&operator).await;
        let mut writes: Vec<String> = Vec::new();
        for write in &operator.proxy.writes()[before..] {
            if !writes.contains(write) {
                writes.push(write.clone());
            }
        }
        Oracle { writes, state }
    }

    /// The story with a fault at one of its writes.
    async fn with(
        self,
        world: Arc<World>,
        number: usize,
        write: String,
        fault: Fault,
        end: String,
    ) {
        let case = world.case(&format!("{}-{number:03}", self.name)).await;
        let mut operator = self.prologue(&case).await;
        let dies = matches!(fault, Fault::DeadAfter);
        operator.proxy.arm(&write, fault);
        case.apply(&self.spec).await;
        operator.proxy.struck().await;
        if dies {
            operator.kill().await;
            operator = case.operator().await;
        }
        case.settled_like(&operator, &end).await;
    }

    /// All cases of the story.
    async fn run(self, world: &Arc<World>, at_least: usize) {
        let oracle = self.oracle(world).await;
        let mut cases = Vec::new();
        let left_out = if self.before.is_some() { 2 } else { 0 };
        let faults = &FAULTS[..FAULTS.len() - left_out];
        for (row, write) in oracle.writes.iter().enumerate() {
            for (column, (words, fault)) in faults.iter().enumerate() {
                if !world::is_sampled(row, column, faults.len()) {
                    continue;
                }
                let name = format!("{}: {write} {words}", self.name);
                let story = self.clone().with(
                    Arc::clone(world),
                    cases.len(),
                    write.clone(),
                    fault.clone(),
                    oracle.state.clone(),
                );
                cases.push((name, story));
            }
        }
        world::run(self.name, at_least, cases).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_a_creation_may_fail_in_every_way() {
    let world = World::shared().await;
    let story = Story {
        name: "creation",
        before: None,
        spec: every_child(),
    };
    story.run(&world, lane::pick(10, 90)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_a_change_may_fail_in_every_way() {
    let world = World::shared().await;
    let mut after = with_gateway(json!({
        "replicas": 2,
        "networkPolicy": {"enabled": false},
        "service": {"annotations": {"team": "a"}},
    }));
    after["identity"]["irsa"]["roleArn"] = json!("arn:aws:iam::123456789012:role/Other");
    after["models"][0]["name"] = json!("quick");
    let story = Story {
        name: "change",
        before: Some(every_child()),
        spec: after,
    };
    story.run(&world, lane::pick(8, 60)).await;

    let story = Story {
        name: "handover",
        before: Some(with_gateway(json!({"replicas": 2}))),
        spec: with_gateway(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})),
    };
    story.run(&world, lane::pick(2, 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_a_removal_may_fail_in_every_way() {
    let world = World::shared().await;
    // Only a configuration for sidecars remains.
    let mut sidecars = with_gateway(json!({"enabled": false}));
    sidecars["sidecar"] = json!({"serviceAccounts": [{"name": "app"}]});
    let story = Story {
        name: "removal",
        before: Some(every_child()),
        spec: sidecars,
    };
    story.run(&world, lane::pick(5, 40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_may_be_changed_or_deleted_during_every_write_of_its_creation() {
    let world = World::shared().await;
    let story = Story {
        name: "meanwhile",
        before: None,
        spec: every_child(),
    };
    let oracle = story.oracle(&world).await;
    let changed = {
        let gateway = json!({"replicas": 1, "networkPolicy": {"enabled": false}});
        let mut spec = with_gateway(gateway);
        spec["models"][0]["name"] = json!("quick");
        spec
    };
    // Two changes of the spec, the second right after the first, as all of the cases below have.
    let end = {
        let case = world.case("meanwhile-changed-oracle").await;
        let operator = case.operator().await;
        case.apply(&every_child()).await;
        case.settled(&operator).await;
        case.apply(&changed).await;
        case.settled(&operator).await
    };
    let mut cases = Vec::new();
    for (row, write) in oracle.writes.into_iter().enumerate() {
        for deleted in [false, true] {
            if !world::is_sampled(row, usize::from(deleted), 2) {
                continue;
            }
            let what = if deleted { "deleted" } else { "changed" };
            let name = format!("access is {what} during {write}");
            let number = cases.len();
            let (world, write) = (Arc::clone(&world), write.clone());
            let (changed, end) = (changed.clone(), end.clone());
            cases.push((name, async move {
                let case = world.case(&format!("meanwhile-{number:03}")).await;
                let operator = case.operator().await;
                operator.proxy.arm(&write, Fault::HoldAnswer);
                case.apply(&every_child()).await;
                operator.proxy.struck().await;
                if deleted {
                    case.delete().await;
                } else {
                    case.apply(&changed).await;
                }
                operator.proxy.release();
                if deleted {
                    case.settled_like(&operator, "{}").await;
                } else {
                    case.settled_like(&operator, &end).await;
                }
            }));
        }
    }
    world::run("meanwhile", lane::pick(10, 20), cases).await;
}
