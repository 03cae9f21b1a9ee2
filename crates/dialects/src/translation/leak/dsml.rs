//! DeepSeek's markup of tool calls: `<｜DSML｜function_calls>` around `<｜DSML｜invoke name="f">` with
//! `<｜DSML｜parameter name="p" string="true">text</｜DSML｜parameter>`; other parameters are JSON.

use serde_json::{Map, Value};

use super::Piece;

pub(super) const START: &str = "<｜DSML｜";
/// The same with ASCII bars, as some tokenizers print it.
pub(super) const ASCII_START: &str = "<|DSML|";

/// The complete calls in markup; none if one of them is truncated.
pub(super) fn calls(markup: &str) -> Vec<Piece> {
    let markup = markup
        .replace(ASCII_START, START)
        .replace("</|DSML|", "</｜DSML｜");
    let mut calls = Vec::new();
    for invoke in markup.split("<｜DSML｜invoke").skip(1) {
        let Some(call) = call(invoke, calls.len()) else {
            return Vec::new();
        };
        calls.push(call);
    }
    calls
}

fn call(invoke: &str, index: usize) -> Option<Piece> {
    let (inside, _) = invoke.split_once("</｜DSML｜invoke>")?;
    let (head, body) = inside.split_once('>')?;
    let name = attribute(head, "name")?;
    let mut arguments = Map::new();
    for parameter in body.split("<｜DSML｜parameter").skip(1) {
        let (inside, _) = parameter.split_once("</｜DSML｜parameter>")?;
        let (head, text) = inside.split_once('>')?;
        let value = match attribute(head, "string") {
            Some("false") => serde_json::from_str(text.trim()).ok()?,
            _ => Value::from(text),
        };
        arguments.insert(attribute(head, "name")?.to_owned(), value);
    }
    Some(Piece::Call {
        id: format!("functions.{name}:{index}"),
        name: name.to_owned(),
        arguments: Value::Object(arguments).to_string(),
    })
}

fn attribute<'t>(head: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = head.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKUP: &str = "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Rome > Oslo</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>";

    #[test]
    fn complete_markup_is_a_call() {
        let expected = [Piece::Call {
            id: "functions.get_weather:0".to_owned(),
            name: "get_weather".to_owned(),
            arguments: "{\"city\":\"Rome > Oslo\",\"days\":3}".to_owned(),
        }];
        assert_eq!(calls(MARKUP), expected);
        assert_eq!(calls(&MARKUP.replace('｜', "|")), expected);
    }

    #[test]
    fn truncated_markup_is_no_call() {
        for length in 0..150 {
            let cut: String = MARKUP.chars().take(length).collect();
            assert_eq!(calls(&cut), [], "{length}");
        }
    }
}
