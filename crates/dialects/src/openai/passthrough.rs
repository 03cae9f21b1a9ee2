//! Chat Completions for models that Bedrock serves in this protocol: requests and responses pass through unchanged.
//!
//! Only three things change: the model, which has different names for clients and Bedrock, the indexes of streamed
//! tool calls, which Bedrock does not count from zero, and the reasoning of gpt-oss, which Bedrock returns in the text.
//! Fields of Converse are rejected, because Bedrock's endpoint does not support them.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html>

mod reasoning;
mod stream;

use bedrock::converse::{BilledTier, TokenUsage};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::translation::{
    RequestError,
    head::{Replaced, model_of, utf8},
    json::members,
};
pub use stream::PassthroughStream;

/// A request for Bedrock's OpenAI endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassthroughRequest {
    /// Where the client's body gets Bedrock's name of the model.
    pub model: Replaced,
    /// Whether the client requests a stream.
    pub stream: bool,
}

/// Fields of Converse and of this gateway that OpenAI's API does not have.
#[derive(Deserialize)]
struct ConverseFields<'a> {
    /// Where it is, so that the body is parsed once.
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
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

/// The model as it is written, and whether the client requests a stream. `None` for a body that only serde can judge: with an error, a
/// duplicate, an escape in a name, or a field of [`ConverseFields`].
fn read(body: &str) -> Option<(&str, bool)> {
    let (mut model, mut stream) = (None, None);
    members(body, |name, value| match name {
        "model" => model.replace(value).is_none().then_some(()),
        "stream" => {
            let is_stream = match value {
                "true" => true,
                "false" | "null" => false,
                _ => return None,
            };
            stream.replace(is_stream).is_none().then_some(())
        }
        "thinking"
        | "cache_control"
        | "performanceConfig"
        | "guardrailConfig"
        | "extra_body"
        | "additionalModelRequestFields" => None,
        name => (!name.contains('\\')).then_some(()),
    })?;
    Some((model?, stream.unwrap_or(false)))
}

/// Translates a request for Bedrock's endpoint; `model` is Bedrock's name of the model.
///
/// # Errors
/// A 400 that names a field that the endpoint does not support.
pub fn passthrough(body: &[u8], model: &str) -> Result<PassthroughRequest, RequestError> {
    let text = utf8(body)?;
    if let Some((found, stream)) = read(text) {
        let model = Replaced::new(body, found, model)?;
        return Ok(PassthroughRequest { model, stream });
    }
    let given: ConverseFields<'_> =
        serde_json::from_str(text).map_err(|error| RequestError::not_json(&error))?;
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
                "not supported by Bedrock's Chat Completions API, which serves this model; \
                 use a target with `api: Converse`",
            ));
        }
    }
    let found = match given.model {
        Some(found) => found.get(),
        None => model_of(text)?,
    };
    Ok(PassthroughRequest {
        model: Replaced::new(body, found, model)?,
        stream: given.stream.unwrap_or(false),
    })
}

/// Bedrock's response with the reasoning in its own member, for families that return it in the text
/// (`reasoning.tags`); all other bytes are unchanged. `None` if no text has reasoning.
pub fn with_lifted_reasoning(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow)]
        message: Message<'a>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    // Reasoning is at the start of a text, whose first character may be an escape.
    let may_begin = |literal: &[u8]| memmem::find(body, literal).is_some();
    if !may_begin(b"\"<") && !may_begin(br#""\u"#) {
        return None;
    }
    let mut out = Vec::new();
    let mut at: usize = 0;
    let response: Response<'_> = serde_json::from_slice(body).ok()?;
    let contents = response
        .choices
        .iter()
        .filter_map(|choice| choice.message.content);
    for content in contents {
        let Ok(text) = serde_json::from_str::<String>(content.get()) else {
            continue;
        };
        let mut lift = reasoning::Lift::default();
        let mut lifted = lift.push(&text);
        lifted.extend(&lift.finish());
        if lifted.content == text {
            continue;
        }
        // The raw value borrows from the body, so its address gives its position.
        let raw = content.get().as_bytes();
        let start = raw.as_ptr().addr().saturating_sub(body.as_ptr().addr());
        out.extend_from_slice(body.get(at..start).unwrap_or_default());
        out.extend_from_slice(lifted.value().as_bytes());
        at = start.saturating_add(raw.len());
    }
    if at == 0 {
        return None;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    Some(out)
}

