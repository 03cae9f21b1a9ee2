//! The HTTP server of all services: identifies the service by path and form, injects faults, responds in the
//! service's format, and records the call.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt as _, Limited};

use crate::account::Account;
use crate::clock::{Clock, http_date, iso_millis};
use crate::encoding::{form_pairs, percent_decode, request_id, sha256_hex};
use crate::endpoints::instance::MetadataTokens;
use crate::error::{AwsError, ErrorBody, usual_message};
use crate::fault::{FaultAction, Faults};
use crate::issuer::TokenIssuer;
use crate::ledger::Ledger;
use crate::record::{Call, Recorder, safe_headers};
use crate::render::{Shape, render};
use crate::sts::Form;
use crate::web_identity::Verifier;
use crate::{admin, bedrock, endpoints, sts};

/// Maximum size of a request body; Bedrock accepts 25 MB (slightly more with encoding).
const MAX_BODY_BYTES: usize = 26 * 1024 * 1024;

/// The state shared by all handlers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) account: Account,
    pub(crate) verifier: Verifier,
    pub(crate) clock: Clock,
    pub(crate) recorder: Recorder,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) bedrock: bedrock::Bedrock,
    pub(crate) github: Option<TokenIssuer>,
    pub(crate) metadata_tokens: MetadataTokens,
}

/// A request with its complete body.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    /// Path as received (not decoded).
    pub(crate) path: String,
    /// Query as received, without `?`.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) host: String,
    /// Whether the request was received with HTTP/2.
    pub(crate) http2: bool,
    /// Whether the request is for mantle.
    pub(crate) mantle: bool,
    pub(crate) body: Bytes,
}

/// The state of one listening address.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) shared: Arc<Shared>,
    /// Whether the address simulates `bedrock-mantle.REGION.api.aws`.
    pub(crate) mantle: bool,
}

pub(crate) async fn handle(State(listener): State<Listener>, request: Request) -> Response {
    let shared = listener.shared;
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_double") {
        return admin::handle(&shared, parts, body).await;
    }
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
        .or_else(|| parts.uri.authority().map(ToString::to_string))
        .unwrap_or_default();
    let body = Limited::new(body, MAX_BODY_BYTES)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let incoming = Incoming {
        // Only mantle has `/v1/…`.
        mantle: listener.mantle
            || host.starts_with("bedrock-mantle.")
            || parts.uri.path().starts_with("/v1/"),
        http2: parts.version == http::Version::HTTP_2,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        host,
        body: body.as_ref().cloned().unwrap_or_default(),
    };
    let form = if incoming.path == "/" && incoming.method == Method::POST {
        String::from_utf8_lossy(&incoming.body).into_owned()
    } else {
        String::new()
    };
    let form: Form = form_pairs(&form).into_iter().collect();
    let mut call = describe(&shared, &incoming, &form);
    shared.recorder.begin(&mut call);
    let shape = Shape::of(&call);
    let result = if body.is_err() {
        Err(AwsError::named(
            "RequestEntityTooLargeException",
            "Request body is too large.",
        ))
    } else {
        respond(&shared, &incoming, &form, &mut call).await
    };
    let response = match result {
        Ok(response) => response,
        Err(error) => {
            call.error = Some(error.code.clone());
            call.message = Some(error.message.clone());
            render(&error, shape, &call.request_id)
        }
    };
    call.status = Some(response.status().as_u16());
    tracing::info!(
        sequence = call.sequence,
        operation = call.operation,
        status = call.status,
        error = call.error,
        generation = call.identity.as_ref().map(|identity| identity.generation),
        "handled a request"
    );
    // A streamed response updates the record itself.
    let (mut parts, body) = response.into_parts();
    if call.stream.is_none() {
        shared.recorder.update(&call, true);
    }
    finish_headers(&shared, &mut parts.headers, &call);
    Response::from_parts(parts, body)
}

fn finish_headers(shared: &Shared, headers: &mut HeaderMap, call: &Call) {
    if let Ok(date) = HeaderValue::from_str(&http_date(shared.clock.now())) {
        headers.insert(header::DATE, date);
    }
    if let Ok(id) = HeaderValue::from_str(&call.request_id) {
        headers.insert("x-amzn-requestid", id);
    }
}

