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

/// Models without a price, by the beginning of their ids, and why.
pub(super) const UNPRICED: [(&str, &str); 4] = [
    ("amazon.nova-2-5-sonic", "tokens of speech"),
    ("amazon.nova-2-sonic", "tokens of speech"),
    ("luma.", "seconds of video"),
    ("twelvelabs.", "seconds of video and audio"),
];

/// Members of rows of LiteLLM's list that are missing there: name, members as JSON, and the source.
pub(super) const PRICES: [(&str, &str, &str); 3] = [
    (
        "anthropic.claude-3-haiku-20240307-v1:0",
        r#"{"litellm_provider": "bedrock", "input_cost_per_token": 2.5e-07, "output_cost_per_token": 1.25e-06,
            "input_cost_per_token_batches": 1.25e-07, "output_cost_per_token_batches": 6.25e-07}"#,
        "AWS's page of prices of 2025-07-20, quoted in packages/convo-lang-bedrock/bedrock-pricing.md of \
         https://github.com/convo-lang/convo-lang",
    ),
    (
        "anthropic.claude-3-sonnet-20240229-v1:0",
        r#"{"litellm_provider": "bedrock", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
            "input_cost_per_token_batches": 1.5e-06, "output_cost_per_token_batches": 7.5e-06}"#,
        "AWS's price list of 2026-08-20, us-east-1, in docs/data.json of https://github.com/aToy0m0/bedrock-pricing",
    ),
    (
        "apac.anthropic.claude-haiku-4-5-20251001-v1:0",
        r#"{"cache_creation_input_token_cost_above_1hr": 2.2e-06}"#,
        "the rows of the same model for au, eu, jp and us, which have the same other prices",
    ),
];
