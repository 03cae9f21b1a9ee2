use api::v1alpha1;
use k8s_openapi::{
    api::coordination::v1::Lease,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::core::Status;
use serde_json::json;

use super::{
    definitions::compare,
    installation::Installation,
    of_version,
    operator::leader,
    report::{Line, Report, Section},
    webhooks::probed,
};
use crate::state::State;

fn rejected(message: &str) -> kube::Error {
    kube::Error::Api(Box::new(Status::failure(message, "Forbidden")))
}

#[test]
fn old_versions_of_kubernetes_are_an_error() {
    assert_eq!(of_version("1", "33+", "v1.33.1-eks").state, State::Ok);
    assert_eq!(of_version("1", "32", "v1.32.0").state, State::Error);
    assert_eq!(of_version("2", "0", "v2.0").state, State::Error);
}

#[test]
fn definition_of_another_release_names_the_fields_that_it_lacks() {
    let wanted = v1alpha1::crds().remove(0);
    let mut found = wanted.clone();
    assert!(
        compare("x", &wanted, &found)
            .message
            .contains("not established")
    );
    found.status = Some(
        serde_json::from_value(json!({"conditions": [
            {"type": "Established", "status": "True", "reason": "", "message": ""},
        ]}))
        .unwrap(),
    );
    assert_eq!(compare("x", &wanted, &found).state, State::Ok);
    let mut value = serde_json::to_value(&found).unwrap();
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let properties = value.pointer_mut(path).unwrap().as_object_mut().unwrap();
    properties.remove("suspend");
    let older: CustomResourceDefinition = serde_json::from_value(value).unwrap();
    let line = compare("x", &wanted, &older);
    assert_eq!(line.state, State::Error);
    assert!(
        line.message.contains("lacks 1 fields: spec.suspend"),
        "{}",
        line.message
    );
    // A newer definition than this program.
    assert_eq!(compare("x", &older, &found).state, State::Warning);
}

#[test]
fn leader_is_known_by_its_lease() {
    let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
    let lease = |holder: &str, renewed: &str| -> Lease {
        serde_json::from_value(json!({"spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed,
        }}))
        .unwrap()
    };
    let line = leader(&lease("pod-1", "2026-01-01T00:00:58.000000Z"), now);
    assert_eq!(line, Line::ok("leader pod-1, renewed 2 s ago"));
    let line = leader(&lease("pod-1", "2026-01-01T00:00:00.000000Z"), now);
    assert!(
        line.message.contains("has not renewed its Lease for 60 s"),
        "{line:?}"
    );
    assert_eq!(
        leader(&lease("", "2026-01-01T00:00:58.000000Z"), now).state,
        State::Error
    );
}

#[test]
fn probe_tells_a_rejection_by_the_webhook_from_a_webhook_that_does_not_respond() {
    let denied =
        "admission webhook \"validate.bedrockaccess.dev\" denied the request: spec.models[0]";
    let name = "bedrockaccess.dev";
    assert_eq!(
        probed("validation", name, Some(rejected(denied))).state,
        State::Ok
    );
    let failed =
        "failed calling webhook \"authorize.bedrockaccess.dev\": x509: certificate has expired";
    for error in [None, Some(rejected(failed))] {
        let line = probed("validation", name, error);
        assert_eq!(line.state, State::Error);
        assert!(line.fix.unwrap().contains("9443"));
    }
    let other = "admission webhook \"policy.example\" denied the request: no";
    let forbidden = "bedrockaccesses is forbidden: User cannot create";
    for error in [Some(rejected(other)), Some(rejected(forbidden))] {
        assert_eq!(probed("validation", name, error).state, State::Warning);
    }
}

#[test]
fn arguments_of_the_operator_tell_what_is_installed() {
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": "second-operator", "namespace": "ops"},
        "spec": {"selector": {}, "template": {"spec": {
            "serviceAccountName": "second-operator",
            "containers": [{"name": "operator", "args": [
                "--installation-name=second", "--namespaces=a,b", "--leader-elect",
            ]}],
        }}},
    }))
    .unwrap();
    let installation = Installation {
        namespace: "ops".to_owned(),
        deployment: Some(deployment),
        problem: None,
        others: 0,
    };
    assert_eq!(installation.prefix(), "second");
    assert_eq!(installation.watched(), ["a", "b"]);
    assert_eq!(installation.service_account(), "second-operator");
    assert_eq!(installation.has("--leader-elect"), Some(true));
    assert_eq!(installation.has("--webhook-address"), Some(false));
    let unknown = Installation {
        deployment: None,
        ..installation
    };
    assert_eq!(unknown.prefix(), "bedrock-access");
    assert_eq!(unknown.service_account(), "bedrock-access-operator");
    assert_eq!(unknown.has("--leader-elect"), None);
}

#[test]
fn report_has_a_fix_below_each_problem_and_the_counts() {
    let mut section = Section::new("operator");
    section.add(Line::ok("ready"));
    section.add(Line::error("no leader\nat all", "start it"));
    let mut report = Report::default();
    report.add(section);
    assert_eq!(report.worst(), State::Error);
    let mut out = anstream::StripStream::new(Vec::new());
    report.write_text(&mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out.into_inner()).unwrap(), @r"
    operator
    ✓ ready
    ✗ no leader at all
      Fix: start it

    ok: 1, warnings: 0, errors: 1
    ");
}
