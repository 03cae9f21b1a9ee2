//! Items of `input`, one by one, and `instructions` before them.

use std::borrow::Cow;

use bedrock::converse::{ContentBlock, SystemBlock, ToolUseBlock};
use serde_json::json;

use super::{super::carrier, content, tools::INPUT};
use crate::{
    families::Replay,
    translation::{
        RequestError,
        context::Context,
        conversation::Conversation,
        json::{FieldPath, Json, Object},
        names,
        openai_shapes::tools::arguments,
        parts::text_block,
        schema,
        tool_results::{self, ToolResult},
        turns::Call,
    },
};

/// Items that tell what a tool of OpenAI's did.
const HOSTED: [&str; 5] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
];

/// Items as they are read.
#[derive(Default)]
struct Reader<'a> {
    conversation: Conversation<'a>,
    /// Reasoning that waits for what it led to.
    reasoning: Vec<ContentBlock<'a>>,
}

/// Reads `instructions` and `input`.
pub(super) fn decode<'a>(
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<Conversation<'a>, RequestError> {
    let root = FieldPath::Root;
    let mut reader = Reader::default();
    if let Some(instructions) = body.string("instructions", &root)?
        && !instructions.trim().is_empty()
    {
        reader
            .conversation
            .system
            .push(SystemBlock::Text(instructions));
    }
    let at = root.key("input");
    match body.take("input") {
        Some(Json::String(text)) => reader
            .conversation
            .turns
            .user(Vec::from_iter(text_block(text))),
        Some(Json::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                reader.item(item, &at.index(index), context)?;
            }
        }
        Some(_) => {
            return Err(RequestError::invalid(
                "input",
                "expected a string or an array of items",
            ));
        }
        None => return Err(RequestError::missing("input", "must be given")),
    }
    reader.no_more_reasoning(context)?;
    Ok(reader.conversation)
}

impl<'a> Reader<'a> {
    fn item(
        &mut self,
        item: Json<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let mut item = item.object(at)?;
        let kind = match item.string("type", at)? {
            Some(kind) => kind,
            None if item.get("role").is_some() => Cow::Borrowed("message"),
            None => {
                return Err(RequestError::missing(
                    at.key("type").to_string(),
                    "must be given",
                ));
            }
        };
        // Ids and states of items that were given out.
        let id = item.string("id", at)?;
        item.take("status");
        match kind.as_ref() {
            "message" => self.message(item, at, context),
            "reasoning" => self.reasoning(item, at, context),
            "function_call" => self.call(item, at, false, context),
            "custom_tool_call" => self.call(item, at, true, context),
            "function_call_output" | "custom_tool_call_output" => self.output(item, at, context),
            "item_reference" => Err(RequestError::unsupported(
                at.to_string(),
                format!(
                    "nothing is stored, so the item {:?} is not known; send the item itself \
                     (clients do so with store: false)",
                    id.as_deref().unwrap_or_default()
                ),
            )),
            hosted if HOSTED.contains(&hosted) => {
                let why = format!("{hosted} tells of a tool that only OpenAI has");
                context.warnings.dropped("input[]", &why)
            }
            other => Err(RequestError::unsupported(
                at.key("type").to_string(),
                format!(
                    "{other:?} is not an item this endpoint knows; it takes message, reasoning, \
                     function_call, function_call_output, custom_tool_call and \
                     custom_tool_call_output"
                ),
            )),
        }
    }

