//! Translates a Responses request to a Converse request.
//!
//! Reads the fields that only Responses has (items, flat tools, `text`, `reasoning`, `store`); shared code reads the
//! others.

mod content;
mod echo;
mod items;
mod reply;
mod tools;

use bedrock::converse::ConverseRequest;

use super::fields::FIELDS;
use crate::translation::{
    DecodeOptions, Fetch, RequestError,
    context::{Context, FieldNames, check_converse},
    json::{FieldPath, Json, Object},
    openai_shapes::{
        fields::NO_LOG_PROBABILITIES,
        request::{Parts, assemble},
        response_format::{read_schema, without_schema},
    },
    reply::ReplyCore,
    response_format::ResponseFormat,
    sampling::SamplingFields,
};

pub(super) use reply::CallForm;
pub use reply::ReplyContext;
pub(super) use tools::{GRAMMAR, INPUT, INPUT_SCHEMA, TOOL_SEARCH, with_grammar};

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

const FIELD_NAMES: FieldNames = FieldNames {
    conversation: "input",
    calls: "input[]",
    arguments: "input[].arguments",
    result_id: "input[].call_id",
    function: "tools[]",
    effort: "reasoning.effort",
    replay: "reasoning items",
};
/// The warning for clients that do not set `store: false`.
const NOT_STORED: &str = "nothing is stored; send the whole conversation in input";
/// A value of `include` that has no effect, because this content is always included.
const ENCRYPTED: &str = "reasoning.encrypted_content";
/// A value of `include` that requests content that Converse does not return.
const LOG_PROBABILITIES: &str = "message.output_text.logprobs";

/// Decodes a Responses request.
///
/// # Errors
/// A 400 that names the field that is invalid or not supported.
pub fn decode<'a>(
    body: &'a [u8],
    options: &DecodeOptions<'_>,
) -> Result<Decoded<'a>, RequestError> {
    let mut body = Object::from_body(body)?;
    let mut context = Context::new(options, &FIELD_NAMES);
    check_converse(options.capabilities, options.capabilities.apis.responses)?;
    FIELDS.reject(&mut body)?;
    let root = FieldPath::Root;
    let mut echo = echo::Echo::new(&body);
    body.take("model");
    let stream = body.boolean("stream", &root)?.unwrap_or(false);
    stream_options(&mut body, &mut context)?;
    store(&mut body, &mut context)?;
    include(&mut body, &mut context)?;
    let input = body.take("input");
    let tools = tools::decode(&mut body, input.as_ref(), &mut echo, &mut context)?;
    let conversation = items::decode(&mut body, input, &mut context)?;
    let (effort, summary) = reasoning(&mut body, &mut context)?;
    let parts = Parts {
        stream,
        tools: tools.tools,
        conversation,
        effort,
        shows_reasoning: summary,
        response_format: text(&mut body, &mut context)?,
        sampling: SamplingFields::with_limit(&mut body, &["max_output_tokens"]),
    };
    let assembled = assemble(parts, body, &FIELDS, &mut context)?;
    let core = ReplyCore::new(context.names, &assembled);
    Ok(Decoded {
        request: assembled.request,
        stream,
        upstream_stream: assembled.upstream_stream,
        reply: ReplyContext::new(core, tools.calls, summary, echo.into_json()),
        warnings: context.warnings.into_vec(),
        fetches: context.fetches,
    })
}

fn stream_options(body: &mut Object<'_>, context: &mut Context<'_>) -> Result<(), RequestError> {
    let root = FieldPath::Root;
    if let Some(mut options) = body.object("stream_options", &root)? {
        // Bedrock pads its events anyway.
        options.take("include_obfuscation");
        context.drop_unknown(options, &root.key("stream_options"))?;
    }
    Ok(())
}

fn store(body: &mut Object<'_>, context: &mut Context<'_>) -> Result<(), RequestError> {
    let asked = body.boolean("store", &FieldPath::Root)?;
    match asked {
        Some(false) => {}
        Some(true) => context.warnings.changed("store", NOT_STORED)?,
        // OpenAI's default, so the client did not request it.
        None => context.warnings.info("store", NOT_STORED),
    }
    Ok(())
}

fn include(body: &mut Object<'_>, context: &mut Context<'_>) -> Result<(), RequestError> {
    let root = FieldPath::Root;
    let at = root.key("include");
    let Some(list) = body.take("include") else {
        return Ok(());
    };
    for (index, one) in list.array(&at)?.into_iter().enumerate() {
        let at = at.index(index);
        let one = one.string(&at)?;
        if one == LOG_PROBABILITIES {
            return Err(RequestError::unsupported(
                at.to_string(),
                format!("{one}: {NO_LOG_PROBABILITIES}"),
            ));
        }
        if one != ENCRYPTED {
            let why = format!("{one} is not supported");
            context.warnings.dropped("include[]", &why)?;
        }
    }
    Ok(())
}

/// The effort, and whether reasoning is returned as a summary.
fn reasoning<'a>(
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<(Option<Json<'a>>, bool), RequestError> {
    let root = FieldPath::Root;
    let at = root.key("reasoning");
    let Some(mut reasoning) = body.object("reasoning", &root)? else {
        return Ok((None, false));
    };
    let effort = reasoning.take("effort");
    let mut summary = false;
    for key in ["summary", "generate_summary"] {
        let Some(word) = reasoning.string(key, &at)? else {
            continue;
        };
        match word.as_ref() {
            // The summary is the model's full reasoning.
            "auto" | "detailed" | "concise" => summary = true,
            "none" => {}
            other => {
                return Err(RequestError::invalid(
                    at.key(key).to_string(),
                    format!("{other:?} is not supported; use auto, concise, detailed or none"),
                ));
            }
        }
    }
    context.drop_unknown(reasoning, &at)?;
    Ok((effort, summary))
}

/// `text: {format, verbosity}`.
fn text<'a>(
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<ResponseFormat<'a>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("text");
    let Some(mut text) = body.object("text", &root)? else {
        return Ok(ResponseFormat::Text);
    };
    if text
        .string("verbosity", &at)?
        .is_some_and(|word| word != "medium")
    {
        let why = "not supported by Bedrock (use the instructions)";
        context.warnings.dropped("text.verbosity", why)?;
    }
    let format = text.object("format", &at)?;
    context.drop_unknown(text, &at)?;
    let Some(mut format) = format else {
        return Ok(ResponseFormat::Text);
    };
    let at = at.key("format");
    let kind = format.required_string("type", &at)?;
    if kind == "json_schema" {
        read_schema(format, &at, context)
    } else {
        without_schema(&kind, &at)
    }
}
