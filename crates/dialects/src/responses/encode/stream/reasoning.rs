//! Reasoning: returned as a summary or as `reasoning_text`, and sealed for replay.

use bedrock::converse::{JsonStr, ReasoningDelta};
use bytes::BytesMut;

use super::{
    super::{
        super::carrier,
        item::{Item, Kind, Literal, Shown, write_reasoning_part},
    },
    StreamEncoder,
};

impl StreamEncoder {
    pub(super) fn reasoning(&mut self, block: u64, delta: &ReasoningDelta<'_>, out: &mut BytesMut) {
        let decoded = |piece: Option<JsonStr<'_>>| piece.map(|piece| piece.decode().into_owned());
        let signature = decoded(delta.signature).unwrap_or_default();
        let redacted = decoded(delta.redacted_content).unwrap_or_default();
        let text = delta.text.map_or("\"\"", |text| text.as_json());
        self.thought(block, text, &signature, &redacted, out);
    }

    /// Adds a piece of reasoning: text as a JSON literal, signature, encrypted reasoning.
    pub(in super::super) fn thought(
        &mut self,
        block: u64,
        json: &str,
        signature: &str,
        redacted: &str,
        out: &mut BytesMut,
    ) {
        let begin = |encoder: &mut Self, out: &mut BytesMut| {
            let kind = Kind::Reasoning {
                text: Literal::default(),
                signature: String::new(),
                redacted: String::new(),
                sealed: None,
            };
            encoder.begin_item("rs", kind, Some(block), out)
        };
        let index = match self.open(block) {
            Some(index) => index,
            None => begin(self, out),
        };
        let shown = self.shown();
        let Some(Item {
            kind:
                Kind::Reasoning {
                    text,
                    signature: signed,
                    redacted: encrypted,
                    ..
                },
            ..
        }) = self.items.get_mut(index)
        else {
            return;
        };
        signed.push_str(signature);
        encrypted.push_str(redacted);
        if json == "\"\"" {
            return;
        }
        let first = text.is_empty();
        text.push(json);
        if first {
            let kind = match shown {
                Shown::Summary => "response.reasoning_summary_part.added",
                Shown::Text => "response.content_part.added",
            };
            self.about(index, kind, out, |_, out| {
                write_part_index(shown, out);
                out.extend_from_slice(b"\"part\":");
                write_reasoning_part(&Literal::default(), shown, out);
            });
        }
        let kind = match shown {
            Shown::Summary => "response.reasoning_summary_text.delta",
            Shown::Text => "response.reasoning_text.delta",
        };
        self.about(index, kind, out, |_, out| {
            write_part_index(shown, out);
            out.extend_from_slice(b"\"delta\":");
            out.extend_from_slice(json.as_bytes());
        });
    }

    pub(super) fn end_reasoning(&mut self, index: usize, out: &mut BytesMut) {
        let shown = self.shown();
        let Some(Item {
            kind:
                Kind::Reasoning {
                    text,
                    signature,
                    redacted,
                    sealed,
                },
            ..
        }) = self.items.get_mut(index)
        else {
            return;
        };
        if !redacted.is_empty() {
            *sealed = Some(carrier::seal_redacted(redacted));
        } else if !signature.is_empty() {
            *sealed = Some(carrier::seal_signed(&text.decode(), signature));
        }
        if !text.is_empty() {
            let (text_done, part_done) = match shown {
                Shown::Summary => (
                    "response.reasoning_summary_text.done",
                    "response.reasoning_summary_part.done",
                ),
                Shown::Text => ("response.reasoning_text.done", "response.content_part.done"),
            };
            self.about(index, text_done, out, |item, out| {
                write_part_index(shown, out);
                out.extend_from_slice(b"\"text\":");
                if let Kind::Reasoning { text, .. } = &item.kind {
                    text.write(out);
                }
            });
            self.about(index, part_done, out, |item, out| {
                write_part_index(shown, out);
                out.extend_from_slice(b"\"part\":");
                if let Kind::Reasoning { text, .. } = &item.kind {
                    write_reasoning_part(text, shown, out);
                }
            });
        }
        self.end_item(index, "completed", out);
    }
}

/// `"summary_index":0,` or `"content_index":0,`
fn write_part_index(shown: Shown, out: &mut BytesMut) {
    out.extend_from_slice(match shown {
        Shown::Summary => b"\"summary_index\":0,",
        Shown::Text => b"\"content_index\":0,",
    });
}
