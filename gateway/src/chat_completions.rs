//! `POST /v1/chat/completions`: the steps of a request in their order, and nothing else.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::{
    converse::{ConverseResponse, StreamEvent, TokenUsage},
    eventstream::Frame,
};
use bytes::{Bytes, BytesMut};
use dialects::{
    openai::{ReplyContext, ResponseIdentity, StreamEncoder, decode, encode_response},
    translation::{DecodeOptions, RequestError},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    account::Account,
    admit::admit,
    app::{State, seconds},
    error::GatewayError,
    request_id::RequestId,
    sse,
    translate::{self, Translated},
    upstream::{Answer, Call, Content},
};

pub(crate) const PATH: &str = "/v1/chat/completions";
/// What was dropped or changed in a request, one header each.
const WARNING: HeaderName = HeaderName::from_static("x-bedrock-gateway-warning");
const AWS_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) reply: ReplyContext,
    warnings: Vec<String>,
}

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
        let warnings = accepted.call.first.context.warnings.clone();
        let chat = Chat {
            identity: accepted.identity,
        };
        match sse::open(accepted.call, chat, account).await {
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

pub(crate) fn refuse(account: &mut Account, error: &GatewayError) -> Response {
    account.failed(error);
    error.response(account.request_id())
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
        id: format!("chatcmpl-{:032x}", fastrand::u128(..)),
        created: seconds(state.now()),
        model: admitted.model.clone(),
    };
    Ok(Accepted {
        stream: admitted.stream,
        identity,
        call: translate::call(state, admitted, |_, _, _| Ok(None), translated).await?,
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
            reply: decoded.reply,
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
    let answer = read_answer(&body)?;
    account.used(answer.usage);
    let encoded = encode_response(&answer, &context.reply, &accepted.identity)?;
    let mut response = Response::new(Body::from(encoded.body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    pass_request_id(&headers, response.headers_mut());
    add_warnings(response.headers_mut(), &context.warnings);
    Ok(response)
}

/// Reads what Converse answers.
pub(crate) fn read_answer(body: &[u8]) -> Result<ConverseResponse, GatewayError> {
    serde_json::from_slice(body).map_err(|error| {
        // Position and kind only: the text may hold what the model said.
        GatewayError::Unreadable(format!(
            "{:?} error at line {} column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })
}

/// Chat Completions as a stream.
struct Chat {
    identity: ResponseIdentity,
}

impl sse::Dialect for Chat {
    type Context = Context;

    fn encoder(&self, context: Context) -> Box<dyn sse::Encode> {
        Box::new(StreamEncoder::new(context.reply, &self.identity))
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

/// Reads an event of ConverseStream.
pub(crate) fn read_event(frame: &Frame) -> Result<StreamEvent<'_>, GatewayError> {
    StreamEvent::from_frame_parts(&frame.event_type, &frame.payload)
        .map_err(|error| GatewayError::Unreadable(format!("event {}", error.event_type)))
}

/// AWS's id of the request, for its support.
pub(crate) fn pass_request_id(from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(id) = from.get(&AWS_REQUEST_ID) {
        to.insert(AWS_REQUEST_ID, id.clone());
    }
}

pub(crate) fn add_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        if let Ok(value) = HeaderValue::try_from(warning.as_str()) {
            headers.append(WARNING, value);
        }
    }
}
