//! Encodes a whole response.

use std::borrow::Cow;

use bedrock::converse::{ConverseResponse, ResponseBlock, TokenUsage, text};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::reply::ReplyContext,
    ResponseIdentity, Usage,
    citations::{self, Citation},
    stop_reason,
};
use crate::translation::{
    UpstreamError,
    leak::{LeakedCallParser, Piece},
    stop::{malformed, stop_sequence},
};

/// An encoded response, with the values for the request record.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The body.
    pub body: Vec<u8>,
    /// Token counts from Bedrock.
    pub usage: TokenUsage,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'a str,
    stop_sequence: Option<String>,
    usage: Usage<'a>,
}

/// A block of content.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        #[serde(serialize_with = "text::serialize")]
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Citation>,
    },
    Thinking {
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Cow<'a, RawValue>,
    },
}

impl<'a> Block<'a> {
    const fn text(text: Cow<'a, str>) -> Self {
        Self::Text {
            text,
            citations: Vec::new(),
        }
    }
}

/// Encodes a Converse response.
///
/// # Errors
/// When the stop reason says that the output is malformed.
pub fn encode_response(
    response: &ConverseResponse,
    reply: &ReplyContext,
    identity: &ResponseIdentity,
) -> Result<Encoded, UpstreamError> {
    let content = blocks(&response.output.message.content, reply);
    let calls = content
        .iter()
        .any(|block| matches!(block, Block::ToolUse { .. }));
    let stop = stop_reason(&response.stop_reason, calls)
        .ok_or_else(|| malformed(&response.stop_reason, response.usage))?;
    let sequence = stop_sequence(response.additional_model_response_fields.as_deref());
    let message = Message {
        id: &identity.id,
        kind: "message",
        role: "assistant",
        model: &identity.model,
        content,
        stop_sequence: matched_stop_sequence(stop, sequence, reply),
        stop_reason: stop,
        usage: Usage::new(
            &response.usage,
            response
                .service_tier
                .as_ref()
                .map(|tier| tier.kind.as_str()),
        ),
    };
    Ok(Encoded {
        body: serde_json::to_vec(&message).unwrap_or_default(),
        usage: response.usage,
    })
}

/// The matched stop sequence: the reported one, or else the only one of the request.
pub(super) fn matched_stop_sequence(
    stop: &str,
    reported: Option<String>,
    reply: &ReplyContext,
) -> Option<String> {
    if stop == "stop_sequence" {
        reported.or_else(|| reply.only_stop.clone())
    } else {
        None
    }
}

/// Translates the blocks of a response.
pub(super) fn blocks<'a>(given: &'a [ResponseBlock], reply: &'a ReplyContext) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    let mut schema_output = None;
    let mut leak = LeakedCallParser::default();
    for block in given {
        if let Some(text) = &block.text
            && !text.is_empty()
        {
            if reply.core.reads_calls_in_text() {
                leaky(leak.push(text), &mut blocks, reply);
            } else {
                blocks.push(Block::text(Cow::Borrowed(text)));
            }
        }
        if let Some(cited) = &block.citations_content {
            let pieces = cited.content.iter().filter_map(|one| one.text.as_deref());
            blocks.push(Block::Text {
                text: Cow::Owned(pieces.collect()),
                citations: citations::all(cited.citations.as_deref(), &reply.core),
            });
        }
        if let Some(reasoning) = &block.reasoning_content {
            if let Some(data) = &reasoning.redacted_content {
                blocks.push(Block::RedactedThinking {
                    data: Cow::Borrowed(data),
                });
            }
            if let Some(text) = &reasoning.reasoning_text {
                let signature = text.signature.as_deref().unwrap_or_default();
                blocks.push(Block::Thinking {
                    thinking: Cow::Borrowed(&text.text),
                    signature: Cow::Borrowed(signature),
                });
            }
        }
        if let Some(call) = &block.tool_use
            && !call.is_server_side()
        {
            let input = call.input.as_deref().map(|input| {
                match reply.core.original_arguments(&call.name, input.get()) {
                    Cow::Borrowed(_) => Cow::Borrowed(input),
                    Cow::Owned(text) => {
                        RawValue::from_string(text).map_or(Cow::Borrowed(input), Cow::Owned)
                    }
                }
            });
            if reply.core.is_schema_tool(&call.name) {
                let text = input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
                schema_output = Some(text);
                continue;
            }
            blocks.push(Block::ToolUse {
                id: Cow::Borrowed(&call.tool_use_id),
                name: Cow::Borrowed(reply.core.original_tool_name(&call.name)),
                input: input.unwrap_or_else(empty_object),
            });
        }
    }
    let has_calls = blocks
        .iter()
        .any(|block| matches!(block, Block::ToolUse { .. }));
    leaky(leak.finish(has_calls), &mut blocks, reply);
    if let Some(output) = schema_output {
        blocks.retain(|block| !matches!(block, Block::Text { .. }));
        blocks.push(Block::text(Cow::Owned(output)));
    }
    blocks
}

/// Adds text that may contain tool calls; see [`crate::translation::leak`].
fn leaky<'a>(pieces: Vec<Piece>, blocks: &mut Vec<Block<'a>>, reply: &'a ReplyContext) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => match blocks.last_mut() {
                Some(Block::Text { text: before, .. }) => before.to_mut().push_str(&text),
                _ => blocks.push(Block::text(Cow::Owned(text))),
            },
            Piece::Call {
                id,
                name,
                arguments,
            } => {
                let arguments = reply.core.original_arguments(&name, &arguments);
                let input = RawValue::from_string(arguments.into_owned());
                blocks.push(Block::ToolUse {
                    id: Cow::Owned(id),
                    name: Cow::Owned(reply.core.original_tool_name(&name).to_owned()),
                    input: input.map_or_else(|_| empty_object(), Cow::Owned),
                });
            }
        }
    }
}

/// `{}`, for missing arguments.
pub(super) fn empty_object<'a>() -> Cow<'a, RawValue> {
    serde_json::from_str::<&RawValue>("{}").map_or(Cow::Borrowed(RawValue::NULL), Cow::Borrowed)
}
