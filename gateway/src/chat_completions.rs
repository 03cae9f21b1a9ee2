//! `POST /v1/chat/completions`: the steps of a request in their order, and nothing else.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::{converse::TokenUsage, eventstream::Frame};
use bytes::{Bytes, BytesMut};
use dialects::openai::{ReplyContext, ResponseIdentity, StreamEncoder, decode, encode_response};

use crate::{
    account::Account,
    admit::admit,
    answer::{json, read_answer, read_event, refuse},
    app::{State, seconds},
    error::GatewayError,
    live::Live,
    request_id::RequestId,
    route::Target,
    sse,
    translate::{self, Attempt, Media, by_converse, options},
    upstream::{Answer, Call, Content},
};

pub(crate) const PATH: &str = "/v1/chat/completions";
pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    let mut account = Account::open(state.metrics(), PATH, "chat", &id);
    let accepted = match accept(&state, request, &mut account).await {
        Ok(accepted) => accepted,
        Err(error) => return refuse(&mut account, &error),
    };
    if accepted.stream {
        let chat = Chat {
            identity: accepted.identity,
        };
        match sse::open(accepted.call, chat, account).await {
            Ok(response) => response,
            Err(mut failed) => {
                let (account, error) = failed.as_mut();
                refuse(account, error)
            }
        }
    } else {
        match whole(accepted, &mut account).await {
            Ok(response) => {
                account.succeeded();
                response
            }
            Err(error) => refuse(&mut account, &error),
        }
    }
}

/// A request that may go upstream.
struct Accepted {
    call: Call<ReplyContext>,
    identity: ResponseIdentity,
    stream: bool,
}

async fn accept(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Accepted, GatewayError> {
    let admitted = admit(state, request, account).await?;
    let identity = ResponseIdentity {
        id: format!("chatcmpl-{:032x}", fastrand::u128(..)),
        created: seconds(state.now()),
        model: admitted.model.clone(),
    };
    Ok(Accepted {
        stream: admitted.stream,
        identity,
        call: translate::call(state, admitted, prepare).await?,
    })
}

fn prepare(
    live: &Live,
    target: &Target,
    body: &[u8],
    fetched: &Media,
) -> Result<Attempt<ReplyContext>, GatewayError> {
    let decoded = decode(body, &options(live, target, fetched))?;
    if !decoded.fetches.is_empty() {
        return Ok(Attempt::Wants(decoded.fetches));
    }
    by_converse(
        &decoded.request,
        decoded.stream && decoded.upstream_stream,
        decoded.warnings,
        decoded.reply,
    )
}

async fn whole(accepted: Accepted, account: &mut Account) -> Result<Response, GatewayError> {
    let Answer {
        content,
        headers,
        warnings,
        context,
        ..
    } = accepted.call.perform(account.trace()).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    let answer = read_answer(&body)?;
    account.used(answer.usage);
    let encoded = encode_response(&answer, &context, &accepted.identity)?;
    Ok(json(encoded.body, &headers, &warnings))
}

/// Chat Completions as a stream.
struct Chat {
    identity: ResponseIdentity,
}

impl sse::Dialect for Chat {
    type Context = ReplyContext;

    fn encoder(&self, context: ReplyContext) -> Box<dyn sse::Encode> {
        Box::new(StreamEncoder::new(context, &self.identity))
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
