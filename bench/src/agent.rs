//! What agents send: requests with tools on every API, the responses of Bedrock, and their check.
//!
//! A request of 3 KB has a question, a call of a tool and its result, and three tools. The response is the text of the case and
//! another call, with arguments that name the case.

use anyhow::{Context, Result, ensure};
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::{
    content::{Case, converse_usage, filler, frame},
    scenario::{Api, Mode},
};

const SYSTEM: &str = "You are a terse assistant that works on a repository.";
const EARLIER: &str = "I read the file first.";
/// Name and description of each tool.
const TOOLS: [(&str, &str); 3] = [
    (TOOL, "Read a part of a file of the repository."),
    ("edit_file", "Replace a part of a file of the repository."),
    (
        "run_tests",
        "Run the tests in a directory of the repository.",
    ),
];
/// The tool that is called.
const TOOL: &str = "read_file";
/// Most bytes of arguments in an event.
const PART_BYTES: usize = 6;

/// The body of a request, with the marker of the case in the question.
pub(crate) fn request(case: &Case, api: Api, model: &str, marker: &str, mode: Mode) -> Value {
    let question = format!("{marker} {}", filler(2_000, case.number));
    let result = filler(400, case.number);
    let id = "tooluse_earlier0123456789";
    let arguments = json!({"path": "README.md"});
    let schema = json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Path from the root of the repository."},
            "offset": {"type": "integer", "minimum": 0, "description": "First line."},
            "limit": {"type": "integer", "minimum": 1, "maximum": 2000},
        },
        "required": ["path"],
    });
    let tools = |tool: fn(&str, &str, &Value) -> Value| -> Vec<Value> {
        let all = TOOLS.iter();
        all.map(|(name, text)| tool(name, text, &schema)).collect()
    };
    match api {
        Api::Chat => json!({
            "model": model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": question},
                {"role": "assistant", "content": EARLIER, "tool_calls": [
                    {"id": id, "type": "function", "function": {"name": TOOL, "arguments": arguments.to_string()}},
                ]},
                {"role": "tool", "tool_call_id": id, "content": result},
            ],
            "tools": tools(|name, text, schema| json!({
                "type": "function",
                "function": {"name": name, "description": text, "parameters": schema},
            })),
            "max_tokens": 500,
            "stream": mode != Mode::Whole,
            "stream_options": (mode != Mode::Whole).then(|| json!({"include_usage": true})),
        }),
        Api::Messages => json!({
            "model": model,
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": [
                    {"type": "text", "text": EARLIER},
                    {"type": "tool_use", "id": id, "name": TOOL, "input": arguments},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": result},
                ]},
            ],
            "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
            "tools": tools(|name, text, schema| json!({
                "name": name, "description": text, "input_schema": schema,
            })),
            "max_tokens": 500,
            "stream": mode != Mode::Whole,
        }),
        Api::Responses => json!({
            "model": model,
            "instructions": SYSTEM,
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": question}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": EARLIER}]},
                {"type": "function_call", "call_id": id, "name": TOOL, "arguments": arguments.to_string()},
                {"type": "function_call_output", "call_id": id, "output": result},
            ],
            "tools": tools(|name, text, schema| json!({
                "type": "function", "name": name, "description": text, "parameters": schema, "strict": false,
            })),
            "max_output_tokens": 500,
            "store": false,
            "stream": mode != Mode::Whole,
        }),
        Api::Converse => json!({
            "messages": [
                {"role": "user", "content": [{"text": question}]},
                {"role": "assistant", "content": [
                    {"text": EARLIER},
                    {"toolUse": {"toolUseId": id, "name": TOOL, "input": arguments}},
                ]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": id, "content": [{"text": result}]}},
                ]},
            ],
            "system": [{"text": SYSTEM}],
            "inferenceConfig": {"maxTokens": 500},
            "toolConfig": {"tools": tools(|name, text, schema| json!({
                "toolSpec": {"name": name, "description": text, "inputSchema": {"json": schema}},
            }))},
        }),
    }
}

/// The responses of Bedrock to a case.
#[derive(Debug)]
pub(crate) struct Responses {
    pub(crate) converse: Bytes,
    pub(crate) converse_stream: Vec<Bytes>,
    /// Body of InvokeModel with Claude.
    pub(crate) claude: Bytes,
    /// Frames of InvokeModelWithResponseStream.
    pub(crate) claude_stream: Vec<Bytes>,
}

impl Responses {
    pub(crate) fn new(case: &Case) -> Result<Self> {
        Ok(Self {
            converse: Bytes::from(converse(case).to_string()),
            converse_stream: converse_stream(case)?,
            claude: Bytes::from(claude(case).to_string()),
            claude_stream: claude_stream(case)?,
        })
    }
}

/// The arguments of the call.
fn arguments(case: &Case) -> Value {
    json!({"path": format!("src/case_{:02}.rs", case.number)})
}

