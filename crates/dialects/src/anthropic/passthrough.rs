//! Claude by its own API: the client's body goes through, and only what Bedrock does not take is cut out
//! or refused.
//!
//! Bedrock has two doors: InvokeModel, where the model stands in the path, streaming in the operation
//! and the version in the body; and Anthropic endpoints, where all are as Anthropic has them. What
//! streams back are the same events.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>

mod betas;
mod blocks;
mod json_edits;
mod stream;
pub(super) mod tools;

use std::borrow::Cow;

use crate::translation::{DecodeOptions, RequestError, warnings::Warnings, write::quoted};

pub(super) use betas::{filter as filter_betas, has as has_beta};
pub(super) use json_edits::{Edits, Member, Slice};
pub use stream::{PassthroughStream, usage_of};

/// The version of the API in a body of InvokeModel.
const VERSION: &str = "bedrock-2023-05-31";
/// Fields of Anthropic's own service, and what to do instead.
const REFUSED: [(&str, &str); 3] = [
    ("container", "Bedrock runs no containers; leave it out"),
    (
        "mcp_servers",
        "Bedrock does not connect to MCP servers; connect to them yourself and send their tools in tools",
    ),
    (
        "inference_geo",
        "Bedrock's regions and inference profiles say where a model runs; choose the model for it",
    ),
];

/// Through which endpoint of Bedrock a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'m> {
    /// InvokeModel and InvokeModelWithResponseStream.
    InvokeModel,
    /// An Anthropic endpoint, which has the model in the body.
    Anthropic {
        /// The model as Bedrock names it.
        model: &'m str,
    },
}

/// A request for Claude's own API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passthrough {
    /// The upstream body.
    pub body: Vec<u8>,
    /// Beta flags for the header of an [`Endpoint::Anthropic`]; in InvokeModel they are in the body.
    pub betas: Vec<String>,
    /// `X-Amzn-Bedrock-Service-Tier`, where the client said one.
    pub service_tier: Option<&'static str>,
    /// What was dropped; printable ASCII, fit for a header each.
    pub warnings: Vec<String>,
}

/// Makes a client's body one for Bedrock. `betas` are the values of its `anthropic-beta` headers.
///
/// # Errors
/// A 400 naming the field that Bedrock does not serve.
pub fn passthrough(
    body: &[u8],
    betas: &[&str],
    endpoint: Endpoint<'_>,
    options: &DecodeOptions<'_>,
) -> Result<Passthrough, RequestError> {
    let text = std::str::from_utf8(body).map_err(|_| RequestError::no_object())?;
    let root = Slice::of(text);
    if !root.is_object() {
        return Err(RequestError::no_object());
    }
    let members = root.members();
    let mut warnings = Warnings::new(options.strict);
    let mut edits = Edits::default();
    let flags = flags(&members, betas, options, &mut warnings)?;
    let mut request = Request {
        flags: &flags,
        options,
        warnings: &mut warnings,
        edits: &mut edits,
    };
    let mut added = Vec::new();
    let mut service_tier = None;
    let mut versioned = false;
    let mut gone: Vec<&str> = Vec::new();
    for member in &members {
        let key = member.key.as_ref();
        let value = &member.value;
        match key {
            "messages" => blocks::messages(value, &mut request)?,
            "system" => blocks::texts(value, "system", &mut request)?,
            "tools" => tools::check(value, &mut request)?,
            "model" => match endpoint {
                Endpoint::InvokeModel => gone.push(key),
                Endpoint::Anthropic { model } => request.edits.replace(value, quoted(model)),
            },
            "stream" if endpoint == Endpoint::InvokeModel => gone.push(key),
            "anthropic_version" if endpoint == Endpoint::InvokeModel => versioned = true,
            "anthropic_version" | "anthropic_beta" => gone.push(key),
            "service_tier" => {
                gone.push(key);
                service_tier = tier(value)?;
            }
            "context_management" if !has_beta(&flags, "context-management-") => {
                gone.push(key);
                request.dropped(
                    key,
                    "needs the beta context-management, which this model lacks",
                )?;
            }
            "cache_control" => {
                gone.push(key);
                let why = "Bedrock has no automatic caching; put cache_control on blocks";
                request.dropped(key, why)?;
            }
            "speed" => {
                gone.push(key);
                if value.string().as_deref() != Some("standard") && !value.is_null() {
                    request.dropped(key, "Bedrock has one speed; see its latency options")?;
                }
            }
            "output_format" if !value.is_null() => {
                gone.push(key);
                added.push(format(value, &root, &mut request)?);
            }
            _ => {
                if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == key) {
                    if !value.is_null() && value.json() != "[]" {
                        return Err(RequestError::unsupported(key, *why));
                    }
                    gone.push(key);
                }
            }
        }
    }
    if endpoint == Endpoint::InvokeModel {
        if !versioned {
            added.push(Some(format!("\"anthropic_version\":\"{VERSION}\"")));
        }
        if !flags.is_empty() {
            let list = serde_json::to_string(&flags).unwrap_or_default();
            added.push(Some(format!("\"anthropic_beta\":{list}")));
        }
    }
    let added: Vec<String> = added.into_iter().flatten().collect();
    let kept = edits.remove(&members, |member| gone.contains(&member.key.as_ref()));
    if !added.is_empty() {
        edits.insert_first(&root, &added.join(","), kept > 0);
    }
    Ok(Passthrough {
        body: edits.apply(text).into_bytes(),
        betas: flags,
        service_tier,
        warnings: warnings.into_vec(),
    })
}

