//! Corrections of the published sources, each with its own source.

/// Prefixes of inference profiles and their geographic areas: Amazon Bedrock User Guide,
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>.
pub(super) const PREFIXES: [(&str, &str); 10] = [
    ("amer", "the Americas"),
    ("apac", "Asia Pacific"),
    ("au", "Australia and New Zealand"),
    ("ca", "Canada"),
    ("eu", "Europe"),
    ("global", "any commercial region"),
    ("in", "India"),
    ("jp", "Japan"),
    ("us", "United States and Canada"),
    ("us-gov", "AWS GovCloud (US)"),
];

/// Ids that the table omits, and why.
pub(super) const OMITTED: [(&str, &str); 3] = [
    (
        "anthropic.claude-fern-trn2-1024k",
        "bedrock-mantle listed it from 2026-08-30 to 2026-09-03; no AWS document names it",
    ),
    (
        "anthropic.claude-mulberry-trn2-208k-20251001",
        "bedrock-mantle lists it in one region; no AWS document names it",
    ),
    (
        "anthropic.claude-opus-4-6",
        "bedrock-mantle listed it from 2026-08-30 to 2026-09-01; the model is anthropic.claude-opus-4-6-v1",
    ),
];

/// Models that were retired before the first release of the source, and where AWS's end-of-life list is quoted.
pub(super) const RETIRED: [(&str, &str); 5] = [
    ("anthropic.claude-instant-v1", EOL_2025),
    ("anthropic.claude-v2", EOL_2025),
    ("anthropic.claude-v2:1", EOL_2025),
    ("cohere.command-light-text-v14", EOL_2025),
    ("cohere.command-text-v14", EOL_2025),
];
const EOL_2025: &str = "end-of-life list of the Amazon Bedrock User Guide of 2025-09-19, \
                        quoted in https://github.com/epam/ai-dial-adapter-bedrock/pull/310";
