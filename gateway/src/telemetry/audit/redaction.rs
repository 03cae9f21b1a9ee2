//! Redaction of prompts: matches of regular expressions in the texts of a body. Pure.
//!
//! The expressions are applied to decoded texts, since JSON can write each character in several ways, and to names of
//! members. A body that is not JSON is redacted as one text.

use regex::Regex;
use serde_json::{Map, Value};

use super::AuditError;

const REPLACEMENT: &str = "[REDACTED]";

/// The rules of a configuration.
#[derive(Debug, Default)]
pub(super) struct Redaction(Vec<Regex>);

impl Redaction {
    /// # Errors
    /// [`AuditError::Pattern`] for the first invalid expression.
    pub(super) fn new(patterns: &[String]) -> Result<Self, AuditError> {
        let compile = |(index, pattern): (usize, &String)| {
            Regex::new(pattern).map_err(|source| AuditError::Pattern { index, source })
        };
        let rules = patterns.iter().enumerate().map(compile);
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }

    /// The body without what the rules match.
    pub(super) fn apply(&self, body: &[u8]) -> Value {
        match serde_json::from_slice(body) {
            Ok(value) => self.value(value),
            Err(_) => Value::String(self.text(String::from_utf8_lossy(body).into_owned())),
        }
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter();
                let redacted = members.map(|(name, value)| (self.text(name), self.value(value)));
                Value::Object(redacted.collect::<Map<_, _>>())
            }
            // A number can be one of a card.
            Value::Number(number) => {
                let text = number.to_string();
                if self.0.iter().any(|rule| rule.is_match(&text)) {
                    Value::String(self.text(text))
                } else {
                    Value::Number(number)
                }
            }
            other => other,
        }
    }

    fn text(&self, text: String) -> String {
        self.0.iter().fold(text, |text, rule| {
            rule.replace_all(&text, REPLACEMENT).into_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redacted(patterns: &[&str], body: &str) -> Value {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Redaction::new(&patterns).unwrap().apply(body.as_bytes())
    }

    #[test]
    fn matches_are_replaced_in_texts_names_and_numbers_however_they_are_written() {
        let email = r"(?i)[\w.]+@[\w.]+";
        let card = r"\b4\d{15}\b";
        for (body, expected) in [
            (
                r#"{"text":"mail ann@example.com now"}"#,
                json!({"text": "mail [REDACTED] now"}),
            ),
            (
                r#"{"text":"ann\u0040example.com"}"#,
                json!({"text": "[REDACTED]"}),
            ),
            (
                r#"[{"ann@example.com":[4111111111111111, 7, true, null]}]"#,
                json!([{"[REDACTED]": ["[REDACTED]", 7, true, null]}]),
            ),
            ("not json: a@b", json!("not json: [REDACTED]")),
            (r#"{"a":"b"}"#, json!({"a": "b"})),
        ] {
            assert_eq!(redacted(&[email, card], body), expected, "{body}");
        }
    }

    #[test]
    fn an_invalid_expression_is_rejected_with_its_index() {
        let patterns = ["a".to_owned(), "(".to_owned()];
        let error = Redaction::new(&patterns).unwrap_err().to_string();
        assert!(error.starts_with("audit.redact[1]: "), "{error}");
    }
}
