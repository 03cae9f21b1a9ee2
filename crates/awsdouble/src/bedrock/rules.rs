//! The register of rules that AWS's service model does not express: the name and the source of each.
//!
//! A source is a recorded exchange, a public report with a measurement, or AWS's documentation; never the product.
//! The rules of a family are data (`data/models.yaml`); the checks of a rule ask [`enforced`] before they reject.

use super::catalog::{BodyFormat, Rules};

/// Rules and their sources.
pub(super) const RULES: [(&str, &str); 23] = [
    (
        "adaptive-thinking",
        "pensarai/apex#890; anthropics/claude-code-action#1265 for budgets from 4.7 on",
    ),
    (
        "beside-tool-result",
        "pydantic/pydantic-ai#6098 (measured for six families) and its recordings",
    ),
    (
        "cache-after-document",
        "strands-agents/harness-sdk#1966; aws/aws-sdk-java-v2#6277",
    ),
    (
        "cache-after-reasoning",
        "anomalyco/opencode#36517, #49859; 0xPlaygrounds/rig#1673",
    ),
    (
        "cache-ttl-order",
        "strands-agents/harness-sdk#3758 (measured); Portkey-AI/gateway#1762 (wording)",
    ),
    (
        "cited-text-as-bytes",
        "boto/boto3#4726: a text file with citations has to be source.text",
    ),
    (
        "converse-beta-flags",
        "agentgateway/agentgateway#3240; BerriAI/litellm-docs#1534",
    ),
    (
        "effort",
        "anthropics/claude-code#30795, #51377; coder/coder#25356 (values of Opus 4.5)",
    ),
    (
        "gpt-fields",
        "anomalyco/opencode#48195 (measured); agentgateway/agentgateway#3442 (wording)",
    ),
    (
        "image-label",
        "ziatdinovmax/SciLink#382; NousResearch/hermes-agent#55429 (measured)",
    ),
    (
        "model-output-limit",
        "vercel/ai#2772 (Claude 3); BerriAI/litellm#23198 (Nova); Effect-TS/effect#7129 (Claude 4.5, 4.6)",
    ),
    (
        "nova-tool-result-media",
        "recorded: test_multimodal_tool_return_matrix of pydantic-ai; pydantic/pydantic-ai#6098",
    ),
    (
        "reasoning-only-turn",
        "NousResearch/hermes-agent#105780: Claude 5 counts it as a prefill, 4.6 does not",
    ),
    (
        "s3-media",
        "recorded: test_multimodal_tool_return_matrix of pydantic-ai",
    ),
    (
        "sampling",
        "logancyang/obsidian-copilot#2600; NousResearch/hermes-agent#36151 (Converse)",
    ),
    (
        "schema-limits",
        "BerriAI/litellm#29168; vercel/ai#17197 (maxItems); pydantic-ai's measurement of 2026-05-19, and a recording, for minLength",
    ),
    (
        "system-role",
        "BerriAI/litellm#36968 (before 4.8), #32730 (from 4.8 on)",
    ),
    (
        "text-source",
        "maximhq/bifrost#7072; strands-agents/harness-sdk#3582",
    ),
    (
        "thinking-claude-3",
        "AWS's user guide, extended thinking: from Claude 3.7 on",
    ),
    (
        "tool-property-names",
        "aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws#709 (measured: only at the root)",
    ),
    (
        "tool-schema-root",
        "trycua/cua#3303; makenotion/notion-mcp-server#340",
    ),
    (
        "tool-search",
        "BerriAI/litellm-docs#1534: from Claude 4.5 on, by InvokeModel only",
    ),
    (
        "video-wording",
        "recorded: eight rejections of video by Claude 4.5",
    ),
];

/// Rules that the product still violates, with what has to change there. They are enforced in this crate's own tests
/// only. Remove an entry together with the correction of the product; the list only shrinks.
pub(super) const PENDING: [(&str, &str); 14] = [
    (
        "adaptive-thinking",
        "Messages by InvokeModel: adapt `thinking` to the model",
    ),
    (
        "cache-after-document",
        "cache points behind csv, txt, md, html, docx, xlsx for Claude",
    ),
    (
        "cache-ttl-order",
        "tests golden_requests (row-24-cache-point-after-its-block): 1h after 5m",
    ),
    (
        "cited-text-as-bytes",
        "Messages by Converse: a cited text file as `source.text`",
    ),
    (
        "converse-beta-flags",
        "Messages by Converse: drop the flags of the tool search",
    ),
    (
        "effort",
        "Messages: effort only where the model has it, with the flag for Opus 4.5",
    ),
    ("gpt-fields", "GPT-5.6 by Converse: `reasoning.effort`"),
    (
        "image-label",
        "Messages by InvokeModel: the type of the bytes",
    ),
    (
        "model-output-limit",
        "tests anthropic_clients::requests_of_claude_code_are_answered…: lower `max_tokens`",
    ),
    (
        "reasoning-only-turn",
        "Claude 5: no turns of reasoning alone",
    ),
    (
        "sampling",
        "Messages by InvokeModel: drop sampling from Claude 4.7 on",
    ),
    (
        "schema-limits",
        "limits of schemas to the description, also where `type` is a list",
    ),
    (
        "tool-property-names",
        "Claude: map property names at the root and back",
    ),
    (
        "tool-schema-root",
        "Claude: take `anyOf`, `oneOf`, `allOf` off the root",
    ),
];

/// The limit of output tokens; while the rule is pending, that of the most capable model of the provider.
pub(super) fn output_limit(rules: &Rules) -> u64 {
    if enforced("model-output-limit") {
        return rules.max_tokens;
    }
    let provider = match rules.body_format {
        BodyFormat::Messages => 128_000,
        BodyFormat::Nova => 65_536,
        _ => 0,
    };
    rules.max_tokens.max(provider)
}

/// Whether a rule is enforced.
pub(super) fn enforced(rule: &str) -> bool {
    debug_assert!(
        RULES.iter().any(|(name, _)| *name == rule),
        "{rule} is not registered"
    );
    cfg!(test) || !PENDING.iter().any(|(name, _)| *name == rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_sorted_and_name_their_sources() {
        assert!(RULES.is_sorted_by(|one, next| one.0 < next.0));
        for (name, source) in RULES {
            let cites = source.contains('#')
                || source.starts_with("recorded")
                || source.starts_with("AWS's user guide");
            assert!(cites, "{name}: {source}");
        }
    }

    #[test]
    fn pending_rules_exist_and_only_become_fewer() {
        assert!(PENDING.len() <= 14, "the list only shrinks");
        assert!(PENDING.is_sorted_by(|one, next| one.0 < next.0));
        for (name, _) in PENDING {
            assert!(RULES.iter().any(|(rule, _)| *rule == name), "{name}");
        }
    }
}
