//! Every field of a Messages request and what becomes of it by Converse, as data: decoding asks it, the
//! documentation prints it, a test holds it to the code.

use crate::{
    families::{Choice, ModelCapabilities, ParallelOff, ReasoningStyle, SchemaMode, TopK},
    translation::fields::{Fate, Field, Fields, Verdict},
};

const HONOURED: Fate = Fate::Read(|_| Verdict::Honoured);

/// The fields of Messages.
pub(super) const FIELDS: Fields = Fields(&[
    Field::new(
        "model",
        HONOURED,
        "\"m\"",
        "an alias, a model id, a profile or an ARN",
    ),
    Field::new("max_tokens", HONOURED, "64", "`inferenceConfig.maxTokens`; must be given"),
    Field::new(
        "messages",
        HONOURED,
        r#"[{"role":"user","content":"hi"}]"#,
        "roles, blocks and calls as the guide says",
    ),
    Field::new("system", HONOURED, "\"be brief\"", "text, with cache points"),
    Field::new("stream", HONOURED, "true", "server-sent events"),
    Field::new(
        "temperature",
        Fate::Read(|capabilities| taken(capabilities.sampling.temperature)),
        "0.5",
        "0–1; dropped while thinking where the family demands it",
    ),
    Field::new(
        "top_p",
        Fate::Read(|capabilities| taken(capabilities.sampling.top_p)),
        "0.5",
        "0–1; dropped beside `temperature` where the family takes only one of them",
    ),
    Field::new(
        "top_k",
        Fate::Read(|capabilities| taken(capabilities.sampling.top_k != TopK::None)),
        "5",
        "among the model's own fields",
    ),
    Field::new(
        "stop_sequences",
        Fate::Read(|capabilities| taken(capabilities.sampling.stop_max > 0)),
        "[\"END\"]",
        "`inferenceConfig.stopSequences`; which one was met is reported",
    ),
    Field::new(
        "tools",
        Fate::Read(tools),
        r#"[{"name":"f","input_schema":{"type":"object"}}]"#,
        "tools of your own; for Claude also bash, text editor, computer and memory; none that Anthropic's service runs",
    ),
    Field::new(
        "tool_choice",
        Fate::Read(tool_choice),
        r#"{"type":"any"}"#,
        "`auto`, `any`, `tool`, `none`; lowered to `auto` while thinking where the family demands it",
    ),
    Field::new(
        "tool_choice.disable_parallel_tool_use",
        Fate::Read(|capabilities| {
            if capabilities.tools.supported {
                taken(capabilities.tools.parallel_off == ParallelOff::ToolChoiceField)
            } else {
                Verdict::Refused
            }
        }),
        "true",
        "keeps the model to one call a turn",
    ),
    Field::new(
        "thinking",
        Fate::Read(thinking),
        r#"{"type":"enabled","budget_tokens":2048}"#,
        "Claude's own; for others a budget becomes an effort",
    ),
    Field::new(
        "output_config.effort",
        Fate::Read(effort),
        "\"high\"",
        "`low` to `max`, in the family's own words",
    ),
    Field::new(
        "output_config.format",
        Fate::Read(format),
        r#"{"type":"json_schema","schema":{"type":"object","properties":{}}}"#,
        "`json_schema`: natively, by a tool, or by instructions",
    ),
    Field::new(
        "cache_control",
        HONOURED,
        r#"{"type":"ephemeral"}"#,
        "automatic cache points, where the family caches; also on blocks and tools",
    ),
    Field::new("metadata", HONOURED, r#"{"user_id":"u"}"#, "`requestMetadata`"),
    Field::new(
        "service_tier",
        HONOURED,
        "\"standard_only\"",
        "`auto`: none; `standard_only`: `serviceTier` default",
    ),
    Field::new(
        "anthropic_beta",
        Fate::Read(|capabilities| taken(capabilities.betas.iter().any(|flag| flag.starts_with("interleaved-")))),
        r#"["interleaved-thinking-2025-05-14"]"#,
        "like the header `anthropic-beta`: those of `modelFamilies.*.betas` go along, others are dropped",
    ),
    Field::new(
        "anthropic_version",
        HONOURED,
        "\"bedrock-2023-05-31\"",
        "as clients of Bedrock send it; says nothing to Converse",
    ),
    Field::new(
        "additionalModelRequestFields",
        HONOURED,
        r#"{"some_field":1}"#,
        "not Anthropic's: what only the model knows, taken as it is",
    ),
    Field::new(
        "context_management",
        Fate::Dropped,
        r#"{"edits":[{"type":"clear_tool_uses_20250919"}]}"#,
        "Converse does not edit contexts",
    )
    .but(&["{}"]),
    Field::new("speed", Fate::Dropped, "\"fast\"", "Bedrock has one speed; see its latency options")
        .but(&["\"standard\""]),
    Field::new(
        "container",
        Fate::Refused,
        "\"c\"",
        "Bedrock runs no containers; leave it out",
    ),
    Field::new(
        "mcp_servers",
        Fate::Refused,
        r#"[{"type":"url","url":"https://example.com","name":"n"}]"#,
        "Bedrock does not connect to MCP servers; connect to them yourself and send their tools in tools",
    )
    .but(&["[]"]),
    Field::new(
        "inference_geo",
        Fate::Refused,
        "\"us\"",
        "Bedrock's regions and inference profiles say where a model runs; choose the model for it",
    ),
]);

/// The table of Messages for the documentation, as Markdown.
pub fn field_table() -> String {
    FIELDS.markdown(|capabilities| capabilities.apis.messages.is_some())
}

const fn taken(taken: bool) -> Verdict {
    if taken {
        Verdict::Honoured
    } else {
        Verdict::Dropped
    }
}

const fn tools(capabilities: &ModelCapabilities) -> Verdict {
    if capabilities.tools.supported {
        Verdict::Honoured
    } else {
        Verdict::Refused
    }
}

fn tool_choice(capabilities: &ModelCapabilities) -> Verdict {
    if capabilities.tools.supported {
        taken(capabilities.tools.choice.contains(&Choice::Any))
    } else {
        Verdict::Refused
    }
}

const fn thinking(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.reasoning.style {
        ReasoningStyle::None => Verdict::Dropped,
        ReasoningStyle::Adaptive if !capabilities.reasoning.budget => {
            Verdict::Mapped("adaptive, without a budget")
        }
        ReasoningStyle::Budget | ReasoningStyle::Adaptive => Verdict::Honoured,
        _ => Verdict::Mapped("as an effort"),
    }
}

fn effort(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.reasoning.style {
        ReasoningStyle::None => Verdict::Dropped,
        ReasoningStyle::Budget => taken(
            capabilities
                .betas
                .iter()
                .any(|flag| flag.starts_with("effort-")),
        ),
        _ => Verdict::Honoured,
    }
}

const fn format(capabilities: &ModelCapabilities) -> Verdict {
    match capabilities.json_schema {
        SchemaMode::Native => Verdict::Honoured,
        SchemaMode::Tool => Verdict::Mapped("by a tool"),
        SchemaMode::Prompt => Verdict::Mapped("by instructions"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{anthropic::decode, families::FamilyTable, translation::DecodeOptions};

    /// What decoding does with a field that asks for something.
    fn fate(name: &str, sample: &str, capabilities: &ModelCapabilities) -> Verdict {
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
                Verdict::Refused
            }
            Ok(decoded) => {
                let name = if name == "anthropic_beta" {
                    "anthropic-beta"
                } else {
                    name
                };
                let dropped = format!("{name}: dropped");
                let is = |warning: &String| warning.starts_with(&dropped);
                if decoded.warnings.iter().any(is) {
                    Verdict::Dropped
                } else {
                    Verdict::Honoured
                }
            }
        }
    }

    #[test]
    fn every_field_fares_with_every_family_as_the_table_says() {
        for capabilities in FamilyTable::builtin().families() {
            if capabilities.embedding.is_some() {
                continue;
            }
            for field in FIELDS.0 {
                let expected = match field.verdict(&capabilities) {
                    Verdict::Mapped(_) => Verdict::Honoured,
                    verdict => verdict,
                };
                let got = fate(field.name, field.sample, &capabilities);
                assert_eq!(got, expected, "{} with {}", field.name, capabilities.family);
            }
        }
    }

    #[test]
    fn strict_mode_refuses_what_would_be_dropped() {
        let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
        let mut options = DecodeOptions::new(&capabilities);
        options.strict = true;
        for field in FIELDS
            .0
            .iter()
            .filter(|field| matches!(field.fate, Fate::Dropped))
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
    fn the_documentation_has_every_field() {
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
