//! The status while `spec.suspend` is true.

use super::*;

fn suspended(case: Case) -> BedrockAccessStatus {
    Case {
        suspended: true,
        ..case
    }
    .status()
}

#[test]
fn ready_reports_whether_gateway_pods_serve() {
    let status = suspended(Case::default());
    check(
        &status,
        &[
            ("Ready", "True", "Suspended"),
            ("Reconciling", "False", "Suspended"),
            ("Stalled", "False", "Suspended"),
            ("GatewayAvailable", "True", "Ready"),
            ("CredentialsReady", "True", "Ready"),
        ],
    );
    let message = &find(&status, "Ready").unwrap().message;
    assert!(message.contains("Set spec.suspend to false"), "{message}");
    assert!(message.contains("2 of 2 gateway pods"), "{message}");

    let status = suspended(Case {
        deployment: Some(starting()),
        ..Case::default()
    });
    check(&status, &[("Ready", "False", "Suspended")]);
    assert_eq!(status.gateways.as_deref(), Some("0/2"));
}

#[test]
fn fields_describe_the_objects_that_exist_and_not_the_spec() {
    let before = Case::default().status();
    let status = suspended(Case {
        spec: "{region: eu-central-1, identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/Other'}}, gateway: {enabled: false}, sidecar: {serviceAccounts: [{name: app}]}}",
        previous: Some(before.clone()),
        ..Case::default()
    });
    assert_eq!(status.role_arn, before.role_arn);
    assert_eq!(status.endpoint, before.endpoint);
    assert_eq!(status.trust_policy, before.trust_policy);
    assert_eq!(status.gateways.as_deref(), Some("2/2"));
}

#[test]
fn object_that_was_created_suspended_is_not_ready() {
    let status = suspended(Case {
        deployment: None,
        pods: Vec::new(),
        ..Case::default()
    });
    check(&status, &[("Ready", "False", "Suspended")]);
    assert_eq!(status.gateways, None);
    assert_eq!(status.endpoint, None);
}

#[test]
fn object_for_sidecars_only_stays_ready() {
    let case = || Case {
        deployment: None,
        pods: Vec::new(),
        spec: "{gateway: {enabled: false}, clients: {}, sidecar: {serviceAccounts: [{name: app}]}}",
        ..Case::default()
    };
    let before = case().status();
    let status = suspended(Case {
        previous: Some(before),
        ..case()
    });
    check(&status, &[("Ready", "True", "Suspended")]);
    let status = suspended(case());
    check(&status, &[("Ready", "False", "Suspended")]);
}
