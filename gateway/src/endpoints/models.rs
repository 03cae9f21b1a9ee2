//! `GET /v1/models` and `GET /v1/models/{id}`: the models that this client may use.
//! <https://platform.openai.com/docs/api-reference/models>
//!
//! Configured names first. A pattern is expanded with the models of the gateway's region, since requests cannot name a
//! pattern: with those that Bedrock lists if the gateway has no configuration file and may list them, and otherwise with
//! the built-in table. Other ids that match a pattern of a configuration work as well.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

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
        active_config::ActiveConfig, authenticate::Caller, context::RequestContext,
        driver::serve_locally, state::State,
    },
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
    let active = state.active();
    let caller = active.authenticator.authenticate(&headers, state.now());
    let listed = listed(&state, caller.is_ok()).await;
    serve_locally(&state, &context, (PATH, dialect), |_| {
        let caller = caller?;
        let found = entries(&active, &caller, listed.as_deref());
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
    let active = state.active();
    let caller = active.authenticator.authenticate(&headers, state.now());
    let listed = listed(&state, caller.is_ok()).await;
    serve_locally(&state, &context, (PATH, dialect), |_| {
        let caller = caller?;
        if state.settings().config.is_none() {
            check_listed(&active, &model, listed.as_deref())?;
        }
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

/// What Bedrock lists, if known. A client that is not authenticated causes no call.
async fn listed(state: &State, is_authenticated: bool) -> Option<Arc<BTreeSet<String>>> {
    if !is_authenticated {
        return None;
    }
    state.model_list().ids(state).await
}

/// Without a configuration, every id can be tried; a model exists if Bedrock or the built-in table lists it. ARNs are not
/// listed.
///
/// # Errors
/// 404 with similar ids.
fn check_listed(
    active: &ActiveConfig,
    model: &str,
    listed: Option<&BTreeSet<String>>,
) -> Result<(), GatewayError> {
    let mut known: Vec<String> = expand("*", active.routes.region(), listed);
    // The built-in table lacks models of some partitions.
    if model.starts_with("arn:") || known.is_empty() || known.iter().any(|id| id == model) {
        return Ok(());
    }
    let common = |id: &String| {
        let same = id.bytes().zip(model.bytes()).take_while(|(a, b)| a == b);
        Reverse(same.count())
    };
    known.sort_by_key(common);
    Err(GatewayError::UnknownModel {
        model: model.to_owned(),
        allowed: known,
    })
}

/// The names of a client's models, each with its Bedrock id.
pub(super) fn entries(
    active: &ActiveConfig,
    caller: &Caller,
    listed: Option<&BTreeSet<String>>,
) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for (name, bedrock_id) in active.routes.names(caller) {
        let found = if name.contains('*') {
            let ids = expand(&name, active.routes.region(), listed);
            ids.into_iter().map(|id| (id.clone(), id)).collect()
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

/// The ids in a region that match a pattern, from Bedrock's list or the built-in table.
fn expand(pattern: &str, region: &api::Region, listed: Option<&BTreeSet<String>>) -> Vec<String> {
    let ids: Vec<String> = match listed {
        Some(listed) => listed.iter().cloned().collect(),
        None => catalogue::builtin()
            .models()
            .flat_map(|(id, model)| model.ids_in(id, region))
            .collect(),
    };
    ids.into_iter().filter(|id| matches(pattern, id)).collect()
}
