//! Requests and responses, built once, so that no measurement includes the construction of JSON.
//!
//! A case is a conversation with a number in the first words of the user. The fake Bedrock returns the response of that
//! case, in the format of Converse or of OpenAI (for the pass-through proxy), so a response to the wrong client or
//! without a part is detected.

use anyhow::{Context, Result};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    agent,
    scenario::{Handling, Mode, Scenario, Size},
};

/// Number of different responses.
pub(crate) const CASES: usize = 16;
/// Model id in Bedrock of translated requests, and of forwarded ones.
pub(crate) const MODEL_IDS: [&str; 2] = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "openai.gpt-oss-120b-1:0",
];
/// Model id in Bedrock of [`crate::scenario::NOVA`].
pub(crate) const NOVA_ID: &str = "us.amazon.nova-pro-v1:0";
/// The model in responses of Chat Completions.
const MODEL: &str = Handling::Translated.model();
/// Deltas of a streamed response.
pub(crate) const DELTAS: usize = 64;
/// The marker is within this number of bytes of the start of a body.
pub(crate) const MARKER_WITHIN: usize = 1024;
const MARKER_BEGIN: &[u8] = b"[[case ";
/// Placeholder of the image until the rest of the body is written.
const IMAGE: &str = "{{image}}";
const WORDS: [&str; 24] = [
    "tokens",
    " are",
    " signed",
    ", then",
    " sent",
    " and",
    " \"quoted\"",
    " \u{fc}ber",
    " the",
    " wire",
    ". A",
    " role",
    " is",
    " assumed",
    "\n",
    " once",
    " an",
    " hour",
    " \u{65e5}\u{672c}",
    "; no",
    " key",
    " leaves",
    " the",
    " pod.",
];

/// A conversation and its response.
#[derive(Debug)]
pub(crate) struct Case {
    /// Index in the list of all cases.
    pub(crate) number: usize,
    /// Parts of a streamed response.
    pub(crate) deltas: Vec<String>,
    /// The complete text.
    pub(crate) text: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

/// All cases, the same in every process.
pub(crate) fn cases() -> Vec<Case> {
    (0..CASES).map(case).collect()
}

fn case(number: usize) -> Case {
    let deltas: Vec<String> = (0..DELTAS)
        .map(|at| {
            // Any fixed pattern that differs between cases.
            let first = (at * 7 + number * 5) % WORDS.len();
            let second = (at * 3 + number) % WORDS.len();
            let word = |at: usize| WORDS.get(at).copied().unwrap_or_default();
            format!("{}{}", word(first), word(second))
        })
        .collect();
    let tokens = u64::try_from(number).unwrap_or_default();
    Case {
        number,
        text: deltas.concat(),
        deltas,
        input_tokens: 100 + tokens,
        output_tokens: 200 + tokens,
    }
}

/// The body of a client's request.
pub(crate) fn request(case: &Case, scenario: &Scenario) -> Bytes {
    let Scenario { size, mode, .. } = *scenario;
    let marker = format!(
        "[[case {:02}{}{}]]",
        case.number,
        size.letter(),
        mode.letter()
    );
    let user = |text: String| json!({"role": "user", "content": text});
    let mut messages = vec![json!({"role": "system", "content": "You are a terse assistant."})];
    match size {
        Size::Short => messages.push(user(format!("{marker} {}", filler(2_000, case.number)))),
        Size::Conversation => {
            messages.push(user(format!("{marker} {}", filler(2_400, case.number))));
            for turn in 0..20 {
                messages.push(json!({"role": "assistant", "content": filler(2_400, turn)}));
                messages.push(user(filler(2_400, turn + 1)));
            }
        }
        Size::Image => messages.push(json!({"role": "user", "content": [
            {"type": "text", "text": format!("{marker} What is this?")},
            {"type": "image_url", "image_url": {"url": IMAGE}},
        ]})),
        Size::Tools => {
            let body = agent::request(case, scenario.api, scenario.model(), &marker, mode);
            return Bytes::from(body.to_string());
        }
    }
    let mut body = json!({"model": scenario.model(), "messages": messages, "max_tokens": 500, "temperature": 0.5});
    if mode != Mode::Whole
        && let Some(members) = body.as_object_mut()
    {
        members.insert("stream".to_owned(), true.into());
        members.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    // Inserted at the end: serializing a megabyte of JSON is slow in a development build.
    Bytes::from(body.to_string().replace(IMAGE, &image()))
}

/// Text of about this number of bytes.
pub(crate) fn filler(bytes: usize, seed: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    for word in WORDS.iter().cycle().skip(seed % WORDS.len()) {
        if text.len() >= bytes {
            break;
        }
        text.push_str(word);
    }
    text
}

/// A data URI of a megabyte that begins as a PNG does.
fn image() -> String {
    // Base64 of the signature of PNG and of a chunk's beginning, then of anything.
    const BEGINNING: &str = "data:image/png;base64,iVBORw0KGgoAAAAN";
    const REST: &str = "SUhEUgAAB4AAAAQ4CAYAAADo08FDAAAgAElEQVR4nOzdeXhU9b3H8c+Z";
    format!(
        "{BEGINNING}{}",
        REST.repeat(1_000_000_usize.div_ceil(REST.len()))
    )
}

/// The marker of a request: the case, the length of the body, the mode of the response.
pub(crate) fn marked(beginning: &[u8]) -> Option<(usize, Size, Mode)> {
    let at = beginning
        .windows(MARKER_BEGIN.len())
        .position(|window| window == MARKER_BEGIN)?;
    let rest = beginning.get(at.checked_add(MARKER_BEGIN.len())?..)?;
    let number = std::str::from_utf8(rest.get(..2)?).ok()?.parse().ok()?;
    let size = Size::from_letter(char::from(*rest.get(2)?))?;
    Some((number, size, Mode::from_letter(char::from(*rest.get(3)?))?))
}

/// The encoded responses of a case.
#[derive(Debug)]
pub(crate) struct Responses {
    /// Body of Converse.
    pub(crate) converse: Bytes,
    /// Frames of ConverseStream: the beginning, the deltas, the end.
    pub(crate) converse_stream: Vec<Bytes>,
    /// Body of Chat Completions.
    pub(crate) chat: Bytes,
    /// Server-sent events of Chat Completions, in as many pieces as the frames.
    pub(crate) chat_stream: Vec<Bytes>,
    /// For requests with tools.
    pub(crate) agent: agent::Responses,
}

impl Responses {
    pub(crate) fn new(case: &Case) -> Result<Self> {
        Ok(Self {
            converse: Bytes::from(converse(case).to_string()),
            converse_stream: converse_stream(case)?,
            chat: Bytes::from(chat(case).to_string()),
            chat_stream: chat_stream(case),
            agent: agent::Responses::new(case)?,
        })
    }
}

fn converse(case: &Case) -> Value {
    json!({
        "metrics": {"latencyMs": 321},
        "output": {"message": {"content": [{"text": case.text}], "role": "assistant"}},
        "stopReason": "end_turn",
        "usage": converse_usage(case),
    })
}

pub(crate) fn converse_usage(case: &Case) -> Value {
    json!({
        "inputTokens": case.input_tokens,
        "outputTokens": case.output_tokens,
        "totalTokens": case.input_tokens + case.output_tokens,
    })
}

fn converse_stream(case: &Case) -> Result<Vec<Bytes>> {
    // Bedrock pads its events to hide the length of their text.
    let padding = |at: usize| "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".get(..at % 52);
    let mut pieces = vec![frame(
        "messageStart",
        &json!({"p": padding(7), "role": "assistant"}),
    )?];
    for (at, delta) in case.deltas.iter().enumerate() {
        pieces.push(frame(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"text": delta}, "p": padding(at)}),
        )?);
    }
    let mut end = frame(
        "contentBlockStop",
        &json!({"contentBlockIndex": 0, "p": "ab"}),
    )?
    .to_vec();
    end.extend(frame(
        "messageStop",
        &json!({"p": "abc", "stopReason": "end_turn"}),
    )?);
    end.extend(frame(
        "metadata",
        &json!({"metrics": {"latencyMs": 321}, "p": "abcd", "usage": converse_usage(case)}),
    )?);
    pieces.push(Bytes::from(end));
    Ok(pieces)
}

