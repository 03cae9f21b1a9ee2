//! The fields of a Responses request. Their notes appear in the documentation, in warnings and in errors.

use crate::{
    families::{BedrockApi, BedrockApis, ModelCapabilities},
    translation::{
        fields::{Field, FieldDescription, FieldRule, Fields, SUPPORTED, Support},
        openai_shapes::fields::{
            NO_LOG_PROBABILITIES, effort, parallel, response_format, supported_if, thinking,
            tool_choice, tools, top_k,
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
        "a string, or items: messages, reasoning, calls of functions, custom tools and the client's tool search, their outputs, `additional_tools`; unknown items without content are dropped with a warning, other items are rejected",
    ),
    Field::new(
        "instructions",
        SUPPORTED,
        "\"be brief\"",
        "the start of `system`",
    ),
    Field::new("stream", SUPPORTED, "true", "server-sent events"),
    Field::new(
        "stream_options",
        SUPPORTED,
        r#"{"include_obfuscation":false}"#,
        "Bedrock pads its events anyway",
    ),
    Field::new(
        "store",
        FieldRule::ByFamily(|_| Support::Mapped("reported as `false`")),
        "true",
        "nothing is stored; gives a warning unless `false`",
    ),
    Field::new(
        "include",
        SUPPORTED,
        r#"["reasoning.encrypted_content"]"#,
        "`reasoning.encrypted_content` is always included; `message.output_text.logprobs` is rejected, other values are dropped",
    ),
    Field::new(
        "max_output_tokens",
        SUPPORTED,
        "64",
        "`inferenceConfig.maxTokens`, lowered to the family's maximum; a thinking budget is added",
    ),
    Field::new(
        "temperature",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.temperature)),
        "0.5",
        "0–2; values above 1 are lowered to 1 with a warning",
    ),
    Field::new(
        "top_p",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.top_p)),
        "0.5",
        "0–1; dropped if `temperature` is set and the family supports only one of them",
    ),
    Field::new(
        "top_k",
        FieldRule::ByFamily(top_k),
        "5",
        "not in OpenAI's API, but common",
    ),
    Field::new(
        "stop",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.stop_max > 0)),
        "[\"END\"]",
        "not in OpenAI's Responses API: `inferenceConfig.stopSequences`",
    ),
    Field::new(
        "tools",
        FieldRule::ByFamily(tools),
        r#"[{"type":"function","name":"f"}]"#,
        "functions, custom tools as functions with one string argument, namespaces as functions with a joined name, a tool search that the client runs; `file_search`, `mcp`, `computer`, `shell`, `local_shell` and `apply_patch` are rejected, other tools are dropped with a warning",
    ),
    Field::new(
        "tool_choice",
        FieldRule::ByFamily(tool_choice),
        "\"required\"",
        "`auto`, `none`, `required`, a function or a custom tool, also with `namespace`, `allowed_tools`; a tool that OpenAI runs is rejected",
    ),
    Field::new(
        "parallel_tool_calls",
        FieldRule::ByFamily(parallel),
        "false",
        "`false` limits the model to one call per turn",
    ),
    Field::new(
        "text",
        FieldRule::ByFamily(response_format),
        r#"{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{}}}}"#,
        "`format`: `json_schema` native, by a tool, or by instructions, `json_object` by instructions; `verbosity` is dropped",
    ),
    Field::new(
        "reasoning",
        FieldRule::ByFamily(effort),
        r#"{"effort":"high"}"#,
        "`effort`: `none` to `max`, mapped to the family's values; with `summary` the reasoning is returned as a summary, otherwise as `reasoning_text`",
    ),
    Field::new(
        "thinking",
        FieldRule::ByFamily(thinking),
        r#"{"type":"enabled","budget_tokens":2048}"#,
        "not in OpenAI's API: a thinking budget, as in Anthropic's API",
    ),
    Field::new(
        "cache_control",
        SUPPORTED,
        r#"{"type":"ephemeral"}"#,
        "not in OpenAI's API: automatic cache points, if the family supports caching; also on parts and tools",
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
        "`serviceTier`: `default`, `priority`, `flex`, `reserved`; `auto` omits it",
    ),
    Field::new(
        "performanceConfig",
        SUPPORTED,
        r#"{"latency":"optimized"}"#,
        "not in OpenAI's API: Bedrock's latency option",
    ),
    Field::new(
        "guardrailConfig",
        SUPPORTED,
        r#"{"guardrailIdentifier":"g","guardrailVersion":"1"}"#,
        "not in OpenAI's API: a Bedrock guardrail; a guardrail forced by the gateway takes precedence",
    ),
    Field::new(
        "extra_body",
        SUPPORTED,
        r#"{"k":1}"#,
        "not in OpenAI's API: becomes `additionalModelRequestFields`, unchanged",
    ),
    Field::new(
        "additionalModelRequestFields",
        SUPPORTED,
        r#"{"k":1}"#,
        "not in OpenAI's API: becomes `additionalModelRequestFields`, unchanged",
    ),
    Field::new(
        "previous_response_id",
        FieldRule::Rejected,
        "\"resp_1\"",
        "nothing is stored, so the earlier response is unknown; send the whole conversation in input",
    ),
    Field::new(
        "conversation",
        FieldRule::Rejected,
        "\"conv_1\"",
        "nothing is stored, so the conversation is unknown; send all of it in input",
    ),
    Field::new(
        "background",
        FieldRule::Rejected,
        "true",
        "nothing is stored, so the response could not be fetched later; use stream",
    )
    .except(&["false"]),
    Field::new(
        "prompt",
        FieldRule::Rejected,
        r#"{"id":"pmpt_1"}"#,
        "prompts stored at OpenAI are not available; send instructions and input",
    ),
    Field::new(
        "top_logprobs",
        FieldRule::Rejected,
        "3",
        NO_LOG_PROBABILITIES,
    )
    .except(&["0"]),
    Field::new(
        "moderation",
        FieldRule::Rejected,
        r#"{"model":"m"}"#,
        "not supported by Bedrock; use guardrailConfig",
    )
    .except(&["{}"]),
    Field::new(
        "truncation",
        FieldRule::Dropped,
        "\"auto\"",
        "Bedrock rejects conversations that do not fit and does not truncate them",
    )
    .except(&["\"disabled\""]),
    Field::new(
        "max_tool_calls",
        FieldRule::Dropped,
        "3",
        "applies only to tools that OpenAI runs",
    ),
    Field::new(
        "prompt_cache_key",
        FieldRule::Dropped,
        "\"k\"",
        "Bedrock matches cached prompts by their content (use cache_control, or automaticCache in the configuration)",
    ),
    Field::new(
        "prompt_cache_retention",
        FieldRule::Dropped,
        "\"24h\"",
        "not supported by Bedrock (use cache_control.ttl)",
    ),
    Field::new(
        "context_management",
        FieldRule::Dropped,
        r#"[{"type":"compaction"}]"#,
        "not supported by Bedrock",
    )
    .except(&["[]"]),
]);

