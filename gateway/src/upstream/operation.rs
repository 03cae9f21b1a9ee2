//! Operations of Bedrock: path, service and response format.

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
    /// OpenAI's or Anthropic's protocol, on an API that supports it.
    Passthrough {
        api: BedrockApi,
        protocol: Protocol,
        stream: bool,
    },
}

/// Path of an operation below the service's base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Below the path of the model or guardrail.
    OfResource(&'static str),
    Fixed(&'static str),
}

/// Response format of an operation.
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

    /// The name of the operation, as in AWS's invocation log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::InvokeModel => "InvokeModel",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::CountTokens => "CountTokens",
            Self::ApplyGuardrail => "ApplyGuardrail",
            Self::Passthrough { protocol, .. } => match protocol {
                Protocol::ChatCompletions => "ChatCompletions",
                Protocol::Responses => "Responses",
                Protocol::Messages => "Messages",
                Protocol::CountMessageTokens => "CountMessageTokens",
            },
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
            // An API without this protocol has no path; AWS then rejects the call.
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
    /// Required media type of the response; none accepts any.
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
