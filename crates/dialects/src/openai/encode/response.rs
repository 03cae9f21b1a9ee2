//! Encodes a whole response.

use std::borrow::Cow;

use bedrock::converse::{
    ConverseResponse, ReasoningContent, ReasoningText, ResponseBlock, ResponseReasoning,
    ResponseToolUse, TokenUsage, text,
};
use serde::Serialize;

use super::{
    super::reply::{DETAIL_FORMAT, ReplyContext},
    usage::Usage,
};
use crate::translation::{
    SignedReasoning, UpstreamError,
    leak::{LeakedCallParser, Piece},
    openai_shapes::response::{ResponseIdentity, finish_reason},
    reply::ReplyCore,
    stop::{malformed, stop_sequence},
};

/// Usual length of a body without its text.
const USUAL_BYTES: usize = 768;

/// An encoded response, with the values for the request record.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The body.
    pub body: Vec<u8>,
    /// Token counts from Bedrock.
    pub usage: TokenUsage,
    /// OpenAI's finish reason.
    pub finish_reason: &'static str,
    /// Bedrock's stop reason.
    pub bedrock_stop_reason: String,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    system_fingerprint: String,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
    native_finish_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequence: Option<String>,
}

#[derive(Default, Serialize)]
struct Message<'a> {
    role: &'static str,
    #[serde(serialize_with = "text::serialize_option")]
    content: Option<Cow<'a, str>>,
    refusal: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Detail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

/// A block of reasoning that clients replay unchanged in the next turn.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ThinkingBlock<'a> {
    Thinking {
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
}

/// The same block as an entry of `reasoning_details`, which clients of OpenRouter replay
/// (<https://openrouter.ai/docs/use-cases/reasoning-tokens>).
#[derive(Serialize)]
pub(super) struct Detail<'a> {
    #[serde(flatten)]
    content: DetailContent<'a>,
    format: &'static str,
    index: usize,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DetailContent<'a> {
    #[serde(rename = "reasoning.text")]
    Text {
        text: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    #[serde(rename = "reasoning.encrypted")]
    Encrypted { data: Cow<'a, str> },
}

impl<'a> ThinkingBlock<'a> {
    /// The block as Bedrock takes it back.
    pub(super) fn signed(&self) -> ReasoningContent<'static> {
        match self {
            Self::Thinking {
                thinking,
                signature,
            } => ReasoningContent::ReasoningText(ReasoningText {
                text: thinking.clone().into_owned().into(),
                signature: Some(Cow::Owned(signature.clone().into_owned())),
            }),
            Self::RedactedThinking { data } => {
                ReasoningContent::RedactedContent(Cow::Owned(data.clone().into_owned()))
            }
        }
    }

    /// The entry of `reasoning_details` at an index.
    pub(super) fn detail(&self, index: usize) -> Detail<'a> {
        let content = match self {
            Self::Thinking {
                thinking,
                signature,
            } => DetailContent::Text {
                text: thinking.clone(),
                signature: signature.clone(),
            },
            Self::RedactedThinking { data } => DetailContent::Encrypted { data: data.clone() },
        };
        Detail {
            content,
            format: DETAIL_FORMAT,
            index,
        }
    }
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

