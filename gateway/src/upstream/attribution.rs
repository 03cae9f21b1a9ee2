//! What a client says about a request for logs and cost reports, such as a project or a team. Pure.
//!
//! AWS records it as the gateway's own, so a client could charge another team. Headers with it and `projectIdentifier` of
//! Converse are dropped, and `requestMetadata` of Converse is nested under the key `client`. All other headers of Bedrock
//! pass.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>

use bytes::Bytes;
use dialects::translation::RequestError;
use http::{HeaderMap, HeaderName};
use memchr::memmem;
use serde_json::{json, value::RawValue};

use super::{call::Prepared, members::Members, operation::Operation};
use crate::http::error::Result;

/// Parts of the names of Bedrock's headers for attribution.
const ATTRIBUTION: [&str; 4] = ["metadata", "project", "workspace", "cost"];
const METADATA: &str = "requestMetadata";
const PROJECT: &str = "projectIdentifier";
const DROPPED: &str = "Bedrock would record it as the gateway's own; dropped";
/// The key of the client's metadata.
const CLIENT: &str = "client";
/// Largest value of `requestMetadata`, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// Removes attribution of the client from a request, or marks it as the client's.
///
/// # Errors
/// 400 if the body is ambiguous.
pub(super) fn mark<C>(prepared: &mut Prepared<C>) -> Result<()> {
    for name in attributing(&prepared.headers) {
        prepared.headers.remove(&name);
        prepared.warnings.push(format!("{name}: {DROPPED}"));
    }
    if matches!(
        prepared.operation,
        Operation::Converse | Operation::ConverseStream
    ) && may_attribute(&prepared.body)
    {
        while let Some(body) = without_project(&prepared.body) {
            prepared.body = body;
            prepared.warnings.push(format!("{PROJECT}: {DROPPED}"));
        }
        if let Some((body, warning)) = nested(&prepared.body)? {
            prepared.body = body;
            prepared.warnings.extend(warning);
        }
    }
    Ok(())
}

fn attributing(headers: &HeaderMap) -> Vec<HeaderName> {
    let is_attribution = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("x-amzn-bedrock-") && ATTRIBUTION.iter().any(|part| name.contains(part))
    };
    headers.keys().filter(is_attribution).cloned().collect()
}

/// A cheap check for the many bodies without attribution. The names may be written with escapes.
fn may_attribute(body: &[u8]) -> bool {
    [METADATA.as_bytes(), PROJECT.as_bytes(), b"\\u00"]
        .iter()
        .any(|part| memmem::find(body, part).is_some())
}

/// The body without its first project, if any.
fn without_project(body: &Bytes) -> Option<Bytes> {
    let members = Members::read(body).ok()?;
    let (start, end) = range(body, members.all(PROJECT).next()?);
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    // The name ends before the colon, and has no quotes in it.
    let before = body.get(..start)?;
    let colon = before.iter().rposition(|byte| *byte == b':')?;
    let close = before
        .get(..colon)?
        .iter()
        .rposition(|byte| *byte == b'"')?;
    let open = before
        .get(..close)?
        .iter()
        .rposition(|byte| *byte == b'"')?;
    let after = body.get(end..)?;
    let next = after.iter().position(|byte| !blank(byte))?;
    if after.get(next) == Some(&b',') {
        let rest = after.get(next.saturating_add(1)..)?;
        return Some([body.get(..open)?, rest].concat().into());
    }
    // The last member: the comma before it goes, too.
    let head = body.get(..open)?;
    let last = head.iter().rposition(|byte| !blank(byte))?;
    let head = if head.get(last) == Some(&b',') {
        head.get(..last)?
    } else {
        head
    };
    Some([head, after].concat().into())
}

/// The range of a raw value, which borrows from the body, so that its address gives its position.
fn range(body: &Bytes, value: &RawValue) -> (usize, usize) {
    let raw = value.get().as_bytes();
    let start = raw.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    (start, start.saturating_add(raw.len()))
}

/// The body with the metadata under one key, and a warning about pairs that do not fit; none without metadata.
fn nested(body: &Bytes) -> Result<Option<(Bytes, Option<String>)>> {
    let ambiguous = |why: &str| RequestError::invalid(METADATA, why);
    let Ok(members) = Members::read(body) else {
        // Bedrock rejects what is not an object.
        return Ok(None);
    };
    let mut all = members.all(METADATA);
    let Some(metadata) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(ambiguous("is given more than once").into());
    }
    let Some((text, dropped)) = joined(metadata) else {
        return Ok(None);
    };
    let value = json!({ CLIENT: text }).to_string();
    let (start, end) = range(body, metadata);
    let (before, after) = (body.get(..start), body.get(end..));
    let body = [
        before.unwrap_or_default(),
        value.as_bytes(),
        after.unwrap_or_default(),
    ]
    .concat();
    let warning = (dropped > 0).then(|| {
        format!("{METADATA}: {dropped} pairs do not fit into {MAX_VALUE_BYTES} bytes; dropped")
    });
    Ok(Some((body.into(), warning)))
}

