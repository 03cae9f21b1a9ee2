//! Reads the model and the stream flag of a request for routing, and rejects fields that no endpoint honours; skips
//! everything else.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{error::RequestError, refused};

/// The fields that routing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The requested model: an alias, an id or an ARN.
    pub model: String,
    /// Whether the client requests a stream.
    pub stream: bool,
    /// Whether the body has members that only a request of Anthropic's Messages has.
    pub is_claude_shaped: bool,
}

#[derive(Default)]
struct RawHead<'a> {
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    is_claude_shaped: bool,
    refused: Vec<(&'static str, &'a RawValue)>,
}

/// The name of a member.
enum Key {
    Model,
    Stream,
    Claude,
    Refused(&'static str),
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "model" => Key::Model,
                    "stream" => Key::Stream,
                    "system" | "stop_sequences" | "anthropic_version" => Key::Claude,
                    name => refused::name(name).map_or(Key::Other, Key::Refused),
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for RawHead<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A string that borrows from the body if it has no escapes.
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Body;

        impl<'de> Visitor<'de> for Body {
            type Value = RawHead<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut head = RawHead::default();
                let (mut has_model, mut has_stream) = (false, false);
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Model if std::mem::replace(&mut has_model, true) => {
                            return Err(A::Error::duplicate_field("model"));
                        }
                        Key::Stream if std::mem::replace(&mut has_stream, true) => {
                            return Err(A::Error::duplicate_field("stream"));
                        }
                        Key::Model => {
                            let text: Option<Text<'de>> = map.next_value()?;
                            head.model = text.map(|Text(text)| text);
                        }
                        Key::Stream => head.stream = map.next_value()?,
                        Key::Claude => {
                            map.next_value::<IgnoredAny>()?;
                            head.is_claude_shaped = true;
                        }
                        Key::Refused(name) => head.refused.push((name, map.next_value()?)),
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(Body)
    }
}

/// Reads the model and the stream flag of a request, and rejects fields that no endpoint honours.
///
/// # Errors
/// When the body is not a JSON object, `model` is missing, empty, duplicate or not a string, or a field is rejected.
pub fn head(body: &[u8]) -> Result<Head, RequestError> {
    // serde would also read a struct from an array.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(RequestError::no_object());
    }
    let raw: RawHead<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    for (name, value) in raw.refused {
        refused::check(name, value)?;
    }
    match raw.model {
        Some(model) if !model.trim().is_empty() => Ok(Head {
            model: model.into_owned(),
            stream: raw.stream.unwrap_or(false),
            is_claude_shaped: raw.is_claude_shaped,
        }),
        _ => Err(RequestError::missing(
            "model",
            "is required; GET /v1/models lists the available models",
        )),
    }
}

/// The body with another model; all other bytes are unchanged.
///
/// # Errors
/// When the body is not a JSON object or has no model.
pub fn with_model(body: &[u8], model: &str) -> Result<Vec<u8>, RequestError> {
    #[derive(Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    // serde_json does not validate the strings that it skips.
    if std::str::from_utf8(body).is_err() {
        return Err(RequestError::no_object());
    }
    let place: Place<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    // The raw value borrows from the body, so its address gives its position.
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

/// A response with the client's name of the model; all other bytes, and responses without a model, are unchanged.
pub fn with_client_model(body: &[u8], model: &str) -> Vec<u8> {
    with_model(body, model).unwrap_or_else(|_| body.to_vec())
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
                stream: true,
                is_claude_shaped: false
            }
        );
    }

    #[test]
    fn changing_the_model_changes_no_other_byte() {
        let body = "{ \"x\":1.00, \"model\" : \"fa\\u0073t\" ,\"input\":\"model\", \"n\":12345678901234567890123 }";
        let expected = body.replace("\"fa\\u0073t\"", "\"openai.gpt-5.5\"");
        let changed = with_model(body.as_bytes(), "openai.gpt-5.5").unwrap();
        assert_eq!(String::from_utf8(changed).unwrap(), expected);
        assert!(with_model(b"{}", "m").is_err());
        // Found by fuzzing: invalid UTF-8 in a member that is not read.
        let broken = b"{\"model\":\"m\",\"x\":\"\xff\"}";
        assert!(head(broken).is_ok() && with_model(broken, "m").is_err());
    }

    #[track_caller]
    fn rejected(body: &str, param: Option<&str>) {
        let error = head(body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), param, "{body}: {error:?}");
    }

    #[test]
    fn rejects_bodies_without_a_valid_model() {
        rejected("", None);
        rejected("[]", None);
        rejected("{", None);
        rejected("{}", Some("model"));
        rejected(r#"{"model":null}"#, Some("model"));
        rejected(r#"{"model":"  "}"#, Some("model"));
        rejected(r#"{"model":7}"#, None);
        rejected(r#"{"model":"a","model":"b"}"#, None);
    }
}
