//! The APIs of the gateway: a request with a unique text, and what its response must be.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

/// An API, plain or streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surface {
    pub(super) api: ApiKind,
    pub(super) stream: bool,
}

/// The APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiKind {
    ChatCompletions,
    Messages,
    Responses,
    Converse,
    InvokeModel,
}

const KINDS: [ApiKind; 5] = [
    ApiKind::ChatCompletions,
    ApiKind::Messages,
    ApiKind::Responses,
    ApiKind::Converse,
    ApiKind::InvokeModel,
];

/// Model that clients name, and the one of Claude.
pub(super) const FAST: &str = "fast";
pub(super) const CLAUDE: &str = "claude";

/// A complete response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// Why a response with status 200 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The response says that it failed.
    Error(String),
    /// It ends too early and says nothing, or is not what the API returns.
    Broken(String),
}

impl Surface {
    pub(super) fn random(random: &mut fastrand::Rng) -> Self {
        Self {
            api: KINDS[random.usize(..KINDS.len())],
            stream: random.bool(),
        }
    }

    /// Path and body of a request.
    pub(super) fn request(self, text: &str) -> (&'static str, Value) {
        let messages = json!([{ "role": "user", "content": text }]);
        let stream = self.stream;
        match self.api {
            ApiKind::ChatCompletions => {
                let mut body = json!({ "model": FAST, "messages": messages, "stream": stream });
                if stream {
                    body["stream_options"] = json!({ "include_usage": true });
                }
                ("/v1/chat/completions", body)
            }
            ApiKind::Messages => (
                "/v1/messages",
                json!({ "model": CLAUDE, "max_tokens": 4096, "messages": messages, "stream": stream }),
            ),
            ApiKind::Responses => (
                "/v1/responses",
                json!({ "model": FAST, "input": text, "store": false, "stream": stream }),
            ),
            ApiKind::Converse => {
                let messages = json!([{ "role": "user", "content": [{ "text": text }] }]);
                let path = if stream {
                    "/model/fast/converse-stream"
                } else {
                    "/model/fast/converse"
                };
                (path, json!({ "messages": messages }))
            }
            ApiKind::InvokeModel => {
                let path = if stream {
                    "/model/claude/invoke-with-response-stream"
                } else {
                    "/model/claude/invoke"
                };
                let body = json!({
                    "anthropic_version": "bedrock-2023-05-31",
                    "max_tokens": 4096,
                    "messages": messages,
                });
                (path, body)
            }
        }
    }

    /// Reads a response with status 200.
    pub(super) fn read(self, body: &Bytes) -> Result<Reply, Flaw> {
        match (self.api, self.stream) {
            (ApiKind::Converse, true) => converse_stream(body),
            (ApiKind::InvokeModel, true) => anthropic_stream(invoke_events(body)?),
            (ApiKind::Messages, true) => anthropic_stream(server_sent_events(body)?),
            (ApiKind::ChatCompletions, true) => chat_stream(body),
            (ApiKind::Responses, true) => responses_stream(body),
            (_, false) => {
                let body: Value = serde_json::from_slice(body)
                    .map_err(|error| Flaw::Broken(format!("{error}: {}", shortened(body))))?;
                self.plain(&body)
                    .ok_or_else(|| Flaw::Broken(shortened(body.to_string().as_bytes())))
            }
        }
    }

    fn plain(self, body: &Value) -> Option<Reply> {
        let (text, usage, [input, output]) = match self.api {
            ApiKind::ChatCompletions => (
                body.pointer("/choices/0/message/content")?,
                &body["usage"],
                ["prompt_tokens", "completion_tokens"],
            ),
            ApiKind::Messages | ApiKind::InvokeModel => (
                body.pointer("/content/0/text")?,
                &body["usage"],
                ["input_tokens", "output_tokens"],
            ),
            ApiKind::Responses => (
                body.pointer("/output/0/content/0/text")?,
                &body["usage"],
                ["input_tokens", "output_tokens"],
            ),
            ApiKind::Converse => (
                body.pointer("/output/message/content/0/text")?,
                &body["usage"],
                ["inputTokens", "outputTokens"],
            ),
        };
        Some(Reply {
            text: text.as_str()?.to_owned(),
            input_tokens: usage[input].as_u64()?,
            output_tokens: usage[output].as_u64()?,
        })
    }

    /// Whether the body of an error has the members that clients of the API read.
    pub(super) fn is_error_of_dialect(self, body: &Bytes) -> bool {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        match self.api {
            ApiKind::ChatCompletions | ApiKind::Responses => body["error"]["message"].is_string(),
            ApiKind::Messages => body["type"] == "error" && body["error"]["message"].is_string(),
            ApiKind::Converse | ApiKind::InvokeModel => body["message"].is_string(),
        }
    }
}

/// The data of server-sent events; the marker `[DONE]` is a string.
fn server_sent_events(body: &Bytes) -> Result<Vec<Value>, Flaw> {
    let text = std::str::from_utf8(body).map_err(|error| Flaw::Broken(error.to_string()))?;
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| match data.trim() {
            "[DONE]" => Ok(json!("[DONE]")),
            data => serde_json::from_str(data)
                .map_err(|error| Flaw::Broken(format!("{error}: {}", shortened(data.as_bytes())))),
        })
        .collect()
}

