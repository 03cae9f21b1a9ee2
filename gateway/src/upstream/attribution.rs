//! The origin of a request in AWS's logs and cost reports: what the gateway says, and never what a client says. Pure.
//!
//! AWS records both as the gateway's own, so a client could charge another team. Headers with it and `projectIdentifier` of
//! Converse are dropped, and `requestMetadata` of Converse is nested under the key `client`. All other headers of Bedrock
//! pass. The gateway adds `requestMetadata` of its own (a header of InvokeModel) and the project of the target. AWS's other
//! APIs have no metadata.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-request-metadata.html>

use std::fmt::Write as _;

use api::GatewayConfig;
use bedrock::apis::{Protocol, Service};
use bytes::Bytes;
use dialects::translation::RequestError;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, value::RawValue};

use super::{call::Prepared, members::Members, operation::Operation};
use crate::http::error::Result;

/// Parts of the names of Bedrock's headers for attribution.
const ATTRIBUTION: [&str; 4] = ["metadata", "project", "workspace", "cost"];
const METADATA: &str = "requestMetadata";
const PROJECT: &str = "projectIdentifier";
/// The same for InvokeModel.
const METADATA_HEADER: HeaderName = HeaderName::from_static("x-amzn-bedrock-request-metadata");
const PROJECT_HEADER: HeaderName = HeaderName::from_static("x-amzn-bedrock-projectidentifier");
/// The project of bedrock-mantle, for requests in OpenAI's and in Anthropic's protocol.
const OPENAI_PROJECT: HeaderName = HeaderName::from_static("openai-project");
const ANTHROPIC_WORKSPACE: HeaderName = HeaderName::from_static("anthropic-workspace");
const DROPPED: &str = "Bedrock would record it as the gateway's own; dropped";
/// The key of the client's metadata.
const CLIENT: &str = "client";
/// Largest value of `requestMetadata`, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// What the gateway says about every request of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attribution {
    /// The pairs that are the same for all requests, as members of a JSON object; each ends with a comma.
    fixed: String,
}

/// The origin of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// None to add no metadata.
    pub(super) attribution: Option<&'a Attribution>,
    /// The project of the target.
    pub(super) project: Option<&'a str>,
    /// Name of the client.
    pub(super) caller: &'a str,
    pub(super) request_id: &'a str,
}

impl Attribution {
    /// None if the configuration adds no metadata.
    pub(crate) fn new(config: &GatewayConfig) -> Option<Self> {
        let mut fixed = String::new();
        if let Some(access) = &config.access {
            pair(&mut fixed, "namespace", &access.namespace);
            fixed.push(',');
            pair(&mut fixed, "bedrockAccess", &access.name);
            fixed.push(',');
        }
        config.adds_request_metadata().then_some(Self { fixed })
    }
}

impl Origin<'_> {
    /// The metadata of the request as a JSON object, with the text of the client's; none without either.
    fn metadata(&self, client: Option<&str>) -> Option<String> {
        let mut text = String::with_capacity(self.length());
        self.write_metadata(&mut text, client);
        (text.len() > 2).then_some(text)
    }

    /// Bytes of the usual metadata.
    fn length(&self) -> usize {
        let fixed = self.attribution.map_or(0, |own| own.fixed.len());
        let texts = self.caller.len().saturating_add(self.request_id.len());
        fixed.saturating_add(texts).saturating_add(64)
    }

    fn write_metadata(&self, text: &mut String, client: Option<&str>) {
        text.push('{');
        if let Some(own) = self.attribution {
            text.push_str(&own.fixed);
            // Not `client`, which has what the client sends.
            pair(text, "caller", self.caller);
            text.push(',');
            pair(text, "requestId", self.request_id);
        }
        if let Some(client) = client {
            if self.attribution.is_some() {
                text.push(',');
            }
            // Writing into a string cannot fail.
            let _ = write!(text, "\"{CLIENT}\":{}", Value::from(client));
        }
        text.push('}');
    }

    /// The members that the body of Converse gets, each followed by a comma.
    fn members(&self) -> String {
        let project = self.project.map_or(0, str::len);
        let mut members = String::with_capacity(self.length().saturating_add(project));
        if let Some(project) = self.project {
            pair(&mut members, PROJECT, project);
            members.push(',');
        }
        if self.attribution.is_some() {
            members.push('"');
            members.push_str(METADATA);
            members.push_str("\":");
            self.write_metadata(&mut members, None);
            members.push(',');
        }
        members
    }
}

/// Appends a pair of short texts in AWS's alphabet, which needs no escapes.
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
fn pair(out: &mut String, key: &str, value: &str) {
    out.push('"');
    out.push_str(key);
    out.push_str("\":\"");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" :_@$#=/+,-.".contains(&byte);
    if value.len() <= MAX_VALUE_BYTES && value.bytes().all(allowed) {
        out.push_str(value);
    } else {
        let fitting = value.chars().take(MAX_VALUE_BYTES);
        let is_allowed = |c: char| u8::try_from(c).is_ok_and(allowed);
        out.extend(fitting.map(|c| if is_allowed(c) { c } else { '_' }));
    }
    out.push('"');
}

