//! Decodes the whole request.

use super::{
    super::{fields::FIELDS, reply::ReplyContext},
    Decoded, messages, response_format, tools,
};
use crate::translation::{
    DecodeOptions, RequestError,
    context::{Context, FieldNames, check_converse},
    json::{FieldPath, Object},
    openai_shapes::request::{Parts, assemble},
    reply::ReplyCore,
    sampling::SamplingFields,
};

const FIELD_NAMES: FieldNames = FieldNames {
    conversation: "messages",
    calls: "messages[].tool_calls",
    arguments: "messages[].tool_calls[].function.arguments",
    result_id: "messages[].tool_call_id",
    function: "tools[].function",
    effort: "reasoning_effort",
    replay: "thinking_blocks",
};

/// Decodes a Chat Completions request.
///
/// # Errors
/// A 400 that names the field that is invalid or not supported.
pub fn decode<'a>(
    body: &'a [u8],
    options: &DecodeOptions<'_>,
) -> Result<Decoded<'a>, RequestError> {
    let mut body = Object::from_body(body)?;
    let mut context = Context::new(options, &FIELD_NAMES);
    check_converse(options.capabilities, options.capabilities.apis.chat)?;
    FIELDS.reject(&mut body)?;
    let root = FieldPath::Root;
    body.take("model");
    let stream = body.boolean("stream", &root)?.unwrap_or(false);
    let include_usage = stream_options(&mut body, &mut context)?;
    let tools = tools::decode(&mut body, &mut context)?;
    let list = body
        .take("messages")
        .ok_or_else(|| RequestError::missing("messages", "is required"))?;
    let conversation = messages::decode(list, &root.key("messages"), &mut context)?;
    let parts = Parts {
        stream,
        tools,
        conversation,
        effort: body.take("reasoning_effort"),
        shows_reasoning: true,
        response_format: response_format::read(body.take("response_format"), &mut context)?,
        sampling: SamplingFields::with_limit(&mut body, &["max_completion_tokens", "max_tokens"]),
    };
    let assembled = assemble(parts, body, &FIELDS, &mut context)?;
    let core = ReplyCore::new(context.names, &assembled);
    Ok(Decoded {
        request: assembled.request,
        stream,
        upstream_stream: assembled.upstream_stream,
        include_usage,
        reply: ReplyContext::new(core, include_usage),
        warnings: context.warnings.into_vec(),
        fetches: context.fetches,
    })
}

fn stream_options(body: &mut Object<'_>, context: &mut Context<'_>) -> Result<bool, RequestError> {
    let root = FieldPath::Root;
    let Some(mut options) = body.object("stream_options", &root)? else {
        return Ok(false);
    };
    let at = root.key("stream_options");
    let include = options.boolean("include_usage", &at)?.unwrap_or(false);
    // Bedrock pads its events anyway.
    options.take("include_obfuscation");
    context.drop_unknown(options, &at)?;
    Ok(include)
}
