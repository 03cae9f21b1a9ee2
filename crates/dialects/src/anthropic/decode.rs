//! Translates a Messages request to a Converse request.
//!
//! The body is parsed once into a borrowed tree. Each module takes its fields out, and the table of fields decides
//! which of the remaining fields are rejected or dropped. Equal bodies give equal requests, byte for byte, which
//! prompt caching depends on.

pub(super) mod content;
mod messages;
mod thinking;
mod tools;

use std::borrow::Cow;

use bedrock::converse::{ConverseRequest, ServiceTier};
use serde_json::{Map, Value};

use super::{
    fields::FIELDS,
    passthrough::{BETAS, filter_betas},
    reply::ReplyContext,
};
use crate::translation::{
    DecodeOptions, Fetch, RequestError, cache,
    context::{Context, FieldNames, merge},
    conversation::system_and_messages,
    guardrail::guardrail,
    json::{FieldPath, Json, Object},
    metadata,
    reply::ReplyCore,
    request::{self, RequestParts},
    response_format::{self, ResponseFormat, Schema},
    sampling::{Rules, SamplingFields},
};

const FIELD_NAMES: FieldNames = FieldNames {
    conversation: "messages",
    calls: "messages[].content",
    arguments: "messages[].content[].input",
    result_id: "messages[].content[].tool_use_id",
    function: "tools[]",
    effort: "output_config.effort",
    replay: "thinking blocks",
};

/// A translated request.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// The upstream body, to be serialized. Incomplete if `fetches` is not empty.
    pub request: ConverseRequest<'a>,
    /// Whether the client requests a stream.
    pub stream: bool,
    /// Whether to call ConverseStream. If not, call Converse and pass its response to
    /// [`super::StreamEncoder::response`].
    pub upstream_stream: bool,
    /// Context for encoding the response.
    pub reply: ReplyContext,
    /// Warnings about dropped and changed fields; each is printable ASCII and a valid header value.
    pub warnings: Vec<String>,
    /// URLs to fetch before the request is complete.
    pub fetches: Vec<Fetch>,
}

/// Decodes a Messages request. `betas` are the values of its `anthropic-beta` headers.
///
/// # Errors
/// A 400 that names the field that is invalid or not supported.
pub fn decode<'a>(
    body: &'a [u8],
    betas: &[&str],
    options: &DecodeOptions<'_>,
) -> Result<Decoded<'a>, RequestError> {
    read(body, betas, options, Purpose::Respond)
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Respond,
    /// Counting tokens; the request needs no token limit.
    Count,
}

pub(super) fn read<'a>(
    body: &'a [u8],
    betas: &[&str],
    options: &DecodeOptions<'_>,
    purpose: Purpose,
) -> Result<Decoded<'a>, RequestError> {
    let mut body = Object::from_body(body)?;
    let mut context = Context::new(options, &FIELD_NAMES);
    let root = FieldPath::Root;
    FIELDS.reject(&mut body)?;
    body.take("model");
    let stream = body.boolean("stream", &root)?.unwrap_or(false);
    let limit = limit(&mut body, purpose)?;
    let mut additional = Map::new();
    let mut flags = betas_of(&mut body, betas, &mut context)?;
    let tools = tools::decode(&mut body, &mut additional, &mut context)?;
    let list = body
        .take("messages")
        .ok_or_else(|| RequestError::missing("messages", "is required"))?;
    let conversation = messages::decode(list, body.take("system"), &mut context)?;
    let mut output = body.object("output_config", &root)?.unwrap_or_default();
    let format = match output.take("format") {
        Some(format) => Some((format, "output_config.format")),
        None => body
            .take("output_format")
            .map(|format| (format, "output_format")),
    };
    let mut reasoning = thinking::decide(&mut body, &mut output, limit.1, purpose, &mut context)?;
    thinking::show_plainly(&mut reasoning, &flags, &mut context)?;
    context.drop_unknown(output, &root.key("output_config"))?;
    if reasoning.fields.contains_key("output_config") {
        thinking::add_flag(&mut flags, context.capabilities);
    }
    let format = response_format(format, &mut context)?;
    let output = response_format::decide(format, &reasoning, &mut context)?;
    let (system, messages) = system_and_messages(conversation, &mut context)?;
    merge(&mut additional, std::mem::take(&mut reasoning.fields));
    let parts = RequestParts {
        system,
        messages,
        tools,
        output,
        sampling: sampling(&mut body, limit.0),
        additional,
    };
    let mut draft = request::draft(parts, &reasoning, &mut context)?;
    let additional = &mut draft.request.additional_model_request_fields;
    if !flags.is_empty() {
        additional.insert("anthropic_beta".to_owned(), Value::from(flags));
    }
    extra(&mut body, additional)?;
    let automatic = cache::automatic_point(&mut body, &mut context)?;
    let stop_sequences = &draft.request.inference_config.stop_sequences;
    let only_stop = match stop_sequences.as_slice() {
        [one] => Some(one.clone().into_owned()),
        _ => None,
    };
    draft.request.guardrail_config = guardrail(&mut body, stream, &mut context)?;
    draft.request.request_metadata = user(&mut body, &mut context)?;
    draft.request.service_tier = tier(&mut body)?;
    let assembled = request::finish(draft, automatic, stream, &mut context)?;
    FIELDS.drop_remaining(body, &mut context.warnings)?;
    Ok(Decoded {
        stream,
        upstream_stream: assembled.upstream_stream,
        reply: ReplyContext {
            core: ReplyCore::new(context.names, &assembled).with_documents(context.documents),
            only_stop,
        },
        request: assembled.request,
        warnings: context.warnings.into_vec(),
        fetches: context.fetches,
    })
}

