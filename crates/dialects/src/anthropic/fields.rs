//! The fields of a Messages request, for models called by Converse. Their notes appear in the documentation, in
//! warnings and in errors.

use crate::{
    families::{Choice, ModelCapabilities, ParallelOff, ReasoningStyle, SchemaMode, TopK},
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
    ),
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
    ),
    Field::new(
        "cache_control",
        SUPPORTED,
        r#"{"type":"ephemeral"}"#,
        "automatic cache points, if the family supports caching; also on blocks and tools",
    ),
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
    ),
    Field::new(
        "context_management",
        FieldRule::Dropped,
        r#"{"edits":[{"type":"clear_tool_uses_20250919"}]}"#,
        "context editing is not supported by Converse",
    )
    .except(&["{}"]),
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
    FIELDS.markdown(|capabilities| capabilities.apis.messages.is_some())
}

/// The fields of Messages, for a description of the API.
pub fn field_descriptions() -> Vec<FieldDescription> {
    FIELDS.descriptions(|capabilities| capabilities.apis.messages.is_some())
}

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
    use crate::{anthropic::decode, families::FamilyTable, translation::DecodeOptions};

    /// How decoding handles a field with an effect.
    fn observed(name: &str, sample: &str, capabilities: &ModelCapabilities) -> Support {
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
        match decode(
            body.to_string().as_bytes(),
            &[],
            &DecodeOptions::new(capabilities),
        ) {
            Err(error) => {
                let param = error.param.clone().unwrap_or_default();
                assert!(name.starts_with(&param) || param == "tools", "{error:?}");
                Support::Rejected
            }
            Ok(decoded) => {
                let name = if name == "anthropic_beta" {
                    "anthropic-beta"
                } else {
                    name
                };
                let prefix = format!("{name}: ");
                let is_dropped = |warning: &String| {
                    warning.starts_with(&prefix) && warning.ends_with("; dropped")
                };
                if decoded.warnings.iter().any(is_dropped) {
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
                let got = observed(field.name, field.sample, &capabilities);
                assert_eq!(got, expected, "{} with {}", field.name, capabilities.family);
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
