//! The register of rules that AWS's service model does not express: the name and the source of each.
//!
//! A source is a recorded exchange, a public report with a measurement, or AWS's documentation; never the product.
//! The rules of a family are data (`data/models.yaml`); a comment at the check of a rule names it.

use std::{fs, path::Path};

/// Rules and their sources.
const RULES: [(&str, &str); 33] = [
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
        "cache-implicit",
        "AWS's user guide has implicit prompt caching, without numbers; maximhq/bifrost#6942 (GPT-5.6); 1,024 tokens, steps of 128 and 5 minutes are OpenAI's",
    ),
    (
        "cache-lifetimes",
        "earendil-works/pi#9457 (measured: a request of 5m and the same one of 1h both write)",
    ),
    (
        "cache-lookback",
        "AWS's user guide, simplified cache management: about 20 blocks, for Claude",
    ),
    (
        "cache-minimum",
        "AWS's user guide, supported models of prompt caching; anthropics/anthropic-sdk-python#1194",
    ),
    (
        "cache-settings",
        "docs.claude.com/en/docs/build-with-claude/prompt-caching#what-invalidates-the-cache: tool choice and thinking",
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
        "namespace-in-calls",
        "BerriAI/litellm#34488 (measured with Grok 4.3 on mantle)",
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
        "reserved-namespaces",
        "maximhq/bifrost#7039; BerriAI/litellm#36545 (measured: `functions`, and the wording)",
    ),
    (
        "responses-items",
        "BerriAI/litellm#36546 (measured item by item), #33228 (`additional_tools`)",
    ),
    (
        "responses-tool-types",
        "openai/codex#19416 (measured: no `custom`), #24713 (namespaces), #25034 (none for gpt-oss); maximhq/bifrost#7039 (`web_search`)",
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
        "thinking-display",
        "anthropics/claude-code#79060 (`summarized`, `omitted`); `updates` is a beta in the types of anthropic 2.14.0",
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

/// Each rule has a source, and a check that names it.
#[test]
fn rules_are_sorted_cite_a_source_and_have_a_check() {
    assert!(RULES.is_sorted_by(|one, next| one.0 < next.0));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bedrock");
    let checks = text_of(&sources);
    for (name, source) in RULES {
        let cites = source.contains('#')
            || source.starts_with("recorded")
            || source.starts_with("AWS's user guide");
        assert!(cites, "{name}: {source}");
        let named = checks
            .iter()
            .any(|text| text.contains(&format!("ule {name}")));
        assert!(named, "no check names the rule {name}");
    }
}

/// The text of all Rust files below a directory, except this one.
fn text_of(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                return text_of(&path);
            }
            let other = !path.ends_with("rules.rs");
            other
                .then(|| fs::read_to_string(&path).expect("a file"))
                .into_iter()
                .collect()
        })
        .collect()
}
