//! The fields of a Messages request, for models called by Converse and in Claude's own API. Their notes appear in the
//! documentation, in warnings and in errors.

use crate::{
    families::{
        BedrockApi, Choice, ModelCapabilities, ParallelOff, ReasoningStyle, SchemaMode, TopK,
    },
    translation::{
        fields::{Field, FieldDescription, FieldRule, Fields, SUPPORTED, Support},
        refused::THREAD_NOTE,
    },
};

/// The fields of Messages.
pub(super) const FIELDS: Fields = Fields(&[
    Field::new(
        "model",
        SUPPORTED,
        "\"m\"",
        "an alias, a model id, a profile or an ARN",
    ),
    Field::new("max_tokens", SUPPORTED, "64", "`inferenceConfig.maxTokens`, lowered to the family's maximum; required"),
    Field::new(
        "messages",
        SUPPORTED,
        r#"[{"role":"user","content":"hi"}]"#,
        "roles, blocks and calls as described in the guide",
    ),
    Field::new("system", SUPPORTED, "\"be brief\"", "text, with cache points"),
    Field::new("stream", SUPPORTED, "true", "server-sent events"),
    Field::new(
        "temperature",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.temperature)),
        "0.5",
        "0–1; dropped while thinking if the family requires it",
    ),
    Field::new(
        "top_p",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.top_p)),
        "0.5",
        "0–1; dropped if `temperature` is set and the family supports only one of them",
    ),
    Field::new(
        "top_k",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.top_k != TopK::None)),
        "5",
        "one of the model-specific fields",
    ),
    Field::new(
        "stop_sequences",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.sampling.stop_max > 0)),
        "[\"END\"]",
        "`inferenceConfig.stopSequences`; the matched one is reported",
    ),
    Field::new(
        "tools",
        FieldRule::ByFamily(tools),
        r#"[{"name":"f","input_schema":{"type":"object"}}]"#,
        "your own tools; for Claude also bash, text editor, computer and memory; no tools that Anthropic's service runs",
    ),
    Field::new(
        "tool_choice",
        FieldRule::ByFamily(tool_choice),
        r#"{"type":"any"}"#,
        "`auto`, `any`, `tool`, `none`; changed to `auto` while thinking if the family requires it",
    )
    .passthrough(FieldRule::ByFamily(|capabilities| {
        if capabilities.tools.choice.contains(&Choice::Any) {
            tools(capabilities)
        } else {
            BY_CONVERSE
        }
    })),
    Field::new(
        "tool_choice.disable_parallel_tool_use",
        FieldRule::ByFamily(|capabilities| {
            if capabilities.tools.supported {
                supported_if(capabilities.tools.parallel_off == ParallelOff::ToolChoiceField)
            } else {
                Support::Rejected
            }
        }),
        "true",
        "limits the model to one call per turn",
    ),
    Field::new(
        "thinking",
        FieldRule::ByFamily(thinking),
        r#"{"type":"enabled","budget_tokens":2048}"#,
        "unchanged for Claude; for other models a budget becomes an effort",
    ),
    Field::new(
        "output_config.effort",
        FieldRule::ByFamily(effort),
        "\"high\"",
        "`low` to `max`, mapped to the family's values",
    ),
    Field::new(
        "output_config.format",
        FieldRule::ByFamily(format),
        r#"{"type":"json_schema","schema":{"type":"object","properties":{}}}"#,
        "`json_schema`: native, by a tool, or by instructions",
    )
    .passthrough(FieldRule::ByFamily(|capabilities| {
        if capabilities.json_schema == SchemaMode::Native {
            Support::Supported
        } else {
            BY_CONVERSE
        }
    })),
    Field::new(
        "cache_control",
        SUPPORTED,
        r#"{"type":"ephemeral"}"#,
        "automatic cache points, if the family supports caching; also on blocks and tools",
    )
    .passthrough(FieldRule::ByFamily(|capabilities| {
        if capabilities.cache.max_points == 0 {
            Support::Dropped
        } else {
            Support::Mapped("a cache point on the last block")
        }
    })),
    Field::new("metadata", SUPPORTED, r#"{"user_id":"u"}"#, "`requestMetadata`"),
    Field::new(
        "service_tier",
        SUPPORTED,
        "\"standard_only\"",
        "`standard_only` is `serviceTier` `default`; `auto` omits it",
    ),
    Field::new(
        "anthropic_beta",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.betas.iter().any(|flag| flag.starts_with("interleaved-")))),
        r#"["interleaved-thinking-2025-05-14"]"#,
        "like the header `anthropic-beta`: flags in `modelFamilies.*.betas` are sent, others are dropped",
    ),
    Field::new(
        "betas",
        FieldRule::ByFamily(|capabilities| supported_if(capabilities.betas.iter().any(|flag| flag.starts_with("interleaved-")))),
        r#"["interleaved-thinking-2025-05-14"]"#,
        "like `anthropic_beta`; a header in Anthropic's API, but some clients send it in the body",
    ),
    Field::new(
        "anthropic_version",
        SUPPORTED,
        "\"bedrock-2023-05-31\"",
        "ignored; Bedrock clients send it",
    ),
    Field::new(
        "guardrailConfig",
        SUPPORTED,
        r#"{"guardrailIdentifier":"g","guardrailVersion":"1"}"#,
        "not in Anthropic's API: a Bedrock guardrail; a guardrail forced by the gateway takes precedence",
    ),
    Field::new(
        "additionalModelRequestFields",
        SUPPORTED,
        r#"{"some_field":1}"#,
        "not in Anthropic's API: model-specific fields, unchanged",
    )
    .passthrough(FieldRule::Rejected),
    Field::new(
        "context_management",
        FieldRule::Dropped,
        r#"{"edits":[{"type":"clear_tool_uses_20250919"}]}"#,
        "context editing is not supported by Converse",
    )
    .except(&["{}"])
    .passthrough(FieldRule::ByFamily(|capabilities| {
        let mut flags = capabilities.betas.iter().chain(&capabilities.native_betas);
        supported_if(flags.any(|flag| flag.starts_with(CONTEXT_MANAGEMENT)))
    })),
    Field::new("speed", FieldRule::Dropped, "\"fast\"", "not supported by Bedrock (see its latency options)")
        .except(&["\"standard\""]),
    Field::new(
        "container",
        FieldRule::Rejected,
        "\"c\"",
        "containers are not supported by Bedrock; remove the field",
    ),
    Field::new(
        "mcp_servers",
        FieldRule::Rejected,
        r#"[{"type":"url","url":"https://example.com","name":"n"}]"#,
        "MCP servers are not supported by Bedrock; connect to them in the client and send their tools in tools",
    )
    .except(&["[]"]),
    Field::new(
        "thread",
        FieldRule::Rejected,
        r#"{"type":"create"}"#,
        THREAD_NOTE,
    ),
    Field::new(
        "inference_geo",
        FieldRule::Rejected,
        "\"us\"",
        "not supported by Bedrock; the region or the inference profile determines where a model runs",
    ),
]);

