//! Members of Anthropic's Messages in a Chat Completions request: some clients send a body for Claude to this
//! endpoint. What has an equivalent is moved to it, so that nothing is lost.

use std::collections::BTreeMap;

use serde_json::{Value, json, value::RawValue};

use crate::translation::RequestError;

/// The body with `system` as its first message, `stop_sequences` as `stop`, and without `anthropic_version`, which has no
/// effect. All other members are unchanged.
///
/// # Errors
/// When a member is invalid, or set in both forms.
pub fn from_claude_shape(body: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    members.remove("anthropic_version");
    let system = members
        .remove("system")
        .filter(|system| !matches!(system.get(), "null" | "\"\"" | "[]"));
    let stop = members
        .remove("stop_sequences")
        .filter(|stop| !matches!(stop.get(), "null" | "[]"));
    if let Some(stop) = stop {
        if members.get("stop").is_some_and(|stop| stop.get() != "null") {
            return Err(RequestError::invalid(
                "stop_sequences",
                "stop is also set; send only stop",
            ));
        }
        members.insert("stop".to_owned(), stop);
    }
    let mut conversation = None;
    if let Some(system) = system {
        let content: Value =
            serde_json::from_str(system.get()).map_err(|error| RequestError::not_json(&error))?;
        if !matches!(content, Value::String(_) | Value::Array(_)) {
            return Err(RequestError::invalid(
                "system",
                "expected a string or text blocks of Anthropic's Messages (POST /v1/messages); \
                 this endpoint has a message of role system",
            ));
        }
        let rest = members
            .get("messages")
            .and_then(|messages| messages.get().strip_prefix('['))
            .ok_or_else(|| RequestError::missing("messages", "is required"))?;
        let comma = if rest.trim_start().starts_with(']') {
            ""
        } else {
            ","
        };
        let message = json!({"role": "system", "content": content});
        let text = format!("[{message}{comma}{rest}");
        conversation =
            Some(RawValue::from_string(text).map_err(|error| RequestError::not_json(&error))?);
    }
    if let Some(conversation) = &conversation {
        members.insert("messages".to_owned(), conversation);
    }
    serde_json::to_vec(&members).map_err(|error| RequestError::not_json(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &Value) {
        let adapted = from_claude_shape(body.as_bytes()).unwrap();
        let adapted: Value = serde_json::from_slice(&adapted).unwrap();
        assert_eq!(&adapted, expected, "{body}");
    }

    #[test]
    fn moves_system_and_stop_sequences_and_keeps_the_rest() {
        check(
            r#"{"model":"m","anthropic_version":"bedrock-2023-05-31","system":"be brief","stop_sequences":["END"],"temperature":1.0,"messages":[ {"role":"user","content":"hi"}]}"#,
            &json!({"model": "m", "stop": ["END"], "temperature": 1.0, "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hi"},
            ]}),
        );
        let blocks = json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]);
        check(
            &json!({"system": blocks, "messages": []}).to_string(),
            &json!({"messages": [{"role": "system", "content": blocks}]}),
        );
        check(
            r#"{"system":null,"stop_sequences":[],"stop":"x","messages":[]}"#,
            &json!({"stop": "x", "messages": []}),
        );
    }

    #[test]
    fn rejects_what_is_set_twice_or_is_no_text() {
        for (body, param) in [
            (
                r#"{"stop":["a"],"stop_sequences":["b"],"messages":[]}"#,
                "stop_sequences",
            ),
            (r#"{"system":{"text":"a"},"messages":[]}"#, "system"),
            (r#"{"system":"a"}"#, "messages"),
        ] {
            let error = from_claude_shape(body.as_bytes()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
    }
}
