//! Reasoning: text as it arrives, and blocks with their signatures at their end.

use std::borrow::Cow;

use bedrock::converse::ReasoningDelta;
use bytes::BytesMut;
use serde::Serialize;

use super::{super::response::ThinkingBlock, StreamEncoder};
use crate::translation::{SignedReasoning, write::write_json};

/// Reasoning of an open block, collected for the block with its signature.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    block: u64,
    text: String,
    signature: String,
    redacted: String,
}

/// Signed reasoning of the response, and the id of its first tool call.
#[derive(Debug, Default)]
pub(super) struct Signed {
    pub(super) call: Option<String>,
    pub(super) blocks: SignedReasoning,
}

/// A thinking block with its index, by which clients accumulate list entries.
#[derive(Serialize)]
struct Indexed<'a> {
    index: u32,
    #[serde(flatten)]
    block: &'a ThinkingBlock<'a>,
}

impl StreamEncoder {
    pub(super) fn gather(&mut self, at: u64, delta: &ReasoningDelta<'_>) {
        if !self.reasoning.iter().any(|one| one.block == at) {
            self.reasoning.push(Reasoning {
                block: at,
                ..Reasoning::default()
            });
        }
        if let Some(one) = self.reasoning.iter_mut().find(|one| one.block == at) {
            for (into, piece) in [
                (&mut one.text, delta.text),
                (&mut one.signature, delta.signature),
                (&mut one.redacted, delta.redacted_content),
            ] {
                if let Some(piece) = piece {
                    into.push_str(&piece.decode());
                }
            }
        }
    }

    /// Writes the collected reasoning of a block that ends.
    pub(super) fn end_reasoning(&mut self, at: u64, out: &mut BytesMut) {
        if let Some(position) = self.reasoning.iter().position(|one| one.block == at) {
            let one = self.reasoning.swap_remove(position);
            if !one.redacted.is_empty() {
                let data = Cow::Owned(one.redacted);
                self.thinking(&ThinkingBlock::RedactedThinking { data }, out);
            }
            if !one.signature.is_empty() {
                let block = ThinkingBlock::Thinking {
                    thinking: Cow::Owned(one.text),
                    signature: Cow::Owned(one.signature),
                };
                self.thinking(&block, out);
            }
        }
    }

    pub(super) fn thinking(&mut self, block: &ThinkingBlock<'_>, out: &mut BytesMut) {
        if let Some(signed) = &mut self.signed {
            signed.blocks.push(block.signed());
        }
        let index = self.thoughts;
        self.thoughts = self.thoughts.saturating_add(1);
        self.chunk(out, |out| {
            out.extend_from_slice(b"\"thinking_blocks\":[");
            write_json(&Indexed { index, block }, out);
            out.extend_from_slice(b"],\"reasoning_details\":[");
            write_json(&block.detail(usize::try_from(index).unwrap_or(0)), out);
            out.extend_from_slice(b"]");
        });
    }
}
