//! Turns: consecutive messages of a role are merged, roles alternate, and results directly follow their calls.
//!
//! OpenAI accepts conversations that Bedrock rejects, depending on the family. `docs/translation.md` lists the rules.

use std::borrow::Cow;

use bedrock::converse::{
    CachePoint, ContentBlock, Message, Role, ToolResultBlock, ToolResultContent,
};

use super::{context::Context, error::RequestError};
use crate::families::{FirstMessage, MediaKind};

/// Text for places where Bedrock requires some; whitespace would be rejected.
const PLACEHOLDER: &str = ".";
/// Result of a call that has none.
const NO_RESULT: &str = "No result was given.";

/// A tool call and whether it has a result.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    client: Cow<'a, str>,
    upstream: Cow<'a, str>,
    has_result: bool,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(client: Cow<'a, str>, upstream: Cow<'a, str>) -> Self {
        Self {
            client,
            upstream,
            has_result: false,
        }
    }
}

#[derive(Debug)]
enum Turn<'a> {
    Assistant {
        blocks: Vec<ContentBlock<'a>>,
        calls: Vec<Call<'a>>,
    },
    User {
        /// Results of the previous turn's calls, with cache points.
        results: Vec<ContentBlock<'a>>,
        blocks: Vec<ContentBlock<'a>>,
    },
}

/// The turns of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Turns<'a> {
    turns: Vec<Turn<'a>>,
    ids: Vec<Cow<'a, str>>,
}

impl<'a> Turns<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// A call id that is unique in the conversation: clients that number the calls of each turn repeat ids.
    pub(crate) fn fresh_id(&mut self, id: &Cow<'a, str>) -> Cow<'a, str> {
        let mut fresh = id.clone();
        let mut count: u32 = 1;
        while self.ids.contains(&fresh) {
            count = count.saturating_add(1);
            let suffix = count.to_string();
            // Keeps the length of nine alphanumeric characters.
            let longest: usize = if id.len() == 9 { 9 } else { 64 };
            let room = longest.saturating_sub(suffix.len() + 1);
            let stem: String = id.chars().take(room).collect();
            fresh = Cow::Owned(format!("{stem}x{suffix}"));
        }
        self.ids.push(fresh.clone());
        fresh
    }

    pub(crate) fn user(&mut self, new: Vec<ContentBlock<'a>>) {
        if new.is_empty() {
            return;
        }
        if let Some(Turn::User { blocks, .. }) = self.turns.last_mut() {
            blocks.extend(new);
        } else {
            self.turns.push(Turn::User {
                results: Vec::new(),
                blocks: new,
            });
        }
    }

    pub(crate) fn assistant(&mut self, new: Vec<ContentBlock<'a>>, new_calls: Vec<Call<'a>>) {
        if new.is_empty() {
            return;
        }
        if let Some(Turn::Assistant { blocks, calls }) = self.turns.last_mut() {
            blocks.extend(new);
            calls.extend(new_calls);
        } else {
            self.turns.push(Turn::Assistant {
                blocks: new,
                calls: new_calls,
            });
        }
    }

    /// Bedrock's id of a result's call, if the assistant's last turn has such a call.
    pub(crate) fn match_result(&mut self, client: &str) -> Option<Cow<'a, str>> {
        let calls = self.turns.iter_mut().rev().find_map(|turn| match turn {
            Turn::Assistant { calls, .. } => Some(calls),
            Turn::User { .. } => None,
        })?;
        let open = calls
            .iter()
            .position(|call| call.client == client && !call.has_result);
        let any = open.or_else(|| calls.iter().position(|call| call.client == client))?;
        let call = calls.get_mut(any)?;
        call.has_result = true;
        Some(call.upstream.clone())
    }

    /// Adds a result for a call of the assistant's last turn; `beside` are blocks that cannot be inside the result.
    pub(crate) fn result(
        &mut self,
        result: ToolResultBlock<'a>,
        point: Option<CachePoint>,
        beside: Vec<ContentBlock<'a>>,
    ) {
        if !matches!(self.turns.last(), Some(Turn::User { .. })) {
            self.turns.push(Turn::User {
                results: Vec::new(),
                blocks: Vec::new(),
            });
        }
        if let Some(Turn::User { results, blocks }) = self.turns.last_mut() {
            let same = results.iter_mut().find_map(|block| match block {
                ContentBlock::ToolResult(one) if one.tool_use_id == result.tool_use_id => Some(one),
                _ => None,
            });
            // A call has one result: a second one is merged into the first.
            match same {
                Some(one) => one.content.extend(result.content),
                None => results.push(ContentBlock::ToolResult(result)),
            }
            results.extend(point.map(ContentBlock::CachePoint));
            blocks.extend(beside);
        }
    }

    /// The turns as messages, by the rules of the family. `preface` starts the first user message, for families
    /// without system prompts.
    pub(crate) fn into_messages(
        self,
        preface: Vec<ContentBlock<'a>>,
        context: &mut Context<'_>,
    ) -> Result<Vec<Message<'a>>, RequestError> {
        let mut messages = Vec::with_capacity(self.turns.len() + 1);
        let mut preface = Some(preface).filter(|blocks| !blocks.is_empty());
        let mut waiting: Vec<Call<'a>> = Vec::new();
        let last = self.turns.len().saturating_sub(1);
        for (index, turn) in self.turns.into_iter().enumerate() {
            match turn {
                Turn::Assistant { mut blocks, calls } => {
                    if !answers(&blocks) {
                        if index == last {
                            let why = "a last turn of reasoning alone cannot be continued";
                            context.warnings.dropped(context.field_names.replay, why)?;
                            continue;
                        }
                        let how = "a placeholder was added to a turn of reasoning alone";
                        context.warnings.changed(context.field_names.replay, how)?;
                        blocks.push(placeholder());
                    }
                    let first = messages.is_empty();
                    if let Some(blocks) = preface.take() {
                        messages.push(user(blocks));
                    } else if first && context.capabilities.first_message == FirstMessage::User {
                        messages.push(user(vec![placeholder()]));
                    }
                    waiting = calls;
                    messages.push(assistant(blocks));
                }
                Turn::User {
                    mut results,
                    blocks,
                } => {
                    close(&mut waiting, &mut results, context)?;
                    let mut rest = preface.take().unwrap_or_default();
                    rest.extend(blocks);
                    push_user(results, rest, context, &mut messages);
                }
            }
        }
        let mut results = Vec::new();
        close(&mut waiting, &mut results, context)?;
        if !results.is_empty() {
            messages.push(user(results));
        }
        if let Some(blocks) = preface {
            messages.push(user(blocks));
        }
        prefill(&mut messages, context)?;
        Ok(messages)
    }
}

