//! Tests of the table of families.

use super::*;
use crate::families::{Choice, ReasoningStyle, SchemaMode};

#[track_caller]
fn family(model: &str, expected: &str) {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    assert_eq!(capabilities.family, expected, "{model}");
}

#[test]
fn known_ids_match_their_families() {
    family("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-4.5");
    family("anthropic.claude-haiku-4-5", "claude-4.5");
    family(
        "global.anthropic.claude-opus-4-5-20251101-v1:0",
        "claude-opus-4.5",
    );
    family("anthropic.claude-3-haiku-20240307-v1:0", "claude-3");
    family("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3.5");
    family("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "claude-4");
    family("anthropic.claude-opus-4-20250514-v1:0", "claude-opus-4");
    family("us.anthropic.claude-opus-4-1-20250805-v1:0", "claude-4.1");
    family("global.anthropic.claude-opus-4-6-v1", "claude-4.6");
    family("eu.anthropic.claude-sonnet-4-6", "claude-4.6");
    family("us.anthropic.claude-opus-4-7", "claude-4.7");
    family("us.anthropic.claude-opus-5", "claude-4.8");
    family("us.anthropic.claude-fable-5", "claude-5-unforced");
    family("anthropic.claude-v2:1", "claude-2");
    family("us.amazon.nova-micro-v1:0", "nova-micro");
    family("amazon.nova-lite-v1:0:300k", "nova");
    family("us.amazon.nova-2-lite-v1:0", "nova-2");
    family("amazon.titan-text-express-v1", "titan-text");
    family("meta.llama3-70b-instruct-v1:0", "llama-3");
    family("us.meta.llama3-1-8b-instruct-v1:0", "llama-3.1");
    family("us.meta.llama3-2-90b-instruct-v1:0", "llama-vision");
    family("us.meta.llama4-maverick-17b-instruct-v1:0", "llama-vision");
    family("mistral.mistral-7b-instruct-v0:2", "mistral-instruct");
    family("mistral.mistral-large-2407-v1:0", "mistral-large");
    family("us.mistral.pixtral-large-2502-v1:0", "pixtral");
    family("mistral.mistral-large-3-675b-instruct", "mistral-3");
    family("cohere.command-r-plus-v1:0", "command-r");
    family("ai21.jamba-1-5-large-v1:0", "jamba");
    family("us.deepseek.r1-v1:0", "deepseek-r1");
    family("deepseek.v3-v1:0", "deepseek-v3");
    family("deepseek.v3.2", "deepseek-v3");
    family("qwen.qwen3-32b-v1:0", "qwen3");
    family("qwen.qwen3-vl-235b-a22b", "qwen3-vl");
    family("qwen.qwen3-coder-30b-a3b-v1:0", "qwen3");
    family("openai.gpt-oss-120b-1:0", "gpt-oss");
    family("us.openai.gpt-5.6", "gpt");
    family("google.gemma-3-27b-it", "gemma-3");
    family("minimax.minimax-m2", "minimax");
    family("nvidia.nemotron-nano-9b-v2", "nemotron");
    family("us.writer.palmyra-x5-v1:0", "palmyra");
    family("zai.glm-4.7", "glm");
    family("moonshot.kimi-k2-thinking", "kimi");
    family("moonshotai.kimi-k2.5", "kimi");
    family("amazon.titan-embed-text-v2:0", "titan-embed-text");
    family("amazon.titan-embed-text-v1", "titan-embed-text-v1");
    family("amazon.titan-embed-image-v1", "titan-embed-image");
    family("cohere.embed-multilingual-v3", "cohere-embed");
    family("us.cohere.embed-v4:0", "cohere-embed-v4");
    family("amazon.nova-2-multimodal-embeddings-v1:0", "nova-embed");
    family("acme.brand-new-v1:0", "other");
}

#[test]
fn base_model_of_the_configuration_determines_the_family() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let table = FamilyTable::builtin();
    assert_eq!(table.resolve(arn, None).family, "other");
    let base = Some("us.anthropic.claude-sonnet-4-6");
    assert_eq!(table.resolve(arn, base).family, "claude-4.6");
}

