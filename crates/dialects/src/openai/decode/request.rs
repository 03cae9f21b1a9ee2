//! The request as a whole: which field is read when, and what is left over.

use bedrock::converse::{CachePoint, ContentBlock, ConverseRequest, Message, Role, SystemBlock};
use serde_json::{Map, Value};

use super::{
    super::{
        error::RequestError,
        fields::{self, Fields},
        json::{At, Json, Object},
    },
    DecodeOptions, Decoded, Fetch, cache,
    format::{self, Wish},
    messages::{self, Conversation},
    names::ToolNames,
    notes::Notes,
    reasoning,
    reply::ReplyContext,
    sampling, service,
    tools::{self, Tools},
    turns,
};
use crate::families::{ModelFacts, Surface};

/// What an endpoint of OpenAI's calls things, for warnings and errors.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) conversation: &'static str,
    /// Calls of tools in the conversation.
    pub(crate) calls: &'static str,
    /// Their arguments.
    pub(crate) arguments: &'static str,
    /// By what a result names its call.
    pub(crate) result_id: &'static str,
    /// Where name and schema of a tool are.
    pub(crate) function: &'static str,
    pub(crate) effort: &'static str,
    /// By what reasoning comes back.
    pub(crate) replay: &'static str,
}

/// What all parts of decoding share.
#[derive(Debug)]
pub(crate) struct Context<'o> {
    pub(crate) facts: &'o ModelFacts,
    pub(crate) words: &'static Words,
    pub(crate) options: &'o DecodeOptions<'o>,
    pub(crate) notes: Notes,
    pub(crate) names: ToolNames,
    /// Bedrock's names of tools called in the conversation.
    pub(crate) history: Vec<String>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) images: usize,
    pub(crate) document_names: Vec<String>,
}

impl<'o> Context<'o> {
    pub(crate) const fn new(options: &'o DecodeOptions<'o>, words: &'static Words) -> Self {
        Self {
            facts: options.facts,
            words,
            options,
            notes: Notes::new(options.strict),
            names: ToolNames::new(),
            history: Vec::new(),
            fetches: Vec::new(),
            images: 0,
            document_names: Vec::new(),
        }
    }

    /// Members nobody took: a warning each, unless they are empty and so say nothing.
    pub(crate) fn unknown(&mut self, rest: Object<'_>, at: &At<'_>) -> Result<(), RequestError> {
        for (key, value) in rest.rest() {
            let empty = match &value {
                Json::Array(items) => items.is_empty(),
                Json::String(text) => text.is_empty(),
                Json::Bool(flag) => !flag,
                _ => false,
            };
            if !empty {
                self.notes
                    .dropped(&at.key(&key).to_string(), "Bedrock has nothing like it")?;
            }
        }
        Ok(())
    }

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

    /// Notes that a tool was called in the conversation.
    pub(crate) fn tool_history(&mut self, name: &str) {
        if !self.history.iter().any(|known| known == name) {
            self.history.push(name.to_owned());
        }
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
    let mut body = members(body)?;
    let mut context = Context::new(options, &WORDS);
    served(options.facts)?;
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
        additional_model_response_field_paths: paths(&inference_config, context.facts),
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
        upstream_stream: stream && (!tools || context.facts.tools.streamed),
        reads_calls_in_text: tools && context.facts.tools.leaks_call_tokens,
        request,
        schema_tool,
    })
}

pub(crate) fn members(body: &[u8]) -> Result<Object<'_>, RequestError> {
    let json: Json<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    match json {
        Json::Object(members) => Ok(members),
        _ => Err(RequestError::no_object()),
    }
}

/// System prompt and messages by the rules of the family.
fn spoken<'a>(
    conversation: Conversation<'a>,
    context: &mut Context<'_>,
) -> Result<(Vec<SystemBlock<'a>>, Vec<Message<'a>>), RequestError> {
    let mut system = conversation.system;
    let mut preface = Vec::new();
    if !context.facts.system {
        preface = as_preface(std::mem::take(&mut system));
    }
    let mut messages = conversation.turns.into_messages(preface, context)?;
    if messages.is_empty() {
        if system.is_empty() && context.fetches.is_empty() {
            return Err(RequestError::invalid(
                context.words.conversation,
                "none of it says anything",
            ));
        }
        // A system prompt alone is fine with OpenAI; Bedrock wants a word of the user.
        messages.push(Message {
            role: Role::User,
            content: vec![turns::placeholder()],
        });
    }
    Ok((system, messages))
}

/// Adds an instruction to the system prompt, or to the user's first words.
fn instruct<'a>(
    instruction: Option<SystemBlock<'a>>,
    system: &mut Vec<SystemBlock<'a>>,
    messages: &mut [Message<'a>],
    context: &Context<'_>,
) {
    let Some(instruction) = instruction else {
        return;
    };
    if context.facts.system {
        system.push(instruction);
    } else if let Some(first) = messages.first_mut() {
        let rest = std::mem::replace(&mut first.content, as_preface(vec![instruction]));
        first.content.extend(rest);
    }
}

/// Models that Converse does not serve are refused here, with the way out.
pub(crate) fn served(facts: &ModelFacts) -> Result<(), RequestError> {
    match facts.surface {
        Surface::Converse => Ok(()),
        Surface::Embeddings => Err(RequestError::unsupported(
            "model",
            format!("{} makes embeddings; use /v1/embeddings", facts.title),
        )),
        Surface::OpenAi => Err(RequestError::unsupported(
            "model",
            format!(
                "{} models are served by Bedrock's own OpenAI endpoint only, not by Converse",
                facts.title
            ),
        )),
    }
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

/// Members of objects are merged, all else is replaced.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// A system prompt as the user's first words, for families without one.
fn as_preface(system: Vec<SystemBlock<'_>>) -> Vec<ContentBlock<'_>> {
    system
        .into_iter()
        .filter_map(|block| match block {
            SystemBlock::Text(text) => Some(ContentBlock::Text(text)),
            SystemBlock::GuardContent(guard) => Some(ContentBlock::GuardContent(guard)),
            SystemBlock::CachePoint(_) => None,
        })
        .collect()
}

/// Asks which stop sequence was met, where the model can say.
fn paths(
    inference: &bedrock::converse::InferenceConfig<'_>,
    facts: &ModelFacts,
) -> Vec<std::borrow::Cow<'static, str>> {
    if facts.stop_sequence_path && !inference.stop_sequences.is_empty() {
        vec![std::borrow::Cow::Borrowed("/delta/stop_sequence")]
    } else {
        Vec::new()
    }
}
