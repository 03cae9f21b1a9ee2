//! `POST /v1/chat/completions`: the steps of a request in their order, and nothing else.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use std::{collections::BTreeMap, sync::Arc};

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
    translation::{DecodeOptions, Fetch, Fetched, GuardrailRef, RemoteMedia},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    account::Account,
    admit::{Admitted, admit},
    app::{State, seconds},
    error::GatewayError,
    live::Live,
    request_id::RequestId,
    route::Target,
    sse,
    upstream::{Answer, Call, Content, Operation, Prepare, Prepared},
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
    let Admitted {
        live,
        body,
        model,
        stream,
        targets,
        first: target,
    } = admit(state, request, account).await?;
    let mut fetched = BTreeMap::new();
    let first = match translate(&live, &body, &target, &fetched)? {
        Translated::Ready(prepared) => *prepared,
        Translated::Wants(wanted) => {
            fetched = state.fetcher().fetch_all(&wanted).await?;
            ready(translate(&live, &body, &target, &fetched)?)?
        }
    };
    let shared = Arc::clone(&live);
    let prepare: Prepare<Context> =
        Arc::new(move |target| ready(translate(&shared, &body, target, &fetched)?));
    Ok(Accepted {
        call: Call {
            state: state.clone(),
            live,
            targets,
            prepare,
            first,
        },
        identity: ResponseIdentity {
            id: format!("chatcmpl-{:032x}", fastrand::u128(..)),
            created: seconds(state.now()),
            model,
        },
        stream,
    })
}

/// What decoding gives.
enum Translated {
    Ready(Box<Prepared<Context>>),
    /// These first, then again.
    Wants(Vec<Fetch>),
}

/// The request as the body of a call of `target`.
fn translate(
    live: &Live,
    body: &[u8],
    target: &Target,
    fetched: &BTreeMap<String, Fetched>,
) -> Result<Translated, GatewayError> {
    let config = &live.config;
    let options = DecodeOptions {
        strict: config.strict,
        automatic_cache: config.automatic_cache,
        guardrail: config.guardrail.as_ref().map(|guardrail| GuardrailRef {
            identifier: guardrail.identifier.clone(),
            version: guardrail.version.clone(),
        }),
        remote_media: if config.fetch_remote_media {
            RemoteMedia::Fetch(fetched)
        } else {
            RemoteMedia::Refuse
        },
        ..DecodeOptions::new(&target.facts)
    };
    let decoded = decode(body, &options)?;
    if !decoded.fetches.is_empty() {
        return Ok(Translated::Wants(decoded.fetches));
    }
    let upstream = serde_json::to_vec(&decoded.request)
        .map_err(|_| GatewayError::Internal("the translated request cannot be written"))?;
    let operation = if decoded.stream && decoded.upstream_stream {
        Operation::ConverseStream
    } else {
        Operation::Converse
    };
    Ok(Translated::Ready(Box::new(Prepared {
        operation,
        headers: HeaderMap::new(),
        body: Bytes::from(upstream),
        context: Context {
            reply: decoded.reply,
            warnings: decoded.warnings,
        },
    })))
}

fn ready(translated: Translated) -> Result<Prepared<Context>, GatewayError> {
    match translated {
        Translated::Ready(prepared) => Ok(*prepared),
        // All targets see the same request, so they want the same.
        Translated::Wants(_) => Err(GatewayError::Internal(
            "a request that wants more media than it did before",
        )),
    }
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
