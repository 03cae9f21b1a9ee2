//! The APIs that Bedrock serves models by: whose protocol, at which endpoint, under which path, signed for
//! which service. Facts of AWS's only; which model is served by which is a table elsewhere.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html>. The signing name of
//! `bedrock-mantle` is that of the Anthropic SDK's `AnthropicBedrockMantle` and of the IAM actions
//! (`bedrock-mantle:CreateInference`).

use serde::{Deserialize, Serialize};

/// An API of Bedrock that can serve a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BedrockApi {
    /// `Converse` and `ConverseStream`.
    Converse,
    /// `InvokeModel` and `InvokeModelWithResponseStream`, in the model's own body.
    InvokeModel,
    /// OpenAI's protocols on `bedrock-runtime`, under `/openai/v1`.
    #[serde(rename = "OpenAI")]
    OpenAi,
    /// Anthropic's protocol on `bedrock-runtime`, under `/anthropic/v1`.
    Anthropic,
    /// OpenAI's protocols on `bedrock-mantle` under `/v1`, Anthropic's under `/anthropic/v1`.
    Mantle,
    /// OpenAI's protocols on `bedrock-mantle` under `/openai/v1`: GPT-5 and a few more are served there
    /// and nowhere else.
    #[serde(rename = "MantleOpenAI")]
    MantleOpenAi,
}

/// A service with a host and a signing name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `bedrock-runtime.{region}.amazonaws.com`.
    Runtime,
    /// `bedrock-mantle.{region}.api.aws`.
    Mantle,
}

/// A protocol that is not Bedrock's own, as one of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's Chat Completions.
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Anthropic's count of tokens.
    CountMessageTokens,
}

impl Service {
    /// First label of the host.
    pub const fn host_prefix(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock-runtime",
            Self::Mantle => "bedrock-mantle",
        }
    }

    /// Service in the scope of a signature.
    pub const fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }
}

impl BedrockApi {
    /// Where it is.
    pub const fn service(self) -> Service {
        match self {
            Self::Converse | Self::InvokeModel | Self::OpenAi | Self::Anthropic => Service::Runtime,
            Self::Mantle | Self::MantleOpenAi => Service::Mantle,
        }
    }

    /// The path of a protocol's operation; `None` where it does not speak that protocol.
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

    /// The api for an id that is an inference profile or an ARN: `bedrock-mantle` knows bare model ids
    /// only, and `bedrock-runtime` serves profiles in the same protocols.
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
    fn surface_of_a_profile_speaks_the_same_protocol_on_the_runtime() {
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
    fn converse_and_invoke_speak_nothing_but_bedrocks_own() {
        for api in [BedrockApi::Converse, BedrockApi::InvokeModel] {
            assert_eq!(api.path(Protocol::Messages), None);
            assert_eq!(api.for_profiles(Protocol::Messages), api);
        }
    }
}
