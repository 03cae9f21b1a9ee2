//! Events of ConverseStream, borrowed from the frame they came in.
//!
//! Frames are taken apart by the event-stream module; here a payload becomes an event. Fields and
//! events not known here are ignored: Bedrock pads every event with a field `p`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    json_str::JsonStr,
    response::{SERVER_TOOL_USE, StopReason, TierUsed, TokenUsage, null_as_default},
};

/// One event.
#[derive(Clone, Debug)]
pub enum StreamEvent<'a> {
    /// The model begins its turn.
    MessageStart,
    /// A block begins; sent for tools and pictures only, not for text and reasoning.
    ContentBlockStart(BlockStart<'a>),
    /// A piece of a block.
    ContentBlockDelta(BlockDelta<'a>),
    /// A block ends.
    ContentBlockStop {
        /// Bedrock's index of the block.
        index: u64,
    },
    /// The turn ends. A stream without this was cut.
    MessageStop(MessageStop<'a>),
    /// Token counts; after `MessageStop`, or before it.
    Metadata(Metadata<'a>),
    /// One not known here.
    Unknown,
}

/// A block begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockStart<'a> {
    /// Bedrock's index of the block.
    #[serde(default)]
    pub content_block_index: u64,
    /// What begins.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub start: Start<'a>,
}

/// What begins: at most one field is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Start<'a> {
    /// A call of a tool.
    #[serde(borrow)]
    pub tool_use: Option<ToolUseStart<'a>>,
    /// The result of a tool that Bedrock ran itself.
    #[serde(borrow)]
    pub tool_result: Option<&'a RawValue>,
}

/// A call of a tool begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseStart<'a> {
    /// Id to answer with.
    #[serde(borrow)]
    pub tool_use_id: Cow<'a, str>,
    /// Name of the tool.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `server_tool_use`: Bedrock runs it.
    #[serde(borrow, rename = "type", default)]
    pub kind: Option<Cow<'a, str>>,
}

impl ToolUseStart<'_> {
    /// Whether Bedrock runs the tool itself, so that it is no call for the client.
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

/// A piece: at most one field is set, none when the kind is not known here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delta<'a> {
    /// Text.
    #[serde(borrow)]
    pub text: Option<JsonStr<'a>>,
    /// Arguments of a call.
    #[serde(borrow)]
    pub tool_use: Option<ToolUseDelta<'a>>,
    /// Reasoning.
    #[serde(borrow)]
    pub reasoning_content: Option<ReasoningDelta<'a>>,
    /// A source of the text, as it came.
    #[serde(borrow)]
    pub citation: Option<&'a RawValue>,
}

/// A piece of a call's arguments.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolUseDelta<'a> {
    /// A piece of the text of JSON.
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

/// The turn ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStop<'a> {
    /// Why.
    pub stop_reason: StopReason,
    /// What `additionalModelResponseFieldPaths` asked for.
    #[serde(borrow, default)]
    pub additional_model_response_fields: Option<&'a RawValue>,
}

/// Token counts and what else is known at the end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata<'a> {
    /// Token counts.
    #[serde(deserialize_with = "null_as_default")]
    pub usage: TokenUsage,
    /// The tier that really served.
    pub service_tier: Option<TierUsed>,
    /// What a guardrail did.
    #[serde(borrow)]
    pub trace: Option<&'a RawValue>,
}

/// A payload that is not what its event type says.
#[derive(Debug, thiserror::Error)]
#[error("unable to read a {event_type} event: {source}")]
pub struct EventError {
    /// `:event-type` of the frame.
    pub event_type: String,
    /// Where it fails.
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
    /// When the payload is not JSON of the event's shape.
    pub fn from_frame_parts(event_type: &str, payload: &'a [u8]) -> Result<Self, EventError> {
        let event = match event_type {
            "messageStart" => return Ok(Self::MessageStart),
            "contentBlockStart" => serde_json::from_slice(payload).map(Self::ContentBlockStart),
            "contentBlockDelta" => serde_json::from_slice(payload).map(Self::ContentBlockDelta),
            "contentBlockStop" => {
                serde_json::from_slice::<BlockStop>(payload).map(|stop| Self::ContentBlockStop {
                    index: stop.content_block_index,
                })
            }
            "messageStop" => serde_json::from_slice(payload).map(Self::MessageStop),
            "metadata" => serde_json::from_slice(payload).map(Self::Metadata),
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
    fn undocumented_twins_in_usage_are_ignored() {
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
    fn a_payload_of_another_shape_is_an_error_naming_the_event() {
        let error = StreamEvent::from_frame_parts("messageStop", b"{}").unwrap_err();
        assert_eq!(error.event_type, "messageStop");
    }

    #[test]
    fn lone_surrogates_are_decoded_to_something() {
        let event =
            StreamEvent::from_frame_parts("contentBlockDelta", br#"{"delta":{"text":"x\ud83d"}}"#);
        let Ok(StreamEvent::ContentBlockDelta(delta)) = event else {
            panic!("{event:?}")
        };
        assert!(delta.delta.text.unwrap().decode().starts_with('x'));
    }
}
