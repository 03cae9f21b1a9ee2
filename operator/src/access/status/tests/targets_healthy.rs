//! `TargetsHealthy`: ejected targets, as gateways report them.

use super::*;
use crate::access::readiness::EjectedTarget;

const TWO_TARGETS: &str = "models: [{name: fast, targets: [{modelId: us.amazon.nova-lite-v1:0}, {modelId: us.amazon.nova-lite-v1:0, region: us-west-2}]}]";

fn pod_with(ejected: &[(&str, u64)]) -> PodState {
    let targets = ejected.iter().map(|(region, for_seconds)| EjectedTarget {
        model: "us.amazon.nova-lite-v1:0".to_owned(),
        region: (*region).to_owned(),
        role: String::new(),
        for_seconds: *for_seconds,
    });
    PodState {
        ready: true,
        report: Some(Report {
            ready: true,
            reason: "Ready".to_owned(),
            message: String::new(),
            roles: Vec::new(),
            ejected: targets.collect(),
            spend: None,
            shares: None,
        }),
        ..pod("chat-gateway-1")
    }
}

#[test]
fn ejected_targets_have_their_own_condition_and_do_not_affect_ready() {
    let healthy = || pod_with(&[]);
    for (pods, state, reason, said) in [
        (vec![healthy()], "True", "Ready", "No gateway pod"),
        (
            vec![pod_with(&[("us-west-2", 10)])],
            "True",
            "Ready",
            "No gateway pod",
        ),
        (
            vec![healthy(), pod_with(&[("us-west-2", 80)])],
            "False",
            "TargetEjected",
            "1 of 2 gateway pods have ejected us.amazon.nova-lite-v1:0 in us-west-2 because",
        ),
        (
            vec![pod_with(&[("us-west-2", 80), ("us-east-1", 300)])],
            "False",
            "TargetEjected",
            "us-east-1 (one of 2 ejected targets)",
        ),
        (
            vec![PodState {
                ready: true,
                ..pod("chat-gateway-1")
            }],
            "Unknown",
            "Pending",
            "Waiting",
        ),
        (Vec::new(), "Unknown", "NoPods", "No gateway pod is running"),
    ] {
        let case = Case {
            spec: TWO_TARGETS,
            pods,
            ..Case::default()
        };
        let status = case.status();
        check(
            &status,
            &[
                ("Ready", "True", "Ready"),
                ("TargetsHealthy", state, reason),
            ],
        );
        let message = &find(&status, "TargetsHealthy").unwrap().message;
        assert!(message.contains(said), "{message}");
    }
    assert!(find(&Case::default().status(), "TargetsHealthy").is_none());
}
