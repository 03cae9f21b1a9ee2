//! Tool calls of the assistant: which of the offered tools a prompt is about, and the arguments that it contains.

use serde_json::{Map, Value, json};

use super::super::json::{list, text};
use super::super::prompt::last_user_blocks;
use super::super::reply::{Forced, forced_tool, instance};
use super::super::script::ToolCall;

/// Words of tool names that say nothing about the topic of a tool.
const GENERIC: [&str; 22] = [
    "get", "set", "list", "create", "update", "delete", "find", "search", "fetch", "call", "tool",
    "current", "lookup", "read", "write", "edit", "make", "show", "this", "that", "with", "from",
];
/// Parameters that take a name of a place, a person or a thing.
const NAMES: [&str; 14] = [
    "city",
    "location",
    "place",
    "town",
    "country",
    "region",
    "destination",
    "origin",
    "name",
    "person",
    "symbol",
    "ticker",
    "company",
    "address",
];
/// Smallest score of a tool that is called: its name, or two words of its description.
const THRESHOLD: usize = 2;
const NAME_SCORE: usize = 3;
/// Shortest word of a description that counts.
const DESCRIPTION_WORD: usize = 5;

/// The call of the tool that a prompt is about, or that the request requires.
pub(super) fn calls(request: &Value, prompt: &str) -> Vec<ToolCall> {
    let specs: Vec<&Value> = request
        .pointer("/toolConfig/tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("toolSpec"))
        .collect();
    let best = specs
        .iter()
        .map(|spec| (score(spec, prompt, specs.len()), *spec))
        .rev()
        .max_by_key(|(score, _)| *score);
    let chosen = match forced_tool(request) {
        Some(Forced::Named(name)) => specs
            .iter()
            .find(|spec| text(spec, "name") == Some(name))
            .copied(),
        Some(Forced::Any) => best.map(|(_, spec)| spec),
        // The result of a call ends the turn.
        None if results(request).is_some() => None,
        None => best
            .filter(|(score, _)| *score >= THRESHOLD)
            .map(|(_, spec)| spec),
    };
    let call = |spec: &Value| {
        let empty = json!({});
        let schema = spec.pointer("/inputSchema/json").unwrap_or(&empty);
        ToolCall {
            name: text(spec, "name").unwrap_or_default().to_owned(),
            input: Arguments::new(prompt, schema).object(schema),
        }
    };
    chosen.map(call).into_iter().collect()
}

/// A sentence about the tool results of the last user message, if it has any.
pub(super) fn results(request: &Value) -> Option<String> {
    let sentences: Vec<String> = last_user_blocks(request)
        .iter()
        .filter_map(|block| block.get("toolResult"))
        .map(|result| {
            let id = text(result, "toolUseId").unwrap_or_default();
            let name = tool_name(request, id).unwrap_or("The tool");
            let contents: Vec<String> = list(result, "content")
                .iter()
                .map(|one| match (text(one, "text"), one.get("json")) {
                    (Some(text), _) => text.trim().to_owned(),
                    (None, Some(json)) => json.to_string(),
                    (None, None) => "media".to_owned(),
                })
                .collect();
            let verb = if text(result, "status") == Some("error") {
                "failed"
            } else {
                "returned"
            };
            format!("{name} {verb}: {}", contents.join(" "))
        })
        .collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// The tool of a call in the conversation.
fn tool_name<'a>(request: &'a Value, id: &str) -> Option<&'a str> {
    list(request, "messages")
        .iter()
        .flat_map(|message| list(message, "content"))
        .filter_map(|block| block.get("toolUse"))
        .find(|call| text(call, "toolUseId") == Some(id))
        .and_then(|call| text(call, "name"))
}

/// Words in lower case; `getWeather` and `get_weather` have two.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::new();
    let mut lower = false;
    for character in text.chars() {
        if character.is_uppercase() && lower {
            spaced.push(' ');
        }
        lower = character.is_lowercase();
        spaced.push(if character.is_alphanumeric() {
            character
        } else {
            ' '
        });
    }
    spaced.split_whitespace().map(str::to_lowercase).collect()
}

