//! Reads the model and the stream flag of a request for routing, and rejects fields that no endpoint honours; skips
//! everything else.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{cursor::Cursor, error::RequestError, json::members, refused};

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

impl Head {
    /// Reads a body without a parser, and calls `each` with the name and the value of each other member. `None` for a body that only a
    /// parser can judge: with an error, an escape or a field that may be rejected.
    fn scan<'b>(body: &'b [u8], mut each: impl FnMut(&'b [u8], &'b [u8])) -> Option<Self> {
        let (mut model, mut stream, mut is_claude_shaped) = (None, None, false);
        let mut cursor = Cursor::new(body);
        cursor.members(|cursor, name| {
            let name = std::str::from_utf8(name).ok()?;
            match name {
                "model" if model.is_none() && cursor.peek()? == b'"' => {
                    let text = std::str::from_utf8(cursor.string()?).ok()?;
                    let is_plain = !text.contains(|c: char| c == '\\' || c.is_ascii_control());
                    model = (is_plain && !text.trim().is_empty()).then_some(text);
                    model?;
                }
                "stream" if stream.is_none() => {
                    stream = Some(match cursor.value()? {
                        b"true" => true,
                        b"false" => false,
                        _ => return None,
                    });
                }
                "model" | "stream" => return None,
                "system" | "stop_sequences" | "anthropic_version" => {
                    cursor.value()?;
                    is_claude_shaped = true;
                }
                name if name.contains('\\') || refused::name(name).is_some() => return None,
                name => each(name.as_bytes(), cursor.value()?),
            }
            Some(())
        })?;
        let head = Self {
            model: model?.to_owned(),
            stream: stream.unwrap_or(false),
            is_claude_shaped,
        };
        cursor.is_end().then_some(head)
    }
}

/// Reads the model and the stream flag of a request, and rejects fields that no endpoint honours. A body may be invalid in values that it
/// skips: who reads those finds out.
///
/// # Errors
/// When the body is not a JSON object, `model` is missing, empty, duplicate or not a string, or a field is rejected.
pub fn head(body: &[u8]) -> Result<Head, RequestError> {
    head_with(body, |_, _| {})
}

/// Like [`head`], and calls `each` with the name, with its escapes, and the value of other members, some of them twice.
///
/// # Errors
/// Those of [`head`].
pub fn head_with<'b>(
    body: &'b [u8],
    mut each: impl FnMut(&'b [u8], &'b [u8]),
) -> Result<Head, RequestError> {
    if let Some(head) = Head::scan(body, &mut each) {
        return Ok(head);
    }
    let _end = Cursor::new(body).members(|cursor, name| {
        each(name, cursor.value()?);
        Some(())
    });
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
    let found = model_of(utf8(body)?)?;
    Ok(Replaced::new(body, found, model)?.applied(body))
}

/// The model as it is written.
///
/// # Errors
/// When the body is not a JSON object or has no model.
pub(crate) fn model_of(body: &str) -> Result<&str, RequestError> {
    #[derive(Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    if let Some(found) = place(body) {
        return Ok(found);
    }
    let place: Place<'_> =
        serde_json::from_str(body).map_err(|error| RequestError::not_json(&error))?;
    Ok(place.model.get())
}

/// The model as it is written. `None` for a body that only serde can judge: with an error, a duplicate or an escape in a name.
fn place(body: &str) -> Option<&str> {
    let mut place = None;
    members(body, |name, value| match name {
        "model" => place.replace(value).is_none().then_some(()),
        name => (!name.contains('\\')).then_some(()),
    })?;
    place
}

/// The text of a body. serde_json does not validate the strings that it skips.
///
/// # Errors
/// When the body is not UTF-8.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, RequestError> {
    simdutf8::basic::from_utf8(body).map_err(|_| RequestError::no_object())
}

/// A part of a body, and what is sent in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The bytes of the part.
    pub part: Range<usize>,
    /// JSON.
    pub by: String,
}

