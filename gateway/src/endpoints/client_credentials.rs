//! Credentials with which AWS SDKs sign requests to this gateway, in the format of a container credential endpoint.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
//!
//! boto3 and the SDK for Go send no bearer token over `http://`, and without credentials they send no request.
//! `AWS_CONTAINER_CREDENTIALS_FULL_URI` gives them these, after all other sources of the app. They are valid for this
//! gateway only: the name of the client's key and the key, or placeholders if clients need no credentials.

use std::time::Duration;

use axum::{Extension, extract::State as FromState, response::Response};
use http::HeaderMap;
use serde::Serialize;

use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
        time::{rfc3339, seconds},
    },
    pipeline::{
        active_config::ActiveConfig, context::RequestContext, driver::serve_locally, state::State,
    },
};

/// Lifetime in an SDK, after which it reads a replaced key.
const LIFETIME: Duration = Duration::from_hours(1);
/// Key name and secret if clients need no credentials.
const PLACEHOLDER: &str = "not-needed";

/// Names as in ECS; some SDKs require all four.
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
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Response {
    let route = (api::names::CLIENT_CREDENTIALS_PATH, Dialect::OpenAi);
    serve_locally(&state, &context, route, |active| {
        Ok((String::new(), credentials(&state, active, &headers)?))
    })
}

fn credentials(state: &State, active: &ActiveConfig, headers: &HeaderMap) -> Result<Vec<u8>> {
    let pair = active.authenticator.signing_pair(headers)?;
    let (name, key) = pair.unwrap_or((PLACEHOLDER, PLACEHOLDER));
    let credentials = Credentials {
        access_key_id: name,
        secret_access_key: key,
        token: PLACEHOLDER,
        expiration: rfc3339(seconds(state.now() + LIFETIME)),
    };
    serde_json::to_vec(&credentials)
        .map_err(|_| GatewayError::Internal("failed to serialize the client's credentials"))
}
