//! Bedrock's APIs: their protocols, endpoints, paths and signing names.
//!
//! This module holds facts about AWS only. The table of model families says which API serves which model.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html>. The signing name
//! `bedrock-mantle` is the one in the Anthropic SDK's `AnthropicBedrockMantle` and in the IAM actions
//! (`bedrock-mantle:CreateInference`).

use serde::{Deserialize, Serialize};

/// A Bedrock API that serves models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BedrockApi {
    /// `Converse` and `ConverseStream`.
    Converse,
    /// `InvokeModel` and `InvokeModelWithResponseStream`, with the model's own body.
    InvokeModel,
    /// OpenAI's protocols on `bedrock-runtime`, under `/openai/v1`.
    #[serde(rename = "OpenAI")]
    OpenAi,
    /// Anthropic's protocol on `bedrock-runtime`, under `/anthropic/v1`.
    Anthropic,
    /// OpenAI's protocols on `bedrock-mantle` under `/v1`, Anthropic's under `/anthropic/v1`.
    Mantle,
    /// OpenAI's protocols on `bedrock-mantle` under `/openai/v1`. Only this API serves GPT-5 and a few other
    /// models.
    #[serde(rename = "MantleOpenAI")]
    MantleOpenAi,
}

/// A service with its own host and signing name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `bedrock-runtime.{region}.amazonaws.com`.
    Runtime,
    /// `bedrock-mantle.{region}.api.aws`.
    Mantle,
}

/// An operation of a protocol that is not Bedrock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's Chat Completions.
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Anthropic's token counting.
    CountMessageTokens,
}

impl Service {
    /// First label of the host name.
    pub const fn host_prefix(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock-runtime",
            Self::Mantle => "bedrock-mantle",
        }
    }

    /// Service name in the scope of a signature.
    pub const fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

impl BedrockApi {
    /// The service that has this API.
    pub const fn service(self) -> Service {
        match self {
            Self::Converse | Self::InvokeModel | Self::OpenAi | Self::Anthropic => Service::Runtime,
            Self::Mantle | Self::MantleOpenAi => Service::Mantle,
        }
    }

    /// The path of an operation; `None` if this API does not support its protocol.
    pub const fn path(self, protocol: Protocol) -> Option<&'static str> {
        match (self, protocol) {
            (Self::OpenAi | Self::MantleOpenAi, Protocol::ChatCompletions) => {
                Some("/openai/v1/chat/completions")
            }
            (Self::OpenAi | Self::MantleOpenAi, Protocol::Responses) => {
                Some("/openai/v1/responses")
            }
            (Self::Mantle, Protocol::ChatCompletions) => Some("/v1/chat/completions"),
            (Self::Mantle, Protocol::Responses) => Some("/v1/responses"),
            (Self::Anthropic | Self::Mantle, Protocol::Messages) => Some("/anthropic/v1/messages"),
            (Self::Anthropic | Self::Mantle, Protocol::CountMessageTokens) => {
                Some("/anthropic/v1/messages/count_tokens")
            }
            _ => None,
        }
    }

    /// The API for the id of an inference profile or an ARN: `bedrock-mantle` accepts bare model ids only, and
    /// `bedrock-runtime` serves profiles in the same protocols.
    #[must_use]
    pub const fn for_profiles(self, protocol: Protocol) -> Self {
        match (self, protocol) {
            (Self::Mantle, Protocol::Messages | Protocol::CountMessageTokens) => Self::Anthropic,
            (Self::Mantle | Self::MantleOpenAi, _) => Self::OpenAi,
            (same, _) => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_served_in_the_same_protocol_on_the_runtime() {
        let protocols = [
            Protocol::ChatCompletions,
            Protocol::Responses,
            Protocol::Messages,
        ];
        for api in [BedrockApi::Mantle, BedrockApi::MantleOpenAi] {
            for protocol in protocols {
                if api.path(protocol).is_some() {
                    let moved = api.for_profiles(protocol);
                    assert_eq!(moved.service(), Service::Runtime);
                    assert!(moved.path(protocol).is_some(), "{api:?} {protocol:?}");
                }
            }
        }
    }

    #[test]
    fn converse_and_invoke_model_have_no_path_for_other_protocols() {
        for api in [BedrockApi::Converse, BedrockApi::InvokeModel] {
            assert_eq!(api.path(Protocol::Messages), None);
            assert_eq!(api.for_profiles(Protocol::Messages), api);
        }
    }
}
