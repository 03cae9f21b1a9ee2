//! The whole conversation: system prompt and turns, by the rules of the family.

use bedrock::converse::{ContentBlock, Message, Role, SystemBlock};

use super::{
    context::Context,
    error::RequestError,
    turns::{self, Turns},
};

/// A decoded conversation.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) system: Vec<SystemBlock<'a>>,
    pub(crate) turns: Turns<'a>,
}

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