/// The pairs as one text, and the number of pairs that do not fit. None for an empty object, and for values that Bedrock
/// rejects.
fn joined(metadata: &RawValue) -> Option<(String, usize)> {
    let pairs = Members::read(metadata.get().as_bytes()).ok()?.0;
    let mut text = String::new();
    let mut dropped = 0_usize;
    for (key, value) in &pairs {
        let value: String = serde_json::from_str(value.get()).ok()?;
        let separator = if text.is_empty() { "" } else { "," };
        let pair = format!("{separator}{key}={value}");
        if text.len().saturating_add(pair.len()) > MAX_VALUE_BYTES {
            dropped = dropped.saturating_add(1);
        } else {
            text.push_str(&pair);
        }
    }
    (!pairs.is_empty()).then_some((text, dropped))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn marked(operation: Operation, body: &str, expected: &str) -> Vec<String> {
        let mut prepared = Prepared::new(operation, body.as_bytes().to_vec(), ());
        mark(&mut prepared).unwrap();
        assert_eq!(prepared.body, expected);
        prepared.warnings
    }

    #[test]
    fn metadata_of_a_client_is_nested_and_all_other_bytes_stay() {
        marked(
            Operation::Converse,
            r#"{ "messages": [1.50], "requestMetadata" : {"team":"b","x": "y"} }"#,
            r#"{ "messages": [1.50], "requestMetadata" : {"client":"team=b,x=y"} }"#,
        );
        marked(
            Operation::ConverseStream,
            r#"{"request\u004detadata":{"client":"z"}}"#,
            r#"{"request\u004detadata":{"client":"client=z"}}"#,
        );
        for same in [
            r#"{"messages":[{"requestMetadata":{"a":"b"}}]}"#,
            r#"{"requestMetadata":{}}"#,
            r#"{"requestMetadata":{"a":1}}"#,
            "requestMetadata",
        ] {
            marked(Operation::Converse, same, same);
        }
        let invoke = r#"{"requestMetadata":{"a":"b"}}"#;
        marked(Operation::InvokeModel, invoke, invoke);
        let twice = r#"{"requestMetadata":{},"requestMetadata":{"a":"b"}}"#;
        let mut prepared = Prepared::new(Operation::Converse, twice.as_bytes().to_vec(), ());
        assert!(mark(&mut prepared).is_err());
    }

    #[test]
    fn the_project_of_a_client_is_removed_wherever_it_stands() {
        for (body, expected) in [
            (
                r#"{"projectIdentifier":"p","messages":[]}"#,
                r#"{"messages":[]}"#,
            ),
            (
                r#"{"messages":[] , "projectIdentifier" : "p" }"#,
                r#"{"messages":[]  }"#,
            ),
            (r#"{"project\u0049dentifier":"p"}"#, "{}"),
            (
                r#"{"a":1,"projectIdentifier":"p:\"q","b":2,"projectIdentifier":null}"#,
                r#"{"a":1,"b":2}"#,
            ),
        ] {
            let warnings = marked(Operation::Converse, body, expected);
            assert!(warnings[0].starts_with("projectIdentifier"), "{warnings:?}");
        }
    }

    #[test]
    fn pairs_that_do_not_fit_are_dropped_with_a_warning() {
        let long = "v".repeat(250);
        let body = format!(r#"{{"requestMetadata":{{"a":"{long}","b":"{long}"}}}}"#);
        let expected = format!(r#"{{"requestMetadata":{{"client":"a={long}"}}}}"#);
        let warnings = marked(Operation::Converse, &body, &expected);
        assert!(
            warnings[0].starts_with("requestMetadata: 1 pairs"),
            "{warnings:?}"
        );
    }

    #[test]
    fn headers_for_attribution_are_dropped_and_others_pass() {
        let mut prepared = Prepared::new(Operation::InvokeModel, "{}", ());
        for name in [
            "x-amzn-bedrock-request-metadata",
            "x-amzn-bedrock-project-id",
            "x-amzn-bedrock-trace",
            "x-amzn-bedrock-service-tier",
        ] {
            let name = HeaderName::from_static(name);
            prepared.headers.insert(name, HeaderValue::from_static("x"));
        }
        mark(&mut prepared).unwrap();
        let mut left: Vec<&str> = prepared.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["x-amzn-bedrock-service-tier", "x-amzn-bedrock-trace"]
        );
        assert_eq!(prepared.warnings.len(), 2);
    }
}
