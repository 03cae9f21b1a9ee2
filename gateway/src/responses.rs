//! `POST /v1/responses`: the steps of a request in their order, and nothing else. Models that Bedrock serves
//! in this protocol are spoken to in it, every other model by Converse; which it is, is data of the target.
//! <https://platform.openai.com/docs/api-reference/responses/create>

mod native;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::{converse::TokenUsage, eventstream::Frame};
use bytes::{Bytes, BytesMut};
use dialects::{
    openai::ResponseIdentity,
    responses::{ReplyContext, StreamEncoder, decode, encode_response},
    translation::{DecodeOptions, RequestError},
};
use http::{HeaderValue, header};

use crate::{
    account::Account,
    admit::admit,
    app::{State, seconds},
    chat_completions::{add_warnings, pass_request_id, read_answer, read_event, refuse},
    error::GatewayError,
    request_id::RequestId,
    sse,
    translate::{self, Translated},
    upstream::{Answer, Call, Content},
};

pub(crate) const PATH: &str = "/v1/responses";

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct Context {
    way: Way,
    warnings: Vec<String>,
}

/// The way an answer comes.
#[derive(Debug)]
enum Way {
    /// As it is to go out.
    Native,
    Converse(Box<ReplyContext>),
}

impl Context {
    const fn native() -> Self {
        Self {
            way: Way::Native,
            warnings: Vec::new(),
        }
    }
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    let mut account = Account::open(state.metrics(), PATH, "responses", &id);
    let accepted = match accept(&state, request, &mut account).await {
        Ok(accepted) => accepted,
        Err(error) => return refuse(&mut account, &error),
    };
    if accepted.stream {
        let warnings = accepted.call.first.context.warnings.clone();
        let responses = Responses {
            identity: accepted.identity,
        };
        match sse::open(accepted.call, responses, account).await {
            Ok(mut response) => {
                add_warnings(response.headers_mut(), &warnings);
                response
            }
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
    call: Call<Context>,
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
        id: format!("resp_{:032x}", fastrand::u128(..)),
        created: seconds(state.now()),
        model: admitted.model.clone(),
    };
    Ok(Accepted {
        stream: admitted.stream,
        identity,
        call: translate::call(state, admitted, native::prepare, translated).await?,
    })
}

fn translated(
    body: &[u8],
    options: &DecodeOptions<'_>,
) -> Result<Translated<Context>, RequestError> {
    let decoded = decode(body, options)?;
    Ok(Translated {
        // Maps with keys of text and numbers that are finite always serialize.
        body: serde_json::to_vec(&decoded.request).unwrap_or_default(),
        stream: decoded.stream && decoded.upstream_stream,
        fetches: decoded.fetches,
        context: Context {
            way: Way::Converse(Box::new(decoded.reply)),
            warnings: decoded.warnings,
        },
    })
}

async fn whole(accepted: Accepted, account: &mut Account) -> Result<Response, GatewayError> {
    let Answer {
        content,
        headers,
        context,
        ..
    } = accepted.call.perform(account.trace()).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    let body = match context.way {
        Way::Native => {
            if let Some(usage) = native::usage(&body) {
                account.used(usage);
            }
            body
        }
        Way::Converse(reply) => {
            let answer = read_answer(&body)?;
            account.used(answer.usage);
            Bytes::from(encode_response(&answer, *reply, &accepted.identity)?.body)
        }
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    pass_request_id(&headers, response.headers_mut());
    add_warnings(response.headers_mut(), &context.warnings);
    Ok(response)
}

/// Responses as a stream.
struct Responses {
    identity: ResponseIdentity,
}

impl sse::Dialect for Responses {
    type Context = Context;

    fn encoder(&self, context: Context) -> Box<dyn sse::Encode> {
        match context.way {
            Way::Native => Box::new(native::Through::default()),
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
