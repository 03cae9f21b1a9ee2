//! Passes chunks through, with the client's model name and corrected indexes of tool calls.
//!
//! bedrock-mantle counts tool calls from one, but clients use the index as a list position
//! (<https://github.com/BerriAI/litellm/issues/32759>). The calls of each choice get indexes from zero in order of
//! their start.

use bedrock::{
    converse::{BilledTier, TokenUsage},
    sse::Event,
};
use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Usage, reasoning::Lift};
use crate::translation::{openai_shapes::error::ErrorBody, write::quoted};

const DONE: &[u8] = b"[DONE]";

/// One stream.
#[derive(Debug)]
pub struct PassthroughStream {
    /// The client's name of the model, as JSON.
    model: String,
    /// For each choice, the original indexes of its calls; the position in the list is the new index.
    calls: Vec<(u64, Vec<i64>)>,
    /// Whether to lift reasoning out of the text; its state by choice.
    lifts: Option<Vec<(u64, Lift)>>,
    usage: Option<TokenUsage>,
    done: bool,
    ended: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<Usage>,
    service_tier: Option<BilledTier>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
}

/// A replacement of a piece of the event's data.
struct Edit<'a> {
    old: &'a str,
    new: String,
}

impl PassthroughStream {
    /// A stream; `model` is the client's name of the model.
    pub fn new(model: &str) -> Self {
        Self {
            model: quoted(model),
            calls: Vec::new(),
            lifts: None,
            usage: None,
            done: false,
            ended: false,
        }
    }

    /// Lifts reasoning out of the text if the family returns it there (`reasoning.tags`).
    #[must_use]
    pub fn with_tags(self, tags: bool) -> Self {
        Self {
            lifts: tags.then(Vec::new),
            ..self
        }
    }

    /// Writes an event.
    pub fn event(&mut self, event: &Event, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        if &event.data[..] == DONE {
            self.done = true;
            self.ended = true;
        }
        // Comments, the end marker and unknown data pass through.
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(&event.data) else {
            out.extend_from_slice(&event.raw);
            return;
        };
        if let Some(usage) = chunk.usage {
            self.usage = Some(TokenUsage::from(usage).in_tier(chunk.service_tier));
        }
        let edits = self.edits(&chunk);
        write(event, &edits, out);
    }

    /// Ends the stream: writes an error event and returns `false` if Bedrock did not end it.
    pub fn finish(&mut self, cut: &ErrorBody, out: &mut BytesMut) -> bool {
        if !self.done {
            self.error(cut, out);
        }
        self.ended = true;
        self.done
    }

    /// Ends the stream with an error event. Later calls write nothing.
    pub fn error(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        if !self.ended {
            self.ended = true;
            error.write_event(out);
        }
    }

