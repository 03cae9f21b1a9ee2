//! Turns: consecutive messages of a role are merged, roles alternate, and results directly follow their calls.
//!
//! OpenAI accepts conversations that Bedrock rejects, depending on the family. `docs/translation.md` lists the rules.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use bedrock::converse::{
    CachePoint, ContentBlock, Message, Role, ToolResultBlock, ToolResultContent,
};

use super::{context::Context, error::RequestError};
use crate::families::{FirstMessage, MediaKind};

/// Text for places where Bedrock requires some; whitespace would be rejected.
pub(crate) const PLACEHOLDER: &str = ".";
/// The warnings about turns of reasoning alone.
pub(crate) const REASONING: &str = "a placeholder was added to a turn of reasoning alone";
pub(crate) const LAST_REASONING: &str = "a last turn of reasoning alone cannot be continued";
/// Result of a call that has none.
pub(crate) const NO_RESULT: &str = "No result was given.";
/// The warning about it.
pub(crate) const RESULT_ADDED: &str = "a placeholder result was added for a call without a result";

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

/// The calls of a turn, and where the calls of each of the client's ids are.
#[derive(Debug, Default)]
struct Calls<'a> {
    calls: Vec<Call<'a>>,
    places: BTreeMap<Cow<'a, str>, VecDeque<usize>>,
}

impl<'a> Calls<'a> {
    fn extend(&mut self, calls: Vec<Call<'a>>) {
        for call in calls {
            let places = self.places.entry(call.client.clone()).or_default();
            places.push_back(self.calls.len());
            self.calls.push(call);
        }
    }

    /// Bedrock's id of the next call of the client's id, which gets its result now; the last one gets all further
    /// results.
    fn match_result(&mut self, client: &str) -> Option<Cow<'a, str>> {
        let places = self.places.get_mut(client)?;
        let place = if places.len() > 1 {
            places.pop_front()
        } else {
            places.front().copied()
        };
        let call = self.calls.get_mut(place?)?;
        call.has_result = true;
        Some(call.upstream.clone())
    }
}

/// The results of a turn, with cache points.
#[derive(Debug, Default)]
struct Results<'a> {
    blocks: Vec<ContentBlock<'a>>,
    /// Where the result of each call is.
    places: BTreeMap<Cow<'a, str>, usize>,
}

impl<'a> Results<'a> {
    /// Adds a result. A call has one result: a second one is merged into the first.
    fn add(&mut self, result: ToolResultBlock<'a>, point: Option<CachePoint>) {
        let place = self.places.get(&result.tool_use_id);
        let known = place.and_then(|place| self.blocks.get_mut(*place));
        if let Some(ContentBlock::ToolResult(one)) = known {
            one.content.extend(result.content);
        } else {
            let place = self.blocks.len();
            self.places.insert(result.tool_use_id.clone(), place);
            self.blocks.push(ContentBlock::ToolResult(result));
        }
        self.blocks.extend(point.map(ContentBlock::CachePoint));
    }
}

#[derive(Debug)]
enum Turn<'a> {
    Assistant {
        blocks: Vec<ContentBlock<'a>>,
        calls: Calls<'a>,
    },
    User {
        /// Results of the previous turn's calls.
        results: Results<'a>,
        blocks: Vec<ContentBlock<'a>>,
    },
}

/// The turns of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Turns<'a> {
    all: Vec<Turn<'a>>,
    /// Cache points before the first turn.
    points: Vec<ContentBlock<'a>>,
    ids: BTreeSet<Cow<'a, str>>,
    /// The next number after the start of a repeated id.
    suffixes: BTreeMap<String, u32>,
}

