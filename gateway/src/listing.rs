//! `GET /v1/models` and `GET /v1/models/{id}`: what this caller may ask for.
//! <https://platform.openai.com/docs/api-reference/models>
//!
//! Configured names first; a pattern is spelled out by the built-in table of models for the gateway's
//! region, since nobody can ask for a pattern. Ids that the table does not know work all the same.

use api::catalogue;
use axum::{
    Extension,
    body::Body,
    extract::{Path, State as FromState},
    response::Response,
};
use dialects::openai::{ModelEntry, models_list};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    account::Account, app::State, authenticate::Caller, error::GatewayError, live::Live,
    request_id::RequestId, route::Pattern,
};

pub(crate) const PATH: &str = "/v1/models";
/// Ids may hold slashes, as ARNs do.
pub(crate) const ONE_PATH: &str = "/v1/models/{*id}";

pub(crate) async fn all(
    FromState(state): FromState<State>,
    Extension(RequestId(id)): Extension<RequestId>,
    headers: HeaderMap,
) -> Response {
    answer(&state, &id, |live| {
        let caller = live.authenticator.authenticate(&headers, state.now())?;
        Ok((
            caller.name.clone(),
            models_list(&entries(live, &caller, state.started_at())),
        ))
    })
}

pub(crate) async fn one(
    FromState(state): FromState<State>,
    Extension(RequestId(id)): Extension<RequestId>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(&state, &id, |live| {
        let caller = live.authenticator.authenticate(&headers, state.now())?;
        let targets = live.routes.resolve(&model, &caller, 0)?;
        let bedrock_id = targets
            .first()
            .map_or(model.as_str(), |target| target.model_id.as_str());
        let entry = ModelEntry::new(model.as_str(), bedrock_id, state.started_at());
        let body = serde_json::to_vec(&entry)
            .map_err(|_| GatewayError::Internal("the model's entry cannot be written"))?;
        Ok((caller.name, body))
    })
}

fn answer(
    state: &State,
    request_id: &str,
    find: impl FnOnce(&Live) -> Result<(String, Vec<u8>), GatewayError>,
) -> Response {
    let mut account = Account::open(state.metrics(), PATH, "", request_id);
    match find(&state.live()) {
        Ok((caller, body)) => {
            account.caller(&caller);
            account.succeeded();
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            response
        }
        Err(error) => {
            account.failed(&error);
            error.response(request_id)
        }
    }
}

fn entries(live: &Live, caller: &Caller, created: u64) -> Vec<ModelEntry> {
    let mut entries: Vec<ModelEntry> = Vec::new();
    for (name, bedrock_id) in live.routes.names(caller) {
        let found = if name.contains('*') {
            spelled_out(&name, live.routes.region())
        } else {
            vec![(name, bedrock_id)]
        };
        for (name, bedrock_id) in found {
            if !entries.iter().any(|entry| entry.id == name) {
                entries.push(ModelEntry::new(name, &bedrock_id, created));
            }
        }
    }
    entries
}

/// Known ids in a region that a pattern allows.
fn spelled_out(pattern: &str, region: &api::Region) -> Vec<(String, String)> {
    let pattern = Pattern::new(pattern);
    catalogue::builtin()
        .models()
        .flat_map(|(id, model)| model.ids_in(id, region))
        .filter(|id| pattern.matches(id))
        .map(|id| (id.clone(), id))
        .collect()
}
