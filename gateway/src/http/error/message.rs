//! The text and the code of an error for a client: AWS's message in the words that clients recognize, and the fix.
//!
//! Clients show `message` only, so the fix is a part of it. Agents shorten their conversation when an error says that it
//! is too long: OpenAI's clients look for the code `context_length_exceeded`, Anthropic's for a message that starts with
//! `prompt is too long`. AWS's text stays in the message.

use bedrock::{Class, ServiceError};

use super::GatewayError;

/// OpenAI's code for a conversation that is longer than the context window.
pub(crate) const CONTEXT_EXCEEDED: &str = "context_length_exceeded";
/// The start of Anthropic's message for it.
const PROMPT_TOO_LONG: &str = "prompt is too long";

/// Parts of messages about a conversation that is too long, in lower case; each rule needs all of its parts.
///
/// Sources: Bedrock's errors as other projects report them
/// (<https://github.com/strands-agents/harness-sdk/issues/3969>,
/// <https://github.com/strands-agents/harness-sdk/pull/1663>, <https://github.com/stdapi-ai/stdapi.ai/issues/293>).
const OVERFLOWS: &[&[&str]] = &[
    &["input is too long"],
    &[PROMPT_TOO_LONG],
    &["exceed context limit"],
    &["too many total text bytes"],
    &["maximum context length"],
    &["maximum context window"],
    &["exceeds the context window"],
    &["exceeds the model's context"],
    &["exceeds the maximum number of tokens"],
    &["too many input tokens"],
    &["input tokens exceed"],
    &["input token count", "exceed"],
    &["context_length_exceeded"],
    &["expected maxlength", "#/prompt"],
    &["expected maxlength", "#/inputtext"],
];

/// Whether AWS rejected a conversation because it is longer than the context window.
fn is_overflow(error: &ServiceError) -> bool {
    let about_quota = matches!(
        error.class(),
        Class::Throttled | Class::Quota | Class::AccessDenied
    );
    !about_quota && says_overflow(&error.message)
}

/// Whether a message says that a conversation is longer than the context window.
pub(crate) fn says_overflow(message: &str) -> bool {
    let message = message.to_lowercase();
    let says = |parts: &&[&str]| parts.iter().all(|part| message.contains(part));
    OVERFLOWS.iter().any(says)
}

impl GatewayError {
    /// Whether the conversation is longer than the context window.
    pub(super) fn is_context_overflow(&self) -> bool {
        matches!(self, Self::Service(refusal) if is_overflow(&refusal.error))
    }

    /// The text without a fix.
    fn text(&self) -> String {
        match self {
            Self::Service(refusal) => refusal.error.message.clone(),
            other => other.client_message(),
        }
    }

    /// The text with the fix, if known.
    pub(super) fn message(&self) -> String {
        with_hint(&self.text(), self.hint().as_deref())
    }

    /// The same in Anthropic's words.
    pub(super) fn anthropic_message(&self) -> String {
        let text = self.text();
        let hint = self.hint();
        if !self.is_context_overflow() {
            return with_hint(&text, hint.as_deref());
        }
        let text = match text.to_lowercase().find(PROMPT_TOO_LONG) {
            Some(0) => text,
            // Bedrock puts the model's message, which has the numbers, behind its own words.
            Some(start) => match text.get(start..) {
                Some(tail) => format!("{tail} ({text})"),
                None => format!("{PROMPT_TOO_LONG}: {text}"),
            },
            None => format!("{PROMPT_TOO_LONG}: {text}"),
        };
        with_hint(&text, hint.as_deref())
    }
}

/// A message with the fix after it.
pub(crate) fn with_hint(message: &str, hint: Option<&str>) -> String {
    match hint {
        None => message.to_owned(),
        Some(hint) if message.ends_with(['.', '!', '?', ')']) => format!("{message} {hint}"),
        Some(hint) => format!("{message}. {hint}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::service;
    use super::*;

    const OVERFLOWS_OF_AWS: [(&str, u16, &str); 7] = [
        (
            "ValidationException",
            400,
            "Input is too long for requested model.",
        ),
        (
            "ValidationException",
            400,
            "The model returned the following errors: prompt is too long: 903884 tokens > 200000 maximum",
        ),
        (
            "ValidationException",
            400,
            "The model returned the following errors: input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000",
        ),
        (
            "ModelStreamErrorException",
            424,
            "Mantle streaming error for requestId 1: \"This model's maximum context length is 202752 tokens. However, you requested 65536 output tokens\"",
        ),
        (
            "ValidationException",
            400,
            "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        ),
        (
            "ValidationException",
            400,
            "Malformed input request: #/prompt: expected maxLength: 42000, actual: 50000, please reformat your input and try again.",
        ),
        (
            "invalid_request_error",
            400,
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
        ),
    ];

    #[test]
    fn clients_recognize_a_conversation_that_is_too_long() {
        for (name, status, text) in OVERFLOWS_OF_AWS {
            let error = service(name, status, text);
            let body: Value = serde_json::from_slice(&error.body("r").to_vec()).unwrap();
            assert_eq!(error.status(), 400, "{text}");
            assert_eq!(body["error"]["code"], CONTEXT_EXCEEDED, "{text}");
            assert_eq!(body["error"]["type"], "invalid_request_error");
            assert!(body["error"]["message"].as_str().unwrap().starts_with(text));
            let body: Value = serde_json::from_slice(&error.anthropic("r").to_vec()).unwrap();
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("prompt is too long: "), "{message}");
            assert!(message.contains(text), "{message}");
            assert_eq!(body["error"]["type"], "invalid_request_error");
            assert_eq!(error.anthropic("r").status, 400);
        }
        let claude = service("ValidationException", 400, OVERFLOWS_OF_AWS[1].2);
        let message = claude.anthropic("r").message;
        assert!(
            message.starts_with("prompt is too long: 903884 tokens > 200000 maximum ("),
            "{message}"
        );
    }

    #[test]
    fn other_errors_are_no_overflow() {
        for (name, status, text) in [
            (
                "ThrottlingException",
                429,
                "Too many input tokens, please wait before trying again.",
            ),
            (
                "ThrottlingException",
                429,
                "Too many tokens per day, please wait before trying again.",
            ),
            (
                "ValidationException",
                400,
                "The maximum tokens you requested exceeds the model limit of 8192.",
            ),
            (
                "ValidationException",
                400,
                "Malformed input request: #/tools/0/name: expected maxLength: 64, actual: 70",
            ),
        ] {
            let error = service(name, status, text);
            assert!(!error.is_context_overflow(), "{text}");
            assert_eq!(error.body("r").code.as_deref(), Some(name));
            assert!(error.anthropic("r").message.starts_with(text));
        }
    }

    #[test]
    fn the_fix_follows_awss_message() {
        let error = service("ThrottlingException", 429, "Slow down");
        let hint = error.hint().unwrap();
        assert_eq!(error.body("r").message, format!("Slow down. {hint}"));
        assert_eq!(error.anthropic("r").message, format!("Slow down. {hint}"));
        assert_eq!(with_hint("Done.", Some("Fix it.")), "Done. Fix it.");
        assert_eq!(with_hint("done", None), "done");
    }
}
