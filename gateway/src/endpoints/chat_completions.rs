//! `POST /v1/chat/completions`: the steps of a request in their order, and nothing else. Models that Bedrock
//! serves in this protocol are spoken to in it, every other model by Converse; which it is, is data of the
//! target. <https://platform.openai.com/docs/api-reference/chat/create>

mod passthrough;

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::{converse::TokenUsage, eventstream::Frame};
use bytes::{Bytes, BytesMut};
use dialects::openai::{
    PassthroughStream, ReplyContext, ResponseIdentity, StreamEncoder, decode, encode_response,
};

use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        admit::admit,
        converse as translate,
        converse::{Attempt, Media, by_converse, options},
        driver::{Accepted, answer, read_answer, read_event, refuse},
        record::Account,
        route::Target,
        stream as sse,
    },
    server::router::{State, seconds},
    telemetry::request_id::Arrival,
};

pub(crate) const PATH: &str = "/v1/chat/completions";

/// The way an answer comes.
#[derive(Debug)]
pub(crate) enum Way {
    /// In this protocol.
    Passthrough,
    Converse(Box<ReplyContext>),
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let mut account = Account::open(&state, &arrival, PATH, "chat");
    let accepted = accept(&state, request, &mut account).await;
    answer(accepted, account, refuse).await
}

async fn accept(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Accepted<Chat>, GatewayError> {
    let admitted = admit(state, request, account).await?;
    let identity = ResponseIdentity {
        id: format!("chatcmpl-{:032x}", fastrand::u128(..)),
        created: seconds(state.now()),
        model: admitted.model.clone(),
    };
    Ok(Accepted {
        stream: admitted.stream,
        dialect: Chat { identity },
        call: translate::call(state, admitted, prepare).await?,
    })
}

fn prepare(
    live: &Live,
    target: &Target,
    body: &[u8],
    fetched: &Media,
) -> Result<Attempt<Way>, GatewayError> {
    if let Some(prepared) = passthrough::prepare(live, target, body)? {
        return Ok(Attempt::Ready(Box::new(prepared)));
    }
    let decoded = decode(body, &options(live, target, fetched))?;
    if !decoded.fetches.is_empty() {
        return Ok(Attempt::Wants(decoded.fetches));
    }
    by_converse(
        &decoded.request,
        decoded.stream && decoded.upstream_stream,
        decoded.warnings,
        Way::Converse(Box::new(decoded.reply)),
    )
}

/// Chat Completions on their way back.
struct Chat {
    identity: ResponseIdentity,
}

impl sse::Dialect for Chat {
    type Context = Way;

    fn whole(&self, way: Way, body: Bytes, account: &mut Account) -> Result<Bytes, GatewayError> {
        match way {
            Way::Passthrough => {
                let (body, usage) = passthrough::whole(&body, &self.identity.model);
                if let Some(usage) = usage {
                    account.used(usage);
                }
                Ok(body)
            }
            Way::Converse(reply) => {
                let answer = read_answer(&body)?;
                account.used(answer.usage);
                Ok(encode_response(&answer, &reply, &self.identity)?
                    .body
                    .into())
            }
        }
    }

    fn encoder(&self, way: Way) -> Box<dyn sse::Encode> {
        match way {
            Way::Passthrough => Box::new(PassthroughStream::new(&self.identity.model)),
            Way::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn refuse(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        StreamEncoder::new(ReplyContext::default(), &self.identity)
            .error(&error.body(request_id), out);
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(b": ping\n\n")
    }
}

impl sse::Encode for StreamEncoder {
    fn event(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), GatewayError> {
        let event = read_event(frame)?;
        Self::event(self, &event, out).map_err(|error| GatewayError::Unreadable(error.to_string()))
    }

    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        Ok(self.response(&read_answer(body)?, out)?)
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
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
