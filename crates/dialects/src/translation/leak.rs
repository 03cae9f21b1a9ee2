//! Reads the markup of tool calls that a model leaves in its text.
//!
//! Kimi on Converse writes calls as tokens of its template
//! (`<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{…}<|tool_call_end|>`,
//! <https://github.com/vercel/ai/issues/11409>), DeepSeek leaves the start of its markup beside a correct call
//! (`<｜DSML｜function_calls`, <https://github.com/NousResearch/hermes-agent/issues/98764>), or calls in one of its two
//! forms of markup; see [`dsml`] and [`tokens`]. Used only for families with this capability, and only if the request has
//! tools. Text is held back only while it may be the start of markup.

mod dsml;
mod tokens;

const SECTION: &str = "<|tool_calls_section_begin|>";
const SECTION_END: &str = "<|tool_calls_section_end|>";
const CALL: &str = "<|tool_call_begin|>";
const ARGUMENTS: &str = "<|tool_call_argument_begin|>";
const CALL_END: &str = "<|tool_call_end|>";
const MARKERS: [&str; 3] = [SECTION, SECTION_END, CALL];
/// How DeepSeek's markup begins.
const DEEPSEEK: [&str; 6] = [
    dsml::START,
    dsml::ASCII_START,
    tokens::STARTS[0],
    tokens::STARTS[1],
    tokens::STARTS[2],
    tokens::STARTS[3],
];

/// A parsed piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Call {
        id: String,
        name: String,
        arguments: String,
    },
}

/// Parses text incrementally.
#[derive(Debug, Default)]
pub(crate) struct LeakedCallParser {
    pending: String,
    /// How much of an incomplete call has no end.
    searched: usize,
    /// DeepSeek's markup up to the end of the text, which counts only if the response has no calls.
    markup: Option<String>,
}

impl LeakedCallParser {
    /// Adds text and returns the pieces that are complete.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Piece> {
        if let Some(markup) = &mut self.markup {
            markup.push_str(text);
            return Vec::new();
        }
        self.pending.push_str(text);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_str();
        let mut pieces = Vec::new();
        loop {
            if rest.starts_with(CALL) {
                let searched = rest.get(self.searched..).unwrap_or_default();
                let Some(found) = searched.find(CALL_END) else {
                    // The call is not complete yet; its end may have begun.
                    let begun = rest.len().saturating_sub(CALL_END.len());
                    self.searched = rest.floor_char_boundary(begun);
                    break;
                };
                let (call, after) = rest
                    .split_at_checked(self.searched.saturating_add(found))
                    .unwrap_or((rest, ""));
                self.searched = 0;
                pieces.push(read_call(call));
                rest = after.strip_prefix(CALL_END).unwrap_or_default();
                continue;
            }
            let Some((start, marker)) = first_marker(rest) else {
                let certain = rest.len() - possible_marker(rest);
                let (text, open) = rest.split_at_checked(certain).unwrap_or((rest, ""));
                emit_text(text.to_owned(), &mut pieces);
                rest = open;
                break;
            };
            let (text, found) = rest.split_at_checked(start).unwrap_or((rest, ""));
            emit_text(text.to_owned(), &mut pieces);
            if DEEPSEEK.contains(&marker) {
                self.markup = Some(found.to_owned());
                return pieces;
            }
            rest = if marker == CALL {
                found
            } else {
                found.strip_prefix(marker).unwrap_or_default()
            };
        }
        self.pending = if rest.len() == pending.len() {
            pending
        } else {
            rest.to_owned()
        };
        pieces
    }

    /// The remaining pieces at the end of the response; a truncated call is text. `has_calls`: whether Bedrock returned
    /// the response's calls, so that DeepSeek's markup is only a remnant of them.
    pub(crate) fn finish(&mut self, has_calls: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        emit_text(std::mem::take(&mut self.pending), &mut pieces);
        if let Some(markup) = self.markup.take()
            && !has_calls
        {
            let mut calls = dsml::calls(&markup);
            if calls.is_empty() {
                calls = tokens::calls(&markup);
            }
            if calls.is_empty() {
                emit_text(markup, &mut pieces);
            }
            pieces.extend(calls);
        }
        pieces
    }
}

fn markers() -> impl Iterator<Item = &'static str> {
    MARKERS.into_iter().chain(DEEPSEEK)
}

fn emit_text(text: String, pieces: &mut Vec<Piece>) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

/// The first marker and its position; all begin with the same character.
fn first_marker(text: &str) -> Option<(usize, &'static str)> {
    text.match_indices('<').find_map(|(start, _)| {
        let rest = text.get(start..)?;
        let marker = markers().find(|marker| rest.starts_with(marker))?;
        Some((start, marker))
    })
}

