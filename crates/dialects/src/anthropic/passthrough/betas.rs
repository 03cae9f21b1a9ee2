//! Beta flags: selects the flags that Bedrock supports for a model.

use std::borrow::Cow;

use crate::{
    families::ModelCapabilities,
    translation::{RequestError, warnings::Warnings},
};

/// Flags that identify the client or its login; they do not affect responses.
const LABELS: [&str; 2] = ["claude-code-", "oauth-"];
/// Features that Bedrock supports without a flag.
const BUILT_IN: [&str; 4] = [
    "prompt-caching-",
    "extended-cache-ttl-",
    "messages-",
    "max-tokens-3-5-sonnet-",
];
/// Anthropic's flag for two flags of Bedrock.
const ADVANCED_TOOLS: &str = "advanced-tool-use-";
const TOOL_FLAGS: [&str; 2] = ["tool-search-tool-", "tool-examples-"];

/// The supported flags among those of header and body. `native`: whether the request is for Claude's own API and not
/// for Converse, which supports fewer flags.
pub(crate) fn filter<'f>(
    given: impl Iterator<Item = Cow<'f, str>>,
    native: bool,
    capabilities: &ModelCapabilities,
    warnings: &mut Warnings,
) -> Result<Vec<String>, RequestError> {
    let more: &[String] = if native {
        &capabilities.native_betas
    } else {
        &[]
    };
    let supported = || capabilities.betas.iter().chain(more);
    let mut kept: Vec<String> = Vec::new();
    let mut keep = |flag: &str| {
        if !kept.iter().any(|known| known == flag) {
            kept.push(flag.to_owned());
        }
    };
    for flag in given {
        let flag = flag.trim();
        let begins = |list: &[&str]| list.iter().any(|start| flag.starts_with(start));
        if supported().any(|allowed| allowed == flag) {
            keep(flag);
        } else if flag.starts_with(ADVANCED_TOOLS) {
            let own = |known: &&String| TOOL_FLAGS.iter().any(|start| known.starts_with(start));
            let mut any = false;
            for known in supported().filter(own) {
                any = true;
                keep(known);
            }
            if !any {
                rejected(flag, native, capabilities, warnings)?;
            }
        } else if !flag.is_empty() && !begins(&LABELS) && !begins(&BUILT_IN) {
            rejected(flag, native, capabilities, warnings)?;
        }
    }
    Ok(kept)
}

fn rejected(
    flag: &str,
    native: bool,
    capabilities: &ModelCapabilities,
    warnings: &mut Warnings,
) -> Result<(), RequestError> {
    let (api, field) = if native {
        ("Bedrock", "betas")
    } else {
        ("Converse", "betas, and nativeBetas for InvokeModel")
    };
    let why = format!(
        "{flag} is not supported by {api} for {} (see modelFamilies.*.{field})",
        capabilities.title
    );
    warnings.dropped("anthropic-beta", &why)
}

/// Whether a flag with this prefix is set.
pub(crate) fn has(flags: &[String], start: &str) -> bool {
    flags.iter().any(|flag| flag.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::FamilyTable;

    #[track_caller]
    fn check(model: &str, given: &[&str], kept: &[&str], expected_warnings: usize) {
        let capabilities = FamilyTable::builtin().resolve(model, None);
        let mut warnings = Warnings::new(false);
        let flags = given.iter().map(|flag| Cow::Borrowed(*flag));
        assert_eq!(
            filter(flags, true, &capabilities, &mut warnings).unwrap(),
            kept,
            "{model}"
        );
        assert_eq!(warnings.into_vec().len(), expected_warnings, "{model}");
    }

    #[test]
    fn each_model_gets_its_supported_flags_once() {
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        check(
            sonnet,
            &[
                "context-1m-2025-08-07",
                " context-1m-2025-08-07",
                "mcp-client-2025-11-20",
            ],
            &["context-1m-2025-08-07"],
            1,
        );
        check(
            sonnet,
            &[
                "claude-code-20250219",
                "oauth-2025-04-20",
                "prompt-caching-scope-2026-01-05",
                "",
            ],
            &[],
            0,
        );
        check(
            sonnet,
            &["advanced-tool-use-2025-11-20"],
            &["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"],
            0,
        );
        check(
            "global.anthropic.claude-opus-4-7",
            &[
                "interleaved-thinking-2025-05-14",
                "effort-2025-11-24",
                "advanced-tool-use-2025-11-20",
            ],
            &[
                "interleaved-thinking-2025-05-14",
                "tool-search-tool-2025-10-19",
            ],
            1,
        );
        check("amazon.nova-pro-v1:0", &["context-1m-2025-08-07"], &[], 1);
    }

    #[test]
    fn converse_gets_no_flags_that_it_rejects() {
        for model in [
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-opus-4-5-20251101-v1:0",
            "anthropic.claude-sonnet-4-6",
            "anthropic.claude-opus-4-8",
        ] {
            let capabilities = FamilyTable::builtin().resolve(model, None);
            for given in [
                "advanced-tool-use-2025-11-20",
                "tool-search-tool-2025-10-19",
            ] {
                let mut warnings = Warnings::new(false);
                let flags = [Cow::Borrowed(given)].into_iter();
                let kept = filter(flags, false, &capabilities, &mut warnings).unwrap();
                assert!(kept.is_empty(), "{model} {kept:?}");
                assert!(warnings.into_vec()[0].contains("Converse"));
            }
        }
    }

    #[test]
    fn strict_mode_rejects_flags_that_would_be_dropped() {
        let capabilities = FamilyTable::builtin().resolve("anthropic.claude-opus-4-7", None);
        let flags = [Cow::Borrowed("effort-2025-11-24")].into_iter();
        let error = filter(flags, true, &capabilities, &mut Warnings::new(true)).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("anthropic-beta"));
    }
}
