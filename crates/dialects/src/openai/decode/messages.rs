//! Reads `messages`; [`crate::translation::turns`] combines them.

use std::sync::Arc;

use bedrock::converse::{ContentBlock, ReasoningContent, ReasoningText, ToolUseBlock};

use super::{super::reply::DETAIL_FORMAT, parts};
use crate::{
    families::Replay,
    translation::{
        RequestError, SignedReasoning, cache,
        context::Context,
        conversation::Conversation,
        json::{FieldPath, Json, Object},
        names,
        openai_shapes::tools::arguments,
        parts::{Part, flatten, text_block},
        tool_results::{self, ToolResult},
        turns::{Call, Turns},
    },
};

/// Reads `messages`.
pub(super) fn decode<'a>(
    messages: Json<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Conversation<'a>, RequestError> {
    let messages = messages.array(at)?;
    if messages.is_empty() {
        return Err(RequestError::invalid(
            at.to_string(),
            "must contain at least one message",
        ));
    }
    let mut conversation = Conversation::default();
    let last_answer = messages
        .iter()
        .rposition(|message| message.text_at(&["role"]).as_deref() == Some("assistant"));
    for (index, message) in messages.into_iter().enumerate() {
        let at = at.index(index);
        let mut message = message.object(&at)?;
        let role = message.required_string("role", &at)?;
        let earlier = last_answer.is_some_and(|last| index < last);
        context.replaces_media = earlier || role == "tool";
        match role.as_ref() {
            "system" | "developer" => system(message, &at, &mut conversation, context)?,
            "user" => user(message, &at, &mut conversation.turns, context)?,
            "assistant" => assistant(message, &at, &mut conversation.turns, context)?,
            "tool" => tool(message, &at, &mut conversation.turns, context)?,
            "function" => {
                return Err(RequestError::unsupported(
                    at.key("role").to_string(),
                    "role \"function\" is deprecated; use tool_calls and role \"tool\"",
                ));
            }
            other => {
                return Err(RequestError::invalid(
                    at.key("role").to_string(),
                    format!(
                        "{other:?} is not a role; use system, developer, user, assistant or tool"
                    ),
                ));
            }
        }
    }
    Ok(conversation)
}

/// `name` of a message, which Converse does not support.
fn drop_name(
    message: &mut Object<'_>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    if message.string("name", at)?.is_some() {
        let why = "participant names are not supported by Bedrock";
        context.warnings.dropped("messages[].name", why)?;
    }
    Ok(())
}

/// The content, followed by the cache point of the message.
fn content_of<'a>(
    message: &mut Object<'a>,
    at: &FieldPath<'_>,
    cached: bool,
    context: &mut Context<'_>,
) -> Result<Vec<Part<'a>>, RequestError> {
    let point = cache::point(message, at, cached, context)?;
    let mut parts = parts::content(message.take("content"), &at.key("content"), context)?;
    if point.is_some() {
        parts.push(Part {
            block: None,
            cache: point,
        });
    }
    Ok(parts)
}

fn system<'a>(
    mut message: Object<'a>,
    at: &FieldPath<'_>,
    conversation: &mut Conversation<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let cached = conversation.caches_system(context);
    let parts = content_of(&mut message, at, cached, context)?;
    drop_name(&mut message, at, context)?;
    context.drop_unknown(message, at)?;
    let blocks = flatten(parts);
    conversation.system_message(blocks, &at.key("content"), context)
}

fn user<'a>(
    mut message: Object<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let parts = content_of(
        &mut message,
        at,
        context.capabilities.cache.messages,
        context,
    )?;
    drop_name(&mut message, at, context)?;
    context.drop_unknown(message, at)?;
    turns.user(flatten(parts));
    Ok(())
}

fn assistant<'a>(
    mut message: Object<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let cached = context.capabilities.cache.messages;
    // The point of a message is after its calls.
    let point = cache::point(&mut message, at, cached, context)?;
    let kept = kept_reasoning(&message, context);
    let mut blocks = reasoning(&mut message, kept, at, context)?;
    let parts = content_of(&mut message, at, cached, context)?;
    let mut text = flatten(parts);
    if let Some(refusal) = message.text("refusal", at)? {
        text.extend(text_block(refusal));
    }
    if text.iter().any(|block| {
        !matches!(
            block,
            ContentBlock::Text(_) | ContentBlock::CachePoint(_) | ContentBlock::GuardContent(_)
        )
    }) {
        return Err(RequestError::unsupported(
            at.key("content").to_string(),
            "an assistant message supports text and tool calls only; use a user message for images and files",
        ));
    }
    let has_text = text
        .iter()
        .any(|block| !matches!(block, ContentBlock::CachePoint(_)));
    blocks.extend(text);
    let mut calls = Vec::new();
    if let Some(list) = message.take("tool_calls") {
        let at = at.key("tool_calls");
        for (index, call) in list.array(&at)?.into_iter().enumerate() {
            let mut call = call.object(&at.index(index))?;
            let point = cache::point(&mut call, &at.index(index), cached, context)?;
            let (block, call) = tool_call(call, &at.index(index), turns, context)?;
            blocks.push(ContentBlock::ToolUse(block));
            blocks.extend(point.map(ContentBlock::CachePoint));
            calls.push(call);
        }
    }
    if message.get("audio").is_some() && !has_text {
        return Err(RequestError::unsupported(
            at.key("audio").to_string(),
            "nothing is stored, so the audio is unknown; send its transcript as content",
        ));
    }
    if message.take("function_call").is_some() {
        return Err(RequestError::unsupported(
            at.key("function_call").to_string(),
            "function_call is deprecated; use tool_calls",
        ));
    }
    drop_name(&mut message, at, context)?;
    context.drop_unknown(message, at)?;
    blocks.extend(point.map(ContentBlock::CachePoint));
    turns.assistant(blocks, calls);
    Ok(())
}