/// Length of the longest suffix of `text` that may be the start of a marker.
fn possible_marker(text: &str) -> usize {
    let longest = markers().filter_map(|marker| {
        (1..marker.len()).rev().find(|length| {
            marker
                .get(..*length)
                .is_some_and(|begin| text.ends_with(begin))
        })
    });
    longest.max().unwrap_or(0)
}

/// Reads `<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{…}`.
fn read_call(call: &str) -> Piece {
    let inside = call.strip_prefix(CALL).unwrap_or(call);
    let Some((id, arguments)) = inside.split_once(ARGUMENTS) else {
        return Piece::Text(call.to_owned());
    };
    let id = id.trim();
    let named = id.strip_prefix("functions.").unwrap_or(id);
    let name = named.rsplit_once(':').map_or(named, |(name, _)| name);
    if name.is_empty() {
        return Piece::Text(call.to_owned());
    }
    let arguments = arguments.trim();
    Piece::Call {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: if arguments.is_empty() {
            "{}"
        } else {
            arguments
        }
        .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Let me look. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Rome\"}<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|><|tool_call_end|><|tool_calls_section_end|> a < b <| c";

    fn run(given: &str, has_calls: bool, chunk: usize) -> (String, Vec<Piece>) {
        let mut leak = LeakedCallParser::default();
        let (mut text, mut calls) = (String::new(), Vec::new());
        let chars: Vec<char> = given.chars().collect();
        for piece in chars.chunks(chunk) {
            for piece in leak.push(&piece.iter().collect::<String>()) {
                match piece {
                    Piece::Text(piece) => text.push_str(&piece),
                    call @ Piece::Call { .. } => calls.push(call),
                }
            }
        }
        for piece in leak.finish(has_calls) {
            match piece {
                Piece::Text(piece) => text.push_str(&piece),
                call @ Piece::Call { .. } => calls.push(call),
            }
        }
        (text, calls)
    }

    #[test]
    fn finds_calls_for_every_split_of_the_text() {
        for chunk in 1..=TEXT.len() {
            let (text, calls) = run(TEXT, false, chunk);
            assert_eq!(text, "Let me look.  a < b <| c", "{chunk}");
            let call = |id: &str, name: &str, arguments: &str| Piece::Call {
                id: id.to_owned(),
                name: name.to_owned(),
                arguments: arguments.to_owned(),
            };
            assert_eq!(
                calls,
                [
                    call(
                        "functions.get_weather:0",
                        "get_weather",
                        "{\"city\": \"Rome\"}"
                    ),
                    call("functions.now:1", "now", "{}")
                ],
                "{chunk}"
            );
        }
    }

    #[test]
    fn text_that_cannot_start_a_call_is_not_held_back() {
        let mut leak = LeakedCallParser::default();
        assert_eq!(leak.push("a <b"), [Piece::Text("a <b".to_owned())]);
        assert_eq!(leak.push("x <|tool"), [Piece::Text("x ".to_owned())]);
        assert_eq!(leak.push("box"), [Piece::Text("<|toolbox".to_owned())]);
    }

    #[test]
    fn truncated_call_is_text() {
        let mut leak = LeakedCallParser::default();
        assert_eq!(leak.push("<|tool_call_begin|>functions.f:0"), []);
        assert_eq!(
            leak.finish(false),
            [Piece::Text("<|tool_call_begin|>functions.f:0".to_owned())]
        );
    }

    #[test]
    fn markup_of_deepseek_is_removed_beside_a_call_for_every_split() {
        for markup in [
            "<｜DSML｜function_calls",
            "<｜tool▁calls▁begin｜>",
            "<|tool▁calls▁begin|>",
        ] {
            let given = format!("I'll check.\n\n{markup}");
            for chunk in 1..=given.len() {
                let (text, calls) = run(&given, true, chunk);
                assert_eq!(
                    (text.as_str(), calls.len()),
                    ("I'll check.\n\n", 0),
                    "{chunk}"
                );
                let (text, _) = run(&given, false, chunk);
                assert_eq!(text, given, "{chunk}");
            }
        }
    }

    #[test]
    fn older_markup_of_deepseek_is_a_call_for_every_split() {
        for call in [
            "function<｜tool▁sep｜>f\n```json\n{\"a\":1}\n```",
            "f<｜tool▁sep｜>{\"a\":1}",
        ] {
            let given = format!(
                "So: <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{call}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
            );
            for chunk in 1..=given.chars().count() {
                let (text, calls) = run(&given, false, chunk);
                assert_eq!(text, "So: ", "{chunk}");
                let expected = Piece::Call {
                    id: "functions.f:0".to_owned(),
                    name: "f".to_owned(),
                    arguments: "{\"a\":1}".to_owned(),
                };
                assert_eq!(calls, [expected], "{chunk}");
            }
        }
    }
}
