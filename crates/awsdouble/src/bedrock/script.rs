//! The script language: lines of the last user text that begin with `@` tell the double how to answer.
//! The crate's README is its reference.

use std::time::Duration;

use serde_json::{Map, Value};

/// A tool call that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolCall {
    pub(super) name: String,
    pub(super) input: Value,
}

/// What is to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Error {
        code: String,
        message: String,
        empty_body: bool,
    },
    Exception {
        after: usize,
        code: String,
        message: String,
    },
    Cut {
        after: usize,
    },
    End {
        after: usize,
    },
    Stall {
        after: usize,
    },
    Hang,
}

/// A parsed script and the text that is left.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a directive of its own"
)]
pub(super) struct Script {
    /// The text without directive lines.
    pub(super) text: String,
    pub(super) say: Option<String>,
    pub(super) show: bool,
    pub(super) tools: Vec<ToolCall>,
    pub(super) reasoning: Option<String>,
    pub(super) redacted: bool,
    pub(super) signature_only: bool,
    pub(super) unsigned: bool,
    pub(super) stop: Option<String>,
    pub(super) first: Duration,
    pub(super) slow: Duration,
    pub(super) usage: Map<String, Value>,
    pub(super) metadata_first: bool,
    pub(super) unknown_event: bool,
    pub(super) split: Option<usize>,
    pub(super) coalesce: bool,
    pub(super) tokens_per_event: usize,
    pub(super) trouble: Option<Trouble>,
}

impl Script {
    /// Parses the last user text; `Err` tells what is wrong with a directive.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self {
            tokens_per_event: 1,
            ..Self::default()
        };
        let mut kept = Vec::new();
        for line in text.lines() {
            if !script.directive(line.trim())? {
                kept.push(line);
            }
        }
        kept.join("\n").trim().clone_into(&mut script.text);
        Ok(script)
    }

    /// Takes one line; false if it is ordinary text.
    fn directive(&mut self, line: &str) -> Result<bool, String> {
        let Some(line_without_at) = line.strip_prefix('@') else {
            return Ok(false);
        };
        let (name, rest) = line_without_at
            .split_once(' ')
            .unwrap_or((line_without_at, ""));
        let rest = rest.trim();
        match name {
            "say" => self.say = Some(rest.replace("\\n", "\n")),
            "repeat" => {
                let (count, word) = rest.split_once(' ').unwrap_or((rest, "word "));
                self.say = Some(word.repeat(number(name, count)?.min(4_000_000)));
            }
            "show" => self.show = true,
            "json" => self.say = Some(rest.to_owned()),
            "tool" => {
                let (tool, input) = rest.split_once(' ').unwrap_or((rest, "{}"));
                self.tools.push(ToolCall {
                    name: tool.to_owned(),
                    input: json(name, input)?,
                });
            }
            "tools" => {
                let Value::Array(list) = json(name, rest)? else {
                    return Err("@tools needs a list of {\"name\", \"input\"}".to_owned());
                };
                for one in list {
                    let tool = one.get("name").and_then(Value::as_str).unwrap_or_default();
                    let input = one
                        .get("input")
                        .cloned()
                        .unwrap_or_else(|| Map::new().into());
                    self.tools.push(ToolCall {
                        name: tool.to_owned(),
                        input,
                    });
                }
            }
            "reason" => self.reasoning = Some(rest.to_owned()),
            "reason-signature-only" => self.signature_only = true,
            "reason-unsigned" => {
                self.reasoning = Some(rest.to_owned());
                self.unsigned = true;
            }
            "reason-redacted" => self.redacted = true,
            "stop" => self.stop = Some(rest.to_owned()),
            "first" => self.first = duration(name, rest)?,
            "slow" => self.slow = duration(name, rest)?,
            "usage" => match json(name, rest)? {
                Value::Object(usage) => self.usage = usage,
                _ => return Err("@usage needs an object".to_owned()),
            },
            "metadata-first" => self.metadata_first = true,
            "unknown-event" => self.unknown_event = true,
            "split" => self.split = Some(number(name, rest)?.max(1)),
            "coalesce" => self.coalesce = true,
            "chunk" => self.tokens_per_event = number(name, rest)?.max(1),
            "error" | "error-empty" => {
                let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
                self.trouble = Some(Trouble::Error {
                    code: code.to_owned(),
                    message: message.to_owned(),
                    empty_body: name == "error-empty",
                });
            }
            "midstream-exception" => {
                let (code, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (after, message) = match rest.split_once(' ') {
                    Some((count, message)) if count.parse::<usize>().is_ok() => (count, message),
                    None if rest.parse::<usize>().is_ok() => (rest, ""),
                    _ => ("3", rest),
                };
                self.trouble = Some(Trouble::Exception {
                    after: number(name, after)?,
                    code: code.to_owned(),
                    message: message.to_owned(),
                });
            }
            "cut" => {
                self.trouble = Some(Trouble::Cut {
                    after: count_or(name, rest, 3)?,
                });
            }
            "end" => {
                self.trouble = Some(Trouble::End {
                    after: count_or(name, rest, 3)?,
                });
            }
            "stall" => {
                self.trouble = Some(Trouble::Stall {
                    after: count_or(name, rest, 3)?,
                });
            }
            "hang" => self.trouble = Some(Trouble::Hang),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn json(directive: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("@{directive}: {error}"))
}

fn number(directive: &str, text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("@{directive} needs a number, not '{text}'"))
}

fn count_or(directive: &str, text: &str, default: usize) -> Result<usize, String> {
    if text.is_empty() {
        Ok(default)
    } else {
        number(directive, text)
    }
}

/// `50ms`, `2s` or milliseconds without a unit.
fn duration(directive: &str, text: &str) -> Result<Duration, String> {
    let (digits, scale) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1000)
    } else {
        (text, 1)
    };
    let count: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("@{directive} needs a time such as 50ms, not '{text}'"))?;
    Ok(Duration::from_millis(count.saturating_mul(scale)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn directives_are_taken_out_of_the_text() {
        let script = Script::parse(
            "Hello\n@tool get_weather {\"city\":\"Paris\"}\n@slow 50ms\nworld\n@nobody knows",
        )
        .expect("a script");
        assert_eq!(script.text, "Hello\nworld\n@nobody knows");
        assert_eq!(script.slow, Duration::from_millis(50));
        assert_eq!(
            script.tools,
            [ToolCall {
                name: "get_weather".to_owned(),
                input: json!({"city": "Paris"})
            }]
        );
    }

    #[test]
    fn exceptions_take_an_optional_count_and_text() {
        let rows = [
            ("@midstream-exception throttlingException", 3, ""),
            ("@midstream-exception throttlingException 1", 1, ""),
            (
                "@midstream-exception throttlingException 0 slow down",
                0,
                "slow down",
            ),
            (
                "@midstream-exception throttlingException slow down",
                3,
                "slow down",
            ),
        ];
        for (text, after, message) in rows {
            let expected = Trouble::Exception {
                after,
                code: "throttlingException".to_owned(),
                message: message.to_owned(),
            };
            assert_eq!(
                Script::parse(text).expect(text).trouble,
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_directive_names_itself() {
        assert_eq!(
            Script::parse("@slow x").expect_err("no time"),
            "@slow needs a time such as 50ms, not 'x'"
        );
        assert!(
            Script::parse("@tool a {")
                .expect_err("no JSON")
                .starts_with("@tool: ")
        );
    }
}
