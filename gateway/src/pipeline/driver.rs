//! What answers to clients have in common, whatever their dialect.

use axum::{body::Body, response::Response};
use bedrock::{
    converse::{ConverseResponse, StreamEvent},
    eventstream::Frame,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    http::error::GatewayError,
    pipeline::{record::Account, stream as sse, stream::Dialect},
    upstream::call::{Answer, Call, Content},
};

/// What was dropped or changed in a request, one header each.
const WARNING: HeaderName = HeaderName::from_static("x-bedrock-gateway-warning");
const AWS_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// A request that may go upstream.
pub(crate) struct Accepted<D: Dialect> {
    pub(crate) call: Call<D::Context>,
    pub(crate) dialect: D,
    pub(crate) stream: bool,
}

/// Steps 5 to 8 of a request, once it is accepted: the answer as a stream or whole, or what `refuse` makes of
/// an error.
pub(crate) async fn answer<D: Dialect>(
    accepted: Result<Accepted<D>, GatewayError>,
    mut account: Account,
    refuse: fn(&mut Account, &GatewayError) -> Response,
) -> Response {
    let Accepted {
        call,
        dialect,
        stream,
    } = match accepted {
        Ok(accepted) => accepted,
        Err(error) => return refuse(&mut account, &error),
    };
    if stream {
        return match sse::open(call, dialect, account).await {
            Ok(response) => response,
            Err(mut failed) => {
                let (account, error) = failed.as_mut();
                refuse(account, error)
            }
        };
    }
    match whole(call, &dialect, &mut account).await {
        Ok(response) => {
            account.succeeded();
            response
        }
        Err(error) => refuse(&mut account, &error),
    }
}

async fn whole<D: Dialect>(
    call: Call<D::Context>,
    dialect: &D,
    account: &mut Account,
) -> Result<Response, GatewayError> {
    let Answer {
        content,
        headers,
        warnings,
        context,
        ..
    } = call.perform(account.calls()).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    let body = dialect.whole(context, body, account)?;
    Ok(json(body, &headers, &warnings))
}

/// An answer that is JSON. `upstream` are the headers of Bedrock's answer, where it is a single one.
pub(crate) fn json(body: impl Into<Body>, upstream: &HeaderMap, warnings: &[String]) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    pass_request_id(upstream, headers);
    add_warnings(headers, warnings);
    response
}

/// An error in OpenAI's shape, which is that of every path that no other dialect has.
pub(crate) fn refuse(account: &mut Account, error: &GatewayError) -> Response {
    account.failed(error);
    error.response(account.request_id())
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

/// Reads an event of ConverseStream.
pub(crate) fn read_event(frame: &Frame) -> Result<StreamEvent<'_>, GatewayError> {
    StreamEvent::from_frame_parts(&frame.event_type, &frame.payload)
        .map_err(|error| GatewayError::Unreadable(format!("event {}", error.event_type)))
}
