//! Calls and their results: Claude rejects a call without its result in the next turn, a result without its call,
//! content before the results, and an id that two calls have. The rules are those of Converse; a conversation that needs
//! no change keeps its bytes.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use serde_json::{Value, json};

use super::{
    Edits, Member, Slice,
    blocks::{is_blank_text, reference_as_text},
    json_edits::mentions,
};
use crate::translation::{
    RequestError,
    tool_results::{ORPHAN, ORPHAN_LEAD},
    turns::{NO_RESULT, RESULT_ADDED, Turns},
    warnings::Warnings,
    write::quoted,
};

/// Successive messages of a role; messages of role `system` have no turn, and end one of the assistant.
struct Turn<'m, 't> {
    of_assistant: bool,
    messages: Vec<(usize, &'m Member<'t>)>,
    /// The assistant's message before the turn, if a system message is between them.
    before_system: Option<&'m Member<'t>>,
}

/// The calls of a turn.
#[derive(Default)]
struct Calls<'t> {
    /// The client's ids.
    ids: Vec<Cow<'t, str>>,
    /// The ids for Claude of the calls without a result, by the client's id.
    open: HashMap<Cow<'t, str>, VecDeque<Cow<'t, str>>>,
}

impl<'t> Calls<'t> {
    fn add(&mut self, id: Cow<'t, str>, unique: Cow<'t, str>) {
        self.open.entry(id.clone()).or_default().push_back(unique);
        self.ids.push(id);
    }

    /// The id for Claude of a result's call, which has its result now.
    fn answer(&mut self, id: &str) -> Option<Cow<'t, str>> {
        self.open.get_mut(id)?.pop_front()
    }

    /// Placeholders for the calls that have no result.
    fn placeholders(mut self) -> Vec<String> {
        let ids = std::mem::take(&mut self.ids);
        ids.into_iter()
            .filter_map(|id| self.answer(&id))
            .map(|id| {
                json!({"type": "tool_result", "tool_use_id": id, "content": NO_RESULT}).to_string()
            })
            .collect()
    }
}

/// The body with a result for each call and a call for each result; `None` if it stays as it is.
///
/// # Errors
/// In strict mode, when the conversation would change.
pub(super) fn completed(
    body: &str,
    warnings: &mut Warnings,
) -> Result<Option<String>, RequestError> {
    if !mentions(body, "tool_use") && !mentions(body, "tool_result") {
        return Ok(None);
    }
    let Some(list) = Slice::new(body).get("messages") else {
        return Ok(None);
    };
    let members = list.members();
    let mut change = Change {
        warnings,
        edits: Edits::default(),
        removed: vec![false; members.len()],
        is_changed: false,
        unique: Turns::default(),
    };
    let mut calls = Calls::default();
    let turns = turns(&members);
    let mut answer = None;
    for turn in &turns {
        if turn.of_assistant {
            change.close(calls, answer)?;
            calls = change.calls(turn);
            answer = turn.messages.last().map(|(_, message)| *message);
        } else {
            change.user(turn, std::mem::take(&mut calls))?;
        }
    }
    change.close(calls, answer)?;
    let Change {
        mut edits,
        removed,
        is_changed,
        ..
    } = change;
    let mut removed = removed.into_iter();
    edits.remove(&members, |_| removed.next().unwrap_or(false));
    Ok(is_changed.then(|| edits.apply(body)))
}

fn turns<'m, 't>(members: &'m [Member<'t>]) -> Vec<Turn<'m, 't>> {
    let mut turns: Vec<Turn<'m, 't>> = Vec::new();
    let mut is_after_system = false;
    for (index, message) in members.iter().enumerate() {
        let role = message.value.get("role").and_then(|role| role.string());
        let of_assistant = match role.as_deref() {
            Some("assistant") => true,
            Some("user") => false,
            _ => {
                is_after_system = true;
                continue;
            }
        };
        let is_after_system = std::mem::take(&mut is_after_system);
        match turns.last_mut() {
            Some(turn)
                if turn.of_assistant == of_assistant && !(of_assistant && is_after_system) =>
            {
                turn.messages.push((index, message));
            }
            last => {
                let before = last.and_then(|turn| turn.messages.last());
                let before_system = before.filter(|_| is_after_system && !of_assistant);
                let turn = Turn {
                    of_assistant,
                    messages: vec![(index, message)],
                    before_system: before_system.map(|(_, message)| *message),
                };
                turns.push(turn);
            }
        }
    }
    turns
}

/// What changes in a body.
struct Change<'w, 't> {
    warnings: &'w mut Warnings,
    edits: Edits,
    /// Whether each message is removed.
    removed: Vec<bool>,
    is_changed: bool,
    /// The ids of all calls.
    unique: Turns<'t>,
}

