//! `BedrockAccess` objects with sidecars: counted, outdated, without credentials.

use super::*;
use crate::access::build::sidecar::template;

const SIDECARS_ONLY: &str = "{gateway: {enabled: false}, clients: {}, sidecar: {serviceAccounts: [{name: app}, {name: batch}]}}";

fn sidecar(name: &str, ready: bool, hash: Option<&str>) -> SidecarState {
    SidecarState {
        pod: PodState { ready, ..pod(name) },
        hash: hash.map(ToOwned::to_owned),
    }
}

#[test]
fn access_with_only_sidecars_is_ready_and_counts_them() {
    let current = template(&fixtures::validated(SIDECARS_ONLY)).unwrap().hash;
    let status = Case {
        deployment: None,
        pods: Vec::new(),
        spec: SIDECARS_ONLY,
        sidecars: vec![
            sidecar("app-1", true, Some(&current)),
            sidecar("app-2", false, Some("before")),
        ],
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "True", "Ready"),
            ("CredentialsReady", "True", "Ready"),
            ("SidecarsUpToDate", "False", "Outdated"),
        ],
    );
    assert!(find(&status, "GatewayAvailable").is_none());
    assert_eq!(
        (
            status.endpoint,
            status.service_account_name,
            status.ready_replicas
        ),
        (None, None, None)
    );
    let counts = status.sidecars.unwrap();
    assert_eq!(
        (counts.total, counts.ready, counts.outdated, counts.missing),
        (2, 1, 1, 0)
    );
    let trust = status.trust_policy.unwrap();
    for subject in [
        "system:serviceaccount:team-a:app",
        "system:serviceaccount:team-a:batch",
    ] {
        assert!(trust.contains(subject), "{trust}");
    }
    assert!(!trust.contains("chat-gateway"), "{trust}");
}

#[test]
fn labelled_pod_without_a_sidecar_is_reported() {
    let status = Case {
        spec: "sidecar: {serviceAccounts: [{name: app}]}",
        sidecars: vec![sidecar("app-1", true, None)],
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[
            ("Ready", "True", "Ready"),
            ("SidecarsUpToDate", "False", "NotInjected"),
        ],
    );
    assert_eq!(status.sidecars.unwrap().missing, 1);
    let trust = status.trust_policy.unwrap();
    assert!(
        trust.contains("team-a:chat-gateway") && trust.contains("team-a:app"),
        "{trust}"
    );
}

#[test]
fn sidecar_without_credentials_is_reported_with_its_reason() {
    let status = Case {
        pods: Vec::new(),
        deployment: None,
        spec: SIDECARS_ONLY,
        sidecars: vec![SidecarState {
            pod: PodState {
                name: "app-1".to_owned(),
                ..failing("no provider")
            },
            hash: Some("any".to_owned()),
        }],
        ..Case::default()
    }
    .status();
    check(
        &status,
        &[("CredentialsReady", "False", "InvalidIdentityToken")],
    );
    let message = &find(&status, "CredentialsReady").unwrap().message;
    assert!(message.contains("app-1: no provider"), "{message}");
}
