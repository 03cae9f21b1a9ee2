//! Encodes a whole response as a stream, for models that do not stream tool calls.

use std::borrow::Cow;

use bedrock::converse::{ConverseResponse, ResponseBlock};
use bytes::BytesMut;

use super::{super::response::ThinkingBlock, NO_BLOCK, StreamEncoder};
use crate::translation::{
    UpstreamError,
    openai_shapes::response::finish_reason,
    stop::{malformed, stop_sequence},
    write::{quoted, write_json},
};

impl StreamEncoder {
    /// Encodes a whole response as a stream, for models that do not stream tool calls.
    ///
    /// # Errors
    /// When the output is malformed; nothing is written then.
    pub fn response(
        &mut self,
        response: &ConverseResponse,
        out: &mut BytesMut,
    ) -> Result<(), UpstreamError> {
        if finish_reason(&response.stop_reason, false).is_none() {
            return Err(malformed(&response.stop_reason, response.usage));
        }
        self.role(out);
        for block in &response.output.message.content {
            self.whole_block(block, out);
        }
        self.stop = Some(response.stop_reason.clone());
        self.stop_sequence = stop_sequence(response.additional_model_response_fields.as_deref());
        self.usage = Some(response.usage);
        self.service_tier = response.service_tier.as_ref().map(|tier| tier.kind.clone());
        self.finish_choice(out);
        Ok(())
    }

    /// Writes a block of a whole response.
    fn whole_block(&mut self, block: &ResponseBlock, out: &mut BytesMut) {
        let cited = block
            .citations_content
            .iter()
            .flat_map(|cited| &cited.content);
        for text in block
            .text
            .iter()
            .chain(cited.filter_map(|cited| cited.text.as_ref()))
        {
            if self.reply.core().holds_text() {
                self.held.push_str(text);
            } else if self.reply.core().reads_calls_in_text() {
                self.leaky_text(text, out);
            } else if !text.is_empty() {
                self.text(&quoted(text), out);
            }
        }
        if let Some(reasoning) = &block.reasoning_content {
            if let Some(text) = &reasoning.reasoning_text {
                if !text.text.is_empty() {
                    self.chunk(out, |out| {
                        out.extend_from_slice(b"\"reasoning_content\":");
                        write_json(&text.text, out);
                    });
                }
                if let Some(signature) = &text.signature {
                    let block = ThinkingBlock::Thinking {
                        thinking: Cow::Borrowed(&text.text),
                        signature: Cow::Borrowed(signature),
                    };
                    self.thinking(&block, out);
                }
            }
            if let Some(data) = &reasoning.redacted_content {
                let data = Cow::Borrowed(data.as_str());
                self.thinking(&ThinkingBlock::RedactedThinking { data }, out);
            }
        }
        if let Some(call) = &block.tool_use
            && !call.is_server_side()
        {
            let input = call.input.as_deref().map_or("{}", |input| input.get());
            let core = self.reply.core();
            let input = &*core.original_arguments(&call.name, input).into_owned();
            if self.reply.core().is_schema_tool(&call.name) {
                self.schema_tool_used = true;
                self.text(&quoted(input), out);
            } else {
                let index = self.calls;
                self.call(NO_BLOCK, &call.tool_use_id, &call.name, out);
                self.arguments(index, &quoted(input), out);
            }
        }
    }
}
