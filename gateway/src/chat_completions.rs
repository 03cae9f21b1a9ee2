//! `POST /v1/chat/completions`: the steps of a request in their order, and nothing else.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::converse::ConverseResponse;
use bytes::Bytes;
use dialects::openai::{
    DecodeOptions, Fetched, GuardrailRef, RemoteMedia, ReplyContext, ResponseIdentity, decode,
    encode_response, head,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    account::Account,
    app::{State, seconds},
    authenticate::Caller,
    error::GatewayError,
    limits::read_body,
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
        match sse::open(accepted.call, accepted.identity, account).await {
            Ok((mut response, warnings)) => {
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

fn refuse(account: &mut Account, error: &GatewayError) -> Response {
    account.failed(error);
    error.response(account.request_id())
}

/// A request that may go upstream.
struct Accepted {
    call: Call<Context>,
    identity: ResponseIdentity,
    stream: bool,
}

/// Steps 1 to 4, which all requests to models share: who, what, where.
pub(crate) struct Admitted {
    pub(crate) live: Arc<Live>,
    pub(crate) body: Bytes,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) first: Arc<Target>,
}

pub(crate) async fn admit(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Admitted, GatewayError> {
    let live = state.live();
    let limits = &live.config.limits;
    account.hold(state.in_flight().enter(limits.max_in_flight)?);
    let (parts, body) = request.into_parts();
    let caller: Caller = live
        .authenticator
        .authenticate(&parts.headers, state.now())?;
    account.caller(&caller.name);
    let body = read_body(body, limits.max_body_bytes).await?;
    let head = head(&body)?;
    let targets = live
        .routes
        .resolve(&head.model, &caller, fastrand::u64(..))?;
    account.model(
        &head.model,
        live.routes.is_configured(&head.model),
        head.stream,
    );
    let first = targets
        .first()
        .cloned()
        .ok_or(GatewayError::Internal("a route without a target"))?;
    Ok(Admitted {
        live,
        body,
        model: head.model,
        stream: head.stream,
        targets,
        first,
    })
}

async fn accept(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Accepted, GatewayError> {
    let admitted = admit(state, request, account).await?;
    let fetched = BTreeMap::new();
    let prepare = preparation(&admitted.live, admitted.body, fetched);
    let first = prepare(&admitted.first)?;
    let identity = ResponseIdentity {
        id: format!("chatcmpl-{:032x}", fastrand::u128(..)),
        created: seconds(state.now()),
        model: admitted.model,
    };
    Ok(Accepted {
        call: Call {
            state: state.clone(),
            live: admitted.live,
            targets: admitted.targets,
            prepare,
            first,
        },
        identity,
        stream: admitted.stream,
    })
}

/// How the request becomes the body of a call of some target.
fn preparation(
    live: &Arc<Live>,
    body: Bytes,
    fetched: BTreeMap<String, Fetched>,
) -> Prepare<Context> {
    let live = Arc::clone(live);
    Arc::new(move |target: &Target| {
        let options = DecodeOptions {
            strict: live.config.strict,
            guardrail: live
                .config
                .guardrail
                .as_ref()
                .map(|guardrail| GuardrailRef {
                    identifier: guardrail.identifier.clone(),
                    version: guardrail.version.clone(),
                }),
            remote_media: if fetched.is_empty() {
                RemoteMedia::Refuse
            } else {
                RemoteMedia::Fetch(&fetched)
            },
            ..DecodeOptions::new(&target.facts)
        };
        let decoded = decode(&body, &options)?;
        let upstream = serde_json::to_vec(&decoded.request)
            .map_err(|_| GatewayError::Internal("the translated request cannot be written"))?;
        Ok(Prepared {
            operation: if decoded.stream && decoded.upstream_stream {
                Operation::ConverseStream
            } else {
                Operation::Converse
            },
            body: Bytes::from(upstream),
            context: Context {
                reply: decoded.reply,
                warnings: decoded.warnings,
            },
        })
    })
}

async fn whole(accepted: Accepted, account: &mut Account) -> Result<Response, GatewayError> {
    let Answer {
        content,
        headers,
        context,
        ..
    } = accepted.call.perform(account).await?;
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

impl Context {
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
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
