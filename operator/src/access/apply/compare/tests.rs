use serde_json::json;

use super::*;
use crate::{access::build::build, fixtures};

/// An object as the API server stores it after our apply, changed by another field manager.
fn found(document: &Value, change: impl FnOnce(&mut Value)) -> DynamicObject {
    let mut object = document.clone();
    object["metadata"]["managedFields"] = json!([{
        "manager": names::FIELD_MANAGER, "operation": "Apply", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": fixtures::managed(document),
    }]);
    object["metadata"]["uid"] = json!("u");
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

fn deployment() -> Value {
    build(&fixtures::validated(""))
        .unwrap()
        .deployment
        .unwrap()
        .object
}

fn own(object: &mut Value) -> &mut Value {
    &mut object["metadata"]["managedFields"][0]["fieldsV1"]
}

#[track_caller]
fn paths(desired: &Value, found: &DynamicObject) -> Vec<(String, bool)> {
    compare(desired, found)
        .into_iter()
        .map(|difference| (difference.path, difference.taken_over))
        .collect()
}

#[test]
fn applied_object_is_as_wanted() {
    let resources = build(&fixtures::validated("")).unwrap();
    for owned in resources.all() {
        let found = found(&owned.object, |_| {});
        assert_eq!(paths(&owned.object, &found), [], "{}", owned.kind);
    }
}

#[test]
fn additions_by_the_api_server_and_others_are_ignored() {
    let desired = deployment();
    let found = found(&desired, |object| {
        object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("4");
        object["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
        object["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] =
            json!("/dev/log");
        object["spec"]["template"]["spec"]["volumes"][0]["configMap"]["defaultMode"] = json!(420);
        object["status"] = json!({"replicas": 2});
    });
    assert_eq!(paths(&desired, &found), []);
}

#[test]
fn field_set_by_another_owner_is_taken_over() {
    let desired = deployment();
    let found = found(&desired, |object| {
        object["spec"]["replicas"] = json!(7);
        own(object)["f:spec"]
            .as_object_mut()
            .unwrap()
            .shift_remove("f:replicas");
    });
    assert_eq!(
        paths(&desired, &found),
        [("spec.replicas".to_owned(), true)]
    );
}

#[test]
fn outdated_field_of_ours_is_a_plain_difference() {
    let desired = deployment();
    let found = found(&desired, |object| object["spec"]["replicas"] = json!(7));
    assert_eq!(
        paths(&desired, &found),
        [("spec.replicas".to_owned(), false)]
    );
}

#[test]
fn owned_field_that_is_no_longer_wanted_is_found() {
    let desired = deployment();
    let found = found(&desired, |object| {
        object["metadata"]["labels"]["old"] = json!("x");
        own(object)["f:metadata"]["f:labels"]["f:old"] = json!({});
    });
    assert_eq!(
        paths(&desired, &found),
        [("metadata.labels.old".to_owned(), false)]
    );
}

#[test]
fn owned_element_that_is_no_longer_wanted_is_found() {
    let desired = deployment();
    let found = found(&desired, |object| {
        own(object)["f:spec"]["f:template"]["f:spec"]["f:volumes"]["k:{\"name\":\"old\"}"] =
            json!({"f:name": {}});
    });
    let paths = paths(&desired, &found);
    assert_eq!(paths.len(), 1, "{paths:?}");
    assert!(
        paths[0].0.starts_with("spec.template.spec.volumes["),
        "{paths:?}"
    );
}

#[test]
fn order_of_keyed_lists_does_not_matter() {
    let desired = deployment();
    let found = found(&desired, |object| {
        let env = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
        env.as_array_mut().unwrap().reverse();
    });
    assert_eq!(paths(&desired, &found), []);
}

#[test]
fn removed_element_is_found() {
    let desired = deployment();
    let found = found(&desired, |object| {
        let env = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
        env.as_array_mut()
            .unwrap()
            .retain(|variable| variable["name"] != "AWS_ROLE_ARN");
    });
    let paths = paths(&desired, &found);
    assert!(!paths.is_empty());
    assert!(
        paths.iter().all(|(path, _)| path.contains(".env[")),
        "{paths:?}"
    );
}

#[test]
fn quantities_are_compared_by_value() {
    let desired = deployment();
    for (written, kept) in [
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1000m", "1"),
        ("1.5Gi", "1536Mi"),
    ] {
        let mut desired = desired.clone();
        let path = "/spec/template/spec/containers/0/resources/limits/memory";
        *desired.pointer_mut(path).unwrap() = json!(written);
        let same = found(&desired, |object| {
            *object.pointer_mut(path).unwrap() = json!(kept);
        });
        assert_eq!(paths(&desired, &same), [], "{written} {kept}");
        let other = found(&desired, |object| {
            *object.pointer_mut(path).unwrap() = json!("3Gi");
        });
        assert_eq!(paths(&desired, &other).len(), 1, "{written}");
    }
}

#[test]
fn object_that_was_never_applied_differs() {
    let desired = deployment();
    let found = found(&desired, |object| {
        object["metadata"]["managedFields"][0]["manager"] = json!("kubectl");
    });
    assert!(!paths(&desired, &found).is_empty());
}

#[test]
fn outdated_atomic_field_is_not_taken_over() {
    let desired = build(&fixtures::validated(""))
        .unwrap()
        .service
        .unwrap()
        .object;
    let found = found(&desired, |object| {
        own(object)["f:spec"]["f:selector"] = json!({});
        object["spec"]["selector"][names::ACCESS_LABEL] = json!("older");
    });
    let path = format!("spec.selector.{}", names::ACCESS_LABEL);
    assert_eq!(paths(&desired, &found), [(path, false)]);
}
