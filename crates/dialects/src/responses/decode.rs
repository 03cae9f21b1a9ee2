//! From a Responses request to a Converse request.
//!
//! Reads what only Responses has (items, flat tools, `text`, `reasoning`, `store`), and leaves the
//! rest to the steps it shares with Chat Completions.

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
        request::{Parts, assemble},
        response_format::{read_schema, without_schema},
    },
    reply::ReplyCore,
    response_format::ResponseFormat,
    sampling::SamplingFields,
};

pub use reply::ReplyContext;

/// A request, translated.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// To be serialized as the upstream body. Incomplete while `fetches` is not empty.
    pub request: ConverseRequest<'a>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// Whether upstream can stream: if not, call Converse and give its response to
    /// [`super::StreamEncoder::response`].
    pub upstream_stream: bool,
    /// What the way back has to know.
    pub reply: ReplyContext,
    /// What was dropped or changed; printable ASCII, fit for a header each.
    pub warnings: Vec<String>,
    /// What has to be fetched before this is complete.
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
/// What clients are told who did not switch storing off.
const NOT_STORED: &str = "nothing is stored; send the whole conversation in input each time";
/// Asks for what is given out anyway.
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// Decodes a Responses request.
///
/// # Errors
/// A 400 naming the field, when the body cannot be translated as it was meant.
pub fn decode<'a>(
    body: &'a [u8],
    options: &DecodeOptions<'_>,
) -> Result<Decoded<'a>, RequestError> {
    let mut body = Object::from_body(body)?;
    let mut context = Context::new(options, &FIELD_NAMES);
    check_converse(options.capabilities, options.capabilities.apis.responses)?;
    FIELDS.reject(&mut body)?;
    let root = FieldPath::Root;
    let mut echo = echo::Echo::of(&body);
    body.take("model");
    let stream = body.boolean("stream", &root)?.unwrap_or(false);
    stream_options(&mut body, &mut context)?;
    store(&mut body, &mut context)?;
    include(&mut body, &mut context)?;
    let tools = tools::decode(&mut body, &mut echo, &mut context)?;
    let conversation = items::decode(&mut body, &mut context)?;
    let (effort, summary) = reasoning(&mut body, &mut context)?;
    let parts = Parts {
        stream,
        tools: tools.tools,
        conversation,
        effort,
        response_format: text(&mut body, &mut context)?,
        sampling: SamplingFields::with_limit(&mut body, &["max_output_tokens"]),
    };
    let assembled = assemble(parts, body, &FIELDS, &mut context)?;
    let core = ReplyCore::new(context.names, &assembled);
    Ok(Decoded {
        request: assembled.request,
        stream,
        upstream_stream: assembled.upstream_stream,
        reply: ReplyContext::new(core, tools.custom, summary, echo.into_json()),
        warnings: context.warnings.into_vec(),
        fetches: context.fetches,
    })
}

fn stream_options(body: &mut Object<'_>, context: &mut Context<'_>) -> Result<(), RequestError> {
    let root = FieldPath::Root;
    if let Some(mut options) = body.object("stream_options", &root)? {
        // Padding against guessing lengths: Bedrock pads its events itself.
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
        // OpenAI's default, so nobody asked for it.
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
        let one = one.string(&at.index(index))?;
        if one != ENCRYPTED {
            let why = format!("there is no {one} here");
            context.warnings.dropped("include[]", &why)?;
        }
    }
    Ok(())
}

/// The effort, and whether reasoning is to be shown as a summary.
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
            // The model's own words are all there is to show.
            "auto" | "detailed" | "concise" => summary = true,
            "none" => {}
            other => {
                return Err(RequestError::invalid(
                    at.key(key).to_string(),
                    format!("{other:?} is not auto, concise, detailed or none"),
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
        let why = "Bedrock has nothing like it; say so in the instructions";
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
