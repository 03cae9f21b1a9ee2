//! Argo CD's health check, run by a Lua interpreter on objects with the operator's status.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/argocd")
}

/// A value as a Lua literal.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("[{}] = {}", json!(name), lua(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Status and message that the script returns for an object.
fn health(object: &Value) -> (String, String) {
    let script = directory().join("health.lua");
    let program = format!(
        "obj = {}\nlocal health = dofile(\"{}\")\nprint(health.status)\nprint(health.message)",
        lua(object),
        script.display()
    );
    let output = Command::new("lua5.4")
        .args(["-e", &program])
        .output()
        .expect(
            "lua5.4 runs: it comes with Debian's package lua5.4, which `cargo xtask test` installs",
        );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, message) = text.split_once('\n').unwrap();
    (status.to_owned(), message.trim().to_owned())
}

fn access(generation: i64, observed: i64, conditions: &[(&str, &str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, reason)| {
            json!({"type": kind, "status": status, "reason": reason, "message": format!("{kind} says {reason}")})
        })
        .collect();
    json!({
        "metadata": {"name": "chat", "generation": generation},
        "status": {"observedGeneration": observed, "conditions": conditions},
    })
}

#[test]
fn health_is_what_kstatus_would_say_in_argo_cds_words() {
    let settled = [
        ("Reconciling", "False", "UpToDate"),
        ("Stalled", "False", "UpToDate"),
    ];
    let with = |first: (&'static str, &'static str, &'static str)| {
        let mut all = vec![first];
        all.extend(settled);
        all
    };
    let rows = [
        (
            "new",
            json!({"metadata": {"name": "chat", "generation": 1}}),
            "Progressing",
            "waiting for the operator",
        ),
        (
            "changed",
            access(2, 1, &with(("Ready", "True", "Ready"))),
            "Progressing",
            "waiting for the operator to see the current spec",
        ),
        (
            "ready",
            access(2, 2, &with(("Ready", "True", "Ready"))),
            "Healthy",
            "Ready says Ready",
        ),
        (
            "rolling out",
            access(
                2,
                2,
                &[
                    ("Ready", "True", "Ready"),
                    ("Reconciling", "True", "RollingOut"),
                    ("Stalled", "False", "UpToDate"),
                ],
            ),
            "Progressing",
            "Reconciling says RollingOut",
        ),
        (
            "denied",
            access(
                2,
                2,
                &[
                    ("Ready", "False", "NotAllowed"),
                    ("Reconciling", "False", "NotAllowed"),
                    ("Stalled", "True", "NotAllowed"),
                ],
            ),
            "Degraded",
            "Stalled says NotAllowed",
        ),
        (
            "out of service by wish",
            access(2, 2, &with(("Ready", "False", "ScaledToZero"))),
            "Suspended",
            "Ready says ScaledToZero",
        ),
        (
            "suspended while it serves",
            access(2, 2, &with(("Ready", "True", "Suspended"))),
            "Suspended",
            "Ready says Suspended",
        ),
        (
            "suspended while it does not serve",
            access(2, 2, &with(("Ready", "False", "Suspended"))),
            "Suspended",
            "Ready says Suspended",
        ),
        (
            "not ready for another reason",
            access(2, 2, &with(("Ready", "False", "InvalidIdentityToken"))),
            "Degraded",
            "Ready says InvalidIdentityToken",
        ),
    ];
    for (row, object, status, message) in rows {
        assert_eq!(
            health(&object),
            (status.to_owned(), message.to_owned()),
            "{row}"
        );
    }
}

#[test]
fn script_in_the_config_map_is_the_one_that_is_tested() {
    let script = std::fs::read_to_string(directory().join("health.lua")).unwrap();
    let config = std::fs::read_to_string(directory().join("argocd-cm.yaml")).unwrap();
    let config: Value = serde_yaml::from_str(&config).unwrap();
    let held = &config["data"]["resource.customizations.health.bedrockaccess.dev_BedrockAccess"];
    assert_eq!(held.as_str(), Some(script.as_str()));
}
