//! Bad objects: refused by the API server where its schema can tell, by a condition where only the operator can.

use serde_json::{Value, json};

use super::rig::{Rig, sample_spec};

/// The sample with the value at a JSON pointer replaced (`null` removes it).
fn changed(pointer: &str, value: Value) -> Value {
    let mut spec = sample_spec();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = spec.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
    spec
}

#[expect(clippy::too_many_lines, reason = "a table, a row each")]
#[tokio::test(flavor = "multi_thread")]
async fn object_that_breaks_a_rule_is_refused_with_a_message_for_people() {
    let rig = Rig::without_operator().await;
    let irsa = |field: &str, value: Value| changed(&format!("/identity/irsa/{field}"), value);
    let rows: Vec<(&str, Value, &str)> = vec![
        ("no region", changed("/region", Value::Null), "spec.region"),
        (
            "region that is none",
            changed("/region", json!("Virginia")),
            "us-east-1",
        ),
        (
            "region of a zone",
            changed("/region", json!("us-east-1a")),
            "us-east-1",
        ),
        (
            "no identity",
            changed("/identity", Value::Null),
            "spec.identity",
        ),
        (
            "empty identity",
            changed("/identity", json!({})),
            "exactly one of irsa, podIdentity, secret and ambient",
        ),
        (
            "two identities",
            changed("/identity/ambient", json!({})),
            "exactly one of",
        ),
        (
            "role that is none",
            irsa("roleArn", json!("arn:aws:iam::123456789012:user/me-myself")),
            "ARN of an IAM role",
        ),
        (
            "role with a short account",
            irsa("roleArn", json!("arn:aws:iam::1234:role/BedrockRole")),
            "ARN of an IAM role",
        ),
        (
            "role of another cloud",
            irsa("roleArn", json!("projects/p/serviceAccounts/bedrock")),
            "ARN of an IAM role",
        ),
        (
            "token of a minute",
            irsa("tokenExpirationSeconds", json!(60)),
            "600",
        ),
        (
            "token of two days",
            irsa("tokenExpirationSeconds", json!(172_800)),
            "86400",
        ),
        (
            "session name with a blank",
            irsa("sessionName", json!("my session")),
            "sessionName",
        ),
        ("empty audience", irsa("audience", json!("")), "audience"),
        (
            "secret without a name",
            changed("/identity", json!({"secret": {}})),
            "secret.name",
        ),
        (
            "assumed role that is none",
            changed(
                "/identity/assumeRoles",
                json!([{"roleArn": "arn:aws:iam::123456789012:group/x"}]),
            ),
            "ARN of an IAM role",
        ),
        (
            "assumed role for a minute",
            changed(
                "/identity/assumeRoles",
                json!([{"roleArn": "arn:aws:iam::123456789012:role/x", "durationSeconds": 60}]),
            ),
            "900",
        ),
        (
            "five roles in a chain",
            changed(
                "/identity/assumeRoles",
                json!(vec![
                    json!({"roleArn": "arn:aws:iam::123456789012:role/x"});
                    5
                ]),
            ),
            "assumeRoles",
        ),
        (
            "nothing to ask for",
            changed("/models", json!([])),
            "at least one model",
        ),
        (
            "model without a name",
            changed("/models", json!([{"modelId": "amazon.nova-lite-v1:0"}])),
            "name",
        ),
        (
            "model without a target",
            changed("/models", json!([{"name": "fast"}])),
            "modelId",
        ),
        (
            "model with both forms",
            changed(
                "/models",
                json!([{"name": "fast", "modelId": "a.b", "targets": [{"modelId": "c.d"}]}]),
            ),
            "modelId",
        ),
        (
            "two models of one name",
            changed(
                "/models",
                json!([{"name": "fast", "modelId": "a.b"}, {"name": "fast", "modelId": "c.d"}]),
            ),
            "fast",
        ),
        (
            "endpoint without a scheme",
            changed("/endpoints", json!({"sts": "sts.amazonaws.com"})),
            "https://",
        ),
        ("nobody may call", changed("/clients", json!({})), "clients"),
        (
            "client without a name",
            changed(
                "/clients",
                json!({"serviceAccounts": [{"namespace": "team-a"}]}),
            ),
            "name",
        ),
        (
            "negative replicas",
            changed("/gateway", json!({"replicas": -1})),
            "replicas",
        ),
        (
            "pattern of nothing",
            changed("/allow", json!([""])),
            "allow",
        ),
    ];
    for (case, spec, expected) in rows {
        let error = rig.apply("chat", &spec).await.expect_err(case).to_string();
        assert!(
            error.contains(expected),
            "{case}: expected {expected:?} in: {error}"
        );
    }
    let too_long = "a".repeat(56);
    let error = rig
        .apply(&too_long, &sample_spec())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("at most 55"), "{error}");
    rig.apply("chat", &sample_spec())
        .await
        .expect("the sample itself is accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_operator_can_tell_becomes_a_condition_and_is_cleared_when_mended() {
    let rig = Rig::start().await;
    // The schema cannot spell out the grammar of a role's name.
    let bad = changed(
        "/identity/irsa/roleArn",
        json!("arn:aws:iam::123456789012:role/Bedrock Role"),
    );
    rig.apply("chat", &bad).await.unwrap();
    let (reason, message) = rig.condition("chat", "Stalled", "True").await;
    assert_eq!(reason, "InvalidSpec", "{message}");
    assert!(message.contains("spec.identity.irsa.roleArn"), "{message}");
    assert_eq!(
        rig.condition("chat", "Ready", "False").await.0,
        "InvalidSpec"
    );

    // Its neighbour is served all the same.
    rig.apply("other", &sample_spec()).await.unwrap();
    rig.children("other-gateway").await;

    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children("chat-gateway").await;
    rig.condition("chat", "Stalled", "False").await;
}
