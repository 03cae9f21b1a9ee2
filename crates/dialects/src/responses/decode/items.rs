//! Reads `instructions` and the items of `input`.

use std::borrow::Cow;

use bedrock::converse::{ContentBlock, SystemBlock, ToolUseBlock};
use serde_json::json;

use super::{
    super::{carrier, names::join as joined},
    content,
    reply::CallForm,
    tools::{INPUT, TOOL_SEARCH},
};
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
        turns::{Call, has_content},
    },
};

/// Items of tools that OpenAI runs.
const HOSTED: [&str; 5] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
];

/// Members that carry a part of the conversation.
const CONVERSATION: [&str; 6] = [
    "content",
    "output",
    "encrypted_content",
    "call_id",
    "approval_request_id",
    "server_label",
];

/// State of reading items.
#[derive(Default)]
struct Reader<'a> {
    conversation: Conversation<'a>,
    /// Reasoning whose message or call has not been read yet.
    reasoning: Vec<ContentBlock<'a>>,
}

/// Reads `instructions`, and `input` without its tools.
pub(super) fn decode<'a>(
    body: &mut Object<'a>,
    input: Option<Json<'a>>,
    context: &mut Context<'_>,
) -> Result<Conversation<'a>, RequestError> {
    let root = FieldPath::Root;
    let mut reader = Reader::default();
    if let Some(instructions) = body.text("instructions", &root)?
        && !instructions.is_blank()
    {
        reader
            .conversation
            .system
            .push(SystemBlock::Text(instructions));
    }
    let at = root.key("input");
    match input {
        Some(Json::String(text)) => reader
            .conversation
            .turns
            .user(Vec::from_iter(text_block(text))),
        Some(Json::Array(items)) => {
            let last_answer = items.iter().rposition(|item| {
                let kind = item.text_at(&["type"]).unwrap_or_default();
                kind.ends_with("_call") || item.text_at(&["role"]).as_deref() == Some("assistant")
            });
            for (index, item) in items.into_iter().enumerate() {
                let is_output = |kind: &str| kind.ends_with("_call_output");
                context.replaces_media = last_answer.is_some_and(|last| index < last)
                    || item.text_at(&["type"]).as_deref().is_some_and(is_output);
                reader.item(item, &at.index(index), context)?;
            }
        }
        Some(_) => {
            return Err(RequestError::invalid(
                "input",
                "expected a string or an array of items",
            ));
        }
        None => return Err(RequestError::missing("input", "is required")),
    }
    reader.no_more_reasoning(context)?;
    Ok(reader.conversation)
}

