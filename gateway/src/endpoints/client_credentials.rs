//! What AWS SDKs sign with when they call this gateway: the answer of a container credential endpoint.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
//!
//! boto3 and the SDK for Go send no bearer token over `http://`, and without credentials they send nothing.
//! With `AWS_CONTAINER_CREDENTIALS_FULL_URI` they find these, after all others that the app may have. They are good
//! for this gateway alone: placeholders where it is open, else the name of the caller's key and that key.

use std::time::{Duration, SystemTime};

use axum::{Extension, extract::State as FromState, response::Response};
use http::HeaderMap;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    http::error::GatewayError,
    pipeline::{driver::json, record::Account},
    server::router::State,
    telemetry::request_id::Arrival,
};

/// How long an SDK keeps them; a key may be replaced meanwhile.
const LIFE: Duration = Duration::from_hours(1);
/// What an open gateway is signed for with.
const PLACEHOLDER: &str = "not-needed";

/// Names as ECS gives them; some SDKs insist on all four.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'static str,
    expiration: String,
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
) -> Response {
    let mut account = Account::open(&state, &arrival, api::names::CLIENT_CREDENTIALS_PATH, "");
    match credentials(&state, &headers) {
        Ok(body) => {
            account.succeeded();
            json(body, &HeaderMap::new(), &[])
        }
        Err(error) => {
            account.failed(&error);
            error.response(&arrival.id)
        }
    }
}

fn credentials(state: &State, headers: &HeaderMap) -> Result<Vec<u8>, GatewayError> {
    let live = state.live();
    let (name, key) = live
        .authenticator
        .signing_pair(headers)?
        .unwrap_or((PLACEHOLDER, PLACEHOLDER));
    let credentials = Credentials {
        access_key_id: name,
        secret_access_key: key,
        token: PLACEHOLDER,
        expiration: rfc3339(state.now() + LIFE),
    };
    serde_json::to_vec(&credentials)
        .map_err(|_| GatewayError::Internal("the client's credentials cannot be written"))
}

fn rfc3339(time: SystemTime) -> String {
    // To the second: not every SDK reads fractions.
    let seconds = i64::try_from(crate::server::router::seconds(time)).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
