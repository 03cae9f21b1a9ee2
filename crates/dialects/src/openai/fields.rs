//! The fields of a Chat Completions request. Their notes appear in the documentation, in warnings and in errors.

use crate::{
    families::{BedrockApi, BedrockApis, ModelCapabilities},
    translation::{
        fields::{Field, FieldDescription, FieldRule, Fields, SUPPORTED},
        openai_shapes::fields::{
            NO_LOG_PROBABILITIES, effort, parallel, response_format, supported_if, thinking,
            tool_choice, tools, top_k,
        },
    },
};

/// The fields of Chat Completions.
pub(super) const FIELDS: Fields = Fields(&[
    Field::new(
        "model",
        SUPPORTED,
        "\"m\"",
        "an alias, a model id, a profile or an ARN",
    ),
    Field::new(
        "messages",
        SUPPORTED,
        r#"[{"role":"user","content":"hi"}]"#,
        "roles, parts and calls as described in the guide",
    ),
    Field::new("stream", SUPPORTED, "true", "server-sent events"),
    Field::new(
        "stream_options",
        SUPPORTED,
        r#"{"include_usage":true}"#,
        "`include_usage` adds a final chunk with token counts",
    ),
    Field::new(
        "max_completion_tokens",
        SUPPORTED,
        "64",
        "`inferenceConfig.maxTokens`, lowered to the family's maximum; takes precedence over `max_tokens`",
    ),
    Field::new(
        "max_tokens",
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
        "`inferenceConfig.stopSequences`; empty strings are removed",
    ),
    Field::new(
        "tools",
        FieldRule::ByFamily(tools),
        r#"[{"type":"function","function":{"name":"f"}}]"#,
        "functions only; names are adapted to Bedrock's character set and restored in responses",
    ),
    Field::new(
        "tool_choice",
        FieldRule::ByFamily(tool_choice),
        "\"required\"",
        "`auto`, `none`, `required`, a function, `allowed_tools`; changed to `auto` while reasoning if the family requires it",
    ),
    Field::new(
        "parallel_tool_calls",
        FieldRule::ByFamily(parallel),
        "false",
        "`false` limits the model to one call per turn",
    ),
    Field::new(
        "response_format",
        FieldRule::ByFamily(response_format),
        r#"{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{}}}}"#,
        "`json_schema`: native, by a tool, or by instructions; `json_object`: by instructions",
    ),
    Field::new(
        "reasoning_effort",
        FieldRule::ByFamily(effort),
        "\"high\"",
        "`none` to `max`, mapped to the family's values; `none` disables reasoning",
    ),
    Field::new(
        "thinking",
        FieldRule::ByFamily(thinking),
        r#"{"type":"enabled","budget_tokens":2048}"#,
        "not in OpenAI's API: a thinking budget or adaptive thinking with `display`, as in Anthropic's API",
    )
    .passthrough(FieldRule::Rejected),
    Field::new(
        "cache_control",
        SUPPORTED,
        r#"{"type":"ephemeral"}"#,
        "not in OpenAI's API: automatic cache points, if the family supports caching; also on messages, parts and tools",
    )
    .passthrough(FieldRule::Rejected),
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
    )
    .passthrough(FieldRule::Rejected),
    Field::new(
        "guardrailConfig",
        SUPPORTED,
        r#"{"guardrailIdentifier":"g","guardrailVersion":"1"}"#,
        "not in OpenAI's API: a Bedrock guardrail; a guardrail forced by the gateway takes precedence",
    )
    .passthrough(FieldRule::Rejected),
    Field::new(
        "extra_body",
        SUPPORTED,
        r#"{"k":1}"#,
        "not in OpenAI's API: becomes `additionalModelRequestFields`, unchanged",
    )
    .passthrough(FieldRule::Rejected),
    Field::new(
        "additionalModelRequestFields",
        SUPPORTED,
        r#"{"k":1}"#,
        "not in OpenAI's API: becomes `additionalModelRequestFields`, unchanged",
    )
    .passthrough(FieldRule::Rejected),
    Field::new(
        "n",
        FieldRule::Rejected,
        "2",
        "Bedrock returns one choice per request; send several requests",
    )
    .except(&["1"]),
    Field::new(
        "modalities",
        FieldRule::Rejected,
        r#"["audio"]"#,
        "Bedrock returns text only; remove the field",
    )
    .except(&["[\"text\"]"]),
    Field::new(
        "functions",
        FieldRule::Rejected,
        r#"[{"name":"f"}]"#,
        "deprecated; use tools",
    ),
    Field::new(
        "function_call",
        FieldRule::Rejected,
        "\"auto\"",
        "deprecated; use tool_choice",
    ),
    Field::new(
        "web_search_options",
        FieldRule::Rejected,
        "{}",
        "web search is not supported by Bedrock; remove the field",
    ),
    Field::new(
        "audio",
        FieldRule::Rejected,
        r#"{"voice":"v","format":"mp3"}"#,
        "Bedrock returns text only; remove the field",
    ),
    Field::new("logprobs", FieldRule::Rejected, "true", NO_LOG_PROBABILITIES)
        .except(&["false", "0"]),
    Field::new("top_logprobs", FieldRule::Rejected, "3", NO_LOG_PROBABILITIES).except(&["0"]),
    Field::new(
        "moderation",
        FieldRule::Rejected,
        r#"{"model":"m"}"#,
        "not supported by Bedrock; use guardrailConfig",
    )
    .except(&["{}"]),
    Field::new(
        "logit_bias",
        FieldRule::Dropped,
        r#"{"50256":-100}"#,
        "not supported by Converse",
    )
    .except(&["{}"]),
    Field::new(
        "frequency_penalty",
        FieldRule::Dropped,
        "0.5",
        "not supported by Converse",
    )
    .except(&["0", "0.0"]),
    Field::new(
        "presence_penalty",
        FieldRule::Dropped,
        "0.5",
        "not supported by Converse",
    )
    .except(&["0", "0.0"]),
    Field::new("seed", FieldRule::Dropped, "7", "not supported by Converse"),
    Field::new("store", FieldRule::Dropped, "true", "nothing is stored").except(&["false"]),
    Field::new(
        "prediction",
        FieldRule::Dropped,
        r#"{"type":"content","content":"x"}"#,
        "predicted output is not supported by Bedrock",
    ),
    Field::new(
        "verbosity",
        FieldRule::Dropped,
        "\"low\"",
        "not supported by Bedrock (use the system prompt)",
    )
    .except(&["\"medium\""]),
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
]);

/// The field table of Chat Completions for the documentation, as Markdown.
pub fn field_table() -> String {
    let by_converse =
        FIELDS.markdown(|capabilities| BedrockApis::by_converse(capabilities.apis.chat));
    let changed = "only `model`";
    by_converse + &FIELDS.forwarded(is_forwarded, changed)
}

/// Whether Bedrock serves a model in this protocol.
fn is_forwarded(capabilities: &ModelCapabilities) -> bool {
    let api = capabilities.apis.chat;
    api.is_some_and(|api| api != BedrockApi::Converse)
}

/// The fields of Chat Completions, for a description of the API.
pub fn field_descriptions() -> Vec<FieldDescription> {
    FIELDS.descriptions(|capabilities| BedrockApis::by_converse(capabilities.apis.chat))
}

/// The name of a field of this dialect.
pub(crate) fn known_field(name: &str) -> Option<&'static str> {
    FIELDS.known(name)
}

#[cfg(test)]
mod tests;