impl<'a> Reader<'a> {
    /// The result of the client's search for tools, which are declared like all others.
    fn found_tools(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let tools_at = at.key("tools");
        let tools = match item.take("tools") {
            Some(tools) => tools.array(&tools_at)?,
            None => Vec::new(),
        };
        let mut found = Vec::new();
        for tool in &tools {
            let name = tool.text_at(&["name"]).unwrap_or_default();
            let inside = match tool {
                Json::Object(tool) => tool.get("tools"),
                _ => None,
            };
            let mut add = |namespace: Option<&str>, name: &str| {
                let joined = joined(namespace, Cow::Owned(name.to_owned()));
                found.push(context.names.upstream(joined).into_owned());
            };
            match inside {
                Some(Json::Array(inside)) => inside
                    .iter()
                    .filter_map(|one| one.text_at(&["name"]))
                    .for_each(|one| add(Some(&name), &one)),
                _ => add(None, &name),
            }
        }
        let text = if found.is_empty() {
            "No tool was found.".to_owned()
        } else {
            format!("These tools are available now: {}", found.join(", "))
        };
        item.take("execution");
        item.set("output", Json::String(text.into()));
        self.output(item, at, context)
    }

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
                    "is required",
                ));
            }
        };
        // Members of replayed output items.
        let id = item.string("id", at)?;
        item.take("status");
        item.take("internal_chat_message_metadata_passthrough");
        match kind.as_ref() {
            "message" => self.message(item, at, context),
            "reasoning" => self.reasoning(item, at, context),
            "function_call" => self.call(item, at, CallForm::Function, context),
            "custom_tool_call" => self.call(item, at, CallForm::Custom, context),
            "function_call_output" | "custom_tool_call_output" => self.output(item, at, context),
            "tool_search_call" if is_of_client(&item) => {
                self.call(item, at, CallForm::ToolSearch, context)
            }
            "tool_search_output" if is_of_client(&item) => self.found_tools(item, at, context),
            // The tools are declared.
            "additional_tools" | "tool_search_call" | "tool_search_output" => Ok(()),
            "item_reference" => Err(RequestError::unsupported(
                at.to_string(),
                format!(
                    "nothing is stored, so the item {:?} is unknown; send the item itself \
                     (clients do so with store: false)",
                    id.as_deref().unwrap_or_default()
                ),
            )),
            "compaction_trigger" => Err(RequestError::unsupported(
                at.key("type").to_string(),
                "nothing compacts the conversation, and the response would lack the summary; shorten the input in the \
                 client",
            )),
            hosted if HOSTED.contains(&hosted) => {
                let why = format!("{hosted} is an item of a tool that only OpenAI has");
                context.warnings.dropped("input[]", &why)
            }
            other if CONVERSATION.iter().any(|member| item.get(member).is_some()) => {
                Err(RequestError::unsupported(
                    at.key("type").to_string(),
                    format!(
                        "{other:?} is not a supported item, and the conversation would be incomplete without it; use \
                         message, reasoning, function_call, function_call_output, custom_tool_call or \
                         custom_tool_call_output"
                    ),
                ))
            }
            other => {
                let why = format!("{other} is an unknown item without content");
                context.warnings.dropped("input[]", &why)
            }
        }
    }

    fn message(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let role = item.required_string("role", at)?;
        let cached = if matches!(role.as_ref(), "system" | "developer") {
            self.conversation.caches_system(context)
        } else {
            context.capabilities.cache.messages
        };
        let content_at = at.key("content");
        let blocks = content::decode(item.take("content"), &content_at, cached, context)?;
        // Whether the message is a commentary or the final response.
        item.take("phase");
        context.drop_unknown(item, at)?;
        match role.as_ref() {
            "user" => {
                self.no_more_reasoning(context)?;
                self.conversation.turns.user(blocks);
            }
            "assistant" => {
                if blocks.iter().any(|block| !is_assistant_content(block)) {
                    return Err(RequestError::unsupported(
                        content_at.to_string(),
                        "an assistant message supports text only; use a user message for images and files",
                    ));
                }
                self.assistant(blocks, Vec::new());
            }
            "system" | "developer" => {
                self.conversation
                    .system_message(blocks, &content_at, context)?;
            }
            other => {
                return Err(RequestError::invalid(
                    at.key("role").to_string(),
                    format!("{other:?} is not a role; use system, developer, user or assistant"),
                ));
            }
        }
        Ok(())
    }

    /// Adds blocks of the assistant after their reasoning.
    fn assistant(&mut self, blocks: Vec<ContentBlock<'a>>, calls: Vec<Call<'a>>) {
        if !has_content(&blocks) {
            self.conversation.turns.assistant(blocks, calls);
            return;
        }
        let mut all = std::mem::take(&mut self.reasoning);
        all.extend(blocks);
        self.conversation.turns.assistant(all, calls);
    }

    /// Drops reasoning without a message or call, which Bedrock rejects.
    fn no_more_reasoning(&mut self, context: &mut Context<'_>) -> Result<(), RequestError> {
        if !std::mem::take(&mut self.reasoning).is_empty() {
            let why = "reasoning without a following message or call cannot be replayed";
            context.warnings.dropped("input[]", why)?;
        }
        Ok(())
    }

    /// Replayed reasoning, bit for bit.
    fn reasoning(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        // The readable text; the sealed block contains the original.
        item.take("summary");
        item.take("content");
        let sealed = item.string("encrypted_content", at)?;
        context.drop_unknown(item, at)?;
        let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) else {
            let why = "missing; reasoning is replayed from it";
            return context.warnings.dropped("input[].encrypted_content", why);
        };
        let Some(block) = carrier::open(&sealed) else {
            return Err(RequestError::invalid(
                at.key("encrypted_content").to_string(),
                "not from this gateway, or changed; send it back unchanged, or remove the reasoning \
                 item",
            ));
        };
        if context.capabilities.reasoning.replay == Replay::Never {
            let why = "this model does not support replayed reasoning";
            return context.warnings.dropped("input[].encrypted_content", why);
        }
        self.reasoning.push(ContentBlock::ReasoningContent(block));
        Ok(())
    }

    fn call(
        &mut self,
        mut item: Object<'a>,
        at: &FieldPath<'_>,
        form: CallForm,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let id = item.required_string("call_id", at)?;
        let name = match form {
            CallForm::ToolSearch => Cow::Borrowed(TOOL_SEARCH),
            CallForm::Function | CallForm::Custom => item.required_string("name", at)?,
        };
        let namespace = item.string("namespace", at)?;
        let input = if form == CallForm::Custom {
            let text = item.string("input", at)?.unwrap_or_default();
            schema::owned(json!({ INPUT: text }).to_string())?
        } else {
            arguments(item.take("arguments"), &at.key("arguments"), context)?
        };
        item.take("execution");
        context.drop_unknown(item, at)?;
        let name = context.names.upstream(joined(namespace.as_deref(), name));
        context.tool_history(&name);
        let turns = &mut self.conversation.turns;
        let upstream = turns.fresh_id(&names::call_id(id.clone(), context.capabilities.tools.id));
        let block = ContentBlock::ToolUse(ToolUseBlock {
            tool_use_id: upstream.clone(),
            input: context.names.upstream_arguments(&name, input),
            name,
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
        let cached = context.capabilities.cache.messages;
        // The call has them.
        item.take("name");
        item.take("namespace");
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

/// Whether the client ran the search; otherwise OpenAI did, and its result are the tools.
fn is_of_client(item: &Object<'_>) -> bool {
    let execution = item.get("execution").and_then(|value| value.text_at(&[]));
    execution.as_deref() == Some("client") && item.get("call_id").is_some()
}

/// Whether a block is valid in an assistant message.
const fn is_assistant_content(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::Text(_) | ContentBlock::CachePoint(_))
}
