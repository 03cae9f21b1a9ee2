//! The table itself. Notes are read by people: in the documentation, in warnings, in errors.

use super::{Fate, Field, Verdict};
use crate::families::{Choice, ModelCapabilities, ParallelOff, ReasoningStyle, SchemaMode, TopK};

const fn field(name: &'static str, fate: Fate, sample: &'static str, note: &'static str) -> Field {
    Field::new(name, fate, sample, note)
}

const fn but(field: Field, harmless: &'static [&'static str]) -> Field {
    field.but(harmless)
}

pub(crate) const HONOURED: Fate = Fate::Read(|_| Verdict::Honoured);

pub(super) const FIELDS: &[Field] = &[
    field(
        "model",
        HONOURED,
        "\"m\"",
        "an alias, a model id, a profile or an ARN",
    ),
    field(
        "messages",
        HONOURED,
        r#"[{"role":"user","content":"hi"}]"#,
        "roles, parts and calls as the guide says",
    ),
    field("stream", HONOURED, "true", "server-sent events"),
    field(
        "stream_options",
        HONOURED,
        r#"{"include_usage":true}"#,
        "`include_usage` adds a last chunk with token counts",
    ),
    field(
        "max_completion_tokens",
        HONOURED,
        "64",
        "`inferenceConfig.maxTokens`; wins over `max_tokens`",
    ),
    field(
        "max_tokens",
        HONOURED,
        "64",
        "`inferenceConfig.maxTokens`; a thinking budget comes on top",
    ),
    field(
        "temperature",
        Fate::Read(|capabilities| taken(capabilities.sampling.temperature)),
        "0.5",
        "0–2; above 1 it is lowered to 1 with a warning",
    ),
    field(
        "top_p",
        Fate::Read(|capabilities| taken(capabilities.sampling.top_p)),
        "0.5",
        "0–1; dropped beside `temperature` where the family takes only one of them",
    ),
    field("top_k", Fate::Read(top_k), "5", "not OpenAI's, but common"),
    field(
        "stop",
        Fate::Read(|capabilities| taken(capabilities.sampling.stop_max > 0)),
        "[\"END\"]",
        "`inferenceConfig.stopSequences`; empty strings are left out",
    ),
    field(
        "tools",
        Fate::Read(tools),
        r#"[{"type":"function","function":{"name":"f"}}]"#,
        "functions only; names are made to fit and given back as they were",
    ),
    field(
        "tool_choice",
        Fate::Read(tool_choice),
        "\"required\"",
        "`auto`, `none`, `required`, a function, `allowed_tools`; lowered to `auto` while reasoning where the family demands it",
    ),
    field(
        "parallel_tool_calls",
        Fate::Read(parallel),
        "false",
        "`false` keeps the model to one call a turn",
    ),
    field(
        "response_format",
        Fate::Read(response_format),
        r#"{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{}}}}"#,
        "`json_schema`: natively, by a tool, or by instructions; `json_object`: by instructions",
    ),
    field(
        "reasoning_effort",
        Fate::Read(effort),
        "\"high\"",
        "`none` to `max`, in the family's own words; `none` leaves reasoning out",
    ),
    field(
        "thinking",
        Fate::Read(thinking),
        r#"{"type":"enabled","budget_tokens":2048}"#,
        "not OpenAI's: a budget of tokens, as clients of Claude send it",
    ),
    field(
        "cache_control",
        HONOURED,
        r#"{"type":"ephemeral"}"#,
        "not OpenAI's: automatic cache points, where the family caches; also on messages, parts and tools",
    ),
    field(
        "metadata",
        HONOURED,
        r#"{"team":"a"}"#,
        "`requestMetadata`, at most 16 pairs",
    ),
    field("user", HONOURED, "\"u-1\"", "`requestMetadata.user`"),
    field(
        "safety_identifier",
        HONOURED,
        "\"s-1\"",
        "`requestMetadata.safety_identifier`",
    ),
    field(
        "service_tier",
        HONOURED,
        "\"flex\"",
        "`serviceTier`: `default`, `priority`, `flex`, `reserved`; `auto` leaves it out",
    ),
    field(
        "performanceConfig",
        HONOURED,
        r#"{"latency":"optimized"}"#,
        "not OpenAI's: Bedrock's latency option",
    ),
    field(
        "guardrailConfig",
        HONOURED,
        r#"{"guardrailIdentifier":"g","guardrailVersion":"1"}"#,
        "not OpenAI's: a guardrail of Bedrock's; one forced by the gateway wins",
    ),
    field(
        "extra_body",
        HONOURED,
        r#"{"k":1}"#,
        "not OpenAI's: goes into `additionalModelRequestFields` as it is",
    ),
    field(
        "additionalModelRequestFields",
        HONOURED,
        r#"{"k":1}"#,
        "not OpenAI's: goes into `additionalModelRequestFields` as it is",
    ),
    but(
        field(
            "n",
            Fate::Refused,
            "2",
            "Bedrock gives one choice a request; send several requests",
        ),
        &["1"],
    ),
    but(
        field(
            "modalities",
            Fate::Refused,
            r#"["audio"]"#,
            "Bedrock answers in text",
        ),
        &["[\"text\"]"],
    ),
    field(
        "functions",
        Fate::Refused,
        r#"[{"name":"f"}]"#,
        "superseded; use tools",
    ),
    field(
        "function_call",
        Fate::Refused,
        "\"auto\"",
        "superseded; use tool_choice",
    ),
    field(
        "web_search_options",
        Fate::Refused,
        "{}",
        "Bedrock does not search the web for this endpoint; leave it out",
    ),
    but(
        field(
            "audio",
            Fate::Dropped,
            r#"{"voice":"v","format":"mp3"}"#,
            "Bedrock answers in text",
        ),
        &[],
    ),
    but(
        field(
            "logprobs",
            Fate::Dropped,
            "true",
            "Converse gives no probabilities",
        ),
        &["false"],
    ),
    but(
        field(
            "top_logprobs",
            Fate::Dropped,
            "3",
            "Converse gives no probabilities",
        ),
        &["0"],
    ),
    but(
        field(
            "logit_bias",
            Fate::Dropped,
            r#"{"50256":-100}"#,
            "Converse takes none",
        ),
        &["{}"],
    ),
    but(
        field(
            "frequency_penalty",
            Fate::Dropped,
            "0.5",
            "Converse takes none",
        ),
        &["0", "0.0"],
    ),
    but(
        field(
            "presence_penalty",
            Fate::Dropped,
            "0.5",
            "Converse takes none",
        ),
        &["0", "0.0"],
    ),
    field("seed", Fate::Dropped, "7", "Converse takes none"),
    but(
        field("store", Fate::Dropped, "true", "nothing is stored"),
        &["false"],
    ),
    field(
        "prediction",
        Fate::Dropped,
        r#"{"type":"content","content":"x"}"#,
        "Bedrock takes no predicted output",
    ),
    but(
        field(
            "verbosity",
            Fate::Dropped,
            "\"low\"",
            "Bedrock has nothing like it; say so in the system prompt",
        ),
        &["\"medium\""],
    ),
    field(
        "prompt_cache_key",
        Fate::Dropped,
        "\"k\"",
        "Bedrock finds cached prompts by their content; see cache_control",
    ),
    field(
        "prompt_cache_retention",
        Fate::Dropped,
        "\"24h\"",
        "see cache_control.ttl",
    ),
    field("moderation", Fate::Dropped, "{}", "see guardrailConfig"),
];

