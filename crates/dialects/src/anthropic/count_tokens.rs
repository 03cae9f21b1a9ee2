//! Token counting: wraps a Claude body or a Converse request for Bedrock's CountTokens.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::{ConverseRequest, Message, SystemBlock, ToolConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    decode::{Purpose, read},
    passthrough::{Edits, Endpoint, Passthrough, Slice, needs_converse, passthrough},
};
use crate::translation::{DecodeOptions, RequestError};

/// A translated request: the upstream body and the warnings.
pub type CountRequest = (Vec<u8>, Vec<String>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Input<'a> {
    InvokeModel {
        body: String,
    },
    #[serde(rename_all = "camelCase")]
    Converse {
        messages: &'a [Message<'a>],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        system: &'a [SystemBlock<'a>],
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_config: Option<&'a ToolConfig<'a>>,
        #[serde(skip_serializing_if = "Map::is_empty")]
        additional_model_request_fields: &'a Map<String, Value>,
    },
}

#[derive(Serialize)]
struct Body<'a> {
    input: Input<'a>,
}

/// Wraps a passthrough request for Claude in a CountTokens body.
///
/// # Errors
/// A 400 that names the field.
pub fn count_passthrough(
    body: &[u8],
    betas: &[&str],
    options: &DecodeOptions<'_>,
) -> Result<CountRequest, RequestError> {
    if needs_converse(body, options) {
        return count_by_converse(body, betas, options);
    }
    let Passthrough { body, warnings, .. } =
        passthrough(body, betas, Endpoint::InvokeModel, options)?;
    let text = String::from_utf8(body).unwrap_or_default();
    let invoke = with_limit(&text);
    Ok((
        write_body(Input::InvokeModel {
            body: STANDARD.encode(invoke),
        }),
        warnings,
    ))
}

/// Adds `max_tokens`, which Claude's API requires to exceed the thinking budget; counting ignores it.
fn with_limit(text: &str) -> String {
    let root = Slice::new(text);
    if root.get("max_tokens").is_some() {
        return text.to_owned();
    }
    let budget: u64 = root
        .get("thinking")
        .and_then(|thinking| thinking.get("budget_tokens"))
        .and_then(|budget| budget.json().parse().ok())
        .unwrap_or(0);
    let mut edits = Edits::default();
    let member = format!("\"max_tokens\":{}", budget.saturating_add(1));
    edits.insert_first(&root, &member, !root.members().is_empty());
    edits.apply(text)
}

/// Wraps a Converse request in a CountTokens body.
///
/// # Errors
/// A 400 that names the field.
pub fn count_by_converse(
    body: &[u8],
    betas: &[&str],
    options: &DecodeOptions<'_>,
) -> Result<CountRequest, RequestError> {
    let decoded = read(body, betas, options, Purpose::Count)?;
    let ConverseRequest {
        messages,
        system,
        tool_config,
        additional_model_request_fields,
        ..
    } = &decoded.request;
    if let Some(fetch) = decoded.fetches.first() {
        return Err(RequestError::unsupported(
            fetch.param.as_str(),
            "URLs are not fetched for token counting; send the data",
        ));
    }
    let body = write_body(Input::Converse {
        messages,
        system,
        tool_config: tool_config.as_ref(),
        additional_model_request_fields,
    });
    Ok((body, decoded.warnings))
}

fn write_body(input: Input<'_>) -> Vec<u8> {
    // Strings, maps and raw JSON always serialize.
    serde_json::to_vec(&Body { input }).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    input_tokens: u64,
}

/// Reads the response of CountTokens.
pub fn read_count(body: &[u8]) -> Option<u64> {
    let counted: Counted = serde_json::from_slice(body).ok()?;
    Some(counted.input_tokens)
}

/// Writes the response for the client.
pub fn encode_count(tokens: u64) -> Vec<u8> {
    format!("{{\"input_tokens\":{tokens}}}").into_bytes()
}
