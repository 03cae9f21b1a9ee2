//! `bedrock-gateway cache explain`: where the prompt-cache prefixes of two recorded requests part.
//!
//! Calls nothing. The comparison is that of the gateway's metric `bedrock_gateway_cache_breaks`; the path and the values are
//! those of the files.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value};

use super::output::Output;
use crate::pipeline::conversation::{Outline, Part, compare};

/// Characters of a value that are printed.
const EXCERPT: usize = 60;
/// Characters of a value before the difference.
const BEFORE: usize = 20;

/// Find out why a prompt cache is not read.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Explain(ExplainArgs),
}

/// Compare two requests of a conversation: where does the later one part from the prefix that the earlier one cached?
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
struct ExplainArgs {
    /// File with the JSON body of the earlier request.
    #[arg(value_name = "EARLIER")]
    earlier: PathBuf,
    /// File with the JSON body of the later request.
    #[arg(value_name = "LATER")]
    later: PathBuf,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

const AFTER_HELP: &str =
    "Bodies of Chat Completions, Responses, Messages, Converse and InvokeModel are supported.
Values of the requests are printed.

Examples:
  bedrock-gateway cache explain turn-1.json turn-2.json
  bedrock-gateway cache explain turn-1.json turn-2.json -o json";

/// Why the requests were not compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file is not the body of a request.
    #[error("{path}: not a JSON object. Fix: save the body of the request, without headers")]
    NotAnObject {
        /// The file.
        path: String,
    },
    /// The output is closed.
    #[error("failed to write the explanation")]
    Write(#[from] io::Error),
}

/// The output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    /// The part that changed, as in the metric; `none` if the later request begins with the earlier one.
    part: &'static str,
    /// Index of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<usize>,
    /// The first difference.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    difference: Option<Change>,
    /// Messages of the two requests.
    messages: [usize; 2],
}

/// A difference of two JSON documents.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    /// Such as `messages[3].content`.
    path: String,
    /// An excerpt of the value; absent without a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    later: Option<String>,
}

/// Runs a command of `cache`.
///
/// # Errors
/// See [`Error`].
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let Command::Explain(args) = &args.command;
    let (earlier, later) = (read(&args.earlier)?, read(&args.later)?);
    let explanation = explain(&earlier, &later);
    if args.output == Output::Text {
        write_text(&explanation, args, out)?;
    } else {
        args.output.write(&explanation, out)?;
    }
    Ok(())
}

/// A body with its outline.
struct Body {
    members: Map<String, Value>,
    outline: Outline,
}

fn read(path: &Path) -> Result<Body, Error> {
    let name = || path.display().to_string();
    let text = fs::read(path).map_err(|source| Error::Read {
        path: name(),
        source,
    })?;
    body(&text).ok_or_else(|| Error::NotAnObject { path: name() })
}

fn body(text: &[u8]) -> Option<Body> {
    Some(Body {
        members: serde_json::from_slice(text).ok()?,
        outline: Outline::of_body(text)?,
    })
}

fn explain(earlier: &Body, later: &Body) -> Explanation {
    let messages = [earlier, later].map(|body| body.outline.messages());
    let model = |body: &Body| body.members.get("model").cloned();
    let (one, other) = (model(earlier), model(later));
    let is_other_model = one.is_some() && other.is_some() && one != other;
    let difference = if is_other_model {
        Some(Part::Model.into())
    } else {
        compare(&earlier.outline, &later.outline)
    };
    Explanation {
        part: difference.map_or("none", |difference| difference.part.name()),
        message: difference.and_then(|difference| difference.message),
        difference: difference.and_then(|difference| locate(difference.part, earlier, later)),
        messages,
    }
}

/// The first difference in the members of a part.
fn locate(part: Part, earlier: &Body, later: &Body) -> Option<Change> {
    let names: &[&str] = match part {
        Part::Model => &["model"],
        Part::Tools => &["tools", "toolConfig"],
        Part::System => &["system", "instructions", "messages", "input"],
        Part::Messages => &["messages", "input"],
        Part::CachePoints => &[
            "cache_control",
            "tools",
            "toolConfig",
            "system",
            "instructions",
            "messages",
            "input",
        ],
        Part::Parameters => &Outline::PARAMETER_NAMES,
        Part::Target | Part::Expired | Part::Unknown => &[],
    };
    let keeps_points = part == Part::CachePoints;
    names.iter().find_map(|name| {
        let of = |body: &Body| {
            let value = body.members.get(*name)?.clone();
            Some(if keeps_points { value } else { normal(value) })
        };
        change((*name).to_owned(), of(earlier).as_ref(), of(later).as_ref())
    })
}

/// The value without cache points, and with a block of text for the string of a content.
fn normal(value: Value) -> Value {
    match value {
        Value::Array(elements) => {
            let elements = elements.into_iter().map(normal);
            let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
            elements.filter(|element| !is_empty(element)).collect()
        }
        Value::Object(members) => {
            let is_point = |name: &str| matches!(name, "cache_control" | "cachePoint");
            let members = members.into_iter().filter(|(name, _)| !is_point(name));
            let members = members.map(|(name, value)| match (name.as_str(), value) {
                ("content", Value::String(text)) => {
                    (name, serde_json::json!([{ "type": "text", "text": text }]))
                }
                (_, value) => (name, normal(value)),
            });
            Value::Object(members.collect())
        }
        value => value,
    }
}