/// Injects a fault, if any, or calls the service.
async fn respond(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    form: &Form,
    call: &mut Call,
) -> Result<Response, AwsError> {
    let fault = shared.faults.take(&call.service, &call.operation);
    if let Some(fault) = &fault {
        call.fault = Some(fault.kind().to_owned());
    }
    match &fault {
        Some(FaultAction::Error {
            status,
            code,
            message,
            empty_body,
        }) => {
            let message = if message.is_empty() {
                usual_message(code)
            } else {
                message
            };
            let mut error = AwsError::new(*status, code, message);
            if *empty_body {
                error.body = ErrorBody::Empty;
            }
            return Err(error);
        }
        Some(FaultAction::Delay { milliseconds }) => {
            tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
        }
        Some(FaultAction::Hang) => {
            shared.recorder.update(call, false);
            std::future::pending::<()>().await;
        }
        Some(FaultAction::Disconnect) => return Ok(disconnect()),
        Some(FaultAction::Garbage) => {
            return Ok(Response::new(Body::from(
                "<html>not what was asked for</html>",
            )));
        }
        _ => {}
    }
    match call.service.as_str() {
        "sts" => sts::respond(shared, incoming, form, call).await.map(xml),
        "bedrock-runtime" | "bedrock-mantle" => {
            bedrock::respond(shared, incoming, call, fault).await
        }
        "bedrock" => {
            bedrock::control::respond(shared, incoming, call).map(|value| json_reply(&value))
        }
        "imds" | "container" | "github" | "sso" | "iam" => {
            endpoints::respond(shared, incoming, form, call).await
        }
        _ => Err(AwsError::named(
            "UnknownOperationException",
            format!(
                "{} {} is not supported by the double",
                call.method, call.path
            ),
        )),
    }
}

/// A response whose connection is reset before the end.
pub(crate) fn disconnect() -> Response {
    let broken = futures::stream::once(async {
        Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    Response::new(Body::from_stream(broken))
}

fn json_reply(value: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn xml(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

/// Describes a request, for routing and for the record.
fn describe(shared: &Shared, incoming: &Incoming, form: &Form) -> Call {
    let (service, operation, model) = identify(shared, incoming, form);
    let is_form = !form.is_empty();
    let secret = |name: &str| ["WebIdentityToken", "Password", "TokenCode"].contains(&name);
    let parameters: Form = form
        .iter()
        .filter(|(name, _)| !secret(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let body = if is_form {
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    } else {
        String::from_utf8_lossy(&incoming.body).into_owned()
    };
    Call {
        at: iso_millis(Clock::real()),
        service: service.to_owned(),
        operation,
        method: incoming.method.to_string(),
        path: incoming.path.clone(),
        query: incoming.query.clone(),
        headers: safe_headers(&incoming.headers),
        body,
        body_sha256: sha256_hex(&incoming.body),
        model,
        parameters,
        request_id: request_id(),
        ..Call::default()
    }
}

fn identify(
    shared: &Shared,
    incoming: &Incoming,
    form: &Form,
) -> (&'static str, String, Option<String>) {
    if let Some(action) = form.get("Action") {
        let service = if form.get("Version").is_some_and(|v| v == "2010-05-08") {
            "iam"
        } else {
            "sts"
        };
        return (service, action.clone(), None);
    }
    let api = bedrock::served_apis::identify(&incoming.method, &incoming.path, incoming.mantle);
    if let Some(operation) = api {
        let service = if incoming.mantle {
            "bedrock-mantle"
        } else {
            "bedrock-runtime"
        };
        return (service, operation.to_owned(), None);
    }
    let segments: Vec<&str> = incoming.path.trim_start_matches('/').split('/').collect();
    if let ["model", middle @ .., last] = segments.as_slice() {
        let operation = match *last {
            "converse" => "Converse",
            "converse-stream" => "ConverseStream",
            "invoke" => "InvokeModel",
            "invoke-with-response-stream" => "InvokeModelWithResponseStream",
            "count-tokens" => "CountTokens",
            _ => "Unknown",
        };
        return (
            "bedrock-runtime",
            operation.to_owned(),
            Some(percent_decode(&middle.join("/"))),
        );
    }
    if let ["guardrail", id, "version", version, "apply"] = segments.as_slice() {
        let guardrail = format!("{} {}", percent_decode(id), percent_decode(version));
        return (
            "bedrock-runtime",
            "ApplyGuardrail".to_owned(),
            Some(guardrail),
        );
    }
    if let Some((operation, id)) = bedrock::control::identify(&incoming.method, &incoming.path) {
        return ("bedrock", operation.to_owned(), id);
    }
    if let Some((service, operation)) =
        endpoints::identify(shared, &incoming.method, &incoming.path)
    {
        return (service, operation.to_owned(), None);
    }
    ("unknown", "Unknown".to_owned(), None)
}
