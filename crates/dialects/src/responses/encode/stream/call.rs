//! Calls of functions, custom tools and the schema tool.

use bytes::BytesMut;
use serde_json::value::RawValue;

use super::{
    super::{
        super::decode::CallForm,
        item::{Item, Kind, Literal},
    },
    Apart, StreamEncoder,
};
use crate::translation::{
    held::Held,
    write::{quoted, write_json},
};

impl StreamEncoder {
    /// Starts a tool call, which may be a call of the schema tool.
    pub(in super::super) fn call_begins(
        &mut self,
        block: u64,
        id: &str,
        name: &str,
        out: &mut BytesMut,
    ) {
        if let Some(held) = Held::new(name, self.reply.core()) {
            self.renamed.push((block, held));
        }
        if self.reply.core().is_schema_tool(name) {
            self.apart.push(Apart::Schema {
                block,
                arguments: false,
            });
        } else {
            self.call(Some(block), id, name, out);
        }
    }

    pub(super) fn call(
        &mut self,
        block: Option<u64>,
        id: &str,
        name: &str,
        out: &mut BytesMut,
    ) -> usize {
        let form = self.reply.call_form(name);
        let (namespace, name) = self.reply.tool_name(name);
        let kind = Kind::Call {
            call_id: id.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            arguments: Literal::default(),
            form,
        };
        let prefix = match form {
            CallForm::Function => "fc",
            CallForm::Custom => "ctc",
            CallForm::ToolSearch => "tsc",
        };
        self.begin_item(prefix, kind, block, out)
    }

    /// Adds a piece of a call's arguments; `false` if no such call is open.
    pub(in super::super) fn call_delta(
        &mut self,
        block: u64,
        json: &str,
        out: &mut BytesMut,
    ) -> bool {
        if let Some((_, held)) = self.renamed.iter_mut().find(|(at, _)| *at == block) {
            let mut text = Literal::default();
            text.push(json);
            held.push(&text.decode());
            return true;
        }
        if let Some(apart) = self.apart.iter_mut().find(|apart| apart.block() == block) {
            if let Apart::Schema { arguments, .. } = apart {
                *arguments = true;
                self.schema_tool_used = true;
                self.text(json, out);
            }
            return true;
        }
        let Some(index) = self.open(block) else {
            return false;
        };
        self.arguments(index, json, out);
        true
    }

    /// Writes the arguments of a block that were held back.
    pub(super) fn write_held(&mut self, block: u64, out: &mut BytesMut) {
        let Some(position) = self.renamed.iter().position(|(at, _)| *at == block) else {
            return;
        };
        let (_, held) = self.renamed.swap_remove(position);
        let arguments = held.finish(self.reply.core());
        self.call_delta(block, &quoted(&arguments), out);
    }

    pub(super) fn arguments(&mut self, index: usize, json: &str, out: &mut BytesMut) {
        let Some(Item {
            kind: Kind::Call {
                arguments, form, ..
            },
            ..
        }) = self.items.get_mut(index)
        else {
            return;
        };
        arguments.push(json);
        // The input of a custom tool is wrapped in JSON and cannot be streamed in pieces; a search has no such events.
        if *form == CallForm::Function {
            let kind = "response.function_call_arguments.delta";
            self.about(index, kind, out, |_, out| {
                out.extend_from_slice(b"\"delta\":");
                out.extend_from_slice(json.as_bytes());
            });
        }
    }

    pub(super) fn end_call(&mut self, index: usize, out: &mut BytesMut) {
        let call = self.items.get(index).map(|item| &item.kind);
        let Some(Kind::Call {
            arguments, form, ..
        }) = call
        else {
            return;
        };
        let form = *form;
        if arguments.is_empty() {
            // Missing arguments become an empty object, because "" does not parse.
            self.arguments(index, "\"{}\"", out);
        }
        // The token limit may have truncated the call.
        let complete = self.items.get(index).is_some_and(|item| match &item.kind {
            Kind::Call { arguments, .. } => {
                serde_json::from_str::<&RawValue>(&arguments.decode()).is_ok()
            }
            _ => false,
        });
        let status = if complete { "completed" } else { "incomplete" };
        if let Some(item) = self.items.get_mut(index) {
            item.status = status;
        }
        if form == CallForm::Custom {
            for (kind, member) in [
                ("response.custom_tool_call_input.delta", "delta"),
                ("response.custom_tool_call_input.done", "input"),
            ] {
                self.about(index, kind, out, |item, out| {
                    write_json(member, out);
                    out.extend_from_slice(b":");
                    write_json(&item.free_text(), out);
                });
            }
        } else if form == CallForm::Function {
            let kind = "response.function_call_arguments.done";
            self.about(index, kind, out, |item, out| {
                if let Kind::Call {
                    arguments, name, ..
                } = &item.kind
                {
                    out.extend_from_slice(b"\"name\":");
                    write_json(name, out);
                    out.extend_from_slice(b",\"arguments\":");
                    arguments.write(out);
                }
            });
        }
        self.end_item(index, status, out);
    }
}
