//! The admin endpoints of the double under `/_double/`: recorded calls, faults, sessions, clock and health.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::encoding::form_pairs;
use crate::fault::Fault;
use crate::server::Shared;

const MAX_BODY_BYTES: usize = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    skew_seconds: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LifetimeBody {
    seconds: Option<u64>,
}

pub(crate) async fn handle(shared: &Arc<Shared>, parts: Parts, body: Body) -> Response {
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return reply(
                StatusCode::BAD_REQUEST,
                &json!({ "error": error.to_string() }),
            );
        }
    };
    let path = parts.uri.path().trim_start_matches("/_double/");
    match (&parts.method, path) {
        (&Method::GET, "invocation-log") => {
            let mut lines = String::new();
            for record in shared.ledger.invocation_log() {
                lines.push_str(&record.to_string());
                lines.push('\n');
            }
            return written("application/x-ndjson", lines);
        }
        (&Method::GET, "cur") => return written("text/csv", shared.ledger.line_items()),
        _ => {}
    }
    match respond(shared, &parts, &body) {
        Ok(value) => reply(StatusCode::OK, &value),
        Err((status, message)) => reply(status, &json!({ "error": message })),
    }
}

fn respond(shared: &Shared, parts: &Parts, body: &[u8]) -> Result<Value, (StatusCode, String)> {
    fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, (StatusCode, String)> {
        serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
    }
    let path = parts.uri.path().trim_start_matches("/_double/");
    match (&parts.method, path) {
        (&Method::GET, "health") => Ok(json!({ "status": "ok" })),
        (&Method::GET, "calls") => {
            let query = form_pairs(parts.uri.query().unwrap_or_default());
            let wanted = |name: &str| {
                query
                    .iter()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value.clone())
            };
            let operation = wanted("operation");
            let since = wanted("since")
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0);
            let mut calls = shared.recorder.calls();
            calls.retain(|call| {
                call.sequence > since && operation.as_ref().is_none_or(|o| *o == call.operation)
            });
            Ok(json!(calls))
        }
        (&Method::DELETE, "calls") => {
            shared.recorder.clear();
            Ok(json!({}))
        }
        (&Method::DELETE, "bill") => {
            shared.ledger.clear();
            Ok(json!({}))
        }
        (&Method::GET, "counts") => Ok(json!(shared.recorder.counts())),
        (&Method::GET, "faults") => Ok(json!(shared.faults.all())),
        (&Method::POST, "faults") => {
            shared.faults.add(read::<Fault>(body)?);
            Ok(json!(shared.faults.all()))
        }
        (&Method::DELETE, "faults") => {
            shared.faults.clear();
            Ok(json!([]))
        }
        (&Method::POST, "sessions/revoke") => {
            Ok(json!({ "sessions": shared.account.revoke_sessions() }))
        }
        (&Method::POST, "sessions/forget") => {
            Ok(json!({ "sessions": shared.account.forget_sessions() }))
        }
        (&Method::PUT, "credential-lifetime") => {
            let body: LifetimeBody = read(body)?;
            shared.account.set_lifetime(body.seconds);
            Ok(json!({ "seconds": body.seconds }))
        }
        (&Method::GET, "clock") => Ok(json!({ "skew_seconds": shared.clock.skew() })),
        (&Method::PUT | &Method::POST, "clock") => {
            let body: ClockBody = read(body)?;
            shared.clock.set_skew(body.skew_seconds);
            Ok(json!({ "skew_seconds": body.skew_seconds }))
        }
        _ => Err((
            StatusCode::NOT_FOUND,
            format!(
                "{} /_double/{path} does not exist; the endpoints are GET health, calls, counts, faults, clock, invocation-log, cur; POST faults, sessions/revoke, sessions/forget; PUT clock, credential-lifetime; DELETE calls, faults, bill",
                parts.method
            ),
        )),
    }
}

fn reply(status: StatusCode, value: &Value) -> Response {
    let mut response = written("application/json", value.to_string());
    *response.status_mut() = status;
    response
}

fn written(kind: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