    fn message(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let role = item.required_string("role", at)?;
        let capabilities = &context.capabilities.cache;
        let cached = if matches!(role.as_ref(), "system" | "developer") {
            capabilities.system
        } else {
            capabilities.messages
        };
        let content_at = at.key("content");
        let blocks = content::decode(item.take("content"), &content_at, cached, context)?;
        // Whether it was said on the way or at the end.
        item.take("phase");
        context.drop_unknown(item, at)?;
        match role.as_ref() {
            "user" => {
                self.no_more_reasoning(context)?;
                self.conversation.turns.user(blocks);
            }
            "assistant" => {
                if blocks.iter().any(|block| !is_said(block)) {
                    return Err(RequestError::unsupported(
                        content_at.to_string(),
                        "an assistant message holds text only; pictures and files go into user messages",
                    ));
                }
                self.assistant(blocks, Vec::new());
            }
            "system" | "developer" => {
                for block in blocks {
                    self.conversation.system.push(match block {
                        ContentBlock::Text(text) => SystemBlock::Text(text),
                        ContentBlock::CachePoint(point) => SystemBlock::CachePoint(point),
                        _ => {
                            return Err(RequestError::unsupported(
                                content_at.to_string(),
                                "a system prompt holds text only; put the rest into a user message",
                            ));
                        }
                    });
                }
            }
            other => {
                return Err(RequestError::invalid(
                    at.key("role").to_string(),
                    format!("{other:?} is no role; use system, developer, user or assistant"),
                ));
            }
        }
        Ok(())
    }

    /// Blocks of the assistant's, after the reasoning that led to them.
    fn assistant(&mut self, blocks: Vec<ContentBlock<'a>>, calls: Vec<Call<'a>>) {
        if blocks.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.reasoning);
        all.extend(blocks);
        self.conversation.turns.assistant(all, calls);
    }

    /// Bedrock refuses reasoning that led to nothing.
    fn no_more_reasoning(&mut self, context: &mut Context<'_>) -> Result<(), RequestError> {
        if !std::mem::take(&mut self.reasoning).is_empty() {
            let why = "reasoning that no message or call follows cannot be replayed";
            context.warnings.dropped("input[]", why)?;
        }
        Ok(())
    }

    /// Reasoning that was given out earlier and comes back, bit for bit.
    fn reasoning(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        // What people read; the sealed block has the model's own words.
        item.take("summary");
        item.take("content");
        let sealed = item.string("encrypted_content", at)?;
        context.drop_unknown(item, at)?;
        let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) else {
            let why = "reasoning is replayed from its encrypted_content; this has none";
            return context.warnings.dropped("input[].encrypted_content", why);
        };
        let Some(block) = carrier::open(&sealed) else {
            return Err(RequestError::invalid(
                at.key("encrypted_content").to_string(),
                "this was not given out by this gateway, or was changed on the way; send it back as \
                 it came, or leave the reasoning item out",
            ));
        };
        if context.capabilities.reasoning.replay == Replay::Never {
            let why = "this model takes no reasoning back";
            return context.warnings.dropped("input[].encrypted_content", why);
        }
        self.reasoning.push(ContentBlock::ReasoningContent(block));
        Ok(())
    }

    fn call(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        free_text: bool,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let id = item.required_string("call_id", at)?;
        let name = item.required_string("name", at)?;
        let input = if free_text {
            let text = item.string("input", at)?.unwrap_or_default();
            schema::owned(json!({ INPUT: text }).to_string())?
        } else {
            arguments(item.take("arguments"), &at.key("arguments"), context)?
        };
        context.drop_unknown(item, at)?;
        let name = context.names.upstream(name);
        context.tool_history(&name);
        let turns = &mut self.conversation.turns;
        let upstream = turns.fresh_id(&names::call_id(id.clone(), context.capabilities.tools.id));
        let block = ContentBlock::ToolUse(ToolUseBlock {
            tool_use_id: upstream.clone(),
            name,
            input,
        });
        self.assistant(vec![block], vec![Call::new(id, upstream)]);
        Ok(())
    }

    fn output(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        self.no_more_reasoning(context)?;
        let id = item.required_string("call_id", at)?;
        let cached =
            context.capabilities.cache.messages && context.capabilities.cache.after_tool_result;
        let mut blocks = content::decode(item.take("output"), &at.key("output"), cached, context)?;
        context.drop_unknown(item, at)?;
        let mut point = None;
        blocks.retain(|block| match block {
            ContentBlock::CachePoint(found) => {
                point = Some(*found);
                false
            }
            _ => true,
        });
        let given = ToolResult {
            id,
            is_error: false,
            point,
            blocks,
        };
        tool_results::result(given, &mut self.conversation.turns, context)
    }
}

/// What an assistant can have said.
const fn is_said(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::Text(_) | ContentBlock::CachePoint(_))
}