/// Replaces the client's attribution of a request by the gateway's. `is_marked`: whether the body may contain attribution.
///
/// # Errors
/// 400 if the body is ambiguous.
pub(super) fn mark<C>(
    prepared: &mut Prepared<C>,
    is_marked: bool,
    origin: &Origin<'_>,
) -> Result<()> {
    for name in attributing(&prepared.headers) {
        prepared.headers.remove(&name);
        prepared.warnings.push(format!("{name}: {DROPPED}"));
    }
    match prepared.operation {
        Operation::Converse | Operation::ConverseStream => {
            mark_converse(prepared, is_marked, origin)?;
        }
        Operation::InvokeModel | Operation::InvokeModelWithResponseStream => {
            let headers = &mut prepared.headers;
            set(headers, METADATA_HEADER, origin.metadata(None).as_deref());
            set(headers, PROJECT_HEADER, origin.project);
        }
        Operation::Passthrough { api, protocol, .. } if api.service() == Service::Mantle => {
            let name = match protocol {
                Protocol::Messages | Protocol::CountMessageTokens => ANTHROPIC_WORKSPACE,
                Protocol::ChatCompletions | Protocol::Responses => OPENAI_PROJECT,
            };
            let id = origin
                .project
                .and_then(|project| project.rsplit('/').next());
            set(&mut prepared.headers, name, id);
        }
        Operation::Passthrough { .. } | Operation::CountTokens | Operation::ApplyGuardrail => {}
    }
    Ok(())
}

/// Sets a header of the gateway, whose text is ASCII.
fn set(headers: &mut HeaderMap, name: HeaderName, text: Option<&str>) {
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(name, value);
    }
}

fn mark_converse<C>(
    prepared: &mut Prepared<C>,
    is_marked: bool,
    origin: &Origin<'_>,
) -> Result<()> {
    let mut own = *origin;
    if is_marked {
        while let Some(body) = without_project(prepared.body.whole()) {
            prepared.body = body.into();
            prepared.warnings.push(format!("{PROJECT}: {DROPPED}"));
        }
        match replaced(prepared.body.whole(), origin)? {
            Metadata::None => {}
            // Bedrock rejects it.
            Metadata::Invalid => return Ok(()),
            Metadata::Replaced(body, warning) => {
                prepared.body = body.into();
                prepared.warnings.extend(warning);
                own.attribution = None;
            }
        }
    }
    if own.attribution.is_some() || own.project.is_some() {
        prepared.body = with_members(prepared.body.whole(), &own.members()).into();
    }
    Ok(())
}

/// The body with more members at its start: what follows the object is not part of it. A body that is no object stays, and
/// Bedrock rejects it.
fn with_members(body: &Bytes, members: &str) -> Bytes {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let Some(open) = body.iter().position(|byte| !blank(byte)) else {
        return body.clone();
    };
    let (Some(head), Some(rest)) = (body.get(..=open), body.get(open.saturating_add(1)..)) else {
        return body.clone();
    };
    if !head.ends_with(b"{") {
        return body.clone();
    }
    let is_empty = rest.iter().copied().find(|byte| !blank(byte)) == Some(b'}');
    let members = if is_empty {
        members.trim_end_matches(',')
    } else {
        members
    };
    [head, members.as_bytes(), rest].concat().into()
}

fn attributing(headers: &HeaderMap) -> Vec<HeaderName> {
    let is_attribution = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("x-amzn-bedrock-") && ATTRIBUTION.iter().any(|part| name.contains(part))
    };
    headers.keys().filter(is_attribution).cloned().collect()
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

/// What became of the client's metadata.
enum Metadata {
    /// The client sends no metadata.
    None,
    /// It is not an object of texts.
    Invalid,
    /// The body with the metadata of both, and a warning about pairs that do not fit.
    Replaced(Bytes, Option<String>),
}

/// The body with the client's metadata under one key, beside the gateway's.
fn replaced(body: &Bytes, origin: &Origin<'_>) -> Result<Metadata> {
    let Ok(members) = Members::read(body) else {
        // AWS's parser could accept more than this one.
        return Err(RequestError::invalid("body", "is not a JSON object").into());
    };
    let mut all = members.all(METADATA);
    let Some(metadata) = all.next() else {
        return Ok(Metadata::None);
    };
    if all.next().is_some() {
        return Err(RequestError::invalid(METADATA, "is given more than once").into());
    }
    let Some((text, dropped)) = joined(metadata) else {
        return Ok(Metadata::Invalid);
    };
    let text = (!text.is_empty()).then_some(text);
    let Some(value) = origin.metadata(text.as_deref()) else {
        return Ok(Metadata::None);
    };
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
    Ok(Metadata::Replaced(body.into(), warning))
}

/// The pairs as one text, empty for `null` and for an empty object, and the number of pairs that do not fit. None for values
/// that Bedrock rejects.
fn joined(metadata: &RawValue) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut dropped = 0_usize;
    if metadata.get() == "null" {
        return Some((text, dropped));
    }
    let pairs = Members::read(metadata.get().as_bytes()).ok()?.0;
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
    Some((text, dropped))
}

#[cfg(test)]
mod tests;