/// How much a prompt is about a tool.
fn score(spec: &Value, prompt: &str, tools: usize) -> usize {
    let asked = words(prompt);
    let mentions = |word: &String| {
        asked
            .iter()
            .any(|one| one == word || one.trim_end_matches('s') == word)
    };
    let name = text(spec, "name").unwrap_or_default();
    if name.len() >= DESCRIPTION_WORD && name.contains('_') && prompt.contains(name) {
        return usize::MAX;
    }
    let is_topic = |word: &&String| word.len() > 2 && !GENERIC.contains(&word.as_str());
    let named = words(name)
        .iter()
        .filter(is_topic)
        .filter(|word| mentions(word))
        .count();
    let description = text(spec, "description").unwrap_or_default();
    let first_sentence = description.split(['.', '\n']).next().unwrap_or_default();
    let described = words(first_sentence)
        .iter()
        .filter(is_topic)
        .filter(|word| word.len() >= DESCRIPTION_WORD && mentions(word))
        .count();
    // One word is enough if no other tool is offered.
    let only = usize::from(tools == 1 && described > 0);
    named * NAME_SCORE + described + only
}

/// The values that a prompt contains.
struct Arguments<'a> {
    prompt: &'a str,
    root: &'a Value,
    numbers: Vec<Value>,
}

impl<'a> Arguments<'a> {
    fn new(prompt: &'a str, root: &'a Value) -> Self {
        let is_number =
            |character: char| character.is_ascii_digit() || character == '.' || character == '-';
        let mut numbers: Vec<Value> = prompt
            .split(|character: char| !is_number(character))
            .filter_map(|word| {
                let word = word.trim_matches(['.', '-']);
                let whole = word.parse::<i64>().map(Value::from).ok();
                whole.or_else(|| word.parse::<f64>().map(Value::from).ok())
            })
            .collect();
        numbers.reverse();
        Self {
            prompt,
            root,
            numbers,
        }
    }

    /// The required properties, and others whose value the prompt names.
    fn object(&mut self, schema: &Value) -> Value {
        let required = schema.get("required").and_then(Value::as_array);
        let mut object = Map::new();
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let is_required = required.is_none_or(|list| list.iter().any(|one| one == name));
            if is_required || self.named_value(property).is_some() {
                let value = self.value(name, property);
                object.insert(name.clone(), value);
            }
        }
        Value::Object(object)
    }

    fn value(&mut self, name: &str, schema: &Value) -> Value {
        if schema.get("enum").is_some() {
            let named = self.named_value(schema);
            return named.unwrap_or_else(|| instance(schema, self.root, 0));
        }
        match text(schema, "type") {
            Some("string") => Value::from(self.text(name)),
            Some("integer") => self
                .number()
                .filter(Value::is_i64)
                .unwrap_or_else(|| instance(schema, self.root, 0)),
            Some("number") => self
                .number()
                .unwrap_or_else(|| instance(schema, self.root, 0)),
            Some("object") => self.object(schema),
            Some("array") => match schema.get("items") {
                Some(items) => json!([self.value(name, items)]),
                None => json!([]),
            },
            _ => instance(schema, self.root, 0),
        }
    }

    fn number(&mut self) -> Option<Value> {
        self.numbers.pop()
    }

    /// The value of an enum that the prompt names.
    fn named_value(&self, schema: &Value) -> Option<Value> {
        let prompt = words(self.prompt);
        list(schema, "enum")
            .iter()
            .find(|value| {
                value
                    .as_str()
                    .is_some_and(|one| prompt.contains(&one.to_lowercase()))
            })
            .cloned()
    }

    /// A quoted text, a name, or the whole prompt.
    fn text(&self, parameter: &str) -> String {
        let quoted = || self.prompt.split(['"', '`']).nth(1).map(str::to_owned);
        let is_name = words(parameter)
            .iter()
            .any(|word| NAMES.contains(&word.as_str()));
        quoted()
            .or_else(|| is_name.then(|| self.name()).flatten())
            .unwrap_or_else(|| self.prompt.trim().to_owned())
    }

    /// The first words with capitals after the start of the prompt, or the word after a preposition.
    fn name(&self) -> Option<String> {
        let all: Vec<&str> = self
            .prompt
            .split_whitespace()
            .map(|word| word.trim_matches(|character: char| !character.is_alphanumeric()))
            .collect();
        let is_capital =
            |word: &&&str| word.chars().next().is_some_and(char::is_uppercase) && **word != "I";
        let capitals: Vec<&str> = all
            .iter()
            .skip(1)
            .skip_while(|word| !is_capital(word))
            .take_while(is_capital)
            .copied()
            .collect();
        if !capitals.is_empty() {
            return Some(capitals.join(" "));
        }
        let place = all
            .iter()
            .position(|word| ["in", "for", "at", "of"].contains(word))?;
        let after = all.get(place.saturating_add(1))?;
        Some((*after).to_owned())
    }
}
