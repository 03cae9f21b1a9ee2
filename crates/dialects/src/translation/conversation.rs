//! The whole conversation: system prompt and turns, by the rules of the family.

use bedrock::converse::{ContentBlock, Message, Role, SystemBlock};

use super::{
    context::Context,
    error::RequestError,
    json::FieldPath,
    turns::{self, Turns},
};

/// A decoded conversation.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) system: Vec<SystemBlock<'a>>,
    pub(crate) turns: Turns<'a>,
}

impl<'a> Conversation<'a> {
    /// Whether system messages are part of the system prompt: only before the first turn. Later ones stay in
    /// their place as user turns, because a system prompt that changes invalidates the cached prefix of every message
    /// (<https://github.com/BerriAI/litellm/issues/41043>). Converse has the role `system`, too, but no report of a model
    /// that takes it there.
    pub(crate) fn at_start(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether the family supports cache points in a system message at this position.
    pub(crate) fn caches_system(&self, context: &Context<'_>) -> bool {
        let cache = &context.capabilities.cache;
        if self.at_start() {
            cache.system
        } else {
            cache.messages
        }
    }

    /// Adds a system message; `at` is the path of its content.
    ///
    /// # Errors
    /// When it contains more than text, or in strict mode when it would become a user turn.
    pub(crate) fn system_message(
        &mut self,
        blocks: Vec<ContentBlock<'a>>,
        at: &FieldPath<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), RequestError> {
        let is_text = |block: &ContentBlock<'_>| {
            matches!(
                block,
                ContentBlock::Text(_) | ContentBlock::GuardContent(_) | ContentBlock::CachePoint(_)
            )
        };
        if !blocks.iter().all(is_text) {
            return Err(RequestError::unsupported(
                at.to_string(),
                "a system prompt supports text only; use a user message for other content",
            ));
        }
        if !self.at_start() {
            if !blocks.is_empty() {
                let param = format!("{}[].role", context.field_names.conversation);
                context.warnings.changed(&param, IN_PLACE)?;
            }
            self.turns.user(blocks);
            return Ok(());
        }
        self.system
            .extend(blocks.into_iter().filter_map(|block| match block {
                ContentBlock::Text(text) => Some(SystemBlock::Text(text)),
                ContentBlock::GuardContent(guard) => Some(SystemBlock::GuardContent(guard)),
                ContentBlock::CachePoint(point) => Some(SystemBlock::CachePoint(point)),
                _ => None,
            }));
        Ok(())
    }
}

/// The warning for a system message within the conversation.
pub(crate) const IN_PLACE: &str =
    "a system message in the conversation was sent as a user message in its place";

/// The system prompt and messages, by the rules of the family.
pub(crate) fn system_and_messages<'a>(
    conversation: Conversation<'a>,
    context: &mut Context<'_>,
) -> Result<(Vec<SystemBlock<'a>>, Vec<Message<'a>>), RequestError> {
    let mut system = conversation.system;
    let mut preface = Vec::new();
    if !context.capabilities.system {
        preface = as_preface(std::mem::take(&mut system));
    }
    let mut messages = conversation.turns.into_messages(preface, context)?;
    if messages.is_empty() {
        if system.is_empty() && context.fetches.is_empty() {
            return Err(RequestError::invalid(
                context.field_names.conversation,
                "the messages contain no content",
            ));
        }
        // Some dialects allow a system prompt alone; Bedrock requires a user message.
        messages.push(Message {
            role: Role::User,
            content: vec![turns::placeholder()],
        });
    }
    Ok((system, messages))
}

/// Adds an instruction to the system prompt, or to the first user message.
pub(crate) fn instruct<'a>(
    instruction: Option<SystemBlock<'a>>,
    system: &mut Vec<SystemBlock<'a>>,
    messages: &mut [Message<'a>],
    context: &Context<'_>,
) {
    let Some(instruction) = instruction else {
        return;
    };
    if context.capabilities.system {
        system.push(instruction);
    } else if let Some(first) = messages.first_mut() {
        let rest = std::mem::replace(&mut first.content, as_preface(vec![instruction]));
        first.content.extend(rest);
    }
}

/// A system prompt as the start of the first user message, for families without system prompts.
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
