//! Encodes a whole response, block by block.

use bedrock::converse::{ConverseResponse, ResponseBlock};
use bytes::BytesMut;

use super::stream::StreamEncoder;
use crate::translation::{
    UpstreamError, openai_shapes::response::finish_reason, stop::malformed, write::quoted,
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
        self.begin(out);
        for (index, block) in (0..).zip(&response.output.message.content) {
            self.whole_block(index, block, out);
        }
        self.usage = Some(response.usage);
        self.service_tier = response.service_tier.as_ref().map(|tier| tier.kind.clone());
        self.stop(response.stop_reason.clone(), out);
        Ok(())
    }

    fn whole_block(&mut self, index: u64, block: &ResponseBlock, out: &mut BytesMut) {
        let cited = block
            .citations_content
            .iter()
            .flat_map(|cited| &cited.content);
        for text in block
            .text
            .iter()
            .chain(cited.filter_map(|cited| cited.text.as_ref()))
        {
            self.model_text(&quoted(text), out);
        }
        if let Some(reasoning) = &block.reasoning_content {
            if let Some(text) = &reasoning.reasoning_text {
                let signature = text.signature.as_deref().unwrap_or_default();
                self.thought(index, &quoted(&text.text), signature, "", out);
            }
            if let Some(data) = &reasoning.redacted_content {
                self.thought(index, "\"\"", "", data, out);
            }
        }
        if let Some(call) = &block.tool_use
            && !call.is_server_side()
        {
            let input = call.input.as_deref().map_or("{}", |input| input.get());
            self.call_begins(index, &call.tool_use_id, &call.name, out);
            self.call_delta(index, &quoted(input), out);
        }
        self.block_ends(index, out);
    }
}
