//! Output items.
//!
//! Text is kept as JSON: the concatenated insides of string literals are the inside of a string literal.

use bytes::BytesMut;
use serde_json::value::RawValue;

use super::super::decode::CallForm;
use crate::translation::write::write_json;

/// The inside of a JSON string literal.
#[derive(Clone, Debug, Default)]
pub(super) struct Literal(String);

impl Literal {
    /// Appends a complete literal, including its quotes.
    pub(super) fn push(&mut self, json: &str) {
        let inside = json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        self.0.push_str(inside.unwrap_or_default());
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"\"");
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b"\"");
    }

    /// The decoded text; lone surrogates become U+FFFD.
    pub(super) fn decode(&self) -> String {
        serde_json::from_str(&format!("\"{}\"", self.0))
            .unwrap_or_else(|_| self.0.replace("\\u", "\u{fffd}"))
    }
}

/// The kind of an item.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Message {
        text: Literal,
    },
    Reasoning {
        text: Literal,
        signature: String,
        redacted: String,
        /// The sealed block, once it is complete.
        sealed: Option<String>,
    },
    /// A call of a tool; the arguments of a custom tool contain its input.
    Call {
        call_id: String,
        namespace: Option<String>,
        name: String,
        arguments: Literal,
        form: CallForm,
    },
}

/// An output item.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Bedrock's index of the item's block while the block is open.
    pub(super) block: Option<u64>,
    pub(super) status: &'static str,
}

/// How reasoning is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Summary,
    Text,
}

impl Shown {
    const fn member(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Text => "content",
        }
    }

    const fn part(self) -> &'static str {
        match self {
            Self::Summary => "summary_text",
            Self::Text => "reasoning_text",
        }
    }
}

impl Item {
    /// `"output_index":…,"item_id":…,`
    pub(super) fn write_place(&self, index: usize, out: &mut BytesMut) {
        out.extend_from_slice(b"\"output_index\":");
        write_json(&index, out);
        out.extend_from_slice(b",\"item_id\":");
        write_json(&self.id, out);
        out.extend_from_slice(b",");
    }

    /// Writes the item in its current state.
    pub(super) fn write(&self, shown: Shown, out: &mut BytesMut) {
        out.extend_from_slice(b"{\"id\":");
        write_json(&self.id, out);
        match &self.kind {
            Kind::Message { text } => {
                self.write_status("message", out);
                out.extend_from_slice(b",\"role\":\"assistant\",\"content\":[");
                if self.status != "in_progress" || !text.is_empty() {
                    write_text_part(text, out);
                }
                out.extend_from_slice(b"]}");
            }
            Kind::Reasoning { text, sealed, .. } => {
                out.extend_from_slice(b",\"type\":\"reasoning\",\"summary\":[");
                if shown == Shown::Summary && !text.is_empty() {
                    write_reasoning_part(text, shown, out);
                }
                out.extend_from_slice(b"]");
                if shown == Shown::Text && !text.is_empty() {
                    out.extend_from_slice(b",\"");
                    out.extend_from_slice(shown.member().as_bytes());
                    out.extend_from_slice(b"\":[");
                    write_reasoning_part(text, shown, out);
                    out.extend_from_slice(b"]");
                }
                out.extend_from_slice(b",\"encrypted_content\":");
                write_json(sealed, out);
                out.extend_from_slice(b"}");
            }
            Kind::Call {
                call_id,
                namespace,
                name,
                arguments,
                form,
            } => {
                self.write_status(
                    match form {
                        CallForm::Function => "function_call",
                        CallForm::Custom => "custom_tool_call",
                        CallForm::ToolSearch => "tool_search_call",
                    },
                    out,
                );
                out.extend_from_slice(b",\"call_id\":");
                write_json(call_id, out);
                if *form == CallForm::ToolSearch {
                    out.extend_from_slice(b",\"execution\":\"client\",\"arguments\":");
                    out.extend_from_slice(self.object_arguments().as_bytes());
                    out.extend_from_slice(b"}");
                    return;
                }
                if let Some(namespace) = namespace {
                    out.extend_from_slice(b",\"namespace\":");
                    write_json(namespace, out);
                }
                out.extend_from_slice(b",\"name\":");
                write_json(name, out);
                if *form == CallForm::Custom {
                    out.extend_from_slice(b",\"input\":");
                    write_json(&self.free_text(), out);
                } else {
                    out.extend_from_slice(b",\"arguments\":");
                    arguments.write(out);
                }
                out.extend_from_slice(b"}");
            }
        }
    }

    /// The input of a custom tool; empty while its arguments are incomplete.
    pub(super) fn free_text(&self) -> String {
        let Kind::Call { arguments, .. } = &self.kind else {
            return String::new();
        };
        if self.status == "in_progress" {
            return String::new();
        }
        let arguments = arguments.decode();
        let value: Option<serde_json::Value> = serde_json::from_str(&arguments).ok();
        let input = value
            .as_ref()
            .and_then(|value| value.get("input")?.as_str());
        // Arguments without the expected member are passed to the tool as they are.
        input.map_or_else(|| arguments.clone(), str::to_owned)
    }

    /// The arguments as an object; empty while they are incomplete.
    fn object_arguments(&self) -> String {
        let Kind::Call { arguments, .. } = &self.kind else {
            return String::new();
        };
        Some(arguments.decode())
            .filter(|text| text.trim_start().starts_with('{'))
            .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok())
            .unwrap_or_else(|| "{}".to_owned())
    }

    fn write_status(&self, kind: &str, out: &mut BytesMut) {
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"status\":\"");
        out.extend_from_slice(self.status.as_bytes());
        out.extend_from_slice(b"\"");
    }
}

/// `{"type":"output_text",…}`
pub(super) fn write_text_part(text: &Literal, out: &mut BytesMut) {
    out.extend_from_slice(
        b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":",
    );
    text.write(out);
    out.extend_from_slice(b"}");
}

/// `{"type":"summary_text",…}` or `{"type":"reasoning_text",…}`
pub(super) fn write_reasoning_part(text: &Literal, shown: Shown, out: &mut BytesMut) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(shown.part().as_bytes());
    out.extend_from_slice(b"\",\"text\":");
    text.write(out);
    out.extend_from_slice(b"}");
}