impl Replaced {
    /// Another model in place of `found`, which is a part of the body.
    ///
    /// # Errors
    /// When it is not a part of it.
    pub(crate) fn new(body: &[u8], found: &str, model: &str) -> Result<Self, RequestError> {
        // It borrows from the body, so its address gives its position.
        let start = found.as_ptr().addr().saturating_sub(body.as_ptr().addr());
        let part = start..start.saturating_add(found.len());
        if body.get(part.clone()).is_none() {
            return Err(RequestError::no_object());
        }
        let by = super::write::quoted(model);
        Ok(Self { part, by })
    }

    /// The body with the replaced part.
    pub fn applied(&self, body: &[u8]) -> Vec<u8> {
        let before = body.get(..self.part.start).unwrap_or_default();
        let after = body.get(self.part.end..).unwrap_or_default();
        [before, self.by.as_bytes(), after].concat()
    }
}

/// A response with the client's name of the model; all other bytes, and responses without a model, are unchanged.
pub fn with_client_model(body: &[u8], model: &str) -> Vec<u8> {
    with_model(body, model).unwrap_or_else(|_| body.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn other_members_are_passed_as_they_are_written() {
        // The second one needs a parser.
        for body in [
            r#"{"model":"m","stream":true,"n": 2,"system":"","a":{"n":[3]}}"#,
            r#"{"model":"m","n": 2,"\u0061":{"n":[3]}}"#,
        ] {
            let mut members = Vec::new();
            head_with(body.as_bytes(), |name, value| members.push((name, value))).unwrap();
            let a = if body.contains('\\') { r"\u0061" } else { "a" };
            for (name, value) in [("n", "2"), (a, r#"{"n":[3]}"#)] {
                let expected = (name.as_bytes(), value.as_bytes());
                assert!(members.contains(&expected), "{name}: {members:?}");
            }
        }
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

    /// As a parser reads it.
    fn parsed(body: &str) -> Option<Head> {
        let raw: RawHead<'_> = serde_json::from_str(body).ok()?;
        let head = Head {
            model: raw.model?.into_owned(),
            stream: raw.stream.unwrap_or(false),
            is_claude_shaped: raw.is_claude_shaped,
        };
        (raw.refused.is_empty() && !head.model.trim().is_empty()).then_some(head)
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i32>().prop_map(serde_json::Value::from),
            "[a-c\\\\\"\n{}\\[\\],:é]{0,8}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::vec(("model|stream|a", inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn bodies_are_read_as_a_parser_reads_them(
            members in prop::collection::vec(("model|stream|messages|system|thread|mod\\\\u0065l|é", json()), 0..5),
            model in prop::option::of("[a-z.:\\\\\" ]{0,6}"),
            cut in 0..400_usize,
        ) {
            let model = model.map(|model| format!("\"model\":{}", serde_json::Value::from(model)));
            let members = members.into_iter().map(|(name, value)| format!("\"{name}\" : {value}"));
            let mut body = format!(" {{{}}} ", members.chain(model).collect::<Vec<_>>().join(","));
            prop_assert!(Head::scan(body.as_bytes(), |_, _| {}).is_none_or(|head| Some(head) == parsed(&body)), "{}", body);
            // A body that is cut, or has more after it, needs a parser for its error.
            body.truncate(body.floor_char_boundary(cut.min(body.len().saturating_sub(2))));
            prop_assert_eq!(Head::scan(body.as_bytes(), |_, _| {}), None);
        }
    }

    #[test]
    fn most_bodies_need_no_parser() {
        for body in [
            r#"{"model":"m","messages":[{"role":"user","content":"\"{\\n"}],"stream":true}"#,
            "{\n \"stream\": false, \"system\": [], \"model\": \"m\"\n}\n",
        ] {
            let scanned = Head::scan(body.as_bytes(), |_, _| {});
            assert!(scanned.is_some() && scanned == parsed(body), "{body}");
        }
        for body in [
            r#"{"model":"m","thread":{}}"#,
            r#"{"model":"m","stream":1}"#,
            r#"{"model":"m","model":"n"}"#,
        ] {
            assert_eq!(Head::scan(body.as_bytes(), |_, _| {}), None, "{body}");
        }
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
