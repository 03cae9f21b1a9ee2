//! Events of ConverseStream, borrowed from their frames.
//!
//! [`crate::eventstream`] decodes frames; this module decodes their payloads. Unknown events and fields are
//! ignored: Bedrock pads every event with a field `p`.

mod plain;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    from_json,
    json_str::JsonStr,
    response::{SERVER_TOOL_USE, StopReason, TierUsed, TokenUsage, null_as_default},
};

/// One event.
#[derive(Clone, Debug)]
pub enum StreamEvent<'a> {
    /// The start of the model's turn.
    MessageStart,
    /// The start of a block; sent for tools and images only, not for text and reasoning.
    ContentBlockStart(BlockStart<'a>),
    /// A piece of a block.
    ContentBlockDelta(BlockDelta<'a>),
    /// The end of a block.
    ContentBlockStop {
        /// Bedrock's index of the block.
        index: u64,
    },
    /// The end of the turn. A stream without this event is truncated.
    MessageStop(MessageStop<'a>),
    /// Token counts; before or after `MessageStop`.
    Metadata(Metadata<'a>),
    /// An unknown event.
    Unknown,
}

/// The start of a block.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockStart<'a> {
    /// Bedrock's index of the block.
    #[serde(default)]
    pub content_block_index: u64,
    /// The kind of block.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub start: Start<'a>,
}

/// The kind of block: at most one field is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Start<'a> {
    /// A tool call.
    #[serde(borrow)]
    pub tool_use: Option<ToolUseStart<'a>>,
    /// The result of a tool that Bedrock ran.
    #[serde(borrow)]
    pub tool_result: Option<&'a RawValue>,
}

/// The start of a tool call.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseStart<'a> {
    /// Id for the tool result.
    #[serde(borrow)]
    pub tool_use_id: Cow<'a, str>,
    /// Name of the tool.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `server_tool_use` if Bedrock runs the tool.
    #[serde(borrow, rename = "type", default)]
    pub kind: Option<Cow<'a, str>>,
}

impl ToolUseStart<'_> {
    /// Whether Bedrock runs the tool, so that the client does not see the call.
    pub fn is_server_side(&self) -> bool {
        self.kind.as_deref() == Some(SERVER_TOOL_USE)
    }
}

/// A piece of a block.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDelta<'a> {
    /// Bedrock's index of the block.
    #[serde(default)]
    pub content_block_index: u64,
    /// The piece.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub delta: Delta<'a>,
}

/// A piece: at most one field is set, none if the kind is unknown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delta<'a> {
    /// Text.
    #[serde(borrow)]
    pub text: Option<JsonStr<'a>>,
    /// Arguments of a tool call.
    #[serde(borrow)]
    pub tool_use: Option<ToolUseDelta<'a>>,
    /// Reasoning.
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningDelta<'a>>,
    /// A citation of the text, as raw JSON.
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
}

/// A piece of a tool call's arguments.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolUseDelta<'a> {
    /// A piece of the JSON text.
    #[serde(borrow)]
    pub input: Option<JsonStr<'a>>,
}

/// A piece of reasoning.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReasoningDelta<'a> {
    /// Readable reasoning.
    #[serde(borrow)]
    pub text: Option<JsonStr<'a>>,
    /// Signature over the block's text.
    #[serde(borrow)]
    pub signature: Option<JsonStr<'a>>,
    /// Base64 of encrypted reasoning.
    #[serde(borrow)]
    pub redacted_content: Option<JsonStr<'a>>,
}

/// The end of the turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStop<'a> {
    /// The stop reason.
    pub stop_reason: StopReason,
    /// The fields requested with `additionalModelResponseFieldPaths`.
    #[serde(borrow, default)]
    pub additional_model_response_fields: Option<&'a RawValue>,
}

