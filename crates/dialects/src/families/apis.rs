//! The Bedrock API that serves a model in each dialect: a row of the table of families, adapted to a target's setting
//! and to profile ids.

use bedrock::apis::{BedrockApi, Protocol, Service};
use serde::{Deserialize, Serialize};

use super::ids::is_bare;

/// The API for each dialect; `None` if the model does not support the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BedrockApis {
    /// OpenAI's Chat Completions.
    pub chat: Option<BedrockApi>,
    /// Anthropic's Messages.
    pub messages: Option<BedrockApi>,
    /// OpenAI's Responses.
    pub responses: Option<BedrockApi>,
    /// OpenAI's embeddings.
    pub embeddings: Option<BedrockApi>,
    /// OpenAI's image generation.
    pub images: Option<BedrockApi>,
    /// Document ranking.
    pub rerank: Option<BedrockApi>,
}

impl BedrockApis {
    /// The row for one target. `chosen` takes precedence in the dialects that it supports. APIs for bare ids only are
    /// replaced if `model` is a profile or an ARN.
    #[must_use]
    pub fn for_target(self, model: &str, chosen: Option<BedrockApi>) -> Self {
        let pick = |own: Option<BedrockApi>, protocol: Protocol| {
            let translated = matches!(chosen, Some(BedrockApi::Converse))
                || matches!(
                    (chosen, protocol),
                    (Some(BedrockApi::InvokeModel), Protocol::Messages)
                );
            let picked = match chosen {
                Some(api) if translated || api.path(protocol).is_some() => Some(api),
                _ => own,
            };
            picked.map(|api| {
                if is_bare(model) {
                    api
                } else {
                    api.for_profiles(protocol)
                }
            })
        };
        Self {
            chat: pick(self.chat, Protocol::ChatCompletions),
            messages: pick(self.messages, Protocol::Messages),
            responses: pick(self.responses, Protocol::Responses),
            ..self
        }
    }

    /// Whether Converse can serve the model in place of `api`: bedrock-runtime serves all its models by Converse, too.
    pub(crate) fn by_converse(api: Option<BedrockApi>) -> bool {
        api.is_some_and(|api| api.service() == Service::Runtime)
    }

    /// Advice for a model that does not support the requested dialect.
    pub fn advice(&self) -> &'static str {
        if self.embeddings.is_some() {
            "use /v1/embeddings"
        } else if self.images.is_some() {
            "use /v1/images/generations"
        } else if self.rerank.is_some() {
            "use /v1/rerank"
        } else if self.chat.is_some() {
            "use /v1/chat/completions"
        } else if self.responses.is_some() {
            "use /v1/responses"
        } else if self.messages.is_some() {
            "use /v1/messages"
        } else {
            "choose another model"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::FamilyTable;

    fn of(model: &str, chosen: Option<BedrockApi>) -> BedrockApis {
        FamilyTable::builtin()
            .resolve(model, None)
            .apis
            .for_target(model, chosen)
    }

    #[test]
    fn each_dialect_gets_the_api_that_serves_the_model() {
        use BedrockApi::{Converse, InvokeModel, Mantle, MantleOpenAi, OpenAi};
        for (model, chat, messages, responses) in [
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                Some(Converse),
                Some(InvokeModel),
                Some(Converse),
            ),
            (
                "amazon.nova-lite-v1:0",
                Some(Converse),
                Some(Converse),
                Some(Converse),
            ),
            (
                "openai.gpt-oss-20b-1:0",
                Some(OpenAi),
                Some(Converse),
                Some(Converse),
            ),
            ("qwen.qwen3-32b", Some(Mantle), None, None),
            ("openai.gpt-oss-20b", Some(Mantle), None, Some(Mantle)),
            ("openai.gpt-5.5", None, None, Some(MantleOpenAi)),
            ("us.openai.gpt-5.5", None, None, Some(OpenAi)),
            (
                "openai.gpt-5.6-sol",
                Some(OpenAi),
                Some(Converse),
                Some(MantleOpenAi),
            ),
            (
                "global.openai.gpt-5.6-sol",
                Some(OpenAi),
                Some(Converse),
                Some(OpenAi),
            ),
            ("xai.grok-4.3", None, None, Some(MantleOpenAi)),
            (
                "google.gemma-3-27b-it",
                Some(Converse),
                Some(Converse),
                Some(Converse),
            ),
            (
                "google.gemma-4-31b",
                Some(MantleOpenAi),
                None,
                Some(MantleOpenAi),
            ),
            ("cohere.embed-v4:0", None, None, None),
        ] {
            let found = of(model, None);
            assert_eq!(found.chat, chat, "chat with {model}");
            assert_eq!(found.messages, messages, "messages with {model}");
            assert_eq!(found.responses, responses, "responses with {model}");
        }
    }

    #[test]
    fn setting_of_a_target_takes_precedence_in_its_dialects() {
        let claude = "anthropic.claude-opus-4-7";
        let found = of(claude, Some(BedrockApi::Mantle));
        assert_eq!(found.messages, Some(BedrockApi::Mantle));
        assert_eq!(found.chat, Some(BedrockApi::Mantle));
        let found = of(claude, Some(BedrockApi::Anthropic));
        assert_eq!(found.messages, Some(BedrockApi::Anthropic));
        assert_eq!(found.chat, Some(BedrockApi::Converse));
        assert_eq!(
            of(claude, Some(BedrockApi::Converse)).messages,
            Some(BedrockApi::Converse)
        );
        assert_eq!(
            of(claude, Some(BedrockApi::InvokeModel)).chat,
            Some(BedrockApi::Converse)
        );
        let gpt = of("openai.gpt-oss-20b-1:0", Some(BedrockApi::Converse));
        assert_eq!(gpt.chat, Some(BedrockApi::Converse));
    }

    #[test]
    fn advice_names_the_endpoint_of_the_model() {
        for (model, path) in [
            ("cohere.embed-v4:0", "/v1/embeddings"),
            ("openai.gpt-5.5", "/v1/responses"),
        ] {
            assert!(of(model, None).advice().contains(path), "{model}");
        }
    }
}