/// The field table of Messages for the documentation, as Markdown.
pub fn field_table() -> String {
    let by_converse = FIELDS.markdown(|capabilities| capabilities.apis.messages.is_some());
    let passthrough = FIELDS.passthrough_markdown(has_own_api);
    format!(
        "{by_converse}\n## Claude's own API\n\nThe gateway sends requests for Claude to Claude's own API, unless the \
         target sets `api: Converse`. The body passes through, and all other fields have the same support as by Converse. \
         \u{201c}by Converse\u{201d} means that the gateway serves a request with this field by Converse.\n\n{passthrough}"
    )
}

/// Whether requests pass through to Claude's own API.
fn has_own_api(capabilities: &ModelCapabilities) -> bool {
    let api = capabilities.apis.messages;
    api.is_some_and(|api| api != BedrockApi::Converse)
}

/// The fields of Messages, for a description of the API.
pub fn field_descriptions() -> Vec<FieldDescription> {
    FIELDS.descriptions(|capabilities| capabilities.apis.messages.is_some())
}

/// A passthrough request that only Converse can serve.
const BY_CONVERSE: Support = Support::Mapped("by Converse");
/// Start of the flags of context management.
const CONTEXT_MANAGEMENT: &str = "context-management-";

const fn supported_if(condition: bool) -> Support {
    if condition {
        Support::Supported
    } else {
        Support::Dropped
    }
}

const fn tools(capabilities: &ModelCapabilities) -> Support {
    if capabilities.tools.supported {
        Support::Supported
    } else {
        Support::Rejected
    }
}

fn tool_choice(capabilities: &ModelCapabilities) -> Support {
    if capabilities.tools.supported {
        if capabilities.tools.choice.contains(&Choice::Any) {
            Support::Supported
        } else {
            Support::Mapped("by instructions")
        }
    } else {
        Support::Rejected
    }
}

const fn thinking(capabilities: &ModelCapabilities) -> Support {
    match capabilities.reasoning.style {
        ReasoningStyle::None => Support::Dropped,
        ReasoningStyle::Adaptive if !capabilities.reasoning.budget => {
            Support::Mapped("adaptive, without a budget")
        }
        ReasoningStyle::Budget | ReasoningStyle::Adaptive => Support::Supported,
        _ => Support::Mapped("as an effort"),
    }
}

fn effort(capabilities: &ModelCapabilities) -> Support {
    match capabilities.reasoning.style {
        ReasoningStyle::None => Support::Dropped,
        ReasoningStyle::Budget => supported_if(
            capabilities
                .betas
                .iter()
                .any(|flag| flag.starts_with("effort-")),
        ),
        _ => Support::Supported,
    }
}

