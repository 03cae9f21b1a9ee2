//! Every field of a Responses request and what becomes of it, as data.

use crate::{
    families::BedrockApis,
    translation::{
        fields::{Field, FieldRule, Fields, SUPPORTED, Support},
        openai_shapes::fields::{
            effort, parallel, response_format, supported_if, thinking, tool_choice, tools, top_k,
        },
    },
};

/// The fields of Responses.
pub(super) const FIELDS: Fields = Fields(&[
    Field::new(
        "model",
        SUPPORTED,
        "\"m\"",
        "an alias, a model id, a profile or an ARN",
    ),
    Field::new(
        "input",
        SUPPORTED,
        "\"hi\"",
        "a string, or items: messages, reasoning, calls of functions and custom tools, their outputs; `item_reference` is refused",
    ),
    Field::new(
        "instructions",
        SUPPORTED,
        "\"be brief\"",
        "the first words of `system`",
    ),
    Field::new("stream", SUPPORTED, "true", "server-sent events"),
    Field::new(
        "stream_options",
        SUPPORTED,
        r#"{"include_obfuscation":false}"#,
        "Bedrock pads its events itself",
    ),
    Field::new(
        "store",
        FieldRule::ByFamily(|_| Support::Mapped("reported as `false`")),
        "true",
        "nothing is stored; a warning says so unless it is `false`",
    ),
    Field::new(
        "include",
        SUPPORTED,
        r#"["reasoning.encrypted_content"]"#,
        "`reasoning.encrypted_content` is always given out; other values are dropped",
    ),
    Field::new(
        "max_output_tokens",
        SUPPORTED,
        "64",
        "`inferenceConfig.maxTokens`; a thinking budget comes on top",
    ),
    Field::new(
        "temperature",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.temperature)),
        "0.5",
        "0–2; above 1 it is lowered to 1 with a warning",
    ),
    Field::new(
        "top_p",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.top_p)),
        "0.5",
        "0–1; dropped beside `temperature` where the family takes only one of them",
    ),
    Field::new(
        "top_k",
        FieldRule::ByFamily(top_k),
        "5",
        "not OpenAI's, but common",
    ),
    Field::new(
        "stop",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.stop_max > 0)),
        "[\"END\"]",
        "not of this endpoint: `inferenceConfig.stopSequences`",
    ),
    Field::new(
        "tools",
        FieldRule::ByFamily(tools),
        r#"[{"type":"function","name":"f"}]"#,
        "functions, and custom tools as functions of one string; tools that OpenAI runs are dropped by name",
    ),
    Field::new(
        "tool_choice",
        FieldRule::ByFamily(tool_choice),
        "\"required\"",
        "`auto`, `none`, `required`, a function, a custom tool, `allowed_tools`; a tool that OpenAI runs is refused",
    ),
    Field::new(
        "parallel_tool_calls",
        FieldRule::ByFamily(parallel),
        "false",
        "`false` keeps the model to one call a turn",
    ),
    Field::new(
        "text",
        FieldRule::ByFamily(response_format),
        r#"{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{}}}}"#,
        "`format`: `json_schema` natively, by a tool, or by instructions, `json_object` by instructions; `verbosity` is dropped",
    ),
    Field::new(
        "reasoning",
        FieldRule::ByFamily(effort),
        r#"{"effort":"high"}"#,
        "`effort`: `none` to `max`, in the family's own words; with `summary` the reasoning is shown as a summary, else as `reasoning_text`",
    ),
    Field::new(
        "thinking",
        FieldRule::ByFamily(thinking),
        r#"{"type":"enabled","budget_tokens":2048}"#,
        "not OpenAI's: a budget of tokens, as clients of Claude send it",
    ),
    Field::new(
        "cache_control",
        SUPPORTED,
        r#"{"type":"ephemeral"}"#,
        "not OpenAI's: automatic cache points, where the family caches; also on parts and tools",
    ),
    Field::new(
        "metadata",
        SUPPORTED,
        r#"{"team":"a"}"#,
        "`requestMetadata`, at most 16 pairs",
    ),
    Field::new("user", SUPPORTED, "\"u-1\"", "`requestMetadata.user`"),
    Field::new(
        "safety_identifier",
        SUPPORTED,
        "\"s-1\"",
        "`requestMetadata.safety_identifier`",
    ),
    Field::new(
        "service_tier",
        SUPPORTED,
        "\"flex\"",
        "`serviceTier`: `default`, `priority`, `flex`, `reserved`; `auto` leaves it out",
    ),
    Field::new(
        "performanceConfig",
        SUPPORTED,
        r#"{"latency":"optimized"}"#,
        "not OpenAI's: Bedrock's latency option",
    ),
    Field::new(
        "guardrailConfig",
        SUPPORTED,
        r#"{"guardrailIdentifier":"g","guardrailVersion":"1"}"#,
        "not OpenAI's: a guardrail of Bedrock's; one forced by the gateway wins",
    ),
    Field::new(
        "extra_body",
        SUPPORTED,
        r#"{"k":1}"#,
        "not OpenAI's: goes into `additionalModelRequestFields` as it is",
    ),
    Field::new(
        "additionalModelRequestFields",
        SUPPORTED,
        r#"{"k":1}"#,
        "not OpenAI's: goes into `additionalModelRequestFields` as it is",
    ),
    Field::new(
        "previous_response_id",
        FieldRule::Rejected,
        "\"resp_1\"",
        "nothing is stored, so no earlier response is known; send the whole conversation in input",
    ),
    Field::new(
        "conversation",
        FieldRule::Rejected,
        "\"conv_1\"",
        "nothing is stored, so no conversation is known; send all of it in input",
    ),
    Field::new(
        "background",
        FieldRule::Rejected,
        "true",
        "nothing is stored, so there would be nothing to fetch later; use stream",
    )
    .but(&["false"]),
    Field::new(
        "prompt",
        FieldRule::Rejected,
        r#"{"id":"pmpt_1"}"#,
        "prompts stored with OpenAI are not known here; send instructions and input",
    ),
    Field::new(
        "truncation",
        FieldRule::Dropped,
        "\"auto\"",
        "Bedrock refuses what does not fit instead of leaving some of it out",
    )
    .but(&["\"disabled\""]),
    Field::new(
        "max_tool_calls",
        FieldRule::Dropped,
        "3",
        "it limits tools that OpenAI runs, and there are none here",
    ),
    Field::new(
        "top_logprobs",
        FieldRule::Dropped,
        "3",
        "Converse gives no probabilities",
    )
    .but(&["0"]),
    Field::new(
        "prompt_cache_key",
        FieldRule::Dropped,
        "\"k\"",
        "Bedrock finds cached prompts by their content; see cache_control",
    ),
    Field::new(
        "prompt_cache_retention",
        FieldRule::Dropped,
        "\"24h\"",
        "see cache_control.ttl",
    ),
    Field::new(
        "context_management",
        FieldRule::Dropped,
        r#"[{"type":"compaction"}]"#,
        "Bedrock keeps the conversation as it is sent",
    )
    .but(&["[]"]),
    Field::new(
        "moderation",
        FieldRule::Dropped,
        "{}",
        "see guardrailConfig",
    ),
]);

