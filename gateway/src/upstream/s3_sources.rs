//! Limits the S3 objects that requests can refer to: Bedrock reads them with the gateway's role. Pure.
//!
//! Every request to Bedrock passes this check, in the form in which Bedrock gets it. Bedrock's APIs and models name an
//! object by `s3Location.uri`.

use std::{cell::RefCell, fmt};

use api::pattern;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::http::error::{GatewayError, Result};

/// Checks the locations in a body against patterns of URIs.
///
/// # Errors
/// 403 for a location that no pattern matches.
pub(super) fn check(allowed: &[String], body: &[u8]) -> Result<()> {
    let is_all = allowed.iter().any(|pattern| pattern == "s3://*");
    if is_all {
        return Ok(());
    }
    let rejected = RefCell::new(None);
    let walk = Walk {
        allowed,
        rejected: &rejected,
        place: Place::Elsewhere,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    // Bedrock rejects what is not JSON.
    let _ended = walk.deserialize(&mut json);
    let Some(uri) = rejected.into_inner() else {
        return Ok(());
    };
    Err(GatewayError::Forbidden {
        message: format!(
            "this gateway does not permit the S3 object {uri:?}: s3Sources in its configuration lists the permitted ones, and Bedrock would read it with the gateway's role"
        ),
    })
}

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// The value of `s3Location`.
    Location,
    /// The value of `uri` in it.
    Uri,
}

/// Visits all strings without keeping them.
#[derive(Clone, Copy)]
struct Walk<'w> {
    allowed: &'w [String],
    rejected: &'w RefCell<Option<String>>,
    place: Place,
}

impl Walk<'_> {
    fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let is_allowed = || self.allowed.iter().any(|one| pattern::matches(one, text));
        if self.place == Place::Uri && !is_allowed() {
            let shown = text.chars().take(256).collect();
            self.rejected.borrow_mut().get_or_insert(shown);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<Key>()? {
            let place = match (self.place, key) {
                (_, Key::Location) => Place::Location,
                (Place::Location, Key::Uri) => Place::Uri,
                _ => Place::Elsewhere,
            };
            members.next_value_seed(self.at(place))?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A member's name.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "s3Location")]
    Location,
    #[serde(rename = "uri")]
    Uri,
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permitted_objects_pass_however_they_are_written() {
        let allowed = ["s3://shared/media/*".to_owned()];
        let body = |uri: &str| {
            format!(
                r#"{{"messages":[{{"content":[{{"video":{{"source":{{"s3Location":{{"bucketOwner":"1","uri":"{uri}"}}}}}}}}]}}]}}"#
            )
        };
        for (uri, passes) in [
            ("s3://shared/media/a.mp4", true),
            (r"s3:\/\/shared\/media\/a.mp4", true),
            ("s3://shared/other.mp4", false),
            ("s3://other/media/a.mp4", false),
            (r"\u00733://other/a", false),
            (r"s\u0033://other/a", false),
            (r"s3\u003a//other/a", false),
            (r"s3\u003A\u002f\u002fother/a", false),
        ] {
            let result = check(&allowed, body(uri).as_bytes());
            assert_eq!(result.is_ok(), passes, "{uri}");
            assert!(check(&["s3://*".to_owned()], body(uri).as_bytes()).is_ok());
            assert!(check(&[], body(uri).as_bytes()).is_err());
        }
        let escaped = body("s3://other/a").replace("s3Location", r"s3\u004cocation");
        assert!(check(&allowed, escaped.as_bytes()).is_err());
        let twice = r#"{"s3Location":{"uri":"s3://shared/media/a","uri":"s3://other/a"}}"#;
        assert!(check(&allowed, twice.as_bytes()).is_err());
    }

    #[test]
    fn texts_and_tool_arguments_with_uris_pass() {
        let body = r#"{"messages":[{"content":[{"text":"copy s3://a/b"},{"toolUse":{"input":{"uri":"s3://a/b"}}}]}]}"#;
        assert!(check(&[], body.as_bytes()).is_ok());
        assert!(check(&[], b"not JSON s3://").is_ok());
    }
}