/// What all parts of a native request share.
#[derive(Debug)]
struct Request<'r, 'o> {
    flags: &'r [String],
    options: &'r DecodeOptions<'o>,
    warnings: &'r mut Warnings,
    edits: &'r mut Edits,
}

impl Request<'_, '_> {
    fn dropped(&mut self, param: &str, why: &str) -> Result<(), RequestError> {
        self.warnings.dropped(param, why)
    }
}

/// Flags of the headers and the body that the model takes.
fn flags(
    members: &[Member<'_>],
    headers: &[&str],
    options: &DecodeOptions<'_>,
    warnings: &mut Warnings,
) -> Result<Vec<String>, RequestError> {
    let of_headers = headers
        .iter()
        .flat_map(|header| header.split(','))
        .map(Cow::Borrowed);
    let of_body: Vec<_> = members
        .iter()
        .filter(|member| member.key == "anthropic_beta")
        .flat_map(|member| match member.value.string() {
            Some(one) => vec![one],
            None => member
                .value
                .members()
                .iter()
                .filter_map(|flag| flag.value.string())
                .collect(),
        })
        .collect();
    filter_betas(of_headers.chain(of_body), options.capabilities, warnings)
}

/// Anthropic's word for a tier as Bedrock's.
fn tier(value: &Slice<'_>) -> Result<Option<&'static str>, RequestError> {
    match value.string().as_deref() {
        Some("auto") => Ok(None),
        Some("standard_only") => Ok(Some("default")),
        None if value.is_null() => Ok(None),
        _ => Err(RequestError::invalid(
            "service_tier",
            "expected \"auto\" or \"standard_only\"",
        )),
    }
}

/// `output_format`, the older place of `output_config.format`: a member to add, unless there is an
/// `output_config` to put it into.
fn format(
    value: &Slice<'_>,
    root: &Slice<'_>,
    request: &mut Request<'_, '_>,
) -> Result<Option<String>, RequestError> {
    let member = format!("\"format\":{}", value.json());
    match root.get("output_config").filter(Slice::is_object) {
        None => Ok(Some(format!("\"output_config\":{{{member}}}"))),
        Some(config) if config.get("format").is_some() => Err(RequestError::invalid(
            "output_format",
            "output_config.format says it too; send one of them",
        )),
        Some(config) => {
            let more = !config.members().is_empty();
            request.edits.insert_first(&config, &member, more);
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
