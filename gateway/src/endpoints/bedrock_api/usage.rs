//! Token usage and errors of forwarded responses, from headers and from frames of a stream. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use bedrock::{
    ServiceError,
    converse::TokenUsage,
    eventstream::{Frame, MessageType, Scanner},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::upstream::operation::Operation;

/// Largest frame that is decoded; frames with counts have a few hundred bytes.
const MAX_DECODED_BYTES: usize = 256 * 1024;

/// Watches a forwarded stream for usage and exceptions.
#[derive(Debug)]
pub(super) struct Watch {
    scanner: Scanner,
    usage: Option<TokenUsage>,
    /// Payload of the last chunk, which contains the counts of InvokeModel.
    last_chunk: Option<Bytes>,
    pub(super) exception: Option<ServiceError>,
    /// Whether `messageStop` is missing, which ends each response of ConverseStream.
    expects_stop: bool,
    /// Number of events.
    pub(super) events: u64,
}

/// The counts of InvokeModel in the last chunk of its stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics {
    #[serde(rename = "inputTokenCount")]
    input: u64,
    #[serde(rename = "outputTokenCount")]
    output: u64,
    #[serde(rename = "cacheReadInputTokenCount")]
    read: u64,
    #[serde(rename = "cacheWriteInputTokenCount")]
    written: u64,
}

#[derive(Deserialize)]
struct WithMetrics {
    #[serde(rename = "amazon-bedrock-invocationMetrics")]
    metrics: Metrics,
}

#[derive(Deserialize)]
struct WithUsage {
    usage: TokenUsage,
}

/// A JSON object with any members.
#[derive(Deserialize)]
struct AnyObject {}

#[derive(Deserialize)]
struct Chunk<'a> {
    bytes: &'a str,
}

impl Watch {
    /// `is_converse`: a stream of ConverseStream.
    pub(super) fn new(is_converse: bool) -> Self {
        Self {
            expects_stop: is_converse,
            events: 0,
            scanner: Scanner::new(MAX_DECODED_BYTES),
            usage: None,
            last_chunk: None,
            exception: None,
        }
    }

    /// Scans the next bytes.
    pub(super) fn scan(&mut self, bytes: &[u8]) {
        let Self {
            scanner,
            usage,
            last_chunk,
            exception,
            expects_stop,
            events,
        } = self;
        scanner.scan(bytes, |frame: Frame| {
            *events = events.saturating_add(1);
            match (frame.message_type, frame.event_type.as_str()) {
                (MessageType::Event, "metadata") => {
                    let found = serde_json::from_slice::<WithUsage>(&frame.payload);
                    *usage = found.ok().map(|found| found.usage);
                }
                (MessageType::Event, "messageStop") => *expects_stop = false,
                (MessageType::Event, "chunk") => *last_chunk = Some(frame.payload),
                (MessageType::Event, _) => {}
                (MessageType::Exception | MessageType::Error, _) => {
                    *exception = Some(ServiceError::from_frame(&frame));
                }
            }
        });
    }

    /// Whether the response is complete, or ended with an exception.
    pub(super) fn is_whole(&self) -> bool {
        self.is_between_frames() && (!self.expects_stop || self.exception.is_some())
    }

    /// Whether the last frame is complete.
    pub(super) fn is_between_frames(&self) -> bool {
        self.scanner.is_between_frames()
    }

    /// The usage, once known.
    pub(super) fn usage(&self) -> Option<TokenUsage> {
        self.usage.or_else(|| {
            let chunk: Chunk<'_> = serde_json::from_slice(self.last_chunk.as_ref()?).ok()?;
            let json = STANDARD.decode(chunk.bytes).ok()?;
            let found: WithMetrics = serde_json::from_slice(&json).ok()?;
            let Metrics {
                input,
                output,
                read,
                written,
            } = found.metrics;
            Some(counted(input, output, read, written))
        })
    }
}

/// The usage of a complete response, if it has one.
///
/// # Errors
/// When the body is not a JSON object although its type says so or is that of a web page, or has no usage, which Converse
/// always has.
pub(super) fn of_response(
    operation: Operation,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<TokenUsage>, serde_json::Error> {
    if operation == Operation::Converse {
        let found: WithUsage = serde_json::from_slice(body)?;
        return Ok(Some(found.usage));
    }
    if !is_other_media(headers) {
        let _: AnyObject = serde_json::from_slice(body)?;
    }
    let count = |name: &str| -> Option<u64> {
        let name = format!("x-amzn-bedrock-{name}-token-count");
        headers.get(name)?.to_str().ok()?.parse().ok()
    };
    Ok(count("input").map(|input| {
        counted(
            input,
            count("output").unwrap_or(0),
            count("cache-read-input").unwrap_or(0),
            count("cache-write-input").unwrap_or(0),
        )
    }))
}

/// Whether InvokeModel returns something other than JSON, such as an image.
fn is_other_media(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| !kind.starts_with("application/json") && !kind.starts_with("text/html"))
}

fn counted(input: u64, output: u64, read: u64, written: u64) -> TokenUsage {
    TokenUsage {
        input_tokens: input,
        output_tokens: output,
        total_tokens: input
            .saturating_add(output)
            .saturating_add(read)
            .saturating_add(written),
        cache_read_input_tokens: read,
        cache_write_input_tokens: written,
        ..TokenUsage::default()
    }
}