#[track_caller]
fn overridden(yaml: &str) -> Result<Arc<FamilyTable>, FamilyError> {
    let overrides: BTreeMap<String, Value> =
        serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    FamilyTable::with_overrides(&overrides)
}

#[test]
fn override_changes_only_the_given_fields() {
    let table = overridden("claude-4.6: {sampling: {both: true}, jsonSchema: tool}").unwrap();
    let capabilities = table.resolve("us.anthropic.claude-opus-4-6-v1", None);
    assert!(capabilities.sampling.both);
    assert_eq!(capabilities.json_schema, SchemaMode::Tool);
    assert_eq!(capabilities.reasoning.style, ReasoningStyle::Adaptive);
    let untouched = FamilyTable::builtin().resolve("us.anthropic.claude-opus-4-6-v1", None);
    assert!(!untouched.sampling.both);
}

#[test]
fn new_family_takes_precedence_and_extends_another() {
    let yaml = "my-model: {match: ['ACME.*', 'anthropic.claude-next*'], extends: claude-4.6, tools: {choice: [any]}}";
    let table = overridden(yaml).unwrap();
    for id in ["acme.brand-new-v1:0", "eu.anthropic.claude-next-7"] {
        let capabilities = table.resolve(id, None);
        assert_eq!(capabilities.family, "my-model");
        assert_eq!(capabilities.tools.choice, [Choice::Any]);
        assert_eq!(capabilities.reasoning.style, ReasoningStyle::Adaptive);
    }
    assert_eq!(
        table.resolve("anthropic.claude-sonnet-4-6", None).family,
        "claude-4.6"
    );
}

#[test]
fn override_of_other_changes_unknown_models() {
    let table = overridden("other: {system: false}").unwrap();
    assert!(!table.resolve("acme.brand-new-v1:0", None).system);
    assert!(table.resolve("amazon.nova-lite-v1:0", None).system);
}

#[test]
fn patterns_of_an_override_are_added_to_the_family() {
    let table = overridden("qwen3: {match: ['acme.qwen*']}").unwrap();
    assert_eq!(table.resolve("acme.qwen-4", None).family, "qwen3");
    assert_eq!(table.resolve("qwen.qwen3-32b-v1:0", None).family, "qwen3");
}

#[track_caller]
fn rejected(yaml: &str, expected: &str) {
    let error = overridden(yaml).unwrap_err().to_string();
    assert!(error.contains(expected), "{yaml}: {error}");
}

#[test]
fn rejects_invalid_overrides_by_name() {
    rejected("x: {system: true}", "modelFamilies.x.match");
    rejected("x: {match: ['a*'], sistem: true}", "sistem");
    rejected("x: {match: ['a*'], extends: nothing}", "nothing");
    rejected("x: {match: 'a*'}", "match");
    rejected("qwen3: {jsonSchema: maybe}", "maybe");
    rejected("qwen3: 7", "modelFamilies.qwen3");
}

#[test]
fn star_matches_any_run_of_characters() {
    for (pattern, id, expected) in [
        ("a*", "abc", true),
        ("a*c", "abc", true),
        ("a*b*c", "axxbyyc", true),
        ("*c", "abc", true),
        ("*", "", true),
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("a*b", "abc", false),
        ("a*b*b", "ab", false),
        ("b*", "abc", false),
        ("a?c", "abc", false),
        ("a?c", "a?c", true),
    ] {
        let found = Pattern::new(pattern).matches(id);
        assert_eq!(found, expected, "{pattern} {id}");
    }
}

#[test]
fn only_embedding_families_have_an_embedding_shape() {
    for capabilities in FamilyTable::builtin().families() {
        assert_eq!(
            capabilities.embedding.is_some(),
            capabilities.apis.embeddings.is_some(),
            "{}",
            capabilities.family
        );
    }
}
