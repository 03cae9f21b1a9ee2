//! Token usage and errors of forwarded responses, from headers and from frames of a stream. Pure.

use std::fmt;

use api::prices::GuardrailUnits;
use base64::{Engine, engine::general_purpose::STANDARD};
use bedrock::{
    ServiceError,
    converse::{BilledTier, TierUsed, TokenUsage},
    eventstream::{Frame, MessageType, Scanner},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::upstream::operation::Operation;

const SERVICE_TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");

/// Largest frame that is decoded; frames with counts have a few hundred bytes.
const MAX_DECODED_BYTES: usize = 256 * 1024;

/// Watches a forwarded stream for usage and exceptions.
#[derive(Debug)]
pub(super) struct Watch {
    scanner: Scanner,
    usage: Option<TokenUsage>,
    /// Payload of the first chunk, in which Claude reports the lifetime of cache writes.
    first_chunk: Option<Bytes>,
    /// Payload of the last chunk, which contains the counts of InvokeModel.
    last_chunk: Option<Bytes>,
    /// The tier in the headers of InvokeModel.
    tier: Option<BilledTier>,
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
#[serde(rename_all = "camelCase")]
struct WithUsage {
    usage: TokenUsage,
    service_tier: Option<TierUsed>,
}

impl WithUsage {
    fn billed(&self) -> TokenUsage {
        self.usage
            .in_tier(self.service_tier.as_ref().map(TierUsed::billed))
    }
}

/// A response of InvokeModel: a JSON object with any members.
#[derive(Default)]
struct Invoked<'a> {
    images: Option<&'a RawValue>,
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum InvokedMember {
    Images,
    Usage,
    #[serde(other)]
    Other,
}

// By hand: a derived struct would also be read from an array.
impl<'de: 'a, 'a> Deserialize<'de> for Invoked<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Invoked<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Invoked::default();
                while let Some(member) = map.next_key()? {
                    match member {
                        InvokedMember::Images => found.images = map.next_value()?,
                        InvokedMember::Usage => found.usage = map.next_value()?,
                        InvokedMember::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Claude's first event.
#[derive(Deserialize)]
struct MessageStart {
    message: Started,
}

#[derive(Deserialize)]
struct Started {
    usage: ClaudeUsage,
}

/// What Claude reports and Bedrock's headers do not.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaudeUsage {
    cache_creation: Option<CacheCreation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_1h_input_tokens: u64,
}

impl ClaudeUsage {
    fn hour_long(&self) -> u64 {
        let written = self.cache_creation.as_ref();
        written.map_or(0, |written| written.ephemeral_1h_input_tokens)
    }
}

/// The units of ApplyGuardrail that are not free.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "AWS's names")]
struct GuardrailUsage {
    content_policy_units: u64,
    content_policy_image_units: u64,
    topic_policy_units: u64,
    sensitive_information_policy_units: u64,
    contextual_grounding_policy_units: u64,
    automated_reasoning_policy_units: u64,
}

impl From<GuardrailUsage> for GuardrailUnits {
    fn from(usage: GuardrailUsage) -> Self {
        Self {
            content: usage.content_policy_units,
            content_images: usage.content_policy_image_units,
            topic: usage.topic_policy_units,
            sensitive_information: usage.sensitive_information_policy_units,
            contextual_grounding: usage.contextual_grounding_policy_units,
            automated_reasoning: usage.automated_reasoning_policy_units,
        }
    }
}

/// What a complete response reports.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub(super) usage: Option<TokenUsage>,
    /// Number of images in the response.
    pub(super) images: u64,
    /// Units of ApplyGuardrail.
    pub(super) guardrail: Option<GuardrailUnits>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    bytes: &'a str,
}

impl Watch {
    /// `is_converse`: a stream of ConverseStream. `headers`: those of the response.
    pub(super) fn new(is_converse: bool, headers: &HeaderMap) -> Self {
        Self {
            tier: tier(headers),
            first_chunk: None,
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
            first_chunk,
            last_chunk,
            exception,
            expects_stop,
            events,
            ..
        } = self;
        scanner.scan(bytes, |frame: Frame| {
            *events = events.saturating_add(1);
            match (frame.message_type, frame.event_type.as_str()) {
                (MessageType::Event, "metadata") => {
                    let found = serde_json::from_slice::<WithUsage>(&frame.payload);
                    *usage = found.ok().map(|found| found.billed());
                }
                (MessageType::Event, "messageStop") => *expects_stop = false,
                (MessageType::Event, "chunk") if first_chunk.is_none() => {
                    *first_chunk = Some(frame.payload.clone());
                    *last_chunk = Some(frame.payload);
                }
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
            let found: WithMetrics = inner(self.last_chunk.as_ref()?)?;
            let Metrics {
                input,
                output,
                read,
                written,
            } = found.metrics;
            let usage = counted(input, output, read, written).in_tier(self.tier);
            let start = self.first_chunk.as_ref().and_then(inner::<MessageStart>);
            let hour_long = start.map_or(0, |start| start.message.usage.hour_long());
            Some(TokenUsage {
                cache_write_1h_input_tokens: hour_long,
                ..usage
            })
        })
    }
}

/// The event in a chunk of InvokeModelWithResponseStream.
fn inner<T: for<'de> Deserialize<'de>>(payload: &Bytes) -> Option<T> {
    let chunk: Chunk<'_> = serde_json::from_slice(payload).ok()?;
    let json = STANDARD.decode(chunk.bytes).ok()?;
    serde_json::from_slice(&json).ok()
}

/// What a complete response reports.
///
/// # Errors
/// When the body is not a JSON object although its type says so or is that of a web page, or has no usage, which Converse
/// always has.
pub(super) fn of_response(
    operation: Operation,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Reported, serde_json::Error> {
    if operation == Operation::Converse {
        let found: WithUsage = serde_json::from_slice(body)?;
        return Ok(Reported {
            usage: Some(found.billed()),
            ..Reported::default()
        });
    }
    let invoked: Option<Invoked<'_>> = if is_other_media(headers) {
        None
    } else {
        Some(serde_json::from_slice(body)?)
    };
    let (images, usage) = invoked.map_or((None, None), |found| (found.images, found.usage));
    let images: Option<Vec<IgnoredAny>> =
        images.and_then(|images| serde_json::from_str(images.get()).ok());
    let images = images.map_or(0, |images| u64::try_from(images.len()).unwrap_or(u64::MAX));
    if operation == Operation::ApplyGuardrail {
        let units =
            usage.and_then(|usage| serde_json::from_str::<GuardrailUsage>(usage.get()).ok());
        return Ok(Reported {
            guardrail: units.map(GuardrailUnits::from),
            ..Reported::default()
        });
    }
    let claude = usage.and_then(|usage| serde_json::from_str::<ClaudeUsage>(usage.get()).ok());
    let hour_long = claude.map_or(0, |usage| usage.hour_long());
    let count = |name: &str| -> Option<u64> {
        let name = format!("x-amzn-bedrock-{name}-token-count");
        headers.get(name)?.to_str().ok()?.parse().ok()
    };
    let usage = count("input").map(|input| {
        let usage = counted(
            input,
            count("output").unwrap_or(0),
            count("cache-read-input").unwrap_or(0),
            count("cache-write-input").unwrap_or(0),
        );
        TokenUsage {
            cache_write_1h_input_tokens: hour_long,
            ..usage.in_tier(tier(headers))
        }
    });
    Ok(Reported {
        usage,
        images,
        guardrail: None,
    })
}

/// The tier in the headers of InvokeModel.
fn tier(headers: &HeaderMap) -> Option<BilledTier> {
    let name = headers.get(&SERVICE_TIER)?.to_str().ok()?;
    Some(BilledTier::named(name))
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