const fn format(capabilities: &ModelCapabilities) -> Support {
    match capabilities.json_schema {
        SchemaMode::Native => Support::Supported,
        SchemaMode::Tool => Support::Mapped("by a tool"),
        SchemaMode::Prompt => Support::Mapped("by instructions"),
    }
}

/// The name of a field of this dialect.
pub(crate) fn known_field(name: &str) -> Option<&'static str> {
    FIELDS.known(name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        anthropic::{Endpoint, decode, needs_converse, passthrough, passthrough::BETAS},
        families::FamilyTable,
        translation::{DecodeOptions, RequestError, head},
    };

    /// A body with a field that has an effect.
    fn body(name: &str, sample: &str) -> String {
        let mut body = json!({
            "model": "m",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": "hi"}],
        });
        let sample: Value = serde_json::from_str(sample).unwrap();
        if name.starts_with("tool_choice") {
            body["tools"] = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        }
        match name.split_once('.') {
            Some(("tool_choice", inner)) => {
                body["tool_choice"] = json!({"type": "auto", inner: sample});
            }
            Some((outer, inner)) => body[outer] = json!({inner: sample}),
            None => body[name] = sample,
        }
        body.to_string()
    }

    /// How a request with a field is handled, given the warnings or the error.
    fn observed(name: &str, result: Result<Vec<String>, RequestError>) -> Support {
        match result {
            Err(error) => {
                let param = error.param.clone().unwrap_or_default();
                assert!(name.starts_with(&param) || param == "tools", "{error:?}");
                Support::Rejected
            }
            Ok(warnings) => {
                let name = if BETAS.contains(&name) {
                    "anthropic-beta"
                } else {
                    name
                };
                let prefix = format!("{name}: ");
                let is_dropped = |warning: &String| {
                    warning.starts_with(&prefix) && warning.ends_with("; dropped")
                };
                if warnings.iter().any(is_dropped) {
                    Support::Dropped
                } else {
                    Support::Supported
                }
            }
        }
    }

    #[test]
    fn table_matches_decoding_for_every_field_and_family() {
        for capabilities in FamilyTable::builtin().families() {
            if capabilities.embedding.is_some() {
                continue;
            }
            for field in FIELDS.0 {
                let expected = match field.support(&capabilities) {
                    Support::Mapped(_) => Support::Supported,
                    support => support,
                };
                let body = body(field.name, field.sample);
                let options = DecodeOptions::new(&capabilities);
                let result = decode(body.as_bytes(), &[], &options);
                let got = observed(field.name, result.map(|decoded| decoded.warnings));
                assert_eq!(got, expected, "{} with {}", field.name, capabilities.family);
            }
        }
    }

    #[test]
    fn table_matches_passthrough_for_every_field_and_family() {
        let mut families = FamilyTable::builtin().families();
        families.retain(|capabilities| has_own_api(capabilities));
        assert!(families.len() > 5, "the families of Claude");
        for capabilities in families {
            for field in FIELDS.0 {
                let mut body = body(field.name, field.sample);
                if field.name == "context_management" {
                    let flag = r#""anthropic_beta":["context-management-2025-06-27"],"#;
                    body.insert_str(1, flag);
                }
                let options = DecodeOptions::new(&capabilities);
                let expected = field.passthrough_support(&capabilities);
                let got = if needs_converse(body.as_bytes(), &options) {
                    BY_CONVERSE
                } else {
                    let endpoint = Endpoint::InvokeModel;
                    let sent = head(body.as_bytes())
                        .and_then(|_| passthrough(body.as_bytes(), &[], endpoint, &options));
                    observed(field.name, sent.map(|sent| sent.warnings))
                };
                let same = match expected {
                    Support::Mapped(_) if expected != BY_CONVERSE => got == Support::Supported,
                    expected => got == expected,
                };
                let family = &capabilities.family;
                assert!(
                    same,
                    "{} with {family}: {got:?} and not {expected:?}",
                    field.name
                );
            }
        }
    }

    #[test]
    fn strict_mode_rejects_fields_that_would_be_dropped() {
        let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
        let mut options = DecodeOptions::new(&capabilities);
        options.strict = true;
        for field in FIELDS
            .0
            .iter()
            .filter(|field| matches!(field.rule, FieldRule::Dropped))
        {
            let body = |value: &str| {
                format!(
                    r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],"{}":{value}}}"#,
                    field.name
                )
            };
            let error = decode(body(field.sample).as_bytes(), &[], &options).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(field.name));
            for harmless in field.harmless {
                assert!(decode(body(harmless).as_bytes(), &[], &options).is_ok());
            }
        }
    }

    #[test]
    fn documentation_lists_every_field() {
        let text = field_table();
        for field in FIELDS.0 {
            assert!(
                text.contains(&format!("`{}`", field.name)),
                "{}",
                field.name
            );
        }
    }
}
