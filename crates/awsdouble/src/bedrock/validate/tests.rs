#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

mod conversation;
mod measured;
mod media;
mod settings;

use serde_json::json;

use super::*;

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const CLAUDE_4_5: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const LLAMA: &str = "meta.llama3-1-8b-instruct-v1:0";

#[track_caller]
fn check(name: &str, model: &str, body: &Value, expected: &str) {
    let found = request(body, &Target::built_in(model), false)
        .err()
        .map(|error| error.message);
    match found {
        None => assert_eq!("", expected, "{name}: accepted"),
        Some(message) => {
            assert!(!expected.is_empty(), "{name}: rejected: {message}");
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}

fn user_text(text: &str) -> Value {
    json!({"role": "user", "content": [{"text": text}]})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn call(id: &str) -> Value {
    json!({"toolUse": {"toolUseId": id, "name": "get", "input": {}}})
}

fn result(id: &str) -> Value {
    json!({"toolResult": {"toolUseId": id, "content": [{"text": "ok"}]}})
}

fn tools() -> Value {
    json!({"tools": [{"toolSpec": {"name": "get", "inputSchema": {"json": {"type": "object"}}}}]})
}

/// A body with a member replaced or added.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = json!({"messages": [user_text("hi")]});
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let mut place = &mut body;
    for part in parent.split('/').skip(1) {
        place = match place {
            Value::Array(list) => &mut list[part.parse::<usize>().expect(part)],
            other => other
                .as_object_mut()
                .expect(part)
                .entry(part)
                .or_insert_with(|| json!({})),
        };
    }
    place[name] = value;
    body
}