    /// Token counts, once received; only if the client requested them.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// The edits of a chunk, in order of position.
    fn edits<'a>(&mut self, chunk: &Chunk<'a>) -> Vec<Edit<'a>> {
        let mut edits = Vec::new();
        if let Some(model) = chunk.model
            && model.get() != self.model
        {
            edits.push(Edit {
                old: model.get(),
                new: self.model.clone(),
            });
        }
        for choice in chunk.choices.iter().flatten() {
            let raw = choice.delta.map_or("", RawValue::get);
            let delta: Delta<'_> = serde_json::from_str(raw).unwrap_or_default();
            edits.extend(self.lifted(choice, raw, delta.content));
            for call in delta.tool_calls.into_iter().flatten() {
                let Some(given) = call.index else { continue };
                let Ok(number) = given.get().parse() else {
                    continue;
                };
                let dense = self.number(choice.index, number).to_string();
                if dense != given.get() {
                    edits.push(Edit {
                        old: given.get(),
                        new: dense,
                    });
                }
            }
        }
        edits.sort_by_key(|edit| edit.old.as_ptr().addr());
        edits
    }

    /// The edit that lifts reasoning out of the text of a choice.
    fn lifted<'a>(
        &mut self,
        choice: &Choice<'_>,
        delta: &'a str,
        content: Option<&'a RawValue>,
    ) -> Option<Edit<'a>> {
        let lifts = self.lifts.as_mut()?;
        let known = lifts.iter().position(|(index, _)| *index == choice.index);
        let at = known.unwrap_or_else(|| {
            lifts.push((choice.index, Lift::default()));
            lifts.len().saturating_sub(1)
        });
        let (_, lift) = lifts.get_mut(at)?;
        let text: Option<String> =
            content.and_then(|content| serde_json::from_str(content.get()).ok());
        let mut lifted = lift.push(text.as_deref().unwrap_or_default());
        if choice.finish_reason.is_some() {
            lifted.extend(&lift.finish());
        }
        match (content, text) {
            (Some(content), Some(text)) if lifted.content != text => Some(Edit {
                old: content.get(),
                new: lifted.value(),
            }),
            // The text is unchanged.
            (_, Some(_)) => None,
            // The end of the choice has no text, but some is left.
            _ if !lifted.is_empty() && delta.starts_with('{') => {
                let comma = if delta == "{}" { "" } else { "," };
                Some(Edit {
                    old: delta.get(..1).unwrap_or_default(),
                    new: format!("{{\"content\":{}{comma}", lifted.value()),
                })
            }
            _ => None,
        }
    }

    /// The new index of a call, counted from zero in each choice.
    fn number(&mut self, choice: u64, given: i64) -> usize {
        let known = self.calls.iter().position(|(index, _)| *index == choice);
        let at = known.unwrap_or_else(|| {
            self.calls.push((choice, Vec::new()));
            self.calls.len().saturating_sub(1)
        });
        let Some((_, calls)) = self.calls.get_mut(at) else {
            return 0;
        };
        calls
            .iter()
            .position(|call| *call == given)
            .unwrap_or_else(|| {
                calls.push(given);
                calls.len().saturating_sub(1)
            })
    }
}