/// Whether an entry of `reasoning_details` has another format than the gateway's, or is only a summary.
fn is_foreign(entry: &Object<'_>) -> bool {
    let word = |key| match entry.get(key) {
        Some(Json::String(word)) => Some(word.decoded()),
        _ => None,
    };
    word("format").is_some_and(|format| format != DETAIL_FORMAT) || entry.get("summary").is_some()
}

/// The kept reasoning of a message with tool calls.
fn kept_reasoning(message: &Object<'_>, context: &Context<'_>) -> Option<Arc<SignedReasoning>> {
    let kept = context.options.kept_reasoning?;
    if context.capabilities.reasoning.replay != Replay::Signed {
        return None;
    }
    let Some(Json::Array(calls)) = message.get("tool_calls") else {
        return None;
    };
    kept.before_call(&calls.first()?.text_at(&["id"])?)
}

/// Replayed reasoning: signed or encrypted blocks, bit for bit. `kept`: those of a client that replays none.
fn reasoning<'a>(
    message: &mut Object<'a>,
    kept: Option<Arc<SignedReasoning>>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<ContentBlock<'a>>, RequestError> {
    let plain = message
        .take("reasoning_content")
        .is_some_and(|value| !matches!(value, Json::String(ref text) if text.is_empty()));
    let details = message.take("reasoning_details");
    let given = message
        .take("thinking_blocks")
        .map(|list| (list, "thinking_blocks"));
    let Some((list, field)) = given.or(details.map(|list| (list, "reasoning_details"))) else {
        if let Some(kept) = kept {
            return Ok(kept
                .iter()
                .cloned()
                .map(ContentBlock::ReasoningContent)
                .collect());
        }
        if plain && context.capabilities.reasoning.replay == Replay::Signed {
            context.warnings.dropped(
                "messages[].reasoning_content",
                "only signed reasoning in thinking_blocks can be replayed",
            )?;
        } else if plain {
            context.warnings.dropped(
                "messages[].reasoning_content",
                "this model does not support replayed reasoning",
            )?;
        }
        return Ok(Vec::new());
    };
    let at = at.key(field);
    let param = format!("messages[].{field}");
    let mut blocks = Vec::new();
    for (index, block) in list.array(&at)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut given = block.object(&at)?;
        let kind = given.required_string("type", &at)?;
        let block = match kind.as_ref() {
            _ if is_foreign(&given) => {
                let why = "reasoning of another service cannot be replayed";
                context.warnings.dropped(&param, why)?;
                continue;
            }
            "thinking" | "reasoning.text" => {
                let key = if kind == "thinking" {
                    "thinking"
                } else {
                    "text"
                };
                let text = given.text(key, &at)?.unwrap_or_default();
                match given.string("signature", &at)? {
                    Some(signature) if !signature.is_empty() => {
                        ReasoningContent::ReasoningText(ReasoningText {
                            text,
                            signature: Some(signature),
                        })
                    }
                    _ => {
                        context
                            .warnings
                            .dropped(&param, "reasoning without a signature cannot be replayed")?;
                        continue;
                    }
                }
            }
            "redacted_thinking" | "reasoning.encrypted" => {
                ReasoningContent::RedactedContent(given.required_string("data", &at)?)
            }
            other => {
                return Err(RequestError::invalid(
                    at.key("type").to_string(),
                    format!("{other:?} is not supported; use thinking or redacted_thinking"),
                ));
            }
        };
        if context.capabilities.reasoning.replay == Replay::Never {
            context
                .warnings
                .dropped(&param, "this model does not support replayed reasoning")?;
            continue;
        }
        blocks.push(ContentBlock::ReasoningContent(block));
    }
    Ok(blocks)
}

fn tool_call<'a>(
    mut call: Object<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(ToolUseBlock<'a>, Call<'a>), RequestError> {
    let kind = call.string("type", at)?;
    if kind.as_deref().is_some_and(|kind| kind != "function") {
        return Err(RequestError::unsupported(
            at.key("type").to_string(),
            "only calls of type \"function\" are supported",
        ));
    }
    let id = call.required_string("id", at)?;
    let function_at = at.key("function");
    let mut function = call
        .object("function", at)?
        .ok_or_else(|| RequestError::missing(function_at.to_string(), "is required"))?;
    let name = function.required_string("name", &function_at)?;
    let input = arguments(
        function.take("arguments"),
        &function_at.key("arguments"),
        context,
    )?;
    call.take("index");
    context.drop_unknown(function, &function_at)?;
    context.drop_unknown(call, at)?;
    let name = context.names.upstream(name);
    context.tool_history(&name);
    let upstream = turns.fresh_id(&names::call_id(id.clone(), context.capabilities.tools.id));
    let block = ToolUseBlock {
        tool_use_id: upstream.clone(),
        input: context.names.upstream_arguments(&name, input),
        name,
    };
    Ok((block, Call::new(id, upstream)))
}

fn tool<'a>(
    mut message: Object<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let id = message.required_string("tool_call_id", at)?;
    let is_error = message.boolean("is_error", at)?.unwrap_or(false);
    let cached = context.capabilities.cache.messages;
    let parts = content_of(&mut message, at, cached, context)?;
    // The call has the name of the tool.
    message.take("name");
    context.drop_unknown(message, at)?;
    let point = parts.iter().rev().find_map(|part| part.cache);
    let given = ToolResult {
        id,
        is_error,
        point,
        blocks: parts.into_iter().filter_map(|part| part.block).collect(),
    };
    tool_results::result(given, turns, context)
}
