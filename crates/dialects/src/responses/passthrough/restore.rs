//! Restores responses of Bedrock's own endpoints: calls of custom tools and the names of namespaces.

use bedrock::sse::Event;
use bytes::BytesMut;
use serde_json::Value;

use super::{RENAMED, RESERVED, remove, set};
use crate::responses::decode::INPUT;

/// What to restore in the response to an adapted request; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Restorer {
    /// Namespace, as Bedrock knows it, and name of each custom tool.
    custom: Vec<(Option<String>, String)>,
    /// Whether reserved namespaces were renamed.
    renamed: bool,
}

/// Restores one stream.
#[derive(Debug, Default)]
pub struct PassthroughStream {
    restorer: Restorer,
    /// Positions of the calls of custom tools in the output.
    calls: Vec<Value>,
    sequence: u64,
}

impl Restorer {
    pub(super) fn add_custom(&mut self, namespace: Option<&str>, name: &str) {
        let namespace = namespace.map(str::to_owned);
        self.custom.push((namespace, name.to_owned()));
    }

    pub(super) const fn set_renamed(&mut self) {
        self.renamed = true;
    }

    const fn is_active(&self) -> bool {
        self.renamed || !self.custom.is_empty()
    }

    /// The restored response; `None` if it stays as it is.
    pub fn response(&self, body: &[u8]) -> Option<Vec<u8>> {
        if !self.is_active() {
            return None;
        }
        let mut response = serde_json::from_slice(body).ok()?;
        self.output(&mut response);
        Some(response.to_string().into_bytes())
    }

    fn output(&self, response: &mut Value) {
        if let Some(Value::Array(items)) = response.get_mut("output") {
            for item in items {
                self.item(item);
            }
        }
    }

    /// Restores an item; `true` for a call of a custom tool.
    fn item(&self, item: &mut Value) -> bool {
        let text = |member: &str| item.get(member).and_then(Value::as_str);
        let is_call = text("type") == Some("function_call");
        let is_custom = is_call
            && self.custom.iter().any(|(namespace, name)| {
                namespace.as_deref() == text("namespace") && Some(name.as_str()) == text("name")
            });
        let original = text("namespace")
            .and_then(|namespace| namespace.strip_prefix(RENAMED))
            .filter(|name| self.renamed && RESERVED.contains(name))
            .map(str::to_owned);
        let input = is_custom.then(|| free_text(text("arguments").unwrap_or_default()));
        if let Some(input) = input {
            set(item, "type", "custom_tool_call".into());
            remove(item, &["arguments"]);
            set(item, "input", input.into());
        }
        if let Some(namespace) = original {
            set(item, "namespace", namespace.into());
        }
        is_custom
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

    /// Writes an event: as it is if there is nothing to restore in the stream.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        let restored = if self.restorer.is_active() {
            serde_json::from_slice(&event.data).ok()
        } else {
            None
        };
        if let Some(data) = restored {
            self.restore(data, out);
        } else {
            self.sequence = self
                .sequence
                .saturating_add(u64::from(!event.data.is_empty()));
            out.extend_from_slice(&event.raw);
        }
    }

    fn restore(&mut self, mut event: Value, out: &mut BytesMut) {
        if let Some(response) = event.get_mut("response") {
            self.restorer.output(response);
        }
        let position = event.get("output_index").cloned().unwrap_or_default();
        if let Some(item) = event.get_mut("item")
            && self.restorer.item(item)
            && !self.calls.contains(&position)
        {
            self.calls.push(position.clone());
        }
        let kind = event.get("type").and_then(Value::as_str);
        match kind {
            Some("response.function_call_arguments.delta") if self.calls.contains(&position) => {}
            Some("response.function_call_arguments.done") if self.calls.contains(&position) => {
                let arguments = event.get("arguments").and_then(Value::as_str);
                let input = free_text(arguments.unwrap_or_default());
                remove(&mut event, &["arguments", "name"]);
                for (kind, member) in [
                    ("response.custom_tool_call_input.delta", "delta"),
                    ("response.custom_tool_call_input.done", "input"),
                ] {
                    let mut event = event.clone();
                    set(&mut event, "type", kind.into());
                    set(&mut event, member, input.as_str().into());
                    self.write(event, out);
                }
            }
            _ => self.write(event, out),
        }
    }

    /// Writes an event with the next sequence number, because the number of events may differ.
    fn write(&mut self, mut event: Value, out: &mut BytesMut) {
        if event.get("sequence_number").is_some() {
            set(&mut event, "sequence_number", self.sequence.into());
        }
        self.sequence = self.sequence.saturating_add(1);
        if let Some(kind) = event.get("type").and_then(Value::as_str) {
            out.extend_from_slice(format!("event: {kind}\n").as_bytes());
        }
        out.extend_from_slice(format!("data: {event}\n\n").as_bytes());
    }
}

/// The input of a custom tool in the arguments of its function; arguments without it are passed to the tool as they are.
fn free_text(arguments: &str) -> String {
    let value: Option<Value> = serde_json::from_str(arguments).ok();
    let input = value.as_ref().and_then(|value| value.get(INPUT)?.as_str());
    input.unwrap_or(arguments).to_owned()
}
