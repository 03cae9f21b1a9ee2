//! The script language: lines in the last user text that start with `@` control the response. The crate's README
//! documents the directives.

use std::time::Duration;

use serde_json::{Map, Value};

use super::prompt::pieces;

/// A scripted tool call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolCall {
    pub(super) name: String,
    pub(super) input: Value,
}

/// A scripted fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScriptedFault {
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

/// A parsed script and the remaining text.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate directive"
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
    /// Whether each event has one word, instead of `tokens_per_event`.
    pub(super) by_word: bool,
    pub(super) fault: Option<ScriptedFault>,
}

impl Script {
    /// Parses the last user text.
    ///
    /// # Errors
    /// A message about an invalid directive.
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

    /// Splits a text into the texts of its events.
    pub(super) fn pieces(&self, text: &str) -> Vec<String> {
        if self.by_word {
            return text.split_inclusive(' ').map(str::to_owned).collect();
        }
        pieces(text, self.tokens_per_event)
    }

    /// Parses one line; returns false if it is not a directive.
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
                    return Err("@tools requires a list of {\"name\", \"input\"}".to_owned());
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
                _ => return Err("@usage requires an object".to_owned()),
            },
            "metadata-first" => self.metadata_first = true,
            "unknown-event" => self.unknown_event = true,
            "split" => self.split = Some(number(name, rest)?.max(1)),
            "coalesce" => self.coalesce = true,
            "chunk" => self.tokens_per_event = number(name, rest)?.max(1),
            "error" | "error-empty" => {
                let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
                self.fault = Some(ScriptedFault::Error {
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
                self.fault = Some(ScriptedFault::Exception {
                    after: number(name, after)?,
                    code: code.to_owned(),
                    message: message.to_owned(),
                });
            }
            "cut" => {
                self.fault = Some(ScriptedFault::Cut {
                    after: count_or(name, rest, 3)?,
                });
            }
            "end" => {
                self.fault = Some(ScriptedFault::End {
                    after: count_or(name, rest, 3)?,
                });
            }
            "stall" => {
                self.fault = Some(ScriptedFault::Stall {
                    after: count_or(name, rest, 3)?,
                });
            }
            "hang" => self.fault = Some(ScriptedFault::Hang),
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
        .map_err(|_| format!("@{directive} requires a number, not '{text}'"))
}

fn count_or(directive: &str, text: &str, default: usize) -> Result<usize, String> {
    if text.is_empty() {
        Ok(default)
    } else {
        number(directive, text)
    }
}

/// Parses `50ms`, `2s` or milliseconds without a unit.
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
        .map_err(|_| format!("@{directive} requires a duration such as 50ms, not '{text}'"))?;
    Ok(Duration::from_millis(count.saturating_mul(scale)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn removes_directives_from_the_text() {
        let script = Script::parse(
            "Hello\n@tool get_weather {\"city\":\"Paris\"}\n@slow 50ms\nworld\n@unknown directive",
        )
        .expect("a script");
        assert_eq!(script.text, "Hello\nworld\n@unknown directive");
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
    fn exceptions_have_an_optional_count_and_text() {
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
            let expected = ScriptedFault::Exception {
                after,
                code: "throttlingException".to_owned(),
                message: message.to_owned(),
            };
            assert_eq!(
                Script::parse(text).expect(text).fault,
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_name_the_directive() {
        assert_eq!(
            Script::parse("@slow x").expect_err("not a duration"),
            "@slow requires a duration such as 50ms, not 'x'"
        );
        assert!(
            Script::parse("@tool a {")
                .expect_err("not JSON")
                .starts_with("@tool: ")
        );
    }
}