/// Takes the sampling fields.
fn sampling<'a>(body: &mut Object<'a>, limit: NamedLimit<'a>) -> SamplingFields<'a> {
    SamplingFields {
        temperature: body.take("temperature"),
        top_p: body.take("top_p"),
        top_k: body.take("top_k"),
        stop: body.take("stop_sequences"),
        limit,
        rules: Rules {
            stop: "stop_sequences",
            max_temperature: 1.0,
            budget_on_top: false,
        },
    }
}

/// A token limit with its field name, and as a number.
type Limit<'a> = (NamedLimit<'a>, Option<u64>);

/// A token limit and the name of its field.
type NamedLimit<'a> = Option<(Json<'a>, &'static str)>;

fn limit<'a>(body: &mut Object<'a>, purpose: Purpose) -> Result<Limit<'a>, RequestError> {
    let name = "max_tokens";
    match body.take(name) {
        Some(value) => {
            let number = value.clone().whole(&FieldPath::Root.key(name))?;
            Ok((Some((value, name)), Some(number)))
        }
        None if purpose == Purpose::Count => Ok((None, None)),
        None => Err(RequestError::missing(name, "is required")),
    }
}

/// The beta flags of headers and body that the model supports.
fn betas_of(
    body: &mut Object<'_>,
    headers: &[&str],
    context: &mut Context<'_>,
) -> Result<Vec<String>, RequestError> {
    body.take("anthropic_version");
    let mut of_body = Vec::new();
    for name in BETAS {
        let at = FieldPath::Root;
        let at = at.key(name);
        match body.take(name) {
            None => {}
            Some(one @ Json::String(_)) => of_body.push(one.string(&at)?),
            Some(list) => {
                for (index, flag) in list.array(&at)?.into_iter().enumerate() {
                    of_body.push(flag.string(&at.index(index))?);
                }
            }
        }
    }
    let of_headers = headers
        .iter()
        .flat_map(|header| header.split(','))
        .map(Cow::Borrowed);
    filter_betas(
        of_headers.chain(of_body),
        false,
        context.capabilities,
        &mut context.warnings,
    )
}

/// `output_config.format`, or its deprecated form `output_format`: `{type: json_schema, schema}`.
fn response_format<'a>(
    format: Option<(Json<'a>, &str)>,
    context: &mut Context<'_>,
) -> Result<ResponseFormat<'a>, RequestError> {
    let Some((format, field)) = format else {
        return Ok(ResponseFormat::Text);
    };
    let at = FieldPath::Root;
    let at = at.key(field);
    let mut format = format.object(&at)?;
    let kind = format.required_string("type", &at)?;
    if kind != "json_schema" {
        return Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{kind:?} is not supported; use json_schema"),
        ));
    }
    let path = at.key("schema").to_string();
    let given = format
        .take("schema")
        .ok_or_else(|| RequestError::missing(path.clone(), "is required"))?;
    context.drop_unknown(format, &at)?;
    Ok(ResponseFormat::Schema(Schema {
        given,
        name: None,
        description: None,
        path,
    }))
}

/// `additionalModelRequestFields`, Bedrock's field for model-specific fields.
fn extra(body: &mut Object<'_>, additional: &mut Map<String, Value>) -> Result<(), RequestError> {
    let key = "additionalModelRequestFields";
    let Some(value) = body.take(key) else {
        return Ok(());
    };
    match value.into_value(&FieldPath::Root.key(key))? {
        Value::Object(fields) => {
            merge(additional, fields);
            Ok(())
        }
        _ => Err(RequestError::invalid(key, "expected an object")),
    }
}

/// `metadata.user_id` for the invocation log.
fn user(
    body: &mut Object<'_>,
    context: &mut Context<'_>,
) -> Result<Map<String, Value>, RequestError> {
    let pairs = match body.object("metadata", &FieldPath::Root)? {
        Some(metadata) => metadata
            .rest()
            .map(|(key, value)| (key, value, "metadata"))
            .collect(),
        None => Vec::new(),
    };
    metadata::pairs(pairs, context)
}

/// `service_tier`; `auto` is Bedrock's default.
fn tier<'a>(body: &mut Object<'a>) -> Result<Option<ServiceTier<'a>>, RequestError> {
    match body.string("service_tier", &FieldPath::Root)?.as_deref() {
        None | Some("auto") => Ok(None),
        Some("standard_only") => Ok(Some(ServiceTier {
            kind: Cow::Borrowed("default"),
        })),
        Some(other) => Err(RequestError::invalid(
            "service_tier",
            format!("{other:?} is not supported; use auto or standard_only"),
        )),
    }
}
