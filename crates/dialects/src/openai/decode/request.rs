//! The request as a whole: which field is read when, and what is left over.

use bedrock::converse::{CachePoint, ConverseRequest};
use serde_json::{Map, Value};

use super::{
    super::{
        error::RequestError,
        fields::{self, Fields},
        json::{At, Json, Object},
    },
    DecodeOptions, Decoded, cache,
    format::{self, Wish},
    messages::{self, Conversation},
    reasoning,
    reply::ReplyContext,
    sampling, service,
    tools::{self, Tools},
};
pub(crate) use crate::translation::context::{Context, Words, merge, served};
use crate::translation::{
    conversation::{instruct, spoken},
    sampling::stop_sequence_paths,
};

impl Context<'_> {
    /// `name` of a message, which Converse has no place for.
    pub(crate) fn nameless(
        &mut self,
        message: &mut Object<'_>,
        at: &At<'_>,
    ) -> Result<(), RequestError> {
        if message.string("name", at)?.is_some() {
            self.notes
                .dropped("messages[].name", "Bedrock does not name participants")?;
        }
        Ok(())
    }
}

/// What endpoints of OpenAI's spell differently, read already.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) stream: bool,
    pub(crate) tools: Tools<'a>,
    pub(crate) conversation: Conversation<'a>,
    pub(crate) effort: Option<Json<'a>>,
    pub(crate) wish: Wish<'a>,
    pub(crate) sampling: sampling::Given<'a>,
}

/// A request of Converse and what belongs to it.
#[derive(Debug)]
pub(crate) struct Assembled<'a> {
    pub(crate) request: ConverseRequest<'a>,
    pub(crate) upstream_stream: bool,
    /// Upstream name of the tool whose arguments are the answer.
    pub(crate) schema_tool: Option<String>,
    pub(crate) reads_calls_in_text: bool,
}

const WORDS: Words = Words {
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
/// A 400 naming the field, when the body cannot be translated as it was meant.
pub fn decode<'a>(
    body: &'a [u8],
    options: &DecodeOptions<'_>,
) -> Result<Decoded<'a>, RequestError> {
    let mut body = Object::from_body(body)?;
    let mut context = Context::new(options, &WORDS);
    served(options.capabilities, options.capabilities.apis.chat)?;
    fields::CHAT.refuse(&mut body)?;
    let root = At::Root;
    body.take("model");
    let stream = flag(&mut body, "stream", &root)?;
    let include_usage = stream_options(&mut body, &mut context)?;
    let tools = tools::decode(&mut body, &mut context)?;
    let list = body
        .take("messages")
        .ok_or_else(|| RequestError::missing("messages", "must be given"))?;
    let conversation = messages::decode(list, &root.key("messages"), &mut context)?;
    let parts = Parts {
        stream,
        tools,
        conversation,
        effort: body.take("reasoning_effort"),
        wish: format::read(body.take("response_format"), &mut context)?,
        sampling: sampling::Given::take(&mut body),
    };
    let Assembled {
        request,
        upstream_stream,
        schema_tool,
        reads_calls_in_text,
    } = assemble(parts, body, &fields::CHAT, &mut context)?;
    Ok(Decoded {
        request,
        stream,
        upstream_stream,
        include_usage,
        reply: ReplyContext::new(
            context.names,
            schema_tool,
            include_usage,
            reads_calls_in_text,
        ),
        warnings: context.notes.into_warnings(),
        fetches: context.fetches,
    })
}

/// Makes a request of what was read, and of the fields of `body` that all endpoints share.
pub(crate) fn assemble<'a>(
    parts: Parts<'a>,
    mut body: Object<'a>,
    fields: &Fields,
    context: &mut Context<'_>,
) -> Result<Assembled<'a>, RequestError> {
    let root = At::Root;
    let stream = parts.stream;
    let mut reasoning = reasoning::decide(parts.effort, body.take("thinking"), context)?;
    let mut extra = extra(&mut body)?;
    if reasoning.fields.is_empty() {
        reasoning.active = thinks(&extra);
    }
    let (mut system, mut messages) = spoken(parts.conversation, context)?;
    reasoning::check_replay(&mut reasoning, &messages, context)?;
    let format = format::decide(parts.wish, &reasoning, context)?;
    instruct(format.instruction, &mut system, &mut messages, context);
    let schema_tool = format
        .schema_tool
        .as_ref()
        .map(|tool| tool.spec.name.clone().into_owned());
    let mut additional = std::mem::take(&mut reasoning.fields);
    let tool_config = tools::config(
        parts.tools,
        format.schema_tool,
        &reasoning,
        &mut additional,
        context,
    )?;
    let inference_config = sampling::decode(parts.sampling, &reasoning, &mut additional, context)?;
    merge(&mut additional, std::mem::take(&mut extra));
    let own = context.options.automatic_cache;
    let own = own.then(|| CachePoint::new(None));
    let automatic = cache::point(&mut body, &root, true, context)?.or(own);
    let mut request = ConverseRequest {
        messages,
        system,
        tool_config,
        guardrail_config: service::guardrail(&mut body, stream, context)?,
        additional_model_request_fields: additional,
        additional_model_response_field_paths: stop_sequence_paths(
            &inference_config,
            context.capabilities,
        ),
        inference_config,
        request_metadata: service::metadata(&mut body, context)?,
        performance_config: service::performance(&mut body, context)?,
        service_tier: service::tier(&mut body)?,
        output_config: format.output,
        ..ConverseRequest::default()
    };
    if let Some(point) = automatic {
        cache::automatic(&mut request, point, context);
    }
    cache::limit(&mut request, context)?;
    fields.leftover(body, &mut context.notes)?;
    let tools = request.tool_config.is_some();
    Ok(Assembled {
        upstream_stream: stream && (!tools || context.capabilities.tools.streamed),
        reads_calls_in_text: tools && context.capabilities.tools.leaks_call_tokens,
        request,
        schema_tool,
    })
}

pub(crate) fn flag(body: &mut Object<'_>, key: &str, at: &At<'_>) -> Result<bool, RequestError> {
    body.take(key)
        .map(|flag| flag.boolean(&at.key(key)))
        .transpose()
        .map(|flag| flag.unwrap_or(false))
}

pub(crate) fn stream_options(
    body: &mut Object<'_>,
    context: &mut Context<'_>,
) -> Result<bool, RequestError> {
    let root = At::Root;
    let Some(mut options) = body.object("stream_options", &root)? else {
        return Ok(false);
    };
    let at = root.key("stream_options");
    let include = flag(&mut options, "include_usage", &at)?;
    // Padding against guessing lengths: Bedrock pads its events itself.
    options.take("include_obfuscation");
    context.unknown(options, &at)?;
    Ok(include)
}

/// `extra_body` and Bedrock's own name for it: what only the model knows, taken as it is.
fn extra(body: &mut Object<'_>) -> Result<Map<String, Value>, RequestError> {
    let root = At::Root;
    let mut all = Map::new();
    for key in ["extra_body", "additionalModelRequestFields"] {
        if let Some(value) = body.take(key) {
            let at = root.key(key);
            match value.into_value(&at)? {
                Value::Object(fields) => merge(&mut all, fields),
                _ => return Err(RequestError::invalid(key, "expected an object")),
            }
        }
    }
    Ok(all)
}

/// Whether fields the client passes through make the model think.
fn thinks(fields: &Map<String, Value>) -> bool {
    let kind = fields
        .get("thinking")
        .and_then(|thinking| thinking.get("type"));
    kind.and_then(Value::as_str)
        .is_some_and(|kind| kind != "disabled")
}
