//! Removes secrets from objects and texts of a support archive.
//!
//! Two steps: objects lose what can contain secrets (environment, commands and annotations of app containers, values of
//! variables for keys, external ids), and each text loses what has the form of a secret.

use std::sync::LazyLock;

use api::names;
use regex::{Captures, Regex};
use serde_json::{Map, Value};

/// What replaces a secret.
pub(crate) const REMOVED: &str = "(removed)";
/// Containers of this project. Of other containers only name, image and ports stay.
const OURS: [&str; 2] = [names::GATEWAY_NAME, "operator"];
/// Fields of other containers that stay.
const OF_OTHERS: [&str; 4] = ["name", "image", "ports", "restartPolicy"];
/// Parts of the names of variables with a secret.
const SECRET_WORDS: [&str; 4] = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
/// Prefixes of annotations that stay.
const ANNOTATIONS: [&str; 4] = [
    names::GROUP,
    "eks.amazonaws.com/",
    "deployment.kubernetes.io/",
    "checksum/",
];

/// Forms of secrets. A group that is named `kept` stays.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // JSON Web Tokens, also without signature.
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",
        // Access keys and Bedrock API keys.
        r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
        r"(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=_-]{12,}",
        // API keys of OpenAI and Anthropic.
        r"sk-[A-Za-z0-9_-]{16,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
        r"(?<kept>[Bb]earer )[A-Za-z0-9._~+/=-]{8,}",
        // User name and password of a URL.
        r"(?<kept>://)[^/\s:@]*:[^/\s@]+@",
        r#"(?<kept>(?i-u:password|passwd|secret_?access_?key|session_?token|api[-_]?key|authorization|external_?id)\\?"?\s*[:=]\s*\\?"?)[^\s"',;}\\]{4,}"#,
    ]
    .into_iter()
    // A test compiles each of them.
    .filter_map(|form| Regex::new(form).ok())
    .collect()
});

/// A text without what has the form of a secret.
pub(crate) fn text(text: &str) -> String {
    let mut text = text.to_owned();
    for form in FORMS.iter() {
        let redacted = form.replace_all(&text, |captures: &Captures<'_>| {
            let kept = captures.name("kept").map_or("", |kept| kept.as_str());
            format!("{kept}{REMOVED}")
        });
        text = redacted.into_owned();
    }
    text
}

/// An object without what can contain secrets.
pub(crate) fn object(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        clean_metadata(metadata);
    }
    for path in ["/spec/template", ""] {
        if let Some(template) = object.pointer_mut(path) {
            clean_template(template);
        }
    }
    clean(object);
}

fn clean_template(template: &mut Value) {
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        clean_metadata(metadata);
    }
    for list in [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ] {
        let statuses = template.pointer_mut(&format!("/status/{list}"));
        if let Some(Value::Array(statuses)) = statuses {
            // The last state of an app can have a part of its output.
            statuses.retain(is_ours);
        }
    }
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let mut has_others = false;
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if is_ours(container) {
                continue;
            }
            has_others = true;
            if let Some(container) = container.as_object_mut() {
                container.retain(|field, _| OF_OTHERS.contains(&field.as_str()));
            }
        }
    }
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten().filter(|_| has_others) {
        if let Some(volume) = volume.as_object_mut() {
            volume.retain(|field, _| field == "name");
        }
    }
}

/// Whether a container, or the status of a container, is of this project.
fn is_ours(container: &Value) -> bool {
    let name = container.get("name").and_then(Value::as_str);
    name.is_some_and(|name| OURS.contains(&name))
}

fn clean_metadata(metadata: &mut Map<String, Value>) {
    metadata.shift_remove("managedFields");
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.retain(|name, _| ANNOTATIONS.iter().any(|prefix| name.starts_with(prefix)));
    }
}