impl<'a> Turns<'a> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A call id that is unique in the conversation: clients that number the calls of each turn repeat ids.
    pub(crate) fn fresh_id(&mut self, id: &Cow<'a, str>) -> Cow<'a, str> {
        if self.ids.insert(id.clone()) {
            return id.clone();
        }
        let mut count: u32 = 2;
        loop {
            let digits = count.to_string().len();
            // Keeps the length of nine alphanumeric characters.
            let longest: usize = if id.len() == 9 { 9 } else { 64 };
            let room = longest.saturating_sub(digits + 1);
            let stem: String = id.chars().take(room).collect();
            let next = self.suffixes.entry(stem.clone()).or_insert(count);
            if *next > count {
                count = *next;
                // More digits leave less room.
                if count.to_string().len() > digits {
                    continue;
                }
            }
            *next = count.saturating_add(1);
            let fresh: Cow<'a, str> = Cow::Owned(format!("{stem}x{count}"));
            if self.ids.insert(fresh.clone()) {
                return fresh;
            }
            count = count.saturating_add(1);
        }
    }

    /// Adds blocks without content, which are cache points, to the last turn.
    fn points(&mut self, new: Vec<ContentBlock<'a>>) {
        let blocks = match self.all.last_mut() {
            Some(Turn::User { blocks, .. } | Turn::Assistant { blocks, .. }) => blocks,
            None => &mut self.points,
        };
        blocks.extend(new);
    }

    /// Adds a turn with these blocks.
    fn start(
        &mut self,
        blocks: Vec<ContentBlock<'a>>,
        turn: impl FnOnce(Vec<ContentBlock<'a>>) -> Turn<'a>,
    ) {
        let mut all = std::mem::take(&mut self.points);
        all.extend(blocks);
        self.all.push(turn(all));
    }

    pub(crate) fn user(&mut self, new: Vec<ContentBlock<'a>>) {
        if !has_content(&new) {
            self.points(new);
            return;
        }
        if let Some(Turn::User { blocks, .. }) = self.all.last_mut() {
            blocks.extend(new);
        } else {
            self.start(new, |blocks| Turn::User {
                results: Results::default(),
                blocks,
            });
        }
    }

    pub(crate) fn assistant(&mut self, new: Vec<ContentBlock<'a>>, new_calls: Vec<Call<'a>>) {
        if !has_content(&new) {
            self.points(new);
            return;
        }
        if let Some(Turn::Assistant { blocks, calls }) = self.all.last_mut() {
            blocks.extend(new);
            calls.extend(new_calls);
        } else {
            let mut calls = Calls::default();
            calls.extend(new_calls);
            self.start(new, |blocks| Turn::Assistant { blocks, calls });
        }
    }

    /// Bedrock's id of a result's call, if the assistant's last turn has such a call.
    pub(crate) fn match_result(&mut self, client: &str) -> Option<Cow<'a, str>> {
        let calls = self.all.iter_mut().rev().find_map(|turn| match turn {
            Turn::Assistant { calls, .. } => Some(calls),
            Turn::User { .. } => None,
        })?;
        calls.match_result(client)
    }

    /// Adds a result for a call of the assistant's last turn; `beside` are blocks that cannot be inside the result.
    pub(crate) fn result(
        &mut self,
        result: ToolResultBlock<'a>,
        point: Option<CachePoint>,
        beside: Vec<ContentBlock<'a>>,
    ) {
        if !matches!(self.all.last(), Some(Turn::User { .. })) {
            self.all.push(Turn::User {
                results: Results::default(),
                blocks: Vec::new(),
            });
        }
        if let Some(Turn::User { results, blocks }) = self.all.last_mut() {
            results.add(result, point);
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
        let mut messages = Vec::with_capacity(self.all.len() + 1);
        let mut preface = Some(preface).filter(|blocks| !blocks.is_empty());
        let mut waiting: Vec<Call<'a>> = Vec::new();
        let last = self.all.len().saturating_sub(1);
        for (index, turn) in self.all.into_iter().enumerate() {
            match turn {
                Turn::Assistant { mut blocks, calls } => {
                    if !answers(&blocks) {
                        if index == last {
                            let replay = context.field_names.replay;
                            context.warnings.dropped(replay, LAST_REASONING)?;
                            continue;
                        }
                        let replay = context.field_names.replay;
                        context.warnings.changed(replay, REASONING)?;
                        blocks.push(placeholder());
                    }
                    let first = messages.is_empty();
                    if let Some(blocks) = preface.take() {
                        messages.push(user(blocks));
                    } else if first && context.capabilities.first_message == FirstMessage::User {
                        messages.push(user(vec![placeholder()]));
                    }
                    waiting = calls.calls;
                    messages.push(assistant(blocks));
                }
                Turn::User { results, blocks } => {
                    let mut results = results.blocks;
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

/// Whether blocks have anything besides cache points.
pub(crate) fn has_content(blocks: &[ContentBlock<'_>]) -> bool {
    let is_point = |block: &ContentBlock<'_>| matches!(block, ContentBlock::CachePoint(_));
    !blocks.iter().all(is_point)
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
        let param = context.field_names.calls;
        context.warnings.changed(param, RESULT_ADDED)?;
        results.push(ContentBlock::ToolResult(ToolResultBlock {
            tool_use_id: call.upstream,
            content: vec![ToolResultContent::Text(NO_RESULT.into())],
            status: None,
        }));
    }
    Ok(())
}

/// Adds a user message with results first. Blocks from the first one on that the family does not support beside results
/// follow in a separate message, so that blocks that are appended to the turn move none.
fn push_user<'a>(
    mut results: Vec<ContentBlock<'a>>,
    mut rest: Vec<ContentBlock<'a>>,
    context: &Context<'_>,
    messages: &mut Vec<Message<'a>>,
) {
    if results.is_empty() {
        if !rest.is_empty() {
            messages.push(user(with_words(rest)));
        }
        return;
    }
    let beside = &context.capabilities.tool_result.beside;
    let fits = |block: &ContentBlock<'_>| kind(block).is_none_or(|kind| beside.contains(&kind));
    let first = rest.iter().position(|block| !fits(block));
    let later = first.map(|first| rest.split_off(first));
    results.extend(with_words(rest));
    messages.push(user(results));
    if let Some(later) = later {
        messages.push(assistant(vec![placeholder()]));
        messages.push(user(with_words(later)));
    }
}

/// Blocks with a text if they have a document, as Bedrock requires. The text is at the end, where blocks that are
/// appended to the turn replace it.
fn with_words(mut blocks: Vec<ContentBlock<'_>>) -> Vec<ContentBlock<'_>> {
    let words = |block: &ContentBlock<'_>| {
        matches!(block, ContentBlock::Text(_) | ContentBlock::GuardContent(_))
    };
    let document = |block: &ContentBlock<'_>| matches!(block, ContentBlock::Document(_));
    if blocks.iter().any(document) && !blocks.iter().any(words) {
        blocks.push(placeholder());
    }
    blocks
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
        text.trim_end();
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

pub(crate) fn placeholder<'a>() -> ContentBlock<'a> {
    ContentBlock::Text(PLACEHOLDER.into())
}
