//! Requests for Claude's own API: the client's body passes through, and only fields that Bedrock or the model does not
//! support are adapted, removed or rejected.
//!
//! Bedrock has two endpoints for Claude. InvokeModel has the model in the path, streaming as a separate operation and
//! the version in the body. Anthropic endpoints have the same requests as Anthropic's API. Both stream the same events.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>

mod adapt;
mod betas;
mod blocks;
mod cache;
mod json_edits;
mod pairs;
mod place;
mod restore;
mod roles;
mod stream;
pub(super) mod tools;

use std::{borrow::Cow, collections::BTreeSet};

use crate::translation::{
    ClientGuardrail, DecodeOptions, GuardrailRef, RequestError, json::checked, names::ToolNames,
    warnings::Warnings, write::quoted,
};

pub use adapt::needs_converse;
pub(super) use betas::{filter as filter_betas, has as has_beta};
pub(super) use json_edits::{Edits, Member, Slice};
pub use restore::Restorer;
pub use stream::{PassthroughStream, usage_of};

/// The API version in InvokeModel bodies.
const VERSION: &str = "bedrock-2023-05-31";
/// The members with beta flags: Bedrock's, and that of Anthropic's SDKs, which is a header in other requests.
pub(super) const BETAS: [&str; 2] = ["anthropic_beta", "betas"];
/// Fields that only Anthropic's service supports, and what to use instead.
const REFUSED: [(&str, &str); 3] = [
    (
        "container",
        "containers are not supported by Bedrock; remove the field",
    ),
    (
        "mcp_servers",
        "MCP servers are not supported by Bedrock; connect to them in the client and send their tools in tools",
    ),
    (
        "inference_geo",
        "not supported by Bedrock; the region or the inference profile determines where a model runs",
    ),
];

/// Bedrock's endpoint for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'m> {
    /// InvokeModel and InvokeModelWithResponseStream.
    InvokeModel,
    /// An Anthropic endpoint, which has the model in the body.
    Anthropic {
        /// Bedrock's name of the model.
        model: &'m str,
    },
}

/// A request for Claude's own API.
#[derive(Clone, Debug)]
pub struct Passthrough {
    /// The upstream body.
    pub body: Vec<u8>,
    /// Beta flags for the header of [`Endpoint::Anthropic`]; for InvokeModel they are in the body.
    pub betas: Vec<String>,
    /// `X-Amzn-Bedrock-Service-Tier`, if the client sets a tier.
    pub service_tier: Option<&'static str>,
    /// The client's guardrail, for headers of InvokeModel.
    pub guardrail: Option<ClientGuardrail>,
    /// Warnings about dropped fields; each is printable ASCII and a valid header value.
    pub warnings: Vec<String>,
    /// Restores the response.
    pub restorer: Restorer,
}