/// Removes values of variables for secrets, and external ids, at any depth.
fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("name").and_then(Value::as_str);
            let is_secret = name.is_some_and(is_secret_variable);
            for (field, value) in fields.iter_mut() {
                if field == "externalId" || (is_secret && field == "value") {
                    *value = Value::from(REMOVED);
                } else {
                    clean(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}

/// Whether a variable can contain a secret. Variables with paths do not.
fn is_secret_variable(name: &str) -> bool {
    let upper = name.to_uppercase();
    !upper.ends_with("_FILE") && SECRET_WORDS.iter().any(|word| upper.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_a_secret_is_a_valid_expression() {
        assert_eq!(FORMS.len(), 8);
    }

    #[test]
    fn secrets_are_removed_from_texts_and_the_rest_stays() {
        for (before, after) in [
            (
                "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln end",
                "token (removed) end",
            ),
            ("key AKIAIOSFODNN7EXAMPLE.", "key (removed)."),
            (
                "AWS_BEARER_TOKEN_BEDROCK=ABSKQmVkcm9ja0FQSUtleQ==",
                "AWS_BEARER_TOKEN_BEDROCK=(removed)",
            ),
            ("sent sk-ant-api03-abcdefghijklmnop", "sent (removed)"),
            (
                "Authorization: Bearer abcdefgh12345678",
                "Authorization: (removed) (removed)",
            ),
            (
                "redis://user:hunter2@valkey:6379",
                "redis://(removed)valkey:6379",
            ),
            (r#"{"password":"hunter2"}"#, r#"{"password":"(removed)"}"#),
            (
                r#""{\"api_key\":\"hunter2\"}""#,
                r#""{\"api_key\":\"(removed)\"}""#,
            ),
            ("externalId: hunter2", "externalId: (removed)"),
            (
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG",
                "aws_secret_access_key = (removed)",
            ),
        ] {
            assert_eq!(text(before), after, "{before}");
        }
        for same in [
            "client team-a/app called us.amazon.nova-2-lite-v1:0",
            "apiKeys:\n  secretName: keys",
            "arn:aws:iam::123456789012:role/BedrockRole",
            "http://chat-gateway.team-a.svc:8000/v1",
            "input_tokens=12",
        ] {
            assert_eq!(text(same), same);
        }
    }

    #[test]
    fn private_key_is_removed_as_a_whole() {
        let pem =
            "a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nabc=\n-----END EC PRIVATE KEY-----\nb";
        assert_eq!(text(pem), "a\n(removed)\nb");
    }

    #[test]
    fn app_container_keeps_name_image_and_ports_only() {
        let mut pod = json!({
            "metadata": {
                "name": "app-1",
                "managedFields": [{}],
                "annotations": {"vault/secret": "hunter2", "bedrockaccess.dev/sidecar-hash": "1"},
            },
            "spec": {
                "volumes": [{"name": "data", "csi": {"volumeAttributes": {"key": "hunter2"}}}],
                "containers": [{
                    "name": "app", "image": "app:1", "args": ["--password", "hunter2"],
                    "env": [{"name": "DATABASE", "value": "hunter2"}],
                }],
                "initContainers": [{
                    "name": "bedrock-gateway",
                    "env": [
                        {"name": "BEDROCK_GATEWAY_API_KEY", "value": "hunter2"},
                        {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/token"},
                        {"name": "AWS_REGION", "value": "us-east-1"},
                    ],
                }],
            },
            "status": {"containerStatuses": [
                {"name": "app", "lastState": {"terminated": {"message": "hunter2"}}},
            ]},
        });
        object(&mut pod);
        assert_eq!(
            pod,
            json!({
                "metadata": {
                    "name": "app-1",
                    "annotations": {"bedrockaccess.dev/sidecar-hash": "1"},
                },
                "spec": {
                    "volumes": [{"name": "data"}],
                    "containers": [{"name": "app", "image": "app:1"}],
                    "initContainers": [{
                        "name": "bedrock-gateway",
                        "env": [
                            {"name": "BEDROCK_GATEWAY_API_KEY", "value": "(removed)"},
                            {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/token"},
                            {"name": "AWS_REGION", "value": "us-east-1"},
                        ],
                    }],
                },
                "status": {"containerStatuses": []},
            })
        );
    }
}