/// Token counts and other data at the end of a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// Token counts.
    #[serde(deserialize_with = "null_as_default")]
    pub usage: TokenUsage,
    /// The service tier that processed the request.
    pub service_tier: Option<TierUsed>,
    /// The guardrail trace.
    #[serde(borrow)]
    pub trace: Option<&'a RawValue>,
}

/// A payload that does not match its event type.
#[derive(Debug, thiserror::Error)]
#[error("unable to read a {event_type} event: {source}")]
pub struct EventError {
    /// `:event-type` of the frame.
    pub event_type: String,
    /// The JSON error.
    #[source]
    pub source: serde_json::Error,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    #[serde(default)]
    content_block_index: u64,
}

impl<'a> StreamEvent<'a> {
    /// Reads an event from the `:event-type` and the payload of a frame.
    ///
    /// # Errors
    /// When the payload does not match the event type.
    pub fn from_frame_parts(event_type: &str, payload: &'a [u8]) -> Result<Self, EventError> {
        let event = match event_type {
            "messageStart" => return Ok(Self::MessageStart),
            "contentBlockStart" => from_json(payload).map(Self::ContentBlockStart),
            "contentBlockDelta" => plain::text_delta(payload)
                .map_or_else(|| from_json(payload), Ok)
                .map(Self::ContentBlockDelta),
            "contentBlockStop" => {
                from_json::<BlockStop>(payload).map(|stop| Self::ContentBlockStop {
                    index: stop.content_block_index,
                })
            }
            "messageStop" => from_json(payload).map(Self::MessageStop),
            "metadata" => from_json(payload).map(|metadata: Metadata<'a>| {
                let usage = metadata
                    .usage
                    .in_tier(metadata.service_tier.as_ref().map(TierUsed::billed));
                Self::Metadata(Metadata { usage, ..metadata })
            }),
            _ => return Ok(Self::Unknown),
        };
        event.map_err(|source| EventError {
            event_type: event_type.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_and_unknown_events_are_ignored() {
        let event = StreamEvent::from_frame_parts(
            "contentBlockDelta",
            br#"{"contentBlockIndex":0,"delta":{"text":"a\"b"},"p":"abcdef"}"#,
        );
        let Ok(StreamEvent::ContentBlockDelta(delta)) = event else {
            panic!("{event:?}")
        };
        let text = delta.delta.text.unwrap();
        assert_eq!(text.as_json(), r#""a\"b""#);
        assert_eq!(text.decode(), "a\"b");
        assert!(matches!(
            StreamEvent::from_frame_parts("somethingNew", b"not json"),
            Ok(StreamEvent::Unknown)
        ));
    }

    #[test]
    fn undocumented_duplicate_fields_in_usage_are_ignored() {
        let event = StreamEvent::from_frame_parts(
            "metadata",
            br#"{"usage":{"inputTokens":3,"outputTokens":5,"totalTokens":18,"cacheReadInputTokens":10,"cacheReadInputTokenCount":10,"cacheWriteInputTokens":null,"serverToolUsage":{}},"metrics":{"latencyMs":1},"p":"a"}"#,
        );
        let Ok(StreamEvent::Metadata(metadata)) = event else {
            panic!("{event:?}")
        };
        assert_eq!(metadata.usage.prompt_tokens(), 13);
        assert_eq!(metadata.usage.output_tokens, 5);
    }

    #[test]
    fn invalid_payload_is_an_error_that_names_the_event() {
        let error = StreamEvent::from_frame_parts("messageStop", b"{}").unwrap_err();
        assert_eq!(error.event_type, "messageStop");
    }

    #[test]
    fn lone_surrogates_decode_to_replacement_characters() {
        let event =
            StreamEvent::from_frame_parts("contentBlockDelta", br#"{"delta":{"text":"x\ud83d"}}"#);
        let Ok(StreamEvent::ContentBlockDelta(delta)) = event else {
            panic!("{event:?}")
        };
        assert!(delta.delta.text.unwrap().decode().starts_with('x'));
    }
}
