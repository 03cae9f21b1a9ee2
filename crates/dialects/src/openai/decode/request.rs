//! The request as a whole: which field is read when, and what is left over.

use bedrock::converse::{CachePoint, ContentBlock, ConverseRequest, Message, Role, SystemBlock};
use serde_json::{Map, Value};

use super::{
    super::{
        error::RequestError,
        fields,
        json::{At, Json, Object},
    },
    DecodeOptions, Decoded, Fetch, cache, format,
    messages::{self, Conversation},
    names::ToolNames,
    notes::Notes,
    reasoning,
    reply::ReplyContext,
    sampling, service, tools, turns,
};
use crate::families::{ModelFacts, Surface};

/// What all parts of decoding share.
#[derive(Debug)]
pub(super) struct Context<'o> {
    pub(super) facts: &'o ModelFacts,
    pub(super) options: &'o DecodeOptions<'o>,
    pub(super) notes: Notes,
    pub(super) names: ToolNames,
    /// Bedrock's names of tools called in the conversation.
    pub(super) history: Vec<String>,
    pub(super) fetches: Vec<Fetch>,
    pub(super) images: usize,
    pub(super) document_names: Vec<String>,
}

impl<'o> Context<'o> {
    const fn new(options: &'o DecodeOptions<'o>) -> Self {
        Self {
            facts: options.facts,
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
    pub(super) fn unknown(&mut self, rest: Object<'_>, at: &At<'_>) -> Result<(), RequestError> {
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
    pub(super) fn nameless(
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
    pub(super) fn tool_history(&mut self, name: &str) {
        if !self.history.iter().any(|known| known == name) {
            self.history.push(name.to_owned());
        }
    }
}

/// Decodes a Chat Completions request.
///
/// # Errors
/// A 400 naming the field, when the body cannot be translated as it was meant.
pub fn decode<'a>(
    body: &'a [u8],
    options: &DecodeOptions<'_>,
) -> Result<Decoded<'a>, RequestError> {
    let mut body = members(body)?;
    let mut context = Context::new(options);
    served(options.facts)?;
    fields::refuse(&mut body)?;
    let root = At::Root;
    body.take("model");
    let stream = flag(&mut body, "stream", &root)?;
    let include_usage = stream_options(&mut body, &mut context)?;
    let client_tools = tools::decode(&mut body, &mut context)?;
    let list = body
        .take("messages")
        .ok_or_else(|| RequestError::missing("messages", "must be given"))?;
    let conversation = messages::decode(list, &root.key("messages"), &mut context)?;
    let (effort, thinking) = (body.take("reasoning_effort"), body.take("thinking"));
    let mut reasoning = reasoning::decide(effort, thinking, &mut context)?;
    let mut additional = extra(&mut body)?;
    if reasoning.fields.is_empty() {
        reasoning.active = thinks(&additional);
    }

    let (mut system, mut messages) = spoken(conversation, &mut context)?;
    reasoning::check_replay(&mut reasoning, &messages, &mut context)?;
    let format = format::decode(body.take("response_format"), &reasoning, &mut context)?;
    instruct(format.instruction, &mut system, &mut messages, &context);
    let schema_tool = format
        .schema_tool
        .as_ref()
        .map(|tool| tool.spec.name.clone().into_owned());
    let mut fields = std::mem::take(&mut reasoning.fields);
    let tool_config = tools::config(
        client_tools,
        format.schema_tool,
        &reasoning,
        &mut fields,
        &mut context,
    )?;
    let given = sampling::Given::take(&mut body);
    let inference_config = sampling::decode(given, &reasoning, &mut fields, &mut context)?;
    merge(&mut fields, std::mem::take(&mut additional));
    let own = options.automatic_cache.then(|| CachePoint::new(None));
    let automatic = cache::point(&mut body, &root, true, &mut context)?.or(own);
    let mut request = ConverseRequest {
        messages,
        system,
        tool_config,
        guardrail_config: service::guardrail(&mut body, stream, &mut context)?,
        additional_model_request_fields: fields,
        additional_model_response_field_paths: paths(&inference_config, context.facts),
        inference_config,
        request_metadata: service::metadata(&mut body, &mut context)?,
        performance_config: service::performance(&mut body, &mut context)?,
        service_tier: service::tier(&mut body)?,
        output_config: format.output,
        ..ConverseRequest::default()
    };
    if let Some(point) = automatic {
        cache::automatic(&mut request, point, &context);
    }
    cache::limit(&mut request, &mut context)?;
    fields::leftover(body, &mut context.notes)?;
    let tools = request.tool_config.is_some();
    let upstream_stream = stream && (!tools || context.facts.tools.streamed);
    let leaks = tools && context.facts.tools.leaks_call_tokens;
    Ok(Decoded {
        request,
        stream,
        upstream_stream,
        include_usage,
        reply: ReplyContext::new(context.names, schema_tool, include_usage, leaks),
        warnings: context.notes.into_warnings(),
        fetches: context.fetches,
    })
}

fn members(body: &[u8]) -> Result<Object<'_>, RequestError> {
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
                "messages",
                "none of the messages says anything",
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
fn served(facts: &ModelFacts) -> Result<(), RequestError> {
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

fn flag(body: &mut Object<'_>, key: &str, at: &At<'_>) -> Result<bool, RequestError> {
    body.take(key)
        .map(|flag| flag.boolean(&at.key(key)))
        .transpose()
        .map(|flag| flag.unwrap_or(false))
}

fn stream_options(body: &mut Object<'_>, context: &mut Context<'_>) -> Result<bool, RequestError> {
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
