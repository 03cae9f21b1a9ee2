//! The table itself. Warnings are read by people: in the documentation, in warnings, in errors.

use crate::{
    families::BedrockApis,
    translation::{
        fields::{Field, FieldRule, Fields, SUPPORTED},
        openai_shapes::fields::{
            effort, parallel, response_format, supported_if, thinking, tool_choice, tools, top_k,
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
        "roles, parts and calls as the guide says",
    ),
    Field::new("stream", SUPPORTED, "true", "server-sent events"),
    Field::new(
        "stream_options",
        SUPPORTED,
        r#"{"include_usage":true}"#,
        "`include_usage` adds a last chunk with token counts",
    ),
    Field::new(
        "max_completion_tokens",
        SUPPORTED,
        "64",
        "`inferenceConfig.maxTokens`; wins over `max_tokens`",
    ),
    Field::new(
        "max_tokens",
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
        "`inferenceConfig.stopSequences`; empty strings are left out",
    ),
    Field::new(
        "tools",
        FieldRule::ByFamily(tools),
        r#"[{"type":"function","function":{"name":"f"}}]"#,
        "functions only; names are made to fit and given back as they were",
    ),
    Field::new(
        "tool_choice",
        FieldRule::ByFamily(tool_choice),
        "\"required\"",
        "`auto`, `none`, `required`, a function, `allowed_tools`; lowered to `auto` while reasoning where the family demands it",
    ),
    Field::new(
        "parallel_tool_calls",
        FieldRule::ByFamily(parallel),
        "false",
        "`false` keeps the model to one call a turn",
    ),
    Field::new(
        "response_format",
        FieldRule::ByFamily(response_format),
        r#"{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{}}}}"#,
        "`json_schema`: natively, by a tool, or by instructions; `json_object`: by instructions",
    ),
    Field::new(
        "reasoning_effort",
        FieldRule::ByFamily(effort),
        "\"high\"",
        "`none` to `max`, in the family's own words; `none` leaves reasoning out",
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
        "not OpenAI's: automatic cache points, where the family caches; also on messages, parts and tools",
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
        "n",
        FieldRule::Rejected,
        "2",
        "Bedrock gives one choice a request; send several requests",
    )
    .but(&["1"]),
    Field::new(
        "modalities",
        FieldRule::Rejected,
        r#"["audio"]"#,
        "Bedrock answers in text",
    )
    .but(&["[\"text\"]"]),
    Field::new(
        "functions",
        FieldRule::Rejected,
        r#"[{"name":"f"}]"#,
        "superseded; use tools",
    ),
    Field::new(
        "function_call",
        FieldRule::Rejected,
        "\"auto\"",
        "superseded; use tool_choice",
    ),
    Field::new(
        "web_search_options",
        FieldRule::Rejected,
        "{}",
        "Bedrock does not search the web for this endpoint; leave it out",
    ),
    Field::new(
        "audio",
        FieldRule::Dropped,
        r#"{"voice":"v","format":"mp3"}"#,
        "Bedrock answers in text",
    ),
    Field::new(
        "logprobs",
        FieldRule::Dropped,
        "true",
        "Converse gives no probabilities",
    )
    .but(&["false"]),
    Field::new(
        "top_logprobs",
        FieldRule::Dropped,
        "3",
        "Converse gives no probabilities",
    )
    .but(&["0"]),
    Field::new(
        "logit_bias",
        FieldRule::Dropped,
        r#"{"50256":-100}"#,
        "Converse takes none",
    )
    .but(&["{}"]),
    Field::new(
        "frequency_penalty",
        FieldRule::Dropped,
        "0.5",
        "Converse takes none",
    )
    .but(&["0", "0.0"]),
    Field::new(
        "presence_penalty",
        FieldRule::Dropped,
        "0.5",
        "Converse takes none",
    )
    .but(&["0", "0.0"]),
    Field::new("seed", FieldRule::Dropped, "7", "Converse takes none"),
    Field::new("store", FieldRule::Dropped, "true", "nothing is stored").but(&["false"]),
    Field::new(
        "prediction",
        FieldRule::Dropped,
        r#"{"type":"content","content":"x"}"#,
        "Bedrock takes no predicted output",
    ),
    Field::new(
        "verbosity",
        FieldRule::Dropped,
        "\"low\"",
        "Bedrock has nothing like it; say so in the system prompt",
    )
    .but(&["\"medium\""]),
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
        "moderation",
        FieldRule::Dropped,
        "{}",
        "see guardrailConfig",
    ),
]);

/// The field table of Chat Completions for the documentation, as Markdown.
pub fn field_table() -> String {
    FIELDS.markdown(|capabilities| BedrockApis::by_converse(capabilities.apis.chat))
}

#[cfg(test)]
mod tests;
