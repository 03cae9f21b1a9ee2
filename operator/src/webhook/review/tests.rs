use proptest::prelude::*;

use super::*;

/// JSON with members that reviews and pods have.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!(API_VERSION)),
        Just(json!(KIND)),
    ];
    let name = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "request",
        "uid",
        "namespace",
        "dryRun",
        "object",
        "oldObject",
        "metadata",
        "name",
        "generateName",
        "labels",
        "spec",
        "containers",
        "initContainers",
        "volumes",
        "securityContext",
        "serviceAccountName",
    ]);
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_review_or_an_error_with_a_text(bytes: Vec<u8>) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_object_in_a_review_is_a_pod_or_an_error(object in value(), before in value(), uid: String) {
        let body = json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "request": {"uid": uid, "object": object, "oldObject": before},
        });
        let request = parse(body.to_string().as_bytes()).unwrap();
        let _ = request.name();
        prop_assert_eq!(request.before().is_some(), !before.is_null());
        let refusal = match request.pod() {
            Ok(_) => Refusal::new(403, "Forbidden", &"no"),
            Err(error) => Refusal::new(400, "BadRequest", &error),
        };
        let code = refusal.code;
        let answer: Value = serde_json::from_str(&response(&request.uid, Err(refusal))).unwrap();
        prop_assert_eq!(&answer["response"]["uid"], &json!(uid));
        prop_assert_eq!(&answer["response"]["allowed"], &json!(false));
        prop_assert_eq!(&answer["response"]["status"]["code"], &json!(code));
    }

    #[test]
    fn any_review_is_read_or_an_error(body in value()) {
        let _ = parse(body.to_string().as_bytes());
    }
}
