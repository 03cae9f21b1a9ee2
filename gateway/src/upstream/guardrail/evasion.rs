//! The only place that decides what evades the guardrail that the configuration forces. Every request to Bedrock passes
//! it, in the form in which Bedrock gets it. Pure.
//!
//! The body is parsed only as far as needed and changed only by a new first member. Ambiguous JSON, such as a
//! duplicate member, is rejected, so that Bedrock cannot apply another guardrail than the checked one. Also rejected:
//! tags that exclude parts of the input from the guardrail (`guardContent`, `tagSuffix`), and asynchronous streams,
//! which show output before it is checked. Bedrock itself does not evaluate tool results.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use.html>

use api::config::Guardrail;
use bytes::Bytes;
use dialects::translation::RequestError;
use http::HeaderMap;
use serde_json::{json, value::RawValue};

use super::{IDENTIFIER, VERSION};
use crate::{
    http::error::{GatewayError, Result},
    upstream::members::Members,
};

/// Member of a body of Converse.
const CONFIG: &str = "guardrailConfig";
/// Member of a body of InvokeModel and of Bedrock's OpenAI endpoint.
const INVOKE_CONFIG: &str = "amazon-bedrock-guardrailConfig";

/// The body of a Converse request with the forced guardrail. Bedrock does not read the headers of InvokeModel here.
///
/// # Errors
/// 400 for another guardrail, or for an attempt to bypass this one.
pub(super) fn converse(headers: &HeaderMap, body: &Bytes, forced: &Guardrail) -> Result<Bytes> {
    check_headers(headers, forced)?;
    let body_members = members(body)?;
    for (key, value) in &body_members.0 {
        let hides = match key.as_str() {
            "messages" => in_messages(value)?,
            "system" => in_blocks(value)?,
            // Models get these fields as members of the body of InvokeModel.
            "additionalModelRequestFields" if value.get() != "null" => {
                check_members(value.get().as_bytes())?;
                false
            }
            _ => false,
        };
        if hides {
            return Err(refused(
                key,
                "guardContent (guarded_text in Chat Completions) would exclude the rest of the conversation from the guardrail that this gateway forces on every request",
            ));
        }
    }
    let configs: Vec<&RawValue> = body_members.all(CONFIG).collect();
    match configs.as_slice() {
        [] => Ok(with_config(body, forced, body_members.0.is_empty())),
        [config] => {
            Config::read(config)?.check(CONFIG, forced)?;
            Ok(body.clone())
        }
        _ => Err(refused(CONFIG, "is given more than once")),
    }
}

/// Checks headers and body of a request of InvokeModel, or of Bedrock's OpenAI endpoint.
///
/// # Errors
/// 400 for another guardrail, or for an attempt to bypass this one.
pub(super) fn invoke(headers: &HeaderMap, body: &[u8], forced: &Guardrail) -> Result<()> {
    check_headers(headers, forced)?;
    check_members(body)
}

/// Rejects headers that set another guardrail.
fn check_headers(headers: &HeaderMap, forced: &Guardrail) -> Result<()> {
    for (name, value) in [(IDENTIFIER, &forced.identifier), (VERSION, &forced.version)] {
        let mut given = headers.get_all(&name).iter();
        if given.any(|given| given != value.as_str()) {
            return Err(another(name.as_str(), forced));
        }
    }
    Ok(())
}

/// Rejects members of an object that weaken the guardrail.
fn check_members(object: &[u8]) -> Result<()> {
    for (key, value) in &members(object)?.0 {
        if key == CONFIG {
            return Err(refused(
                CONFIG,
                "is not a field of this operation, and this gateway forces a guardrail; omit it",
            ));
        }
        if key != INVOKE_CONFIG {
            continue;
        }
        let config = Config::read(value)?;
        if config.tag_suffix {
            return Err(refused(
                INVOKE_CONFIG,
                "tagSuffix would exclude untagged input from the guardrail that this gateway forces on every request",
            ));
        }
        config.check_mode(INVOKE_CONFIG)?;
    }
    Ok(())
}

