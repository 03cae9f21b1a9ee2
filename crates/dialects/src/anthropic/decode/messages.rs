//! Reads `messages` and `system`; [`crate::translation::turns`] combines the messages.

use std::borrow::Cow;

use bedrock::converse::{ContentBlock, ReasoningContent, ReasoningText, Text, ToolUseBlock};
use serde_json::value::RawValue;

use super::content;
use crate::{
    families::Replay,
    translation::{
        RequestError, cache,
        context::Context,
        conversation::Conversation,
        json::{FieldPath, Json, Object},
        names,
        parts::{Part, flatten, text_block},
        schema,
        tool_results::{self, ToolResult},
        turns::{Call, Turns},
    },
};

/// Reads `messages` and `system`.
pub(super) fn decode<'a>(
    messages: Json<'a>,
    system: Option<Json<'a>>,
    context: &mut Context<'_>,
) -> Result<Conversation<'a>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("messages");
    let messages = messages.array(&at)?;
    if messages.is_empty() {
        return Err(RequestError::invalid(
            "messages",
            "must contain at least one message",
        ));
    }
    let mut conversation = Conversation::default();
    if let Some(system) = system {
        let at = root.key("system");
        let blocks = prompt(system, &at, context.capabilities.cache.system, context)?;
        conversation.system_message(blocks, &at, context)?;
    }
    let last_answer = messages
        .iter()
        .rposition(|message| message.text_at(&["role"]).as_deref() == Some("assistant"));
    for (index, message) in messages.into_iter().enumerate() {
        context.replaces_media = last_answer.is_some_and(|last| index < last);
        let at = at.index(index);
        let mut message = message.object(&at)?;
        let role = message.required_string("role", &at)?;
        let given = message
            .take("content")
            .ok_or_else(|| RequestError::missing(at.key("content").to_string(), "is required"))?;
        context.drop_unknown(message, &at)?;
        let at = at.key("content");
        match role.as_ref() {
            "user" => user(given, &at, &mut conversation.turns, context)?,
            "assistant" => assistant(given, &at, &mut conversation.turns, context)?,
            "system" => {
                let cached = conversation.caches_system(context);
                let blocks = prompt(given, &at, cached, context)?;
                conversation.system_message(blocks, &at, context)?;
            }
            other => {
                return Err(RequestError::invalid(
                    FieldPath::Root
                        .key("messages")
                        .index(index)
                        .key("role")
                        .to_string(),
                    format!("{other:?} is not a role; use user or assistant"),
                ));
            }
        }
    }
    Ok(conversation)
}

/// A system prompt: a string, or blocks of text.
fn prompt<'a>(
    system: Json<'a>,
    at: &FieldPath<'_>,
    cached: bool,
    context: &mut Context<'_>,
) -> Result<Vec<ContentBlock<'a>>, RequestError> {
    let mut parts = Vec::new();
    match system {
        Json::String(text) => parts.push(Part {
            block: text_block(text),
            cache: None,
        }),
        list => {
            for (index, block) in list.array(at)?.into_iter().enumerate() {
                let at = at.index(index);
                let mut block = block.object(&at)?;
                let cache = cache::point(&mut block, &at, cached, context)?;
                let kind = block.required_string("type", &at)?;
                if kind != "text" {
                    return Err(RequestError::unsupported(
                        at.key("type").to_string(),
                        "a system prompt supports text only; use a user message for other content",
                    ));
                }
                parts.push(Part {
                    block: content::text(&mut block, &at, context)?,
                    cache,
                });
                context.drop_unknown(block, &at)?;
            }
        }
    }
    Ok(flatten(parts))
}

/// Calls `read` for each block of a message's content, or `text` for a string.
fn each<'a>(
    given: Json<'a>,
    at: &FieldPath<'_>,
    mut read: impl FnMut(&str, Object<'a>, &FieldPath<'_>) -> Result<(), RequestError>,
    text: impl FnOnce(Text<'a>),
) -> Result<(), RequestError> {
    if let Json::String(words) = given {
        text(words);
        return Ok(());
    }
    for (index, block) in given.array(at)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut block = block.object(&at)?;
        let kind = block.required_string("type", &at)?;
        read(&kind, block, &at)?;
    }
    Ok(())
}

fn user<'a>(
    given: Json<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut parts = Vec::new();
    let mut whole = None;
    each(
        given,
        at,
        |kind, block, at| {
            if kind == "tool_result" {
                result(block, at, turns, context)
            } else {
                parts.push(content::part(kind, block, at, context)?);
                Ok(())
            }
        },
        |text| whole = text_block(text),
    )?;
    parts.extend(whole.map(|block| Part {
        block: Some(block),
        cache: None,
    }));
    turns.user(flatten(parts));
    Ok(())
}

