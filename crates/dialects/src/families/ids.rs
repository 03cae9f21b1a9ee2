//! Derives the id of the foundation model from a model id, profile id or ARN.

/// Prefixes of cross-region inference profiles.
const PROFILE_PREFIXES: [&str; 14] = [
    "us", "eu", "apac", "au", "jp", "in", "ca", "sa", "us-gov", "amer", "global", "me", "af", "il",
];

/// The id of the foundation model; `None` if the name does not contain it (application inference profiles, prompts,
/// provisioned and custom models).
pub fn base_model_id(model: &str) -> Option<&str> {
    let id = if model.starts_with("arn:") {
        // arn:partition:bedrock:region:account:kind/id
        let resource = model.splitn(6, ':').nth(5)?;
        match resource.split_once('/')? {
            ("foundation-model" | "inference-profile", id) => id,
            _ => return None,
        }
    } else {
        model
    };
    Some(
        PROFILE_PREFIXES
            .iter()
            .find_map(|prefix| id.strip_prefix(prefix)?.strip_prefix('.'))
            .unwrap_or(id),
    )
}

/// Whether an id is the bare id of a foundation model, not a cross-region profile or an ARN.
pub fn is_bare(model: &str) -> bool {
    base_model_id(model) == Some(model)
}

/// The provider of a model, such as `anthropic`; `bedrock` if the name does not contain it.
pub fn provider(model: &str) -> &str {
    base_model_id(model)
        .and_then(|id| id.split_once('.'))
        .map_or("bedrock", |(provider, _)| provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foundation_model_of_profiles_and_arns() {
        let cases = [
            ("amazon.nova-lite-v1:0", Some("amazon.nova-lite-v1:0")),
            (
                "us-gov.amazon.nova-lite-v1:0",
                Some("amazon.nova-lite-v1:0"),
            ),
            (
                "global.anthropic.claude-opus-5",
                Some("anthropic.claude-opus-5"),
            ),
            (
                "amer.anthropic.claude-sonnet-4-6",
                Some("anthropic.claude-sonnet-4-6"),
            ),
            (
                "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-v2:1",
                Some("anthropic.claude-v2:1"),
            ),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0",
                Some("amazon.nova-pro-v1:0"),
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2",
                None,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1",
                None,
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/x",
                None,
            ),
            ("arn:aws:bedrock", None),
        ];
        for (model, expected) in cases {
            assert_eq!(base_model_id(model), expected, "{model}");
        }
    }
}