/// Whether a message contains a block that limits the input of the guardrail.
fn in_messages(messages: &RawValue) -> Result<bool> {
    for message in array(messages)? {
        for content in members(message.get().as_bytes())?.all("content") {
            if in_blocks(content)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn in_blocks(blocks: &RawValue) -> Result<bool> {
    for block in array(blocks)? {
        let block = members(block.get().as_bytes())?;
        if block.all("guardContent").next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn array(value: &RawValue) -> Result<Vec<&RawValue>> {
    serde_json::from_str(value.get()).map_err(|_| unreadable())
}

/// The body with the guardrail as its first member and all other bytes unchanged.
fn with_config(body: &Bytes, forced: &Guardrail, is_empty: bool) -> Bytes {
    let config = json!({
        "guardrailIdentifier": forced.identifier,
        "guardrailVersion": forced.version,
    });
    let comma = if is_empty { "" } else { "," };
    let member = format!("{{\"{CONFIG}\":{config}{comma}");
    // An object begins with white space and a brace.
    let brace = body.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let (before, rest) = body.split_at(brace);
    [before, member.as_bytes(), rest.get(1..).unwrap_or_default()]
        .concat()
        .into()
}

fn refused(field: &str, why: &str) -> GatewayError {
    GatewayError::Request(RequestError::unsupported(field, why))
}

fn another(field: &str, forced: &Guardrail) -> GatewayError {
    let why = format!(
        "this gateway forces the guardrail {:?} version {:?} on every request: omit the guardrail or use that one",
        forced.identifier, forced.version
    );
    refused(field, &why)
}

fn members(object: &[u8]) -> Result<Members<'_>> {
    Members::read(object).map_err(|_| unreadable())
}

fn unreadable() -> GatewayError {
    refused(
        "body",
        "must be a valid JSON object for this operation, because this gateway adds a guardrail to it",
    )
}

/// The relevant members of a guardrail configuration in a body.
#[derive(Default)]
struct Config {
    identifiers: Vec<String>,
    versions: Vec<String>,
    modes: Vec<String>,
    tag_suffix: bool,
}

impl Config {
    fn read(object: &RawValue) -> Result<Self> {
        let mut config = Self::default();
        for (key, value) in members(object.get().as_bytes())?.0 {
            let text = || serde_json::from_str(value.get()).map_err(|_| unreadable());
            match key.as_str() {
                "guardrailIdentifier" => config.identifiers.push(text()?),
                "guardrailVersion" => config.versions.push(text()?),
                "streamProcessingMode" => config.modes.push(text()?),
                "tagSuffix" => config.tag_suffix = true,
                _ => {}
            }
        }
        Ok(config)
    }

    fn check(&self, field: &str, forced: &Guardrail) -> Result<()> {
        let one = |given: &[String], wanted: &str| matches!(given, [one] if one == wanted);
        if one(&self.identifiers, &forced.identifier) && one(&self.versions, &forced.version) {
            self.check_mode(field)
        } else {
            Err(another(field, forced))
        }
    }

    fn check_mode(&self, field: &str) -> Result<()> {
        let synchronous = |mode: &String| ["sync", "SYNCHRONOUS"].contains(&mode.as_str());
        if self.modes.iter().all(synchronous) {
            Ok(())
        } else {
            Err(refused(
                field,
                "streamProcessingMode must be synchronous: this gateway forces a guardrail, and the asynchronous mode shows text before it is checked",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn forced() -> Guardrail {
        Guardrail {
            identifier: "gr-1".to_owned(),
            version: "7".to_owned(),
        }
    }

    #[track_caller]
    fn check_converse(body: &str, expected: Result<&str, &str>) {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        match (converse(&HeaderMap::new(), &bytes, &forced()), expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{body}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{body}: {error}"),
            (got, expected) => panic!("{body}: {got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn adds_the_forced_guardrail_and_keeps_the_rest_of_the_body() {
        const OURS: &str =
            r#""guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"7"}"#;
        check_converse("{}", Ok(&format!("{{{OURS}}}")));
        check_converse(
            " { \"messages\" : [ ], \"x\": 1.50e2 }\n",
            Ok(&format!(
                " {{{OURS}, \"messages\" : [ ], \"x\": 1.50e2 }}\n"
            )),
        );
        let own = format!(r#"{{"messages":[],{OURS}}}"#);
        check_converse(&own, Ok(&own));
    }

    #[test]
    fn rejects_converse_bodies_that_bypass_the_forced_guardrail() {
        for (body, part) in [
            (
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-2","guardrailVersion":"7"}}"#,
                "gr-1",
            ),
            (
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"1"}}"#,
                "\"7\"",
            ),
            (r#"{"guardrailConfig":{}}"#, "gr-1"),
            (r#"{"guardrailConfig":null}"#, "JSON object"),
            (
                r#"{"guardrail\u0043onfig":{"guardrailIdentifier":"gr-2","guardrailVersion":"7"}}"#,
                "gr-1",
            ),
            (
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"7"},"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"7"}}"#,
                "more than once",
            ),
            (
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"7","guardrailIdentifier":"gr-2"}}"#,
                "gr-1",
            ),
            (
                r#"{"guardrailConfig":{"guardrailIdentifier":"gr-1","guardrailVersion":"7","streamProcessingMode":"async"}}"#,
                "synchronous",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"text":"bad"},{"guardContent":{"text":{"text":"good"}}}]}]}"#,
                "guardContent",
            ),
            (
                r#"{"messages":[],"messages":[{"content":[{"guard\u0043ontent":{}}]}]}"#,
                "guardContent",
            ),
            (r#"{"system":[{"guardContent":{}}]}"#, "guardContent"),
            (
                r#"{"additionalModelRequestFields":{"amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}}"#,
                "tagSuffix",
            ),
            (
                r#"{"additionalModelRequestFields":{"guardrailConfig":{}}}"#,
                "guardrailConfig",
            ),
            ("[]", "JSON object"),
            ("\u{feff}{}", "JSON object"),
            (r#"{} {"guardrailConfig":{}}"#, "JSON object"),
            (r#"{"messages":{"content":[]}}"#, "JSON object"),
        ] {
            check_converse(body, Err(part));
        }
    }

    #[test]
    fn rejects_invoke_requests_that_bypass_the_forced_guardrail() {
        let header = |name: HeaderName, value| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        let none = HeaderMap::new();
        for (headers, body, part) in [
            (header(IDENTIFIER, "gr-2"), "{}", "gr-1"),
            (header(VERSION, "DRAFT"), "{}", "gr-1"),
            (
                none.clone(),
                r#"{"amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}"#,
                "tagSuffix",
            ),
            (
                none.clone(),
                r#"{"amazon-bedrock-guardrailConfig":{"streamProcessingMode":"ASYNCHRONOUS"}}"#,
                "synchronous",
            ),
            (none.clone(), "no JSON", "JSON object"),
        ] {
            let error = invoke(&headers, body.as_bytes(), &forced()).unwrap_err();
            assert_eq!(error.status().as_u16(), 400);
            assert!(error.to_string().contains(part), "{body}: {error}");
        }
        for (headers, body) in [
            (
                none,
                r#"{"prompt":"x","amazon-bedrock-guardrailConfig":{"streamProcessingMode":"SYNCHRONOUS"}}"#,
            ),
            (header(IDENTIFIER, "gr-1"), "{}"),
        ] {
            invoke(&headers, body.as_bytes(), &forced()).unwrap();
        }
    }
}
