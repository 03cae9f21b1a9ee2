//! The first look at a request: enough to route it, everything else skipped unread.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::RequestError;

/// What routing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The model the client asks for: an alias, an id or an ARN.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

#[derive(Deserialize)]
struct RawHead<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
}

/// Reads model and stream flag of a chat or embeddings request.
///
/// # Errors
/// When the body is not a JSON object, or `model` is missing, empty, given twice or not a string.
pub fn head(body: &[u8]) -> Result<Head, RequestError> {
    // A struct would also be read from an array.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(RequestError::no_object());
    }
    let raw: RawHead<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    match raw.model {
        Some(model) if !model.trim().is_empty() => Ok(Head {
            model: model.into_owned(),
            stream: raw.stream.unwrap_or(false),
        }),
        _ => Err(RequestError::missing(
            "model",
            "name a model; GET /v1/models lists those there are",
        )),
    }
}

/// The same body with another model; all other bytes stay as they are.
///
/// # Errors
/// When the body is not a JSON object, or names no model.
pub fn with_model(body: &[u8], model: &str) -> Result<Vec<u8>, RequestError> {
    #[derive(Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    // Strings that are passed over are not looked into.
    if std::str::from_utf8(body).is_err() {
        return Err(RequestError::no_object());
    }
    let place: Place<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    // The raw value borrows from the body, so its address tells where it stands.
    let raw = place.model.get().as_bytes();
    let start = raw.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    let (Some(before), Some(after)) = (
        body.get(..start),
        body.get(start.saturating_add(raw.len())..),
    ) else {
        return Err(RequestError::no_object());
    };
    let quoted = super::write::quoted(model);
    Ok([before, quoted.as_bytes(), after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_stream_are_found_anywhere_in_the_body() {
        let head = head(br#"{"messages":[{"model":"not this"}],"stream":true,"model":"fast"}"#);
        assert_eq!(
            head.unwrap(),
            Head {
                model: "fast".to_owned(),
                stream: true
            }
        );
    }

    #[test]
    fn another_model_changes_no_other_byte() {
        let body = "{ \"x\":1.00, \"model\" : \"fa\\u0073t\" ,\"input\":\"model\", \"n\":12345678901234567890123 }";
        let expected = body.replace("\"fa\\u0073t\"", "\"openai.gpt-5.5\"");
        let changed = with_model(body.as_bytes(), "openai.gpt-5.5").unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
        assert!(with_model(b"{}", "m").is_err());
        // Found by fuzzing: bytes that are no text, in a member that nobody reads.
        let broken = b"{\"model\":\"m\",\"x\":\"\xff\"}";
        assert!(head(broken).is_ok() && with_model(broken, "m").is_err());
    }

    #[track_caller]
    fn refused(body: &str, param: Option<&str>) {
        let error = head(body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), param, "{body}: {error:?}");
    }

    #[test]
    fn bodies_without_a_usable_model_are_refused() {
        refused("", None);
        refused("[]", None);
        refused("{", None);
        refused("{}", Some("model"));
        refused(r#"{"model":null}"#, Some("model"));
        refused(r#"{"model":"  "}"#, Some("model"));
        refused(r#"{"model":7}"#, None);
        refused(r#"{"model":"a","model":"b"}"#, None);
    }
}