/// The table for the documentation, as Markdown.
pub fn field_table() -> String {
    FIELDS.markdown(|capabilities| BedrockApis::by_converse(capabilities.apis.responses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        families::{FamilyTable, ModelCapabilities},
        responses::decode,
        translation::DecodeOptions,
    };

    /// What decoding does with a field that asks for something.
    fn observed(field: &Field, capabilities: &ModelCapabilities) -> Support {
        let mut body = serde_json::json!({"model": "m", "input": "hi", "store": false});
        // A choice needs tools to choose from.
        if matches!(field.name(), "tool_choice" | "parallel_tool_calls")
            && capabilities.tools.supported
        {
            body["tools"] = serde_json::json!([{"type": "function", "name": "f"}]);
        }
        body[field.name()] = serde_json::from_str(field.sample()).unwrap();
        match decode(
            body.to_string().as_bytes(),
            &DecodeOptions::new(capabilities),
        ) {
            Err(error) => {
                assert_eq!(error.param.as_deref(), Some(field.name()), "{error:?}");
                Support::Rejected
            }
            Ok(decoded) => {
                let dropped = decoded.warnings.iter().any(|warning| {
                    let (param, what) = warning.split_once(": ").unwrap();
                    let of_field = param.split('.').next() == Some(field.name());
                    of_field && what.starts_with("dropped")
                });
                if dropped {
                    Support::Dropped
                } else {
                    Support::Supported
                }
            }
        }
    }

    #[test]
    fn every_field_fares_with_every_family_as_the_table_says() {
        for capabilities in FamilyTable::builtin().families() {
            if !BedrockApis::by_converse(capabilities.apis.responses) {
                continue;
            }
            for field in FIELDS.0 {
                let expected = match field.support(&capabilities) {
                    Support::Mapped(_) => Support::Supported,
                    support => support,
                };
                let (name, family) = (field.name(), &capabilities.family);
                assert_eq!(
                    observed(field, &capabilities),
                    expected,
                    "{name} with {family}"
                );
            }
        }
    }

    #[test]
    fn strict_mode_refuses_exactly_what_would_be_dropped() {
        let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
        let mut options = DecodeOptions::new(&capabilities);
        options.strict = true;
        let body = |name: &str, value: &str| format!(r#"{{"input":"hi","{name}":{value}}}"#);
        for field in FIELDS.0 {
            let name = field.name();
            let fine = body(name, field.sample());
            let result = decode(fine.as_bytes(), &options);
            if field.is_dropped() {
                assert_eq!(result.unwrap_err().param.as_deref(), Some(name));
            }
            for harmless in field.harmless() {
                let body = body(name, harmless);
                assert!(decode(body.as_bytes(), &options).is_ok(), "{body}");
            }
        }
        assert!(
            decode(br#"{"input":"hi"}"#, &options).is_ok(),
            "a client's default is no wish"
        );
    }
}