pub(crate) fn taken(taken: bool) -> Verdict {
    if taken {
        Verdict::Honoured
    } else {
        Verdict::Dropped
    }
}

pub(crate) fn top_k(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.sampling.top_k {
        TopK::None => Verdict::Dropped,
        TopK::Field => Verdict::Mapped("`top_k`"),
        TopK::InferenceConfig => Verdict::Mapped("`inferenceConfig.topK`"),
    }
}

pub(crate) fn tools(capabilities: &ModelCapabilities) -> Verdict {
    if capabilities.tools.supported {
        Verdict::Honoured
    } else {
        Verdict::Refused
    }
}

pub(crate) fn tool_choice(capabilities: &ModelCapabilities) -> Verdict {
    if !capabilities.tools.supported {
        return Verdict::Honoured;
    }
    let has = |choice| capabilities.tools.choice.contains(&choice);
    match (has(Choice::Any), has(Choice::Tool)) {
        (true, true) => Verdict::Honoured,
        (true, false) => Verdict::Mapped("a named function becomes the only tool"),
        _ => Verdict::Dropped,
    }
}

pub(crate) fn parallel(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.tools.parallel_off {
        _ if !capabilities.tools.supported => Verdict::Honoured,
        ParallelOff::ToolChoiceField => Verdict::Mapped("`disable_parallel_tool_use`"),
        ParallelOff::Never => Verdict::Dropped,
    }
}

pub(crate) fn response_format(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.json_schema {
        SchemaMode::Native => Verdict::Mapped("native"),
        SchemaMode::Tool => Verdict::Mapped("by a tool"),
        SchemaMode::Prompt => Verdict::Mapped("by instructions"),
    }
}

pub(crate) fn effort(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.reasoning.style {
        ReasoningStyle::None => Verdict::Dropped,
        ReasoningStyle::Budget => Verdict::Mapped("`thinking.budget_tokens`"),
        ReasoningStyle::Adaptive => Verdict::Mapped("`output_config.effort`"),
        ReasoningStyle::ReasoningConfigObject => Verdict::Mapped("`reasoningConfig`"),
        ReasoningStyle::ReasoningConfigWord => Verdict::Mapped("`reasoning_config`"),
        ReasoningStyle::ReasoningEffort => Verdict::Mapped("`reasoning_effort`"),
    }
}

pub(crate) fn thinking(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.reasoning.style {
        ReasoningStyle::Budget => Verdict::Honoured,
        ReasoningStyle::Adaptive if capabilities.reasoning.budget => Verdict::Honoured,
        ReasoningStyle::Adaptive => Verdict::Mapped("adaptive, without the budget"),
        _ => Verdict::Dropped,
    }
}
