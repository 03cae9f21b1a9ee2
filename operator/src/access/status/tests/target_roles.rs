//! `TargetRolesReady`: credentials of target roles, as gateways report them.

use super::*;
use crate::access::readiness::RoleReport;

const ROLE: &str = "arn:aws:iam::210987654321:role/Models";
const WITH_ROLE: &str = "models: [{name: fast, targets: [{modelId: anthropic.claude-3-haiku-20240307-v1:0, assumeRole: {roleArn: 'arn:aws:iam::210987654321:role/Models'}}]}]";

/// A pod whose gateway reports this about the target's role; `None` if its configuration does not contain the role yet.
fn with_role(ready: bool, said: Option<(bool, &str)>) -> PodState {
    let role = said.map(|(ready, reason)| RoleReport {
        role: ROLE.to_owned(),
        ready,
        reason: reason.to_owned(),
        message: "not authorized to perform sts:AssumeRole".to_owned(),
    });
    PodState {
        ready,
        report: Some(Report {
            ready,
            reason: "Ready".to_owned(),
            message: String::new(),
            roles: role.into_iter().collect(),
            ejected: Vec::new(),
            spend: None,
            shares: None,
        }),
        ..pod("chat-gateway-1")
    }
}

#[test]
fn target_role_has_its_own_condition_and_does_not_affect_ready() {
    let served = || with_role(true, Some((true, "Ready")));
    for (pods, state, reason) in [
        (vec![served()], "True", "Ready"),
        (
            vec![served(), with_role(true, Some((false, "AccessDenied")))],
            "False",
            "AccessDenied",
        ),
        // The new configuration has not reached the pod.
        (vec![with_role(true, None)], "Unknown", "Pending"),
        (
            vec![with_role(true, Some((false, "Pending")))],
            "Unknown",
            "Pending",
        ),
        // A starting pod beside a serving one.
        (
            vec![served(), with_role(false, Some((false, "Pending")))],
            "True",
            "Ready",
        ),
        // The pod did not respond.
        (
            vec![PodState {
                ready: true,
                ..pod("chat-gateway-1")
            }],
            "Unknown",
            "Pending",
        ),
        (Vec::new(), "Unknown", "NoPods"),
    ] {
        let case = Case {
            spec: WITH_ROLE,
            pods,
            ..Case::default()
        };
        let status = case.status();
        check(
            &status,
            &[
                ("Ready", "True", "Ready"),
                ("TargetRolesReady", state, reason),
            ],
        );
        let message = &find(&status, "TargetRolesReady").unwrap().message;
        assert_eq!(message.contains(ROLE), state == "False", "{message}");
    }
    assert!(find(&Case::default().status(), "TargetRolesReady").is_none());
}