impl<'t> Change<'_, 't> {
    /// The calls of a turn; a repeated id is replaced.
    fn calls(&mut self, turn: &Turn<'_, 't>) -> Calls<'t> {
        let mut calls = Calls::default();
        for (_, message) in &turn.messages {
            let content = message.value.get("content");
            for block in content.map(|list| list.members()).unwrap_or_default() {
                let Some(id) = id(&block, "tool_use", "id") else {
                    continue;
                };
                let unique = self.unique.fresh_id(&id);
                if unique != id
                    && let Some(given) = block.value.get("id")
                {
                    self.is_changed = true;
                    self.edits.replace(&given, quoted(&unique));
                }
                calls.add(id, unique);
            }
        }
        calls
    }

    /// Completes a turn of the user after these calls.
    fn user(&mut self, turn: &Turn<'_, 't>, mut calls: Calls<'t>) -> Result<(), RequestError> {
        let mut results = Vec::new();
        let mut rest = Vec::new();
        // Whether all results are at the start of the turn with the ids of their calls, and whether each has a call.
        let (mut leading, mut ordered, mut complete) = (turn.before_system.is_none(), true, true);
        for (index, message) in &turn.messages {
            let Some(content) = message.value.get("content") else {
                return Ok(());
            };
            let mut others = Vec::new();
            let mut changes = false;
            if content.string().is_some_and(|text| !text.trim().is_empty()) {
                leading = false;
                others.push(format!(r#"{{"type":"text","text":{}}}"#, content.json()));
            }
            for block in content.members() {
                match id(&block, "tool_result", "tool_use_id") {
                    Some(id) => {
                        changes = true;
                        if let Some(unique) = calls.answer(&id) {
                            ordered &= leading && unique == id;
                            results.push(with_id(&block.value, &id, &unique));
                        } else {
                            complete = false;
                            others.extend(as_text(&block.value));
                        }
                    }
                    // Blank text is left out later.
                    None if is_blank_text(&block.value) => {}
                    None => {
                        leading = false;
                        others.push(block.value.json().to_owned());
                    }
                }
            }
            rest.push((*index, content, others, changes));
            // Claude looks for results in the next message only.
            leading = false;
        }
        let placeholders = calls.placeholders();
        if ordered && complete && placeholders.is_empty() {
            return Ok(());
        }
        if !complete {
            let param = "messages[].content[].tool_use_id";
            self.warnings.changed(param, ORPHAN)?;
        }
        if !placeholders.is_empty() {
            self.added()?;
        }
        self.is_changed = true;
        results.extend(placeholders);
        if let Some(calls) = turn.before_system
            && !results.is_empty()
        {
            // The system message follows the results.
            let message = with_blocks(&std::mem::take(&mut results));
            self.edits.insert_after(calls, &message);
        }
        for (index, content, others, changes) in rest {
            let mut blocks = std::mem::take(&mut results);
            if blocks.is_empty() && !changes {
                continue;
            }
            blocks.extend(others);
            if blocks.is_empty() {
                if let Some(removed) = self.removed.get_mut(index) {
                    *removed = true;
                }
            } else {
                let blocks = format!("[{}]", blocks.join(","));
                self.edits.replace(&content, blocks);
            }
        }
        Ok(())
    }

    /// Adds results of calls without a following turn of the user after the message with the calls.
    fn close(
        &mut self,
        calls: Calls<'t>,
        message: Option<&Member<'t>>,
    ) -> Result<(), RequestError> {
        let placeholders = calls.placeholders();
        if let Some(message) = message.filter(|_| !placeholders.is_empty()) {
            self.added()?;
            self.edits
                .insert_after(message, &with_blocks(&placeholders));
        }
        Ok(())
    }

    fn added(&mut self) -> Result<(), RequestError> {
        self.is_changed = true;
        self.warnings.changed("messages[].content", RESULT_ADDED)
    }
}

/// A message of the user with these blocks.
fn with_blocks(blocks: &[String]) -> String {
    format!(r#"{{"role":"user","content":[{}]}}"#, blocks.join(","))
}

/// The id in a block of this type.
fn id<'t>(block: &Member<'t>, kind: &str, key: &str) -> Option<Cow<'t, str>> {
    let members = block.value.members();
    let text = |key: &str| {
        let found = members.iter().rfind(|member| member.key == key);
        found.and_then(|member| member.value.string())
    };
    if text("type")? == kind {
        text(key)
    } else {
        None
    }
}

/// A result with the id of its call.
fn with_id(result: &Slice<'_>, id: &str, unique: &str) -> String {
    let text = result.json();
    let mut edits = Edits::default();
    if id != unique
        && let Some(given) = Slice::new(text).get("tool_use_id")
    {
        edits.replace(&given, quoted(unique));
    }
    edits.apply(text)
}

/// A result without a call as blocks of text, and of what else it contains.
fn as_text(block: &Slice<'_>) -> Vec<String> {
    let text = |text: &str| json!({"type": "text", "text": text}).to_string();
    let mut blocks = vec![text(ORPHAN_LEAD)];
    let Some(content) = block.get("content") else {
        return blocks;
    };
    if let Some(words) = content.string().filter(|words| !words.trim().is_empty()) {
        blocks.push(text(&words));
    }
    for inside in content.members() {
        let block = inside.value;
        let kind = block.get("type").and_then(|kind| kind.string());
        blocks.push(if kind.as_deref() == Some("tool_reference") {
            Value::to_string(&reference_as_text(&block))
        } else {
            block.json().to_owned()
        });
    }
    blocks
}
