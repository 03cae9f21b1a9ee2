//! `GET /v1/models` and `GET /v1/models/{id}`: the models that this client may use.
//! <https://platform.openai.com/docs/api-reference/models>
//!
//! Configured names first. A pattern is expanded with the built-in table of models for the gateway's region, since
//! requests cannot name a pattern. Other ids that match it work as well.

use api::{catalogue, pattern::matches};
use axum::{
    Extension,
    extract::{Path, Query, State as FromState, rejection::QueryRejection},
    response::Response,
};
use dialects::{anthropic, openai};
use http::HeaderMap;
use serde::Deserialize;

use crate::{
    http::{dialect::Dialect, error::GatewayError, time::rfc3339},
    pipeline::{
        active_config::ActiveConfig, authenticate::Caller, driver::serve_locally, state::State,
    },
    telemetry::request_id::RequestContext,
};

pub(crate) const PATH: &str = "/v1/models";
/// An id may contain slashes, as ARNs do.
pub(crate) const ONE_PATH: &str = "/v1/models/{*id}";

/// Largest page in the Anthropic dialect.
const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 20;

/// The page of a list in the Anthropic dialect; OpenAI's lists have one page.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Page {
    limit: Option<usize>,
    after_id: Option<String>,
    before_id: Option<String>,
}

pub(crate) async fn all(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    page: Result<Query<Page>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::new(PATH, &headers);
    serve_locally(&state, &context, (PATH, dialect), |active| {
        let caller = active.authenticator.authenticate(&headers, state.now())?;
        let found = entries(active, &caller);
        let body = if dialect == Dialect::Anthropic {
            let page = page.map_or_else(|_| Page::default(), |Query(page)| page);
            let created = rfc3339(state.started_at());
            let models: Vec<_> = found
                .iter()
                .map(|(name, _)| anthropic::ModelInfo::new(name.as_str(), &created))
                .collect();
            anthropic::models_list(
                &models,
                page.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE),
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
    Extension(context): Extension<RequestContext>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::new(PATH, &headers);
    serve_locally(&state, &context, (PATH, dialect), |active| {
        let caller = active.authenticator.authenticate(&headers, state.now())?;
        let targets = active.routes.resolve(&model, &caller, 0)?;
        let created = state.started_at();
        let body = if dialect == Dialect::Anthropic {
            let info = anthropic::ModelInfo::new(model.as_str(), &rfc3339(created));
            anthropic::model(&info)
        } else {
            let bedrock_id = &targets.first.model_id;
            let entry = openai::ModelEntry::new(model.as_str(), bedrock_id, created);
            serde_json::to_vec(&entry)
                .map_err(|_| GatewayError::Internal("failed to serialize the model"))?
        };
        Ok((caller.name, body))
    })
}

/// The names of a client's models, each with its Bedrock id.
fn entries(active: &ActiveConfig, caller: &Caller) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for (name, bedrock_id) in active.routes.names(caller) {
        let found = if name.contains('*') {
            expand(&name, active.routes.region())
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

/// The known ids in a region that match a pattern.
fn expand(pattern: &str, region: &api::Region) -> Vec<(String, String)> {
    catalogue::builtin()
        .models()
        .flat_map(|(id, model)| model.ids_in(id, region))
        .filter(|id| matches(pattern, id))
        .map(|id| (id.clone(), id))
        .collect()
}
