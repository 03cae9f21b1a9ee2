//! Chat Completions of models that Bedrock serves in this protocol: the client's bytes go through, and so do
//! Bedrock's.
//!
//! Touched on the way are the name of the model, which clients and Bedrock know under different names, and
//! the numbers of streamed tool calls, which Bedrock does not count from zero. What only Converse takes is
//! refused: Bedrock's endpoint knows nothing of it.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html>

mod stream;

use bedrock::converse::TokenUsage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translation::{RequestError, with_model};
pub use stream::PassthroughStream;

/// A request for Bedrock's own endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassthroughRequest {
    /// The client's, with the model as Bedrock knows it.
    pub body: Vec<u8>,
    /// Whether the client wants a stream.
    pub stream: bool,
}

/// Fields that are words of Converse or of this gateway, none of OpenAI's.
#[derive(Deserialize)]
struct ConverseFields<'a> {
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "performanceConfig")]
    performance: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "guardrailConfig")]
    guardrail: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extra_body: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "additionalModelRequestFields")]
    additional: Option<&'a RawValue>,
}

/// Makes the request that Bedrock's endpoint gets for `model`.
///
/// # Errors
/// A 400 naming the field, where the endpoint has no such field.
pub fn passthrough(body: &[u8], model: &str) -> Result<PassthroughRequest, RequestError> {
    let given: ConverseFields<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    for (field, value) in [
        ("thinking", given.thinking),
        ("cache_control", given.cache_control),
        ("performanceConfig", given.performance),
        ("guardrailConfig", given.guardrail),
        ("extra_body", given.extra_body),
        ("additionalModelRequestFields", given.additional),
    ] {
        if value.is_some() {
            return Err(RequestError::unsupported(
                field,
                "Bedrock serves this model by its own Chat Completions API, which has no such field; \
                 a target with `api: converse` takes it",
            ));
        }
    }
    Ok(PassthroughRequest {
        body: with_model(body, model)?,
        stream: given.stream.unwrap_or(false),
    })
}

/// Bedrock's answer with the model as the client named it; all other bytes stay. An answer that names no
/// model stays as it is.
pub fn with_client_model(body: &[u8], model: &str) -> Vec<u8> {
    with_model(body, model).unwrap_or_else(|_| body.to_vec())
}

/// Token counts of a whole answer.
pub fn usage_of(body: &[u8]) -> Option<TokenUsage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Usage>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer.usage.map(TokenUsage::from)
}

/// Token counts as OpenAI writes them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let cached = usage
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .unwrap_or(0);
        Self {
            input_tokens: usage.prompt_tokens.saturating_sub(cached),
            output_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            cache_read_input_tokens: cached,
            cache_write_input_tokens: 0,
            reasoning_tokens: usage
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn request_keeps_every_byte_but_the_model() {
        let body = |model: &str| {
            format!(
                "{{ \"messages\":[{{\"role\":\"user\",\"content\":\"h\\u0069\"}}],\"model\" : {model} ,\"seed\":1.0,\"logit_bias\":{{\"7\":-1}},\"stream\":true }}"
            )
        };
        let native =
            passthrough(body("\"fa\\u0073t\"").as_bytes(), "openai.gpt-oss-20b-1:0").unwrap();
        assert_eq!(
            String::from_utf8(native.body).unwrap(),
            body("\"openai.gpt-oss-20b-1:0\"")
        );
        assert!(native.stream);
    }

    #[test]
    fn what_only_converse_takes_is_refused_by_name() {
        for field in [
            "thinking",
            "cache_control",
            "performanceConfig",
            "guardrailConfig",
            "extra_body",
            "additionalModelRequestFields",
        ] {
            let body = |value: &str| format!(r#"{{"model":"m","{field}":{value}}}"#);
            let error = passthrough(body("{}").as_bytes(), "m").unwrap_err();
            assert_eq!(error.param.as_deref(), Some(field));
            assert!(error.message.contains("api: converse"), "{error:?}");
            assert!(passthrough(body("null").as_bytes(), "m").is_ok(), "{field}");
        }
    }

    #[test]
    fn answer_gets_the_clients_name_of_the_model_and_its_tokens_are_read() {
        let answer = r#"{"id":"chatcmpl-1","model":"openai.gpt-oss-20b-1:0","choices":[{"message":{"content":"{\"model\":\"x\"}"}}],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}}"#;
        assert_eq!(
            String::from_utf8(with_client_model(answer.as_bytes(), "fast")).unwrap(),
            answer.replace("openai.gpt-oss-20b-1:0", "fast")
        );
        let usage = usage_of(answer.as_bytes()).unwrap();
        assert_eq!((usage.input_tokens, usage.cache_read_input_tokens), (7, 3));
        assert_eq!((usage.output_tokens, usage.total_tokens), (4, 14));
        assert_eq!(usage.reasoning_tokens, Some(2));
        assert_eq!(with_client_model(b"not JSON", "fast"), b"not JSON");
        assert!(usage_of(br#"{"usage":null}"#).is_none());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn bytes_around_the_model_are_the_clients(
            before in any_json(), after in any_json(), model in "\\PC{1,12}", target in "[a-z0-9.:-]{1,40}",
        ) {
            let head = format!("{{\"x-before\": {before} ,\t\"model\":");
            let tail = format!(" , \"x-after\":{after}}}");
            let body = format!("{head}{}{tail}", Value::from(model));
            let native = passthrough(body.as_bytes(), &target).unwrap();
            prop_assert_eq!(
                String::from_utf8(native.body).unwrap(),
                format!("{head}{}{tail}", Value::from(target))
            );
        }
    }
}