/// Translates a client's body for Bedrock. `betas` are the values of its `anthropic-beta` headers.
///
/// # Errors
/// A 400 that names the field that Bedrock does not support.
#[expect(
    clippy::too_many_lines,
    reason = "one step for each part of the body, in order"
)]
pub fn passthrough(
    body: &[u8],
    betas: &[&str],
    endpoint: Endpoint<'_>,
    options: &DecodeOptions<'_>,
) -> Result<Passthrough, RequestError> {
    let text = checked(body)?;
    let mut warnings = Warnings::new(options.strict);
    let in_place = roles::in_place(text, options.capabilities, &mut warnings)?;
    let text = in_place.as_deref().unwrap_or(text);
    let completed = pairs::completed(text, &mut warnings)?;
    let text = completed.as_deref().unwrap_or(text);
    let placed = place::placed(text, options.capabilities, &mut warnings)?;
    let text = placed.as_deref().unwrap_or(text);
    let root = Slice::new(text);
    let members = root.members();
    let mut edits = Edits::default();
    let mut flags = flags(&members, betas, options, &mut warnings)?;
    adapt::add_flags(&adapt::Root(&members), &mut flags, options.capabilities);
    let mut names = ToolNames::new();
    let mut request = Request {
        flags: &flags,
        options,
        warnings: &mut warnings,
        edits: &mut edits,
        names: &mut names,
        excess: BTreeSet::new(),
    };
    let mut added = Vec::new();
    let mut service_tier = None;
    let mut guardrail = None;
    let mut versioned = false;
    let all = adapt::Root(&members);
    let mut removed: BTreeSet<&str> = adapt::fields(&all, &mut request)?.into_iter().collect();
    request.excess = cache::excess(&cache::points(text, &all), &mut request)?;
    // Calls in messages use the names of arguments.
    if let Some(list) = all.get("tools") {
        tools::check(&list, &mut request)?;
    }
    for member in &members {
        let key = member.key.as_ref();
        let value = &member.value;
        match key {
            // Claude rejects `null` for most fields.
            _ if value.is_null() => {
                removed.insert(key);
            }
            "tool_choice" if !all.has_tools() => {
                removed.insert(key);
            }
            "messages" => blocks::messages(value, &mut request)?,
            "system" => {
                if blocks::system(value, &mut request)? {
                    removed.insert(key);
                }
            }
            "model" => match endpoint {
                Endpoint::InvokeModel => {
                    removed.insert(key);
                }
                Endpoint::Anthropic { model } => request.edits.replace(value, quoted(model)),
            },
            "stream" if endpoint == Endpoint::InvokeModel => {
                removed.insert(key);
            }
            "anthropic_version" if endpoint == Endpoint::InvokeModel => versioned = true,
            // The point of `cache_control` is on the last block.
            "anthropic_version" | "anthropic_beta" | "betas" | "cache_control" => {
                removed.insert(key);
            }
            "service_tier" => {
                removed.insert(key);
                service_tier = tier(value)?;
            }
            "guardrailConfig" if endpoint == Endpoint::InvokeModel => {
                removed.insert(key);
                guardrail = client_guardrail(value)?;
            }
            "guardrailConfig" => {
                return Err(RequestError::unsupported(
                    key,
                    "not supported by Bedrock's Messages API, which serves this model; use a target \
                     with `api: Converse` or `api: InvokeModel`",
                ));
            }
            "additionalModelRequestFields" if value.json() != "{}" => {
                return Err(RequestError::unsupported(
                    key,
                    "a field of Converse; set the model's fields in the body itself, or use a target with `api: Converse`",
                ));
            }
            "context_management" if !has_beta(&flags, "context-management-") => {
                removed.insert(key);
                request.dropped(
                    key,
                    "requires the beta context-management, which this model does not support",
                )?;
            }
            "speed" => {
                removed.insert(key);
                if value.string().as_deref() != Some("standard") {
                    request.dropped(key, "not supported by Bedrock (see its latency options)")?;
                }
            }
            "output_format" => {
                removed.insert(key);
                added.push(format(value, &root, &mut request)?);
            }
            _ => {
                if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == key) {
                    if value.json() != "[]" {
                        return Err(RequestError::unsupported(key, *why));
                    }
                    removed.insert(key);
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
    let kept = edits.remove(&members, |member| removed.contains(&member.key.as_ref()));
    if !added.is_empty() {
        edits.insert_first(&root, &added.join(","), kept > 0);
    }
    Ok(Passthrough {
        body: edits.apply(text).into_bytes(),
        betas: flags,
        service_tier,
        guardrail,
        warnings: warnings.into_vec(),
        restorer: Restorer::new(names),
    })
}

/// State that all parts of a request share.
#[derive(Debug)]
struct Request<'r, 'o> {
    flags: &'r [String],
    options: &'r DecodeOptions<'o>,
    warnings: &'r mut Warnings,
    edits: &'r mut Edits,
    /// Names of arguments.
    names: &'r mut ToolNames,
    /// Positions of cache points above the model's maximum.
    excess: BTreeSet<usize>,
}

impl Request<'_, '_> {
    fn dropped(&mut self, param: &str, why: &str) -> Result<(), RequestError> {
        self.warnings.dropped(param, why)
    }
}

/// The beta flags of headers and body that the model supports.
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
        .filter(|member| BETAS.contains(&member.key.as_ref()))
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
    filter_betas(
        of_headers.chain(of_body),
        true,
        options.capabilities,
        warnings,
    )
}

/// Bedrock's service tier for Anthropic's.
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

/// `guardrailConfig` of Converse.
fn client_guardrail(value: &Slice<'_>) -> Result<Option<ClientGuardrail>, RequestError> {
    if value.is_null() {
        return Ok(None);
    }
    let text = |name: &str| value.get(name).and_then(|text| text.string());
    let required = |name: &str| {
        let text = text(name).filter(|text| !text.is_empty());
        text.map(Cow::into_owned)
            .ok_or_else(|| RequestError::missing(format!("guardrailConfig.{name}"), "is required"))
    };
    if text("streamProcessingMode").is_some_and(|mode| mode != "sync") {
        return Err(RequestError::unsupported(
            "guardrailConfig.streamProcessingMode",
            "not supported by InvokeModel, which serves this model; use a target with `api: Converse`",
        ));
    }
    Ok(Some(ClientGuardrail {
        guardrail: GuardrailRef {
            identifier: required("guardrailIdentifier")?,
            version: required("guardrailVersion")?,
        },
        trace: text("trace").map(Cow::into_owned),
    }))
}

/// Moves `output_format`, the deprecated form of `output_config.format`. Returns a member to add, or edits the existing
/// `output_config`.
fn format(
    value: &Slice<'_>,
    root: &Slice<'_>,
    request: &mut Request<'_, '_>,
) -> Result<Option<String>, RequestError> {
    let format = adapt::closed_format(value, request)?;
    match root.get("output_config").filter(Slice::is_object) {
        None => Ok(Some(format!("\"output_config\":{{\"format\":{format}}}"))),
        Some(config) => {
            match config.get("format") {
                Some(none) if none.is_null() => request.edits.replace(&none, format),
                Some(_) => {
                    return Err(RequestError::invalid(
                        "output_format",
                        "output_config.format is also set; send only one of them",
                    ));
                }
                None => {
                    let member = format!("\"format\":{format}");
                    let more = !config.members().is_empty();
                    request.edits.insert_first(&config, &member, more);
                }
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