/// Whether a turn of the assistant has anything that Bedrock counts as an answer. Claude 5 rejects a turn of reasoning
/// alone as a prefill (<https://github.com/NousResearch/hermes-agent/issues/105780>).
fn answers(blocks: &[ContentBlock<'_>]) -> bool {
    blocks.iter().any(|block| {
        !matches!(
            block,
            ContentBlock::ReasoningContent(_) | ContentBlock::CachePoint(_)
        )
    })
}

/// Adds placeholder results for calls without one, which Bedrock rejects.
fn close<'a>(
    waiting: &mut Vec<Call<'a>>,
    results: &mut Vec<ContentBlock<'a>>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    for call in waiting.drain(..).filter(|call| !call.has_result) {
        context.warnings.changed(
            context.field_names.calls,
            "a placeholder result was added for a call without a result",
        )?;
        results.push(ContentBlock::ToolResult(ToolResultBlock {
            tool_use_id: call.upstream,
            content: vec![ToolResultContent::Text(Cow::Borrowed(NO_RESULT))],
            status: None,
        }));
    }
    Ok(())
}

/// Adds a user message with results first; blocks that the family does not support beside results follow in a
/// separate message.
fn push_user<'a>(
    mut results: Vec<ContentBlock<'a>>,
    mut rest: Vec<ContentBlock<'a>>,
    context: &Context<'_>,
    messages: &mut Vec<Message<'a>>,
) {
    let words = |block: &ContentBlock<'_>| {
        matches!(block, ContentBlock::Text(_) | ContentBlock::GuardContent(_))
    };
    let document = rest
        .iter()
        .any(|block| matches!(block, ContentBlock::Document(_)));
    if document && !rest.iter().any(words) {
        rest.insert(0, placeholder());
    }
    if results.is_empty() {
        if !rest.is_empty() {
            messages.push(user(rest));
        }
        return;
    }
    let beside = &context.capabilities.tool_result.beside;
    let fits = rest
        .iter()
        .all(|block| kind(block).is_none_or(|kind| beside.contains(&kind)));
    if fits {
        results.append(&mut rest);
    }
    messages.push(user(results));
    if !rest.is_empty() {
        messages.push(assistant(vec![placeholder()]));
        messages.push(user(rest));
    }
}

fn kind(block: &ContentBlock<'_>) -> Option<MediaKind> {
    match block {
        ContentBlock::Text(_) | ContentBlock::GuardContent(_) => Some(MediaKind::Text),
        ContentBlock::Image(_) => Some(MediaKind::Image),
        ContentBlock::Document(document) if document.format == "pdf" => Some(MediaKind::Document),
        // Bedrock converts all other formats to text.
        ContentBlock::Document(_) => Some(MediaKind::TextDocument),
        ContentBlock::Video(_) => Some(MediaKind::Video),
        ContentBlock::Audio(_) => Some(MediaKind::Audio),
        _ => None,
    }
}

/// Prepares a last assistant message for continuation, if the model supports it.
fn prefill(messages: &mut [Message<'_>], context: &Context<'_>) -> Result<(), RequestError> {
    let Some(last) = messages
        .last_mut()
        .filter(|last| last.role == Role::Assistant)
    else {
        return Ok(());
    };
    if !context.capabilities.prefill {
        return Err(RequestError::unsupported(
            context.field_names.conversation,
            format!(
                "{} cannot continue an assistant message; end with a user or tool message",
                context.capabilities.title
            ),
        ));
    }
    if let Some(ContentBlock::Text(text)) = last.content.last_mut() {
        let kept = text.trim_end().len();
        if kept < text.len() {
            text.to_mut().truncate(kept);
        }
    }
    Ok(())
}

const fn user(content: Vec<ContentBlock<'_>>) -> Message<'_> {
    Message {
        role: Role::User,
        content,
    }
}

const fn assistant(content: Vec<ContentBlock<'_>>) -> Message<'_> {
    Message {
        role: Role::Assistant,
        content,
    }
}

pub(crate) const fn placeholder<'a>() -> ContentBlock<'a> {
    ContentBlock::Text(Cow::Borrowed(PLACEHOLDER))
}