/// The field table of Responses for the documentation, as Markdown.
pub fn field_table() -> String {
    let by_converse =
        FIELDS.markdown(|capabilities| BedrockApis::by_converse(capabilities.apis.responses));
    let changed = "`model`, and in `tools`, `tool_choice` and `input` what Bedrock's endpoints reject (custom tools, \
                   reserved or unsupported namespaces, items of Codex)";
    by_converse + &FIELDS.forwarded(is_forwarded, changed)
}

/// Whether Bedrock serves a model in this protocol.
fn is_forwarded(capabilities: &ModelCapabilities) -> bool {
    let api = capabilities.apis.responses;
    api.is_some_and(|api| api != BedrockApi::Converse)
}

/// The fields of Responses, for a description of the API.
pub fn field_descriptions() -> Vec<FieldDescription> {
    FIELDS.descriptions(|capabilities| BedrockApis::by_converse(capabilities.apis.responses))
}

/// The name of a field of this dialect.
pub(crate) fn known_field(name: &str) -> Option<&'static str> {
    FIELDS.known(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        families::FamilyTable,
        responses::{adapt, decode},
        translation::DecodeOptions,
    };

    /// How decoding handles a field with an effect.
    fn observed(field: &Field, capabilities: &ModelCapabilities) -> Support {
        let mut body = serde_json::json!({"model": "m", "input": "hi", "store": false});
        // A tool choice requires tools.
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
                    of_field && what.ends_with("; dropped")
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
    fn every_field_is_forwarded_to_families_with_this_protocol() {
        for capabilities in FamilyTable::builtin().families() {
            if !is_forwarded(&capabilities) {
                continue;
            }
            for field in FIELDS.0.iter().filter(|field| field.name() != "model") {
                let sample: serde_json::Value = serde_json::from_str(field.sample()).unwrap();
                let body = serde_json::json!({"model": "m", field.name(): sample}).to_string();
                let sent = adapt(body.as_bytes(), "up", &capabilities, true).unwrap();
                let expected = body.replacen("\"m\"", "\"up\"", 1);
                assert_eq!(String::from_utf8(sent.body).unwrap(), expected);
            }
        }
    }

    #[test]
    fn table_matches_decoding_for_every_field_and_family() {
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
    fn strict_mode_rejects_exactly_the_fields_that_would_be_dropped() {
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
            "OpenAI's default is accepted"
        );
    }
}
