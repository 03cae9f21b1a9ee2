//! What Chat Completions and Responses share: identities, requests that are forwarded, and their stream encoders as
//! encoders of the pipeline.

use bedrock::{
    apis::{BedrockApi, Protocol},
    converse::TokenUsage,
    eventstream::Frame,
    sse::Event,
};
use bytes::{Bytes, BytesMut};
use dialects::{
    openai::{self, PassthroughStream, ResponseIdentity},
    responses,
};

use crate::{
    http::{
        error::{GatewayError, Result},
        payload::Payload,
    },
    pipeline::{
        converse::{read_event, read_response},
        endpoint::{Encoding, Preparation, StreamEncoder, TargetRequest},
    },
    telemetry::request_id::random,
    upstream::{call::Prepared, guardrail, target::Target},
};

/// An identity with a random id.
pub(super) fn identity(prefix: &str, model: &str, created: u64) -> ResponseIdentity {
    ResponseIdentity {
        id: random(prefix),
        created,
        model: model.to_owned(),
    }
}

/// A request that is forwarded.
pub(super) struct Edited<P> {
    pub(super) body: Payload,
    pub(super) warnings: Vec<String>,
    /// What the response needs.
    pub(super) context: P,
}

/// The request with the body of `edit` if `api` serves the target in the client's protocol; none for other targets.
pub(super) fn passthrough<R, P>(
    request: TargetRequest<'_>,
    (api, protocol): (Option<BedrockApi>, Protocol),
    edit: impl FnOnce(&Bytes, &Target) -> Result<Edited<P>>,
) -> Result<Option<Preparation<Encoding<R, P>>>> {
    let Some(api) = api.filter(|api| api.path(protocol).is_some()) else {
        return Ok(None);
    };
    let edited = edit(request.body, request.target)?;
    let sent = (edited.body, request.head.stream);
    let prepared = Prepared::passthrough(
        request.config.guardrail.as_ref(),
        guardrail::of_headers(request.headers)?.as_ref(),
        (api, protocol),
        sent,
        Encoding::Passthrough(edited.context),
    )?;
    let warnings = edited.warnings;
    Ok(Some(
        Prepared {
            warnings,
            ..prepared
        }
        .into(),
    ))
}

macro_rules! stream_encoder {
    ($($encoder:ty),*) => {$(
        impl StreamEncoder for $encoder {
            fn frame(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<()> {
                let event = read_event(frame)?;
                Self::event(self, &event, out)
                    .map_err(|error| GatewayError::Unreadable(error.to_string()))
            }

            fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<()> {
                Ok(self.response(&read_response(body)?, out)?)
            }

            fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
                Self::finish(self, out);
                match (self.finish_reason(), self.stop_reason()) {
                    (Some(_), _) => Ok(()),
                    (None, Some(stop)) => Err(GatewayError::Unreadable(stop.as_str().to_owned())),
                    (None, None) => Err(GatewayError::StreamCut),
                }
            }

            fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
                Self::error(self, &error.body(request_id), out);
            }

            fn usage(&self) -> Option<TokenUsage> {
                Self::usage(self)
            }
        }
    )*};
}

stream_encoder!(openai::StreamEncoder, responses::StreamEncoder);

impl StreamEncoder for PassthroughStream {
    fn event(&mut self, event: &Event, out: &mut BytesMut) -> Result<()> {
        Self::event(self, event, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        let cut = GatewayError::StreamCut;
        if Self::finish(self, &cut.body(""), out) {
            Ok(())
        } else {
            Err(cut)
        }
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        Self::error(self, &error.body(request_id), out);
    }

    fn usage(&self) -> Option<TokenUsage> {
        Self::usage(self)
    }
}
