//! Invalid objects: rejected by the API server if the schema covers the problem, otherwise reported by a condition.

mod schema;

use std::collections::{BTreeMap, BTreeSet};

use api::v1alpha1::BedrockAccess;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::schema::{Bound, Rule, demands};
use super::rig::{Rig, sample_spec};

const ACCESS: &str = "bedrockaccesses.bedrockaccess.dev.yaml";

/// A row of `refusals/access.yaml`: an invalid object and part of the expected message.
#[derive(Debug, Deserialize)]
struct Row {
    case: String,
    #[serde(default = "chat")]
    name: String,
    /// Values by JSON pointer into the sample; `null` removes.
    set: BTreeMap<String, Value>,
    says: String,
}

fn chat() -> String {
    "chat".to_owned()
}

/// A spec with the values at some JSON pointers replaced (`null` removes).
fn changed<'a>(mut spec: Value, changes: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Value {
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = spec.pointer_mut(parent).unwrap();
        if let Some(list) = parent.as_array_mut() {
            list[name.parse::<usize>().unwrap()] = value.clone();
        } else if value.is_null() {
            parent.as_object_mut().unwrap().remove(name);
        } else {
            parent[name] = value.clone();
        }
    }
    spec
}

/// An error without list indices, so that it contains fields in the form of [`Rule`] and [`Bound`].
fn without_indices(error: &str) -> String {
    let mut parts = error.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        text.push('[');
        text.push_str(if rest.starts_with(']') { rest } else { part });
    }
    text
}

/// Creates a BedrockAccess of any shape as `kubectl create` does, as a dry run.
async fn create(rig: &Rig, name: &str, spec: &Value) -> Result<(), String> {
    let kind = ApiResource::erase::<BedrockAccess>(&());
    let objects: Api<DynamicObject> =
        Api::namespaced_with(rig.client.clone(), &rig.namespace, &kind);
    let object = DynamicObject::new(name, &kind).data(json!({"spec": spec}));
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = objects.create(&parameters, &object).await;
    made.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    })
}

/// Rules that no error contains.
fn unbroken(rules: Vec<Rule>, errors: &BTreeSet<String>) -> Vec<Rule> {
    rules
        .into_iter()
        .filter(|rule| {
            !errors
                .iter()
                .any(|error| error.contains(&rule.field) && error.contains(&rule.message))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn access_that_breaks_a_rule_is_refused_with_a_message_for_people() {
    let rig = Rig::shared("refusals").await;
    let rows: Vec<Row> = serde_yaml::from_str(include_str!("refusals/access.yaml")).unwrap();
    assert!(rows.len() >= 60, "{} bad objects", rows.len());
    let mut errors = BTreeSet::new();
    for row in &rows {
        let set = row
            .set
            .iter()
            .map(|(pointer, value)| (pointer.as_str(), value));
        let spec = changed(sample_spec(), set);
        let error = create(&rig, &row.name, &spec).await.expect_err(&row.case);
        assert!(
            error.contains(&row.says),
            "{}: expected {:?} in: {error}",
            row.case,
            row.says
        );
        errors.insert(without_indices(&error));
    }
    let (rules, _) = demands(ACCESS);
    assert!(rules.len() > 20, "rules are found: {rules:?}");
    assert_eq!(
        unbroken(rules, &errors),
        [],
        "rules without a row in access.yaml"
    );
    rig.apply("chat", &sample_spec())
        .await
        .expect("the sample itself is accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_of_a_bedrock_access_is_checked_and_the_error_names_the_field() {
    let rig = Rig::shared("bounds").await;
    let bases: Vec<Value> = serde_yaml::from_str(include_str!("refusals/full.yaml")).unwrap();
    for (number, base) in bases.iter().enumerate() {
        let accepted = create(&rig, &format!("full-{number}"), base).await;
        accepted.expect("the whole access is accepted");
    }
    let (_, bounds) = demands(ACCESS);
    assert!(bounds.len() > 80, "bounds are found: {}", bounds.len());
    for bound in &bounds {
        let pointer = bound.pointer();
        let holding = bases
            .iter()
            .find_map(|base| Some((base, base.pointer(&pointer)?)));
        let (base, good) =
            holding.unwrap_or_else(|| panic!("no access of full.yaml has {}", bound.field));
        let broken = bound.broken(good);
        let error = create(
            &rig,
            "bad",
            &changed(base.clone(), [(pointer.as_str(), &broken)]),
        )
        .await
        .expect_err(&format!("{bound:?}"));
        check_bound(bound, &error);
    }
}

#[track_caller]
fn check_bound(bound: &Bound, error: &str) {
    let said = without_indices(error);
    let field = format!("{}: ", bound.field);
    assert!(said.contains(&field), "{bound:?}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_found_by_the_operator_becomes_a_condition_and_is_cleared_when_fixed() {
    let rig = Rig::shared("conditions").await;
    // The schema cannot spell out the grammar of a role's name.
    let role = json!("arn:aws:iam::123456789012:role/Bedrock Role");
    let bad = changed(sample_spec(), [("/identity/irsa/roleArn", &role)]);
    rig.apply("chat", &bad).await.unwrap();
    let (reason, message) = rig.condition("chat", "Stalled", "True").await;
    assert_eq!(reason, "InvalidSpec", "{message}");
    assert!(message.contains("spec.identity.irsa.roleArn"), "{message}");
    assert_eq!(
        rig.condition("chat", "Ready", "False").await.0,
        "InvalidSpec"
    );

    // Another object is reconciled as usual.
    rig.apply("other", &sample_spec()).await.unwrap();
    rig.children("other-gateway").await;

    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children("chat-gateway").await;
    rig.condition("chat", "Stalled", "False").await;
}
