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
        AWS_LIST,
    ),
    (
        "apac.anthropic.claude-haiku-4-5-20251001-v1:0",
        r#"{"cache_creation_input_token_cost_above_1hr": 2.2e-06}"#,
        "the rows of the same model for au, eu, jp and us, which have the same other prices",
    ),
];
pub(super) const AWS_LIST: &str = "AWS's price list of 2026-08-20, us-east-1, in docs/data.json of https://github.com/aToy0m0/bedrock-pricing";

/// Prices of batches that the list lacks, of [`AWS_LIST`]: name, and dollars for a token of input and of output.
pub(super) const BATCHES: [(&str, f64, Option<f64>); 16] = [
    ("amazon.nova-2-multimodal-embeddings-v1:0", 6.75e-08, None),
    ("amazon.titan-embed-text-v2:0", 1e-08, None),
    (
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        1.5e-06,
        Some(7.5e-06),
    ),
    (
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        1.5e-06,
        Some(7.5e-06),
    ),
    (
        "anthropic.claude-3-opus-20240229-v1:0",
        7.5e-06,
        Some(3.75e-05),
    ),
    (
        "us.anthropic.claude-3-5-haiku-20241022-v1:0",
        4e-07,
        Some(2e-06),
    ),
    (
        "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
        1.5e-06,
        Some(7.5e-06),
    ),
    (
        "us.anthropic.claude-opus-4-20250514-v1:0",
        7.5e-06,
        Some(3.75e-05),
    ),
    (
        "us.anthropic.claude-opus-4-5-20251101-v1:0",
        2.75e-06,
        Some(1.375e-05),
    ),
    ("us.anthropic.claude-opus-4-6-v1", 2.75e-06, Some(1.375e-05)),
    (
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        1.5e-06,
        Some(7.5e-06),
    ),
    ("us.anthropic.claude-sonnet-4-6", 1.65e-06, Some(8.25e-06)),
    (
        "bedrock/us-east-1/moonshotai.kimi-k2-thinking",
        3e-07,
        Some(1.25e-06),
    ),
    ("deepseek.v3-v1:0", 2.9e-07, Some(8.4e-07)),
    ("meta.llama3-1-405b-instruct-v1:0", 1.2e-06, Some(1.2e-06)),
    ("qwen.qwen3-coder-480b-a35b-v1:0", 2.25e-07, Some(9e-07)),
];