/// The first difference of two values; the order of members counts.
fn change(path: String, earlier: Option<&Value>, later: Option<&Value>) -> Option<Change> {
    if earlier == later && earlier.map(Value::to_string) == later.map(Value::to_string) {
        return None;
    }
    match (earlier, later) {
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            let length = one.len().max(other.len());
            (0..length).find_map(|at| change(format!("{path}[{at}]"), one.get(at), other.get(at)))
        }
        (Some(Value::Object(one)), Some(Value::Object(other))) if one.keys().eq(other.keys()) => {
            let mut names = one.keys();
            names.find_map(|name| change(format!("{path}.{name}"), one.get(name), other.get(name)))
        }
        (earlier, later) => {
            let (one, other) = (earlier.map(text), later.map(text));
            let shared = match (&one, &other) {
                (Some(one), Some(other)) => one
                    .chars()
                    .zip(other.chars())
                    .take_while(|(a, b)| a == b)
                    .count(),
                _ => 0,
            };
            Some(Change {
                path,
                earlier: one.map(|text| excerpt(&text, shared)),
                later: other.map(|text| excerpt(&text, shared)),
            })
        }
    }
}

fn text(value: &Value) -> String {
    value.to_string()
}

/// The part of a text around a difference.
fn excerpt(text: &str, at: usize) -> String {
    let start = at.saturating_sub(BEFORE);
    let shown: String = text.chars().skip(start).take(EXCERPT).collect();
    let before = if start > 0 { "…" } else { "" };
    let is_cut = text.chars().nth(start.saturating_add(EXCERPT)).is_some();
    let after = if is_cut { "…" } else { "" };
    format!("{before}{shown}{after}")
}

fn write_text(
    explanation: &Explanation,
    args: &ExplainArgs,
    out: &mut dyn Write,
) -> io::Result<()> {
    let [earlier, later] = [&args.earlier, &args.later].map(|path| path.display().to_string());
    let [before, after] = explanation.messages;
    if explanation.part == "none" {
        let new = after.saturating_sub(before);
        writeln!(
            out,
            "{later} begins with all of {earlier}, and has {new} more messages."
        )?;
        return writeln!(
            out,
            "The cached prefix is read if it has not expired and the same target serves the request."
        );
    }
    let message = explanation.message;
    let message = message.map_or_else(String::new, |index| format!("[{index}]"));
    writeln!(out, "The prefixes part at {}{message}.", explanation.part)?;
    let Some(change) = &explanation.difference else {
        return Ok(());
    };
    writeln!(out, "  First difference: {}", change.path)?;
    for (name, value) in [(&earlier, &change.earlier), (&later, &change.later)] {
        writeln!(
            out,
            "    {name}: {}",
            value.as_deref().unwrap_or("(absent)")
        )?;
    }
    writeln!(
        out,
        "Everything before it can be read from the cache; the rest is written again."
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(earlier: &Value, later: &Value) -> Explanation {
        let read = |value: &Value| body(value.to_string().as_bytes()).unwrap();
        explain(&read(earlier), &read(later))
    }

    #[test]
    fn names_the_part_and_the_path_of_the_first_difference() {
        type Edit = fn(&mut Value);

        let base = json!({ "model": "m", "system": "Be brief. Now: 12:00.",
            "tools": [{ "name": "a", "input_schema": { "type": "object", "properties": {} } }],
            "tool_choice": "auto",
            "messages": [{ "role": "user", "content": "one" }, { "role": "assistant", "content": "two" }] });
        let cases: [(Edit, &str, &str, &str); 7] = [
            (|body| body["model"] = json!("n"), "model", "model", "\"n\""),
            (
                |body| body["system"] = json!("Be brief. Now: 12:01."),
                "system",
                "system",
                "Be brief. Now: 12:01.\"",
            ),
            (
                |body| {
                    body["tools"][0]["input_schema"] =
                        json!({ "properties": {}, "type": "object" });
                },
                "tools",
                "tools[0].input_schema",
                "{\"properties\"",
            ),
            (
                |body| body["messages"][1]["content"] = json!("other"),
                "messages",
                "messages[1].content[0].text",
                "\"other\"",
            ),
            (
                |body| body["tool_choice"] = json!("none"),
                "parameters",
                "tool_choice",
                "\"none\"",
            ),
            (
                |body| {
                    let point = json!({ "type": "ephemeral" });
                    body["messages"][0]["content"] =
                        json!([{ "type": "text", "text": "one", "cache_control": point }]);
                },
                "cache_points",
                "messages[0].content",
                "cache_control",
            ),
            (
                |body| drop(body["messages"].as_array_mut().unwrap().pop()),
                "messages",
                "messages[1]",
                "",
            ),
        ];
        for (edit, part, path, later) in cases {
            let mut edited = base.clone();
            edit(&mut edited);
            let explanation = of(&base, &edited);
            assert_eq!(explanation.part, part, "{explanation:?}");
            let change = explanation.difference.unwrap();
            assert_eq!(change.path, path);
            let found = change.later.unwrap_or_default();
            assert!(found.contains(later), "{found} {later}");
        }
    }

    #[test]
    fn a_continued_conversation_has_no_difference() {
        let mut later = json!({ "messages": [{ "role": "user", "content": "one" }] });
        let earlier = json!({ "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "one", "cache_control": { "type": "ephemeral" } }] }] });
        later["messages"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "role": "user", "content": [
            { "type": "text", "text": "two", "cache_control": { "type": "ephemeral" } }] }));
        let explanation = of(&earlier, &later);
        assert_eq!((explanation.part, explanation.messages), ("none", [1, 2]));
        assert!(explanation.difference.is_none());
    }
}
