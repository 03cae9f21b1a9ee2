//! Restores responses of Bedrock's own endpoints: calls of tools that were changed, and namespaces of calls.

use std::collections::{HashMap, hash_map::Entry};

use bedrock::sse::Event;
use bytes::BytesMut;
use serde_json::Value;

use super::{remove, set, text};
use crate::responses::decode::{CallForm, INPUT};

/// A tool as the client declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Original {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) form: CallForm,
}

/// What to restore in the response to a request; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Restorer {
    /// The tools by namespace and name, as Bedrock knows them.
    tools: HashMap<(Option<String>, String), Original>,
    /// The tools of namespaces by name; `None` if several namespaces have the name. Grok calls them without the
    /// namespace (<https://github.com/BerriAI/litellm/pull/34488>).
    in_namespaces: HashMap<String, Option<Original>>,
    /// Whether a call of any tool may differ from what the client expects.
    active: bool,
}

/// Restores one stream.
#[derive(Debug, Default)]
pub struct PassthroughStream {
    restorer: Restorer,
    /// The tools of restored calls by position in the output.
    calls: HashMap<u64, Original>,
    sequence: u64,
}

impl Restorer {
    /// Adds a tool with Bedrock's namespace and name.
    pub(super) fn add(&mut self, namespace: Option<&str>, name: &str, original: Original) {
        self.active |= original.namespace.is_some() || original.form != CallForm::Function;
        if namespace.is_some() {
            match self.in_namespaces.entry(name.to_owned()) {
                Entry::Occupied(mut known) => {
                    known.insert(None);
                }
                Entry::Vacant(free) => {
                    free.insert(Some(original.clone()));
                }
            }
        }
        let key = (namespace.map(str::to_owned), name.to_owned());
        self.tools.entry(key).or_insert(original);
    }

    /// The restored response; `None` if it stays as it is.
    pub fn response(&self, body: &[u8]) -> Option<Vec<u8>> {
        if !self.active {
            return None;
        }
        let mut response = serde_json::from_slice(body).ok()?;
        self.output(&mut response)
            .then(|| response.to_string().into_bytes())
    }

    /// Restores the output; whether anything changed.
    fn output(&self, response: &mut Value) -> bool {
        let Some(Value::Array(items)) = response.get_mut("output") else {
            return false;
        };
        items
            .iter_mut()
            .fold(false, |changed, item| self.item(item).is_some() | changed)
    }

    /// Restores an item; the called tool if the item was changed.
    fn item(&self, item: &mut Value) -> Option<&Original> {
        if text(item, "type") != Some("function_call") {
            return None;
        }
        let namespace = text(item, "namespace").map(str::to_owned);
        let key = (namespace, text(item, "name").unwrap_or_default().to_owned());
        let original = match self.tools.get(&key) {
            Some(original) => original,
            None if key.0.is_none() => self.in_namespaces.get(&key.1)?.as_ref()?,
            None => return None,
        };
        let same = original.namespace == key.0 && original.name == key.1;
        match original.form {
            CallForm::Function if same => return None,
            CallForm::Function => {}
            CallForm::Custom => {
                let input = free_text(text(item, "arguments").unwrap_or_default());
                set(item, "type", "custom_tool_call".into());
                remove(item, &["arguments"]);
                set(item, INPUT, input.into());
            }
            CallForm::ToolSearch => {
                let arguments = text(item, "arguments").unwrap_or_default();
                let arguments = serde_json::from_str(arguments)
                    .unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
                set(item, "type", "tool_search_call".into());
                set(item, "execution", "client".into());
                set(item, "arguments", arguments);
                remove(item, &["name", "namespace"]);
                return Some(original);
            }
        }
        if let Some(namespace) = &original.namespace {
            set(item, "namespace", namespace.as_str().into());
        }
        set(item, "name", original.name.as_str().into());
        Some(original)
    }
}

impl PassthroughStream {
    /// A stream that is restored.
    pub fn new(restorer: Restorer) -> Self {
        Self {
            restorer,
            ..Self::default()
        }
    }