/// The arguments, in parts.
fn parts(case: &Case) -> Vec<String> {
    let text = arguments(case).to_string();
    let parts = text.as_bytes().chunks(PART_BYTES);
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

fn call_id(case: &Case) -> String {
    format!("tooluse_{:022}", case.number)
}

fn converse(case: &Case) -> Value {
    let call = json!({"toolUseId": call_id(case), "name": TOOL, "input": arguments(case)});
    json!({
        "metrics": {"latencyMs": 321},
        "output": {"message": {"content": [{"text": case.text}, {"toolUse": call}], "role": "assistant"}},
        "stopReason": "tool_use",
        "usage": converse_usage(case),
    })
}

fn converse_stream(case: &Case) -> Result<Vec<Bytes>> {
    const DELTA: &str = "contentBlockDelta";
    let mut pieces = vec![frame("messageStart", &json!({"role": "assistant"}))?];
    for text in &case.deltas {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdef"});
        pieces.push(frame(DELTA, &delta)?);
    }
    pieces.push(frame("contentBlockStop", &json!({"contentBlockIndex": 0}))?);
    let call = json!({"toolUseId": call_id(case), "name": TOOL});
    let start = json!({"contentBlockIndex": 1, "start": {"toolUse": call}});
    pieces.push(frame("contentBlockStart", &start)?);
    for part in parts(case) {
        let delta = json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": part}}});
        pieces.push(frame(DELTA, &delta)?);
    }
    pieces.push(frame("contentBlockStop", &json!({"contentBlockIndex": 1}))?);
    pieces.push(frame("messageStop", &json!({"stopReason": "tool_use"}))?);
    let metadata = json!({"metrics": {"latencyMs": 321}, "usage": converse_usage(case)});
    pieces.push(frame("metadata", &metadata)?);
    Ok(pieces)
}

fn claude(case: &Case) -> Value {
    json!({
        "model": "claude-sonnet-4-5-20250929",
        "id": "msg_bdrk_0123456789abcdefghijklmn",
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "text", "text": case.text},
            {"type": "tool_use", "id": call_id(case), "name": TOOL, "input": arguments(case)},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": null,
        "usage": {
            "input_tokens": case.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": case.output_tokens,
        },
    })
}

fn claude_stream(case: &Case) -> Result<Vec<Bytes>> {
    let mut message = claude(case);
    for (name, value) in [("content", json!([])), ("stop_reason", Value::Null)] {
        if let Some(member) = message.get_mut(name) {
            *member = value;
        }
    }
    let start = |index: u64, block: &Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: &Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let mut events = vec![
        json!({"type": "message_start", "message": message}),
        start(0, &json!({"type": "text", "text": ""})),
    ];
    let texts = case.deltas.iter();
    events.extend(texts.map(|text| delta(0, &json!({"type": "text_delta", "text": text}))));
    events.push(stop(0));
    let call = json!({"type": "tool_use", "id": call_id(case), "name": TOOL, "input": {}});
    events.push(start(1, &call));
    let parts = parts(case).into_iter();
    events.extend(parts.map(|part| {
        let part = json!({"type": "input_json_delta", "partial_json": part});
        delta(1, &part)
    }));
    events.push(stop(1));
    events.push(json!({
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": null},
        "usage": {"output_tokens": case.output_tokens},
    }));
    events.push(json!({"type": "message_stop"}));
    let frames = events.iter().map(|event| {
        let bytes = STANDARD.encode(event.to_string());
        frame("chunk", &json!({"bytes": bytes, "p": "abcdef"}))
    });
    frames.collect()
}

/// What a response says.
#[derive(Debug, Default, PartialEq)]
struct Reply {
    text: String,
    tool: String,
    arguments: String,
    /// Why it ended.
    end: String,
    input_tokens: u64,
    output_tokens: u64,
    /// Whether a stream has its last event.
    is_complete: bool,
}

/// Checks a response.
///
/// # Errors
/// When it is not a response of the API, or another one than that of the case.
pub(crate) fn check(api: Api, mode: Mode, body: &[u8], case: &Case) -> Result<()> {
    let mut reply = Reply::default();
    match (api, mode) {
        (_, Mode::Whole) => reply.whole(api, &parse(body)?),
        (Api::Converse, _) => reply.frames(body)?,
        _ => reply.events(api, body)?,
    }
    let expected = Reply {
        text: case.text.clone(),
        tool: TOOL.to_owned(),
        arguments: arguments(case).to_string(),
        end: match api {
            Api::Chat => "tool_calls",
            Api::Messages | Api::Converse => "tool_use",
            Api::Responses => "completed",
        }
        .to_owned(),
        input_tokens: case.input_tokens,
        output_tokens: case.output_tokens,
        is_complete: true,
    };
    ensure!(
        reply == expected,
        "case {} is wrong: {reply:?} instead of {expected:?}",
        case.number
    );
    Ok(())
}

fn parse(json: &[u8]) -> Result<Value> {
    serde_json::from_slice(json)
        .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(json)))
}

