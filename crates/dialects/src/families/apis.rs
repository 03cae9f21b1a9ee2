//! Which API of Bedrock serves a model to clients of each dialect: a row of the table of families, and how
//! a target's own setting and a profile's id change it.

use bedrock::apis::{BedrockApi, Protocol, Service};
use serde::{Deserialize, Serialize};

use super::ids::is_bare;

/// By the dialect a client speaks; none: the model is not for that.
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
    /// Ranking of documents.
    pub rerank: Option<BedrockApi>,
}

impl BedrockApis {
    /// The row for one target: `chosen` wins in the dialects that it speaks, and what only bare ids can
    /// have is exchanged where `model` is a profile or an ARN.
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

    /// Whether Converse serves the model to a dialect, natively or in place of `api`: all that
    /// bedrock-runtime serves in another protocol it serves by Converse, too.
    pub(crate) fn by_converse(api: Option<BedrockApi>) -> bool {
        api.is_some_and(|api| api.service() == Service::Runtime)
    }

    /// What a model without a api for the dialect at hand is for, as advice.
    pub fn advice(&self) -> &'static str {
        if self.embeddings.is_some() {
            "it makes embeddings; use /v1/embeddings"
        } else if self.images.is_some() {
            "it makes images; use /v1/images/generations"
        } else if self.rerank.is_some() {
            "it ranks documents; use /v1/rerank"
        } else if self.chat.is_some() {
            "it writes text; use /v1/chat/completions"
        } else if self.responses.is_some() {
            "Bedrock serves it by the Responses API; use /v1/responses"
        } else if self.messages.is_some() {
            "Bedrock serves it by the Messages API; use /v1/messages"
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
    fn each_dialect_finds_the_api_that_serves_the_model_natively() {
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
    fn setting_of_a_target_wins_in_the_dialects_that_it_speaks() {
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
    fn models_for_something_else_say_for_what() {
        for (model, path) in [
            ("cohere.embed-v4:0", "/v1/embeddings"),
            ("openai.gpt-5.5", "/v1/responses"),
        ] {
            assert!(of(model, None).advice().contains(path), "{model}");
        }
    }
}