    /// The sequence number of the next event.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes an event: as it is if there is nothing to restore in it. `code` replaces the code of an error.
    pub fn event(&mut self, event: &Event, code: Option<&str>, out: &mut BytesMut) {
        let data = (self.restorer.active || code.is_some())
            .then(|| serde_json::from_slice::<Value>(&event.data).ok())
            .flatten();
        let Some(mut data) = data else {
            return self.raw(event, out);
        };
        let number = data.get("sequence_number").and_then(Value::as_u64);
        let mut changed = number.is_some_and(|number| number != self.sequence);
        if let Some(code) = code {
            changed |= set_code(&mut data, code);
        }
        if let Some(response) = data.get_mut("response") {
            changed |= self.restorer.output(response);
        }
        let position = data
            .get("output_index")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        if let Some(item) = data.get_mut("item")
            && let Some(original) = self.restorer.item(item)
        {
            changed = true;
            self.calls.insert(position, original.clone());
        }
        match text(&data, "type") {
            Some("response.function_call_arguments.delta") if self.has_other_form(position) => {}
            Some("response.function_call_arguments.done") if self.calls.contains_key(&position) => {
                self.arguments(data, position, out);
            }
            _ if changed => self.write(data, out),
            _ => self.raw(event, out),
        }
    }

    /// Whether the arguments of a call have another form than Bedrock's.
    fn has_other_form(&self, position: u64) -> bool {
        let call = self.calls.get(&position);
        call.is_some_and(|call| call.form != CallForm::Function)
    }

    /// The end of the arguments of a restored call.
    fn arguments(&mut self, mut event: Value, position: u64, out: &mut BytesMut) {
        let Some(original) = self.calls.get(&position) else {
            return;
        };
        match original.form {
            CallForm::Function => {
                if event.get("name").is_some() {
                    let name = original.name.as_str().into();
                    set(&mut event, "name", name);
                }
                self.write(event, out);
            }
            // The item has the arguments.
            CallForm::ToolSearch => {}
            CallForm::Custom => {
                let input = free_text(text(&event, "arguments").unwrap_or_default());
                remove(&mut event, &["arguments", "name"]);
                for (kind, member) in [
                    ("response.custom_tool_call_input.delta", "delta"),
                    ("response.custom_tool_call_input.done", INPUT),
                ] {
                    let mut event = event.clone();
                    set(&mut event, "type", kind.into());
                    set(&mut event, member, input.as_str().into());
                    self.write(event, out);
                }
            }
        }
    }

    fn raw(&mut self, event: &Event, out: &mut BytesMut) {
        let one = u64::from(!event.data.is_empty());
        self.sequence = self.sequence.saturating_add(one);
        out.extend_from_slice(&event.raw);
    }

    /// Writes an event with the next sequence number, because the number of events may differ.
    fn write(&mut self, mut event: Value, out: &mut BytesMut) {
        if event.get("sequence_number").is_some() {
            set(&mut event, "sequence_number", self.sequence.into());
        }
        self.sequence = self.sequence.saturating_add(1);
        if let Some(kind) = text(&event, "type") {
            out.extend_from_slice(format!("event: {kind}\n").as_bytes());
        }
        out.extend_from_slice(format!("data: {event}\n\n").as_bytes());
    }
}

/// Sets the code of an `error` event, or of the error of a failed response; whether it was another.
fn set_code(event: &mut Value, code: &str) -> bool {
    let has = |name: &str| event.get(name).is_some_and(|value| !value.is_null());
    let error = if has("response") {
        event.pointer_mut("/response/error")
    } else if has("error") {
        event.get_mut("error")
    } else {
        Some(event)
    };
    let Some(error) = error.filter(|error| error.is_object() && text(error, "code") != Some(code))
    else {
        return false;
    };
    set(error, "code", code.into());
    true
}

/// The input of a custom tool in the arguments of its function; arguments without it are passed to the tool as they are.
fn free_text(arguments: &str) -> String {
    let value: Option<Value> = serde_json::from_str(arguments).ok();
    let input = value.as_ref().and_then(|value| text(value, INPUT));
    input.unwrap_or(arguments).to_owned()
}