/// The text at a path; empty if it has none.
fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl Reply {
    /// Reads a response that is not streamed.
    fn whole(&mut self, api: Api, body: &Value) {
        // Text, name of the tool, its arguments, and the end.
        let paths = match api {
            Api::Chat => [
                "/choices/0/message/content",
                "/choices/0/message/tool_calls/0/function/name",
                "/choices/0/message/tool_calls/0/function/arguments",
                "/choices/0/finish_reason",
            ],
            Api::Messages => [
                "/content/0/text",
                "/content/1/name",
                "/content/1/input",
                "/stop_reason",
            ],
            Api::Responses => [
                "/output/0/content/0/text",
                "/output/1/name",
                "/output/1/arguments",
                "/status",
            ],
            Api::Converse => [
                "/output/message/content/0/text",
                "/output/message/content/1/toolUse/name",
                "/output/message/content/1/toolUse/input",
                "/stopReason",
            ],
        };
        let parts = paths.map(|path| match body.pointer(path) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(object) => object.to_string(),
        });
        [self.text, self.tool, self.arguments, self.end] = parts;
        self.is_complete = true;
        self.usage(body);
    }

    /// Takes the token counts, if the object has some.
    fn usage(&mut self, value: &Value) {
        const INPUT: [&str; 3] = ["input_tokens", "prompt_tokens", "inputTokens"];
        const OUTPUT: [&str; 3] = ["output_tokens", "completion_tokens", "outputTokens"];
        for (names, tokens) in [
            (INPUT, &mut self.input_tokens),
            (OUTPUT, &mut self.output_tokens),
        ] {
            let mut found = names
                .iter()
                .filter_map(|name| value.get("usage")?.get(name)?.as_u64());
            *tokens = found.next().unwrap_or(*tokens);
        }
    }

    /// Reads the frames of ConverseStream.
    fn frames(&mut self, body: &[u8]) -> Result<()> {
        let mut decoder = MessageFrameDecoder::new();
        let mut bytes = BytesMut::from(body);
        while let DecodedFrame::Complete(message) =
            decoder.decode_frame(&mut bytes).context("not a frame")?
        {
            let payload = parse(message.payload())?;
            self.text += text(&payload, "/delta/text");
            self.tool += text(&payload, "/start/toolUse/name");
            self.arguments += text(&payload, "/delta/toolUse/input");
            self.end += text(&payload, "/stopReason");
            self.usage(&payload);
            // Metadata is last.
            self.is_complete = payload.get("usage").is_some();
        }
        ensure!(bytes.is_empty(), "the last frame is incomplete");
        Ok(())
    }

    /// Reads server-sent events.
    fn events(&mut self, api: Api, body: &[u8]) -> Result<()> {
        for line in body.split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data: ") else {
                continue;
            };
            ensure!(!self.is_complete, "an event after the last one");
            if data == b"[DONE]" {
                self.is_complete = true;
                continue;
            }
            let event = parse(data)?;
            match api {
                Api::Chat | Api::Converse => self.chunk(&event),
                Api::Messages => self.message_event(&event),
                Api::Responses => self.response_event(&event),
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Value) {
        const CALL: &str = "/choices/0/delta/tool_calls/0/function";
        self.text += text(chunk, "/choices/0/delta/content");
        self.tool += text(chunk, &format!("{CALL}/name"));
        self.arguments += text(chunk, &format!("{CALL}/arguments"));
        self.end += text(chunk, "/choices/0/finish_reason");
        self.usage(chunk);
    }

    fn message_event(&mut self, event: &Value) {
        match text(event, "/type") {
            "message_start" => self.usage(event.get("message").unwrap_or(&Value::Null)),
            "message_stop" => self.is_complete = true,
            _ => {
                self.text += text(event, "/delta/text");
                self.tool += text(event, "/content_block/name");
                self.arguments += text(event, "/delta/partial_json");
                self.end += text(event, "/delta/stop_reason");
                self.usage(event);
            }
        }
    }

    fn response_event(&mut self, event: &Value) {
        match text(event, "/type") {
            "response.output_text.delta" => self.text += text(event, "/delta"),
            "response.output_item.added" => self.tool += text(event, "/item/name"),
            "response.function_call_arguments.delta" => self.arguments += text(event, "/delta"),
            "response.completed" => {
                self.end += text(event, "/response/status");
                self.usage(event.get("response").unwrap_or(&Value::Null));
                self.is_complete = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::cases;

    #[test]
    fn replies_of_bedrock_pass_and_losses_are_noticed() {
        let cases = cases();
        let case = &cases[3];
        let responses = Responses::new(case).unwrap();
        check(Api::Converse, Mode::Whole, &responses.converse, case).unwrap();
        check(Api::Messages, Mode::Whole, &responses.claude, case).unwrap();
        assert!(check(Api::Messages, Mode::Whole, &responses.claude, &cases[4]).is_err());
        let pieces = &responses.converse_stream;
        check(Api::Converse, Mode::Burst, &pieces.concat(), case).unwrap();
        let stops = [case.deltas.len() + 1, pieces.len() - 3];
        for lost in (1..pieces.len()).filter(|lost| !stops.contains(lost)) {
            let rest = [&pieces[..lost], &pieces[lost + 1..]].concat().concat();
            assert!(
                check(Api::Converse, Mode::Burst, &rest, case).is_err(),
                "piece {lost}"
            );
        }
    }
}