/// Token counts of a whole response.
pub fn usage_of(body: &[u8]) -> Option<TokenUsage> {
    #[derive(Deserialize)]
    struct Response {
        usage: Option<Usage>,
        service_tier: Option<BilledTier>,
    }
    let response: Response = serde_json::from_slice(body).ok()?;
    let usage = TokenUsage::from(response.usage?);
    Some(usage.in_tier(response.service_tier))
}

/// Token counts as OpenAI reports them.
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
            reasoning_tokens: usage
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::translation::with_client_model;

    #[test]
    fn request_is_unchanged_except_for_the_model() {
        let body = |model: &str| {
            format!(
                "{{ \"messages\":[{{\"role\":\"user\",\"content\":\"h\\u0069\"}}],\"model\" : {model} ,\"seed\":1.0,\"logit_bias\":{{\"7\":-1}},\"stream\":true }}"
            )
        };
        let given = body("\"fa\\u0073t\"");
        let native = passthrough(given.as_bytes(), "openai.gpt-oss-20b-1:0").unwrap();
        assert_eq!(
            String::from_utf8(native.model.applied(given.as_bytes())).unwrap(),
            body("\"openai.gpt-oss-20b-1:0\"")
        );
        assert!(native.stream);
    }

    #[test]
    fn rejects_fields_of_converse_by_name() {
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
            assert!(error.message.contains("api: Converse"), "{error:?}");
            assert!(passthrough(body("null").as_bytes(), "m").is_ok(), "{field}");
        }
    }

    #[test]
    fn response_gets_the_clients_model_name_and_usage_is_read() {
        let response = r#"{"id":"chatcmpl-1","model":"openai.gpt-oss-20b-1:0","choices":[{"message":{"content":"{\"model\":\"x\"}"}}],"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}}"#;
        assert_eq!(
            String::from_utf8(with_client_model(response.as_bytes(), "fast")).unwrap(),
            response.replace("openai.gpt-oss-20b-1:0", "fast")
        );
        let usage = usage_of(response.as_bytes()).unwrap();
        assert_eq!((usage.input_tokens, usage.cache_read_input_tokens), (7, 3));
        assert_eq!((usage.output_tokens, usage.total_tokens), (4, 14));
        assert_eq!(usage.reasoning_tokens, Some(2));
        assert_eq!(with_client_model(b"not JSON", "fast"), b"not JSON");
        assert!(usage_of(br#"{"usage":null}"#).is_none());
    }

    #[test]
    fn reasoning_in_the_text_gets_its_own_member() {
        let response = r#"{"id":"1", "choices":[{"index":0,"message":{"role":"assistant","content": "<reasoning>Hm \u003c</reasoning>Hi","x":1.0}},{"message":{"content":null}},{"message":{"content":"a"}}],"usage":{}}"#;
        assert_eq!(
            String::from_utf8(with_lifted_reasoning(response.as_bytes()).unwrap()).unwrap(),
            response.replace(
                r#""<reasoning>Hm \u003c</reasoning>Hi""#,
                r#""Hi","reasoning_content":"Hm <""#
            )
        );
        let escaped = response.replace("<reasoning>", "\\u003creasoning>");
        assert_eq!(
            with_lifted_reasoning(escaped.as_bytes()),
            with_lifted_reasoning(response.as_bytes())
        );
        assert_eq!(with_lifted_reasoning(b"not JSON"), None);
        let plain = response.replace("<reasoning>", "<b>");
        assert_eq!(with_lifted_reasoning(plain.as_bytes()), None);
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
        fn bytes_around_the_model_are_unchanged(
            before in any_json(), after in any_json(), model in "\\PC{1,12}", target in "[a-z0-9.:-]{1,40}",
        ) {
            let head = format!("{{\"x-before\": {before} ,\t\"model\":");
            let tail = format!(" , \"x-after\":{after}}}");
            let body = format!("{head}{}{tail}", Value::from(model));
            let native = passthrough(body.as_bytes(), &target).unwrap();
            prop_assert_eq!(
                String::from_utf8(native.model.applied(body.as_bytes())).unwrap(),
                format!("{head}{}{tail}", Value::from(target))
            );
        }
    }
}