impl<'a> ToolCall<'a> {
    fn new(
        id: impl Into<Cow<'a, str>>,
        name: impl Into<Cow<'a, str>>,
        arguments: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            id: id.into(),
            kind: "function",
            function: Function {
                name: name.into(),
                arguments: arguments.into(),
            },
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
    let message = message(&response.output.message.content, reply.core());
    let finish = finish_reason(&response.stop_reason, !message.tool_calls.is_empty())
        .ok_or_else(|| malformed(&response.stop_reason, response.usage))?;
    let completion = Completion {
        id: &identity.id,
        object: "chat.completion",
        created: identity.created,
        model: &identity.model,
        choices: [Choice {
            index: 0,
            message,
            logprobs: (),
            finish_reason: finish,
            native_finish_reason: response.stop_reason.as_str(),
            stop_sequence: stop_sequence(response.additional_model_response_fields.as_deref()),
        }],
        usage: Usage::from(&response.usage),
        service_tier: response
            .service_tier
            .as_ref()
            .map(|tier| tier.kind.as_str()),
        system_fingerprint: identity.fingerprint(),
    };
    let texts = &response.output.message.content;
    let text: usize = texts
        .iter()
        .filter_map(|block| block.text.as_ref())
        .map(String::len)
        .sum();
    let mut body = Vec::with_capacity(text.saturating_add(USUAL_BYTES));
    // Writing numbers and strings into memory cannot fail.
    let _: Result<(), serde_json::Error> = serde_json::to_writer(&mut body, &completion);
    Ok(Encoded {
        body,
        usage: response.usage,
        finish_reason: finish,
        bedrock_stop_reason: response.stop_reason.as_str().to_owned(),
    })
}

/// Signed reasoning before tool calls, with the id of the first call.
pub fn signed_reasoning(
    response: &ConverseResponse,
    reply: &ReplyContext,
) -> Option<(String, SignedReasoning)> {
    let blocks = &response.output.message.content;
    let is_client_call = |call: &&ResponseToolUse| {
        !call.is_server_side() && !reply.core().is_schema_tool(&call.name)
    };
    let mut calls = blocks.iter().filter_map(|block| block.tool_use.as_ref());
    let call = calls.find(is_client_call)?.tool_use_id.clone();
    let signed: SignedReasoning = blocks
        .iter()
        .filter_map(|block| block.reasoning_content.as_ref())
        .flat_map(thinking_blocks)
        .map(|block| block.signed())
        .collect();
    (!signed.is_empty()).then_some((call, signed))
}

/// The encrypted and signed parts of a block.
fn thinking_blocks(reasoning: &ResponseReasoning) -> impl Iterator<Item = ThinkingBlock<'_>> {
    let redacted = reasoning.redacted_content.as_ref();
    let redacted = redacted.map(|data| ThinkingBlock::RedactedThinking {
        data: Cow::Borrowed(data),
    });
    let signed = reasoning.reasoning_text.as_ref().and_then(|text| {
        Some(ThinkingBlock::Thinking {
            thinking: Cow::Borrowed(&text.text),
            signature: Cow::Borrowed(text.signature.as_ref()?),
        })
    });
    redacted.into_iter().chain(signed)
}

fn message<'a>(blocks: &'a [ResponseBlock], reply: &'a ReplyCore) -> Message<'a> {
    let mut message = Message {
        role: "assistant",
        ..Message::default()
    };
    let mut schema_output = None;
    let mut leak = LeakedCallParser::default();
    for block in blocks {
        if let Some(text) = &block.text {
            if reply.reads_calls_in_text() {
                let pieces = leak.push(text);
                leaky_text(pieces, &mut message, reply);
            } else {
                append(&mut message.content, text);
            }
        }
        for cited in block
            .citations_content
            .iter()
            .flat_map(|cited| &cited.content)
        {
            if let Some(text) = &cited.text {
                append(&mut message.content, text);
            }
        }
        if let Some(reasoning) = &block.reasoning_content {
            message.thinking_blocks.extend(thinking_blocks(reasoning));
            if let Some(text) = &reasoning.reasoning_text
                && !text.text.is_empty()
            {
                let all = message.reasoning_content.get_or_insert_default();
                all.push_str(&text.text);
            }
        }
        if let Some(call) = &block.tool_use {
            let arguments = call.input.as_deref().map_or("{}", |input| input.get());
            let arguments = reply.original_arguments(&call.name, arguments);
            if call.is_server_side() {
                continue;
            }
            if reply.is_schema_tool(&call.name) {
                schema_output = Some(arguments);
                continue;
            }
            let name = reply.original_tool_name(&call.name);
            message
                .tool_calls
                .push(ToolCall::new(&*call.tool_use_id, name, arguments));
        }
    }
    let pieces = leak.finish(!message.tool_calls.is_empty());
    leaky_text(pieces, &mut message, reply);
    if let Some(output) = schema_output {
        message.content = Some(output);
    }
    let details = message.thinking_blocks.iter().enumerate();
    message.reasoning_details = details.map(|(index, block)| block.detail(index)).collect();
    // Clients expect a string, or null only if the message has tool calls.
    if message.content.is_none() && message.tool_calls.is_empty() {
        message.content = Some(Cow::Borrowed(""));
    }
    message
}

/// Appends text that may contain tool calls; see [`crate::translation::leak`].
fn leaky_text(pieces: Vec<Piece>, message: &mut Message<'_>, reply: &ReplyCore) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => message
                .content
                .get_or_insert_default()
                .to_mut()
                .push_str(&text),
            Piece::Call {
                id,
                name,
                arguments,
            } => {
                let arguments = reply.original_arguments(&name, &arguments).into_owned();
                let name = reply.original_tool_name(&name).to_owned();
                message.tool_calls.push(ToolCall::new(id, name, arguments));
            }
        }
    }
}

fn append<'a>(content: &mut Option<Cow<'a, str>>, text: &'a str) {
    match content {
        None => *content = Some(Cow::Borrowed(text)),
        Some(all) => all.to_mut().push_str(text),
    }
}