pub(crate) fn frame(event_type: &'static str, payload: &Value) -> Result<Bytes> {
    let text = |text: &'static str| HeaderValue::String(text.into());
    let message = Message::new(Bytes::from(payload.to_string()))
        .add_header(Header::new(":event-type", text(event_type)))
        .add_header(Header::new(":content-type", text("application/json")))
        .add_header(Header::new(":message-type", text("event")));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).context("failed to write a frame")?;
    Ok(Bytes::from(bytes))
}

fn chat_usage(case: &Case) -> Value {
    json!({
        "prompt_tokens": case.input_tokens,
        "completion_tokens": case.output_tokens,
        "total_tokens": case.input_tokens + case.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}

fn chat(case: &Case) -> Value {
    json!({
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": case.text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
            "native_finish_reason": "end_turn",
        }],
        "usage": chat_usage(case),
        "system_fingerprint": "fp_0123456789",
    })
}

fn chat_stream(case: &Case) -> Vec<Bytes> {
    let chunk = |choices: &Value, usage: &Value| {
        let body = json!({
            "id": "chatcmpl-0123456789abcdef0123456789abcdef",
            "object": "chat.completion.chunk",
            "created": 1_760_000_000,
            "model": MODEL,
            "system_fingerprint": "fp_0123456789",
            "usage": usage,
            "choices": choices,
        });
        format!("data: {body}\n\n")
    };
    let delta = |delta: &Value, finish: &Value| {
        let choice =
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        chunk(&choice, &Value::Null)
    };
    let first = delta(&json!({"role": "assistant", "content": ""}), &Value::Null);
    let deltas = case
        .deltas
        .iter()
        .map(|text| delta(&json!({"content": text}), &Value::Null));
    let end = format!(
        "{}{}data: [DONE]\n\n",
        delta(&json!({}), &"stop".into()),
        chunk(&json!([]), &chat_usage(case))
    );
    std::iter::once(first)
        .chain(deltas)
        .chain(std::iter::once(end))
        .map(Bytes::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ALL, options};

    #[test]
    fn every_request_is_recognised_by_its_beginning() {
        for case in cases() {
            for scenario in ALL.into_iter().chain(options()) {
                let body = request(&case, &scenario);
                assert_eq!(
                    marked(&body[..MARKER_WITHIN]),
                    Some((case.number, scenario.size, scenario.mode))
                );
                let least = scenario.size.at_least();
                assert!(body.len() >= least, "{} bytes", body.len());
            }
        }
    }

    #[test]
    fn cases_differ_and_have_as_many_pieces_in_both_forms() {
        let all = cases();
        for case in &all {
            let responses = Responses::new(case).unwrap();
            assert_eq!(responses.chat_stream.len(), responses.converse_stream.len());
            assert!(
                all.iter()
                    .all(|other| other.number == case.number || other.text != case.text)
            );
        }
    }
}
