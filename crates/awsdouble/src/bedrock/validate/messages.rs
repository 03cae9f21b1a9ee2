//! The conversation: roles alternate, text is not blank, each tool call has its result in the next message.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::catalog::Rules;
use super::{Check, list, model_rejects, reject, text};

const PREFILL: &str = "This model does not support assistant message prefill. The conversation must end with a user message.";

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    let messages = list(request, "messages");
    if messages.is_empty() {
        return reject(
            "The value at messages is empty. Add at least one message to the conversation and try again.",
        );
    }
    blank(request, rules)?;
    turns(messages, rules)?;
    for (index, message) in messages.iter().enumerate() {
        roles_of_blocks(index, message)?;
    }
    pairs(messages)
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn blank(request: &Value, rules: &Rules) -> Check {
    for (index, block) in list(request, "system").iter().enumerate() {
        if text(block, "text").is_some_and(is_blank) {
            return reject(format!(
                "The text field in the SystemContentBlock object at system.{index} is blank. Add text to the text field, and try again."
            ));
        }
    }
    for (m, message) in list(request, "messages").iter().enumerate() {
        let content = list(message, "content");
        if content.is_empty() {
            return reject(format!(
                "The content field in the Message object at messages.{m} is empty. Add a ContentBlock object to the content field and try again."
            ));
        }
        // Recorded with Claude 4.5: whitespace is accepted beside other blocks.
        let others = content
            .iter()
            .any(|block| !text(block, "text").is_some_and(is_blank));
        for (b, block) in content.iter().enumerate() {
            let spaces = text(block, "text").is_some_and(|text| !text.is_empty());
            if rules.anthropic && others && spaces {
                continue;
            }
            if text(block, "text").is_some_and(is_blank) {
                return reject(format!(
                    "The text field in the ContentBlock object at messages.{m}.content.{b} is blank. Add text to the text field, and try again."
                ));
            }
        }
    }
    Ok(())
}

fn turns(messages: &[Value], rules: &Rules) -> Check {
    let message_roles: Vec<&str> = messages
        .iter()
        .map(|message| text(message, "role").unwrap_or_default())
        .collect();
    if message_roles.contains(&"system") {
        return reject(
            "This model doesn't support the system role in messages. Use the system field and try again.",
        );
    }
    if rules.user_first && message_roles.first().is_some_and(|role| *role != "user") {
        return reject(
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        );
    }
    let repeats = message_roles
        .iter()
        .zip(message_roles.iter().skip(1))
        .any(|(one, next)| one == next);
    if repeats && rules.alternating {
        return reject(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.",
        );
    }
    // Rule reasoning-only-turn.
    let thinks_only = |message: &&Value| {
        let content = list(message, "content");
        content
            .iter()
            .all(|block| block.get("reasoningContent").is_some())
    };
    if !rules.reasoning_only_turns && messages.iter().any(|message| thinks_only(&message)) {
        return model_rejects(PREFILL);
    }
    let (Some(last), Some(message)) = (message_roles.last(), messages.last()) else {
        return Ok(());
    };
    if *last == "assistant" {
        if !rules.prefill {
            return model_rejects(PREFILL);
        }
        let ends_open = list(message, "content")
            .last()
            .and_then(|block| text(block, "text"))
            .is_some_and(|text| text.ends_with(char::is_whitespace));
        if ends_open {
            return model_rejects(
                "messages: final assistant content cannot end with trailing whitespace",
            );
        }
    }
    Ok(())
}

/// Checks the block types of a message by its role.
fn roles_of_blocks(index: usize, message: &Value) -> Check {
    let (kinds, role): (&[&str], _) = match text(message, "role") {
        Some("user") => (&["toolUse", "reasoningContent", "citationsContent"], "user"),
        _ => (
            &[
                "toolResult",
                "image",
                "document",
                "video",
                "audio",
                "guardContent",
            ],
            "assistant",
        ),
    };
    for (b, block) in list(message, "content").iter().enumerate() {
        // Results of server tools are in the assistant's turn.
        if role == "assistant" && block.get("toolResult").is_some() && server_tools(message) {
            continue;
        }
        if let Some(kind) = kinds.iter().find(|kind| block.get(**kind).is_some()) {
            return reject(format!(
                "The {kind} block at messages.{index}.content.{b} can't be included in a message with the {role} role. Remove it and try again."
            ));
        }
    }
    Ok(())
}

fn is_server_tool(block: &Value) -> bool {
    block.pointer("/toolUse/type").and_then(Value::as_str) == Some("server_tool_use")
}

fn server_tools(message: &Value) -> bool {
    list(message, "content").iter().any(is_server_tool)
}

fn ids(message: Option<&Value>, kind: &str) -> Vec<String> {
    message
        .map_or(&[][..], |message| list(message, "content"))
        .iter()
        .filter(|block| !is_server_tool(block))
        .filter_map(|block| text(block.get(kind)?, "toolUseId").map(str::to_owned))
        .collect()
}

fn pairs(messages: &[Value]) -> Check {
    for (index, message) in messages.iter().enumerate() {
        let previous = index
            .checked_sub(1)
            .and_then(|previous| messages.get(previous));
        if text(message, "role") == Some("user") {
            let results = ids(Some(message), "toolResult");
            let calls = ids(previous, "toolUse");
            if results.len() > calls.len() {
                return reject(format!(
                    "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of previous turn."
                ));
            }
            expected(index, &calls, &results)?;
        } else {
            let calls = ids(Some(message), "toolUse");
            let unique: BTreeSet<&String> = calls.iter().collect();
            if unique.len() < calls.len() {
                return model_rejects(format!("messages.{index}: `tool_use` ids must be unique"));
            }
            if index + 1 == messages.len() {
                expected(index + 1, &calls, &[])?;
            }
        }
    }
    Ok(())
}

fn expected(index: usize, calls: &[String], results: &[String]) -> Check {
    let missing: Vec<&str> = calls
        .iter()
        .filter(|id| !results.contains(id))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    reject(format!(
        "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
        missing.join(", ")
    ))
}
