//! DeepSeek's older markup of tool calls, the tokens of its template: DeepSeek V3 writes
//! `<｜tool▁call▁begin｜>function<｜tool▁sep｜>f` with the arguments in a block of JSON, V3.1
//! `<｜tool▁call▁begin｜>f<｜tool▁sep｜>{…}`; both end with `<｜tool▁call▁end｜>`, and `<｜tool▁calls▁begin｜>` is around all
//! calls. Some tokenizers print other bars or spaces.
//!
//! Templates: <https://huggingface.co/deepseek-ai/DeepSeek-V3-0324>, <https://huggingface.co/deepseek-ai/DeepSeek-V3.1>.

use serde_json::{Map, Value};

use super::Piece;

/// How tokens begin, with each kind of bar and space. Tokens of Kimi have ASCII bars and underscores.
pub(super) const STARTS: [&str; 4] = [
    "<｜tool▁call",
    "<｜tool_call",
    "<｜tool call",
    "<|tool▁call",
];
const CALL: &str = "<｜tool▁call▁begin｜>";
const CALL_END: &str = "<｜tool▁call▁end｜>";
const SEPARATOR: &str = "<｜tool▁sep｜>";
const ALL_END: &str = "<｜tool▁calls▁end｜>";
const TURN_END: &str = "<｜end▁of▁sentence｜>";

/// The complete calls in markup, and the text after it; nothing if one of them is truncated.
pub(super) fn calls(markup: &str) -> Vec<Piece> {
    let mut markup = markup.to_owned();
    for token in [CALL, CALL_END, SEPARATOR, ALL_END, TURN_END] {
        for (bar, space) in [("｜", "_"), ("｜", " "), ("|", "▁")] {
            let printed = token.replace('｜', bar).replace('▁', space);
            markup = markup.replace(&printed, token);
        }
    }
    let (inside, after) = markup.split_once(ALL_END).unwrap_or((&markup, ""));
    let mut pieces = Vec::new();
    for one in inside.split(CALL).skip(1) {
        let Some(call) = call(one, pieces.len()) else {
            return Vec::new();
        };
        pieces.push(call);
    }
    let after = after.replace(TURN_END, "");
    if !pieces.is_empty() && !after.trim().is_empty() {
        pieces.push(Piece::Text(after));
    }
    pieces
}

fn call(text: &str, index: usize) -> Option<Piece> {
    let ended = text.split_once(CALL_END);
    let (call, _) = ended.unwrap_or((text, ""));
    let (head, body) = call.split_once(SEPARATOR)?;
    let (name, arguments) = match unfenced(body) {
        // V3.1.
        arguments if arguments.is_empty() || arguments.starts_with('{') => (head, arguments),
        // V3, whose head is the type of the call.
        _ => {
            let (name, arguments) = body.trim_start().split_once('\n').unwrap_or((body, ""));
            (name, unfenced(arguments))
        }
    };
    let name = name.trim();
    let arguments = match arguments {
        "" => ended.map(|_| "{}")?,
        arguments => arguments,
    };
    let is_object = serde_json::from_str::<Map<String, Value>>(arguments).is_ok();
    (is_object && !name.is_empty()).then(|| Piece::Call {
        id: format!("functions.{name}:{index}"),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    })
}

/// The content of a block of JSON.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```json").unwrap_or(text);
    let inside = inside.strip_prefix("```").unwrap_or(inside);
    inside.trim_end_matches('`').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3: &str = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Rome\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>";
    const V3_1: &str = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Rome\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

    fn expected() -> [Piece; 2] {
        let call = |name: &str, index: usize, arguments: &str| Piece::Call {
            id: format!("functions.{name}:{index}"),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        [
            call("get_weather", 0, "{\"city\": \"Rome\"}"),
            call("now", 1, "{}"),
        ]
    }

    #[test]
    fn both_forms_are_calls_with_each_kind_of_bar_and_space() {
        for markup in [V3, V3_1] {
            for (bar, space) in [("｜", "▁"), ("｜", "_"), ("｜", " "), ("|", "▁")] {
                let printed = markup.replace('｜', bar).replace('▁', space);
                assert_eq!(calls(&printed), expected(), "{printed}");
                assert!(STARTS.iter().any(|start| printed.starts_with(start)));
            }
            // Without the tokens around all calls, and without the last end of a call.
            let inside = markup.replace("<｜tool▁calls▁begin｜>", "");
            assert_eq!(calls(inside.split(ALL_END).next().unwrap()), expected());
            let open = format!("<｜tool▁call▁end｜>{ALL_END}");
            assert_eq!(calls(&markup.replace(&open, ALL_END)), expected());
        }
    }

    #[test]
    fn a_call_may_have_no_arguments() {
        let markup = V3_1.replace("{}", "");
        assert_eq!(calls(&markup), expected());
    }

    #[test]
    fn text_after_the_calls_is_kept() {
        let pieces = calls(&format!("{V3_1}Wait."));
        assert_eq!(pieces.last(), Some(&Piece::Text("Wait.".to_owned())));
    }

    #[test]
    fn truncated_markup_is_no_call() {
        for markup in [V3, V3_1] {
            let complete = markup.find('}').unwrap();
            for (length, _) in markup.char_indices().filter(|(at, _)| *at <= complete) {
                assert_eq!(calls(markup.get(..length).unwrap()), [], "{length}");
            }
            assert_eq!(calls(markup.get(..=complete).unwrap()).len(), 1);
        }
        assert_eq!(calls("<｜tool▁call▁begin｜>f<｜tool▁sep｜>[1]"), []);
        assert_eq!(calls("<｜tool▁calls▁begin｜> is a token"), []);
    }
}
