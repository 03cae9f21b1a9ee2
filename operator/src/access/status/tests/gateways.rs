//! `status.gateways`: ready and desired gateway pods.

use super::*;

#[track_caller]
fn gateways(case: Case) -> Option<String> {
    case.status().gateways
}

#[test]
fn ready_and_desired_pods_are_counted() {
    let degraded = deployment(&json!({
        "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1,
    }));
    for (found, expected) in [(settled(), "2/2"), (degraded, "1/2"), (starting(), "0/2")] {
        let case = Case {
            deployment: Some(found),
            ..Case::default()
        };
        assert_eq!(gateways(case).as_deref(), Some(expected));
    }
}

#[test]
fn before_the_deployment_exists_the_spec_says_how_many_pods_are_desired() {
    for (spec, expected) in [
        ("", "0/2"),
        ("gateway: {replicas: 5}", "0/5"),
        (
            "gateway: {autoscaling: {minReplicas: 3, maxReplicas: 9}}",
            "0/3",
        ),
    ] {
        let case = Case {
            deployment: None,
            spec,
            ..Case::default()
        };
        assert_eq!(gateways(case).as_deref(), Some(expected), "{spec}");
    }
}

#[test]
fn without_gateway_pods_it_is_not_set() {
    let case = Case {
        deployment: None,
        spec: "{gateway: {enabled: false}, clients: {}, sidecar: {serviceAccounts: [{name: app}]}}",
        ..Case::default()
    };
    assert_eq!(gateways(case), None);
}
