//! `TargetRolesReady`: what gateways say of the roles that targets name.

use super::*;
use crate::access::readiness::RoleReport;

const ROLE: &str = "arn:aws:iam::210987654321:role/Models";
const WITH_ROLE: &str = "models: [{name: fast, targets: [{modelId: anthropic.claude-3-haiku-20240307-v1:0, assumeRole: {roleArn: 'arn:aws:iam::210987654321:role/Models'}}]}]";

/// A pod whose gateway says this of the role of a target; nothing where it has not heard of the role.
fn with_role(ready: bool, said: Option<(bool, &str)>) -> PodFacts {
    let role = said.map(|(ready, reason)| RoleReport {
        role: ROLE.to_owned(),
        ready,
        reason: reason.to_owned(),
        message: "not authorized to perform sts:AssumeRole".to_owned(),
    });
    PodFacts {
        ready,
        report: Some(Report {
            ready,
            reason: "Ready".to_owned(),
            message: String::new(),
            roles: role.into_iter().collect(),
        }),
        ..pod("chat-gateway-1")
    }
}

#[test]
fn role_of_a_target_has_a_condition_of_its_own_and_decides_nothing_else() {
    let served = || with_role(true, Some((true, "Ready")));
    for (pods, state, reason) in [
        (vec![served()], "True", "Ready"),
        (
            vec![served(), with_role(true, Some((false, "AccessDenied")))],
            "False",
            "AccessDenied",
        ),
        // Its configuration has not reached the pod.
        (vec![with_role(true, None)], "Unknown", "Pending"),
        (
            vec![with_role(true, Some((false, "Pending")))],
            "Unknown",
            "Pending",
        ),
        // A pod that starts beside one that serves.
        (
            vec![served(), with_role(false, Some((false, "Pending")))],
            "True",
            "Ready",
        ),
        // It did not answer.
        (
            vec![PodFacts {
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
