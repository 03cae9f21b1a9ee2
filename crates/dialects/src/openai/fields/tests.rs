//! Compares the table of fields with the code.

use super::*;
use crate::{
    families::FamilyTable,
    openai::{DecodeOptions, decode, passthrough},
    translation::fields::Support,
};

/// How decoding handles a field with an effect.
fn observed(field: &Field, capabilities: &ModelCapabilities) -> Support {
    let mut body = serde_json::json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
    });
    // A tool choice requires tools.
    if matches!(field.name, "tool_choice" | "parallel_tool_calls") && capabilities.tools.supported {
        body["tools"] = serde_json::json!([{"type": "function", "function": {"name": "f"}}]);
    }
    body[field.name] = serde_json::from_str(field.sample).unwrap();
    match decode(
        body.to_string().as_bytes(),
        &DecodeOptions::new(capabilities),
    ) {
        Err(error) => {
            assert_eq!(error.param.as_deref(), Some(field.name), "{error:?}");
            Support::Rejected
        }
        Ok(decoded) => {
            let prefix = format!("{}: ", field.name);
            let is_dropped =
                |warning: &String| warning.starts_with(&prefix) && warning.ends_with("; dropped");
            if decoded.warnings.iter().any(is_dropped) {
                Support::Dropped
            } else {
                Support::Supported
            }
        }
    }
}

#[test]
fn every_field_is_forwarded_to_families_with_this_protocol() {
    let mut forwarded = FamilyTable::builtin().families();
    forwarded.retain(|capabilities| is_forwarded(capabilities));
    assert!(!forwarded.is_empty());
    for field in FIELDS.0.iter().filter(|field| field.name != "model") {
        let sample: serde_json::Value = serde_json::from_str(field.sample).unwrap();
        let body = serde_json::json!({"model": "m", field.name: sample}).to_string();
        let sent = passthrough(body.as_bytes(), "up");
        if field.is_rejected_by_passthrough() {
            let error = sent.unwrap_err();
            assert_eq!(error.param.as_deref(), Some(field.name));
            continue;
        }
        let sent = sent.unwrap();
        let expected = body.replacen("\"m\"", "\"up\"", 1);
        assert_eq!(
            String::from_utf8(sent.model.applied(body.as_bytes())).unwrap(),
            expected
        );
    }
}

#[test]
fn table_matches_decoding_for_every_field_and_family() {
    for capabilities in FamilyTable::builtin().families() {
        if !BedrockApis::by_converse(capabilities.apis.chat) {
            continue;
        }
        for field in FIELDS.0 {
            let expected = match field.support(&capabilities) {
                Support::Mapped(_) => Support::Supported,
                support => support,
            };
            assert_eq!(
                observed(field, &capabilities),
                expected,
                "{} with {}",
                field.name,
                capabilities.family
            );
        }
    }
}

#[test]
fn strict_mode_rejects_exactly_the_fields_that_would_be_dropped() {
    let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
    let mut options = DecodeOptions::new(&capabilities);
    options.strict = true;
    for field in FIELDS
        .0
        .iter()
        .filter(|field| matches!(field.rule, FieldRule::Dropped))
    {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"{}":{}}}"#,
            field.name, field.sample
        );
        let error = decode(body.as_bytes(), &options).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(field.name));
        for harmless in field.harmless {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"{}":{harmless}}}"#,
                field.name
            );
            assert!(decode(body.as_bytes(), &options).is_ok(), "{body}");
        }
    }
}

#[test]
fn documentation_lists_every_field_and_every_chat_family() {
    let text = field_table();
    for field in FIELDS.0 {
        assert!(
            text.contains(&format!("`{}`", field.name)),
            "{}",
            field.name
        );
    }
    for capabilities in FamilyTable::builtin().families() {
        assert_eq!(
            text.contains(&format!("| {} |", capabilities.title)),
            BedrockApis::by_converse(capabilities.apis.chat),
            "{}",
            capabilities.title
        );
    }
}
