//! What can be asked of Bedrock: where an operation is, how it answers, whom its signature is for. Facts only.

use bedrock::apis::{BedrockApi, Protocol, Service};
use http::HeaderValue;

/// An operation of Bedrock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Converse,
    ConverseStream,
    InvokeModel,
    InvokeModelWithResponseStream,
    CountTokens,
    ApplyGuardrail,
    /// One in OpenAI's or Anthropic's protocol, at a api that speaks it.
    Passthrough {
        api: BedrockApi,
        protocol: Protocol,
        stream: bool,
    },
}

/// Where an operation is below its service's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Below the path of the model or guardrail.
    OfResource(&'static str),
    Fixed(&'static str),
}

/// How an operation answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Whole,
    EventStream,
    ServerSentEvents,
}

impl Operation {
    pub(crate) fn service(self) -> Service {
        match self {
            Self::Passthrough { api, .. } => api.service(),
            _ => Service::Runtime,
        }
    }

    pub(crate) fn path(self) -> Path {
        match self {
            Self::Converse => Path::OfResource("converse"),
            Self::ConverseStream => Path::OfResource("converse-stream"),
            Self::InvokeModel => Path::OfResource("invoke"),
            Self::InvokeModelWithResponseStream => Path::OfResource("invoke-with-response-stream"),
            Self::CountTokens => Path::OfResource("count-tokens"),
            Self::ApplyGuardrail => Path::OfResource("apply"),
            // A api that does not speak the protocol has no path: AWS then says so.
            Self::Passthrough { api, protocol, .. } => {
                Path::Fixed(api.path(protocol).unwrap_or("/"))
            }
        }
    }

    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::ConverseStream | Self::InvokeModelWithResponseStream => Framing::EventStream,
            Self::Passthrough { stream: true, .. } => Framing::ServerSentEvents,
            _ => Framing::Whole,
        }
    }
}

impl Framing {
    /// Media type that an answer must have; none: whatever it has.
    pub(crate) fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::EventStream => Some("application/vnd.amazon.eventstream"),
            Self::ServerSentEvents => Some("text/event-stream"),
        }
    }

    pub(crate) fn accept(self) -> HeaderValue {
        HeaderValue::from_static(self.media_type().unwrap_or("application/json"))
    }
}
