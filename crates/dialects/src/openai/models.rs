//! OpenAI's list of models.

use serde::Serialize;

/// A model that the client may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    /// The value for `model`.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// Time when the list was loaded, in seconds since 1970.
    pub created: u64,
    /// The provider of the model, such as `anthropic`.
    pub owned_by: String,
}

impl ModelEntry {
    /// An entry; the owner is derived from the model's Bedrock id.
    pub fn new(id: impl Into<String>, bedrock_id: &str, created: u64) -> Self {
        Self {
            id: id.into(),
            object: "model",
            created,
            owned_by: crate::families::provider(bedrock_id).to_owned(),
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: &'a [ModelEntry],
}

/// `{"object":"list","data":[…]}`.
pub fn models_list(models: &[ModelEntry]) -> Vec<u8> {
    let list = List {
        object: "list",
        data: models,
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_of_alias_profile_and_arn_is_the_provider() {
        let arn =
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
        let list = models_list(&[
            ModelEntry::new("fast", "us.anthropic.claude-haiku-4-5-20251001-v1:0", 7),
            ModelEntry::new("lite", arn, 7),
            ModelEntry::new(
                "mine",
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
                7,
            ),
        ]);
        assert_eq!(
            String::from_utf8(list).unwrap(),
            concat!(
                r#"{"object":"list","data":[{"id":"fast","object":"model","created":7,"owned_by":"anthropic"},"#,
                r#"{"id":"lite","object":"model","created":7,"owned_by":"amazon"},"#,
                r#"{"id":"mine","object":"model","created":7,"owned_by":"bedrock"}]}"#
            )
        );
    }
}
