//! The CEL rules of a definition in `crds/`, and the bounds of its fields.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

/// Fields with types of Kubernetes, whose bounds these tests do not check.
const FOREIGN: [&str; 6] = [
    ".affinity",
    ".tolerations[]",
    ".topologySpreadConstraints[]",
    ".resources",
    ".from[]",
    ".imagePullSecrets[]",
];

/// A CEL rule: the field in its error, and its message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) field: String,
    pub(super) message: String,
}

/// A bound, such as `maxLength` 63 of `spec.clients.serviceAccounts[].name`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) field: String,
    pub(super) keyword: &'static str,
    pub(super) value: Value,
}

/// The rules and bounds of `spec`, and the rules of the whole object.
pub(super) fn demands(definition: &str) -> (Vec<Rule>, Vec<Bound>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../crds")
        .join(definition);
    let definition: Value = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let (mut rules, mut bounds) = (Vec::new(), Vec::new());
    collect_rules(schema, "", &mut rules);
    collect(
        &schema["properties"]["spec"],
        "spec",
        &mut rules,
        &mut bounds,
    );
    rules.sort();
    rules.dedup();
    (rules, bounds)
}

fn collect_rules(schema: &Value, field: &str, rules: &mut Vec<Rule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let inside = rule["fieldPath"].as_str().unwrap_or_default();
        rules.push(Rule {
            field: format!("{field}{inside}"),
            message: rule["message"]
                .as_str()
                .expect("every rule has a message")
                .to_owned(),
        });
    }
}

fn collect(schema: &Value, field: &str, rules: &mut Vec<Rule>, bounds: &mut Vec<Bound>) {
    if FOREIGN.iter().any(|foreign| field.ends_with(foreign)) {
        return;
    }
    collect_rules(schema, field, rules);
    for keyword in [
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "maxProperties",
        "enum",
    ] {
        if let Some(value) = schema.get(keyword) {
            bounds.push(Bound {
                field: field.to_owned(),
                keyword,
                value: value.clone(),
            });
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        bounds.push(Bound {
            field: format!("{field}.{}", name.as_str().unwrap()),
            keyword: "required",
            value: json!(true),
        });
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        collect(inner, &format!("{field}.{name}"), rules, bounds);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{field}[]"), rules, bounds);
    }
}

impl Bound {
    /// JSON pointer to the value in a spec, with the first element of each list.
    pub(super) fn pointer(&self) -> String {
        let path = self.field.strip_prefix("spec").unwrap();
        path.replace("[]", ".0").replace('.', "/")
    }

    /// A value that violates the bound, derived from a valid one. `null` removes the field.
    pub(super) fn broken(&self, good: &Value) -> Value {
        let number = || self.value.as_f64().unwrap();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::as_conversions,
            reason = "bounds of schemas are whole and small"
        )]
        let count = || number() as usize;
        let whole = |value: f64| -> Value { serde_json::from_str(&format!("{value:.0}")).unwrap() };
        match self.keyword {
            "required" => Value::Null,
            "minLength" => json!("a".repeat(count() - 1)),
            "maxLength" => json!("a".repeat(count() + 1)),
            "pattern" => json!(format!("{} %", good.as_str().unwrap())),
            "minimum" => whole(number() - 1.0),
            "maximum" => whole(number() + 1.0),
            "minItems" => json!([]),
            "maxItems" => json!(vec![good[0].clone(); count() + 1]),
            "maxProperties" => (0..=count())
                .map(|number| (format!("key-{number}"), json!("x")))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            "enum" => json!("nothing-of-the-kind"),
            other => panic!("unknown keyword {other}"),
        }
    }
}