/// Writes the event with its edits applied.
fn write(event: &Event, edits: &[Edit<'_>], out: &mut BytesMut) {
    if edits.is_empty() {
        out.extend_from_slice(&event.raw);
        return;
    }
    // Single-line data is part of the raw event. Multi-line data was joined and is written as one line.
    let from = event
        .data
        .as_ptr()
        .addr()
        .wrapping_sub(event.raw.as_ptr().addr());
    let to = from.saturating_add(event.data.len());
    let (before, after) = match (event.raw.get(..from), event.raw.get(to..)) {
        (Some(before), Some(after)) => (before, after),
        _ => (&b"data: "[..], &b"\n\n"[..]),
    };
    out.extend_from_slice(before);
    let start = event.data.as_ptr().addr();
    let mut at = 0;
    for edit in edits {
        let place = edit.old.as_ptr().addr().saturating_sub(start);
        line(event.data.get(at..place).unwrap_or_default(), out);
        out.extend_from_slice(edit.new.as_bytes());
        at = place.saturating_add(edit.old.len());
    }
    line(event.data.get(at..).unwrap_or_default(), out);
    out.extend_from_slice(after);
}

/// Writes JSON as one line: line breaks between tokens become spaces.
fn line(bytes: &[u8], out: &mut BytesMut) {
    out.extend(bytes.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
}

#[cfg(test)]
mod tests {
    use bedrock::sse::Decoder;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn through(text: &str, cuts: &[usize]) -> (String, PassthroughStream) {
        through_stream(PassthroughStream::new("fast"), text, cuts)
    }

    fn through_stream(
        mut stream: PassthroughStream,
        text: &str,
        cuts: &[usize],
    ) -> (String, PassthroughStream) {
        let mut decoder = Decoder::new(1 << 20);
        let mut out = BytesMut::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([text.len()]) {
            decoder.push(Bytes::copy_from_slice(&text.as_bytes()[from..to]));
            from = to;
            while let Some(event) = decoder.next_event().unwrap() {
                stream.event(&event, &mut out);
            }
        }
        (String::from_utf8(out.to_vec()).unwrap(), stream)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) -> PassthroughStream {
        let (out, stream) = through(text, &[]);
        assert_eq!(out, expected);
        stream
    }

    const CALLS: &str = concat!(
        ": hello\n\n",
        "data: {\"id\":\"c\",\"model\" : \"openai.gpt-oss-20b\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\": 1,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"index\\\":1}\"}}]}}],\"usage\":null,\"odd\":1.0}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":2,\"id\":\"b\"},{\"index\":1}]},\"index\":0}],\"model\":\"openai.gpt-oss-20b\"}\r\n\r\n",
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"tool_calls\":[{\"index\":2,\"id\":\"b\"}]}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );

    #[test]
    fn calls_are_numbered_from_zero_and_other_bytes_are_unchanged() {
        let expected = CALLS
            .replace("openai.gpt-oss-20b", "fast")
            .replace("\"index\": 1,", "\"index\": 0,")
            .replace(
                "{\"index\":2,\"id\":\"b\"},{\"index\":1}",
                "{\"index\":1,\"id\":\"b\"},{\"index\":0}",
            )
            .replace(
                "[{\"index\":2,\"id\":\"b\"}]",
                "[{\"index\":0,\"id\":\"b\"}]",
            );
        let mut stream = check(CALLS, &expected);
        assert_eq!(stream.usage().unwrap().input_tokens, 5);
        let mut out = BytesMut::new();
        assert!(stream.finish(&ErrorBody::default(), &mut out) && out.is_empty());
    }

    #[test]
    fn reasoning_in_the_text_is_lifted_over_split_deltas() {
        let choice = |delta: &str, reason: &str| {
            format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
            )
        };
        let all = |deltas: &[&str], last: &str| {
            let mut all: String = deltas.iter().map(|delta| choice(delta, "null")).collect();
            all.push_str(&choice(last, "\"stop\""));
            all
        };
        for (given, expected) in [
            (
                all(
                    &[
                        r#"{"role":"assistant"}"#,
                        r#"{"content":"<reas"}"#,
                        r#"{"content":"oning>Hm</"}"#,
                        r#"{"content": "reasoning>Hi","x":1.0}"#,
                        r#"{"content":" \u0041"}"#,
                    ],
                    "{}",
                ),
                all(
                    &[
                        r#"{"role":"assistant"}"#,
                        r#"{"content":""}"#,
                        r#"{"content":"","reasoning_content":"Hm"}"#,
                        r#"{"content": "Hi","x":1.0}"#,
                        r#"{"content":" \u0041"}"#,
                    ],
                    "{}",
                ),
            ),
            (
                all(&[r#"{"content":"<rea"}"#], "{}"),
                all(&[r#"{"content":""}"#], r#"{"content":"<rea"}"#),
            ),
            (
                all(&[r#"{"content":"<reasoning>a</"}"#], r#"{"x":1}"#),
                all(
                    &[r#"{"content":"","reasoning_content":"a"}"#],
                    r#"{"content":"","reasoning_content":"</","x":1}"#,
                ),
            ),
        ] {
            let stream = PassthroughStream::new("fast").with_tags(true);
            let (out, _) = through_stream(stream, &given, &[]);
            assert_eq!(out, expected);
            check(&given, &given);
        }
    }

    #[test]
    fn correct_calls_and_other_events_pass_through() {
        for text in [
            "data: {\"model\":\"fast\",\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0},{\"index\":1},{}]}}]}\n\n",
            "event: x\nid: 7\ndata: {\"choices\":null}\n\n",
            "data: not JSON\n\n",
            "data: {\"choices\":[{\"delta\":null},{\"delta\":{\"tool_calls\":null}}]}\n\n",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn changed_multi_line_data_is_written_as_one_line() {
        check(
            "data: {\"model\":\ndata: \"m\"}\n\n",
            "data: {\"model\": \"fast\"}\n\n",
        );
    }

    #[test]
    fn truncated_stream_ends_with_an_error_and_nothing_follows() {
        let (_, mut stream) = through("data: {\"choices\":[]}\n\n", &[]);
        let mut out = BytesMut::new();
        let cut = ErrorBody {
            status: 502,
            message: "cut".to_owned(),
            ..ErrorBody::default()
        };
        assert!(!stream.finish(&cut, &mut out));
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert!(
            text.starts_with("data: {\"error\":{\"message\":\"cut\""),
            "{text}"
        );
        assert!(!text.contains("[DONE]"), "{text}");
        let mut more = BytesMut::new();
        stream.error(&cut, &mut more);
        assert!(more.is_empty());
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_bytes(cuts in prop::collection::vec(0..CALLS.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(through(CALLS, &cuts).0, through(CALLS, &[]).0);
        }
    }
}
