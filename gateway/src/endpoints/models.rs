//! `GET /v1/models` and `GET /v1/models/{id}`: what this caller may ask for.
//! <https://platform.openai.com/docs/api-reference/models>
//!
//! Configured names first; a pattern is spelled out by the built-in table of models for the gateway's
//! region, since nobody can ask for a pattern. Ids that the table does not know work all the same.

use api::catalogue;
use axum::{
    Extension,
    extract::{Path, Query, State as FromState, rejection::QueryRejection},
    response::Response,
};
use dialects::{anthropic, openai};
use http::HeaderMap;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    endpoints::messages::{self, named},
    http::error::GatewayError,
    pipeline::{
        active_config::Live, authenticate::Caller, driver::json, record::Account, route::Pattern,
    },
    server::router::State,
    telemetry::request_id::Arrival,
};

pub(crate) const PATH: &str = "/v1/models";
/// Ids may hold slashes, as ARNs do.
pub(crate) const ONE_PATH: &str = "/v1/models/{*id}";

/// Most models on a page of Anthropic's, and as many as there are without a wish.
const LONGEST_PAGE: usize = 1000;
const USUAL_PAGE: usize = 20;

/// Which page of a list; OpenAI's has one only.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

pub(crate) async fn all(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    answer(&state, &arrival, &headers, |live, anthropic| {
        let caller = live.authenticator.authenticate(&headers, state.now())?;
        let found = entries(live, &caller);
        let body = if anthropic {
            let page = page.map_or_else(|_| Page::default(), |Query(page)| page);
            let created = created_at(&state);
            let models: Vec<_> = found
                .iter()
                .map(|(name, _)| anthropic::ModelInfo::new(name.as_str(), &created))
                .collect();
            anthropic::models_list(
                &models,
                page.limit.unwrap_or(USUAL_PAGE).clamp(1, LONGEST_PAGE),
                page.after_id.as_deref(),
                page.before_id.as_deref(),
            )
        } else {
            let entry = |(name, bedrock_id): &(String, String)| {
                openai::ModelEntry::new(name.as_str(), bedrock_id, state.started_at())
            };
            openai::models_list(&found.iter().map(entry).collect::<Vec<_>>())
        };
        Ok((caller.name, body))
    })
}

pub(crate) async fn one(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(&state, &arrival, &headers, |live, anthropic| {
        let caller = live.authenticator.authenticate(&headers, state.now())?;
        let targets = live.routes.resolve(&model, &caller, 0)?;
        let bedrock_id = targets
            .first()
            .map_or(model.as_str(), |target| target.model_id.as_str());
        let body = if anthropic {
            let info = anthropic::ModelInfo::new(model.as_str(), &created_at(&state));
            anthropic::model(&info)
        } else {
            let entry = openai::ModelEntry::new(model.as_str(), bedrock_id, state.started_at());
            serde_json::to_vec(&entry)
                .map_err(|_| GatewayError::Internal("the model's entry cannot be written"))?
        };
        Ok((caller.name, body))
    })
}

/// When the list became known.
fn created_at(state: &State) -> String {
    let seconds = i64::try_from(state.started_at()).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Answers in the dialect of the client: Anthropic's where its version header is there.
fn answer(
    state: &State,
    arrival: &Arrival,
    headers: &HeaderMap,
    find: impl FnOnce(&Live, bool) -> Result<(String, Vec<u8>), GatewayError>,
) -> Response {
    let mut account = Account::open(state, arrival, PATH, "");
    let anthropic = messages::is_spoken(PATH, headers);
    match find(&state.live(), anthropic) {
        Ok((caller, body)) => {
            account.caller(&caller);
            account.succeeded();
            let response = json(body, &HeaderMap::new(), &[]);
            if anthropic {
                named(response, &arrival.id)
            } else {
                response
            }
        }
        Err(error) if anthropic => messages::refuse(&mut account, &error),
        Err(error) => {
            account.failed(&error);
            error.response(&arrival.id)
        }
    }
}

/// Names that may be asked for, each with the Bedrock id behind it.
fn entries(live: &Live, caller: &Caller) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for (name, bedrock_id) in live.routes.names(caller) {
        let found = if name.contains('*') {
            spelled_out(&name, live.routes.region())
        } else {
            vec![(name, bedrock_id)]
        };
        for (name, bedrock_id) in found {
            if !entries.iter().any(|(known, _)| *known == name) {
                entries.push((name, bedrock_id));
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