fn chat_stream(body: &Bytes) -> Result<Reply, Flaw> {
    let mut reply = Reply::default();
    let mut has_usage = false;
    let mut done = false;
    for event in server_sent_events(body)? {
        if !event["error"].is_null() {
            return Err(Flaw::Error(event["error"].to_string()));
        }
        done = event == "[DONE]";
        if let Some(text) = event["choices"][0]["delta"]["content"].as_str() {
            reply.text.push_str(text);
        }
        if let Some(input) = event["usage"]["prompt_tokens"].as_u64() {
            reply.input_tokens = input;
            reply.output_tokens = event["usage"]["completion_tokens"].as_u64().unwrap_or(0);
            has_usage = true;
        }
    }
    complete(done && has_usage, reply, body)
}

fn responses_stream(body: &Bytes) -> Result<Reply, Flaw> {
    let mut reply = Reply::default();
    let mut done = false;
    for event in server_sent_events(body)? {
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => {
                reply.text.push_str(event["delta"].as_str().unwrap_or("?"));
            }
            "response.failed" | "error" => {
                return Err(Flaw::Error(shortened(event.to_string().as_bytes())));
            }
            "response.completed" => {
                let usage = &event["response"]["usage"];
                reply.input_tokens = usage["input_tokens"].as_u64().unwrap_or(0);
                reply.output_tokens = usage["output_tokens"].as_u64().unwrap_or(0);
                done = true;
            }
            _ => {}
        }
    }
    complete(done, reply, body)
}

fn anthropic_stream(events: Vec<Value>) -> Result<Reply, Flaw> {
    let mut reply = Reply::default();
    let mut done = false;
    let mut kinds = Vec::new();
    for event in events {
        kinds.push(event["type"].as_str().unwrap_or("?").to_owned());
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                let usage = &event["message"]["usage"];
                reply.input_tokens = usage["input_tokens"].as_u64().unwrap_or(0);
            }
            "content_block_delta" => {
                reply
                    .text
                    .push_str(event["delta"]["text"].as_str().unwrap_or("?"));
            }
            "message_delta" => {
                let usage = &event["usage"];
                reply.output_tokens = usage["output_tokens"].as_u64().unwrap_or(0);
                if let Some(input) = usage["input_tokens"].as_u64() {
                    reply.input_tokens = input;
                }
            }
            "error" => return Err(Flaw::Error(event["error"].to_string())),
            "message_stop" => done = true,
            _ => {}
        }
    }
    complete(done, reply, kinds.join(" ").as_bytes())
}

/// Type or exception of each frame, and its payload.
fn frames(body: &Bytes) -> Result<Vec<(String, Value)>, Flaw> {
    let mut decoder = MessageFrameDecoder::new();
    let mut rest = BytesMut::from(body.as_ref());
    let mut frames = Vec::new();
    loop {
        let message = match decoder.decode_frame(&mut rest) {
            Ok(DecodedFrame::Complete(message)) => message,
            Ok(DecodedFrame::Incomplete) if rest.is_empty() => return Ok(frames),
            Ok(DecodedFrame::Incomplete) => return Err(Flaw::Broken("half a frame".to_owned())),
            Err(error) => return Err(Flaw::Broken(error.to_string())),
        };
        let header = |wanted: &str| {
            let found = message
                .headers()
                .iter()
                .find(|header| header.name().as_str() == wanted);
            found
                .and_then(|header| header.value().as_string().ok())
                .map(|value| value.as_str().to_owned())
        };
        let payload = serde_json::from_slice(message.payload()).unwrap_or_default();
        if header(":message-type").as_deref() != Some("event") {
            let payload: Value = payload;
            return Err(Flaw::Error(payload.to_string()));
        }
        frames.push((header(":event-type").unwrap_or_default(), payload));
    }
}

fn converse_stream(body: &Bytes) -> Result<Reply, Flaw> {
    let mut reply = Reply::default();
    let mut stopped = false;
    let mut has_usage = false;
    for (kind, payload) in frames(body)? {
        match kind.as_str() {
            "contentBlockDelta" => {
                reply
                    .text
                    .push_str(payload["delta"]["text"].as_str().unwrap_or("?"));
            }
            "messageStop" => stopped = true,
            "metadata" => {
                let usage = &payload["usage"];
                reply.input_tokens = usage["inputTokens"].as_u64().unwrap_or(0);
                reply.output_tokens = usage["outputTokens"].as_u64().unwrap_or(0);
                has_usage = true;
            }
            _ => {}
        }
    }
    complete(stopped && has_usage, reply, b"frames")
}

fn invoke_events(body: &Bytes) -> Result<Vec<Value>, Flaw> {
    let broken = |text: String| Flaw::Broken(text);
    frames(body)?
        .into_iter()
        .map(|(_, payload)| {
            let bytes = payload["bytes"].as_str().unwrap_or_default();
            let bytes = STANDARD
                .decode(bytes)
                .map_err(|error| broken(error.to_string()))?;
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))
        })
        .collect()
}

fn complete(done: bool, reply: Reply, body: &[u8]) -> Result<Reply, Flaw> {
    if done {
        return Ok(reply);
    }
    let end = &body[body.len().saturating_sub(200)..];
    Err(Flaw::Broken(format!(
        "ends with {}",
        String::from_utf8_lossy(end)
    )))
}

/// The start of a body.
pub(super) fn shortened(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}