/// Reads a tool result.
fn result<'a>(
    mut block: Object<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let cached = context.capabilities.cache.messages;
    let mut point = cache::point(&mut block, at, cached, context)?;
    let id = block.required_string("tool_use_id", at)?;
    let is_error = block.boolean("is_error", at)?.unwrap_or(false);
    let mut blocks = Vec::new();
    let earlier = std::mem::replace(&mut context.replaces_media, true);
    if let Some(given) = block.take("content") {
        let at = at.key("content");
        let mut whole = None;
        each(
            given,
            &at,
            |kind, block, at| {
                let part = content::part(kind, block, at, context)?;
                blocks.extend(part.block);
                point = part.cache.or(point);
                Ok(())
            },
            |text| whole = text_block(text),
        )?;
        blocks.extend(whole);
    }
    context.replaces_media = earlier;
    context.drop_unknown(block, at)?;
    let given = ToolResult {
        id,
        is_error,
        point,
        blocks,
    };
    tool_results::result(given, turns, context)
}

fn assistant<'a>(
    given: Json<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    let mut calls = Vec::new();
    let mut whole = None;
    each(
        given,
        at,
        |kind, mut block, at| {
            let cached = context.capabilities.cache.messages;
            let cache = cache::point(&mut block, at, cached, context)?;
            let block = match kind {
                "text" => {
                    let text = content::text(&mut block, at, context)?;
                    context.drop_unknown(block, at)?;
                    text
                }
                "thinking" | "redacted_thinking" => thinking(kind, block, at, context)?,
                "tool_use" => {
                    let (block, call) = call(block, at, turns, context)?;
                    calls.push(call);
                    Some(ContentBlock::ToolUse(block))
                }
                "tool_search_tool_result" | "server_tool_use" if is_search(&block) => {
                    let why = "Converse does not search tools";
                    return context.warnings.dropped("messages[].content[]", why);
                }
                other => return Err(content::unknown(other, at, "text, thinking or tool_use")),
            };
            parts.push(Part { block, cache });
            Ok(())
        },
        |text| whole = text_block(text),
    )?;
    parts.extend(whole.map(|block| Part {
        block: Some(block),
        cache: None,
    }));
    turns.assistant(flatten(parts), calls);
    Ok(())
}

/// Whether a block belongs to a search for tools that Bedrock ran by InvokeModel.
fn is_search(block: &Object<'_>) -> bool {
    match block.get("name") {
        Some(Json::String(name)) => name.decoded().starts_with("tool_search_tool"),
        _ => block.get("tool_use_id").is_some(),
    }
}

/// Replayed reasoning: signed or encrypted blocks, bit for bit.
fn thinking<'a>(
    kind: &str,
    mut block: Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let reasoning = if kind == "thinking" {
        let text = block.text("thinking", at)?.unwrap_or_default();
        let signature = block
            .string("signature", at)?
            .filter(|signature| !signature.is_empty());
        ReasoningContent::ReasoningText(ReasoningText { text, signature })
    } else {
        ReasoningContent::RedactedContent(block.required_string("data", at)?)
    };
    context.drop_unknown(block, at)?;
    let unsigned = matches!(
        &reasoning,
        ReasoningContent::ReasoningText(ReasoningText {
            signature: None,
            ..
        })
    );
    if context.capabilities.reasoning.replay == Replay::Never {
        let why = format!(
            "{} does not support replayed reasoning",
            context.capabilities.title
        );
        context
            .warnings
            .dropped("messages[].content[].thinking", &why)?;
        return Ok(None);
    }
    if unsigned {
        let why = "reasoning without a signature cannot be replayed";
        context
            .warnings
            .dropped("messages[].content[].thinking", why)?;
        return Ok(None);
    }
    Ok(Some(ContentBlock::ReasoningContent(reasoning)))
}

fn call<'a>(
    mut block: Object<'a>,
    at: &FieldPath<'_>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(ToolUseBlock<'a>, Call<'a>), RequestError> {
    let id = block.required_string("id", at)?;
    let name = block.required_string("name", at)?;
    let input = arguments(block.take("input").as_ref(), &at.key("input"))?;
    // The caller of the tool, which is always the model here.
    block.take("caller");
    context.drop_unknown(block, at)?;
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

/// Arguments as raw text.
fn arguments<'a>(
    input: Option<&Json<'a>>,
    at: &FieldPath<'_>,
) -> Result<Cow<'a, RawValue>, RequestError> {
    match input {
        None => schema::owned("{}".to_owned()),
        Some(Json::Raw(raw)) if raw.get().starts_with('{') => Ok(Cow::Borrowed(raw)),
        Some(_) => Err(RequestError::invalid(at.to_string(), "expected an object")),
    }
}
