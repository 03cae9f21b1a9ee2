//! Bedrock's OpenAI and Anthropic endpoints, on the runtime host and on mantle: paths, served models
//! (`data/endpoints.yaml`) and authorization.
//!
//! Requests to the runtime are signed as `bedrock` and need `bedrock:InvokeModel…` on the model, for the OpenAI
//! endpoints also on the region's `project/default`. Requests to mantle are signed as `bedrock-mantle` (or `bedrock`)
//! and need `bedrock-mantle:CreateInference` on the project. API keys work on both, for Anthropic's endpoint also as
//! `x-api-key`.
//!
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html>,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_bedrock-mantle.html>.

use std::sync::Arc;

use axum::response::Response;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::authorize;
use super::catalog::{Catalog, CatalogError, Model, Target};
use super::guardrail::{self, GuardrailReference};
use super::json::text;
use super::{chat, converse, messages, responses};
use crate::auth::{Caller, Protocol, authenticate};
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::policy::wildcard_matches;
use crate::record::Call;
use crate::server::{Incoming, Shared};

const DATA: &str = include_str!("../../data/endpoints.yaml");

/// An API of OpenAI or Anthropic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    ChatCompletions,
    Responses,
    Messages,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patterns {
    chat_completions: Vec<String>,
    responses: Vec<String>,
    messages: Vec<String>,
}

/// A model on mantle with its path for each API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    chat_completions: Option<String>,
    responses: Option<String>,
    messages: Option<String>,
}

/// The models that each API and host serves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServedApis {
    runtime: Patterns,
    mantle: Vec<Row>,
}

impl ServedApis {
    pub(crate) fn new(catalog: &Catalog) -> Result<Self, CatalogError> {
        let served_apis: Self = serde_yaml::from_str(DATA).map_err(CatalogError::new)?;
        for row in &served_apis.mantle {
            if catalog.family_of(&row.id).is_none() {
                return Err(CatalogError::new(format!("{} has no family", row.id)));
            }
        }
        Ok(served_apis)
    }

    fn on_runtime(&self, api: Api, model: &str) -> bool {
        let patterns = match api {
            Api::ChatCompletions => &self.runtime.chat_completions,
            Api::Responses => &self.runtime.responses,
            Api::Messages => &self.runtime.messages,
        };
        patterns.iter().any(|one| wildcard_matches(one, model))
    }

    /// Checks that mantle serves a model with this API, then on this path.
    fn on_mantle(&self, api: Api, prefix: &str, model: &str) -> Result<(), AwsError> {
        let Some(row) = self.mantle.iter().find(|row| row.id == model) else {
            return Err(AwsError::new(
                404,
                "ModelNotFoundException",
                format!("The model '{model}' does not exist"),
            ));
        };
        let (path, name) = match api {
            Api::ChatCompletions => (&row.chat_completions, "/v1/chat/completions"),
            Api::Responses => (&row.responses, "/v1/responses"),
            Api::Messages => (&row.messages, "/v1/messages"),
        };
        match path {
            None => Err(AwsError::validation(format!(
                "The model '{model}' does not support the '{name}' API"
            ))),
            Some(path) if path == prefix => Ok(()),
            Some(_) => Err(AwsError::validation(format!(
                "model `{model}` isn't supported on this route"
            ))),
        }
    }
}

/// The operation of a path; `None` if the path is not one of these endpoints.
pub(crate) fn identify(method: &Method, path: &str, mantle: bool) -> Option<&'static str> {
    if mantle && method == Method::GET && path == "/v1/models" {
        return Some("ListModels");
    }
    let (prefix, api) = split(path)?;
    let here = method == Method::POST
        && match prefix {
            "/v1" => mantle && api != Api::Messages,
            "/openai/v1" => api != Api::Messages,
            "/anthropic/v1" => api == Api::Messages,
            _ => false,
        };
    here.then_some(match api {
        Api::ChatCompletions => "ChatCompletions",
        Api::Responses => "CreateResponse",
        Api::Messages => "CreateMessage",
    })
}

fn split(path: &str) -> Option<(&str, Api)> {
    let ends = [
        ("/chat/completions", Api::ChatCompletions),
        ("/responses", Api::Responses),
        ("/messages", Api::Messages),
    ];
    ends.iter()
        .find_map(|(end, api)| path.strip_suffix(end).map(|prefix| (prefix, *api)))
}

pub(crate) async fn respond(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let mantle = call.service == "bedrock-mantle";
    let services: &[&str] = if mantle {
        &["bedrock-mantle", "bedrock"]
    } else {
        &["bedrock"]
    };
    let caller = authenticate(shared, incoming, services, Protocol::RestJson)?;
    call.identity = Some(caller.identity.clone());
    call.region = Some(caller.region.clone());
    if call.operation == "ListModels" {
        return list_models(shared, &caller);
    }
    let Some((prefix, api)) = split(&incoming.path) else {
        return Err(AwsError::named("UnknownOperationException", ""));
    };
    let mut body = converse::parse(&incoming.body)?;
    let options = match api {
        Api::Messages => None,
        Api::ChatCompletions | Api::Responses => guardrail::take_options(&mut body),
    };
    let id = text(&body, "model").unwrap_or_default().to_owned();
    if id.is_empty() {
        return Err(AwsError::validation("model: Field required"));
    }
    call.model = Some(id.clone());
    let named = GuardrailReference::from_headers(incoming);
    let streamed = body.get("stream") == Some(&Value::Bool(true));
    let target = if mantle {
        on_mantle(shared, &caller, incoming, (api, prefix), &id)?
    } else {
        let action = if streamed {
            "bedrock:InvokeModelWithResponseStream"
        } else {
            "bedrock:InvokeModel"
        };
        on_runtime(shared, call, &caller, action, (api, named.as_ref()))?
    };
    let guardrail = guardrail::active(shared, named.as_ref())?;
    let guardrail = guardrail.map(|one| one.with_options(options.as_ref(), streamed));
    let request = ApiRequest {
        body: &body,
        model: id,
        target,
        mantle,
        streamed,
        guardrail,
        fault,
    };
    match api {
        Api::ChatCompletions => chat::respond(shared, call, request).await,
        Api::Responses => responses::respond(shared, call, request).await,
        Api::Messages => messages::respond(shared, incoming, call, request).await,
    }
}

/// An authorized request to one of the endpoints, with its resolved model.
#[derive(Debug)]
pub(super) struct ApiRequest<'a> {
    pub(super) body: &'a Value,
    /// Model id as in the request.
    pub(super) model: String,
    pub(super) target: Target,
    pub(super) mantle: bool,
    pub(super) streamed: bool,
    pub(super) guardrail: Option<guardrail::ActiveGuardrail<'a>>,
    pub(super) fault: Option<FaultAction>,
}

fn on_runtime(
    shared: &Shared,
    call: &Call,
    caller: &Caller,
    action: &str,
    (api, guardrail): (Api, Option<&GuardrailReference>),
) -> Result<Target, AwsError> {
    let not_served = || {
        AwsError::new(
            404,
            "ModelNotFoundException",
            "The model doesn't exist or doesn't support this API. Retry your request with a different model ID.",
        )
    };
    let id = call.model.as_deref().unwrap_or_default();
    let bedrock = &shared.bedrock;
    let known = bedrock.catalog.resolve(id, &caller.region);
    let served = |target: &Target| bedrock.served_apis.on_runtime(api, &target.model.id);
    if !known.is_ok_and(|target| served(&target)) {
        return Err(not_served());
    }
    let target = super::target(shared, call, caller, action, guardrail)?;
    if api != Api::Messages {
        let project = format!(
            "arn:{}:bedrock:{}:{}:project/default",
            shared.account.config.partition, caller.region, caller.account
        );
        authorize::allow(caller, action, &project, &caller.context())?;
    }
    Ok(target)
}

fn on_mantle(
    shared: &Shared,
    caller: &Caller,
    incoming: &Incoming,
    (api, prefix): (Api, &str),
    id: &str,
) -> Result<Target, AwsError> {
    let header = |name: &str| incoming.headers.get(name)?.to_str().ok();
    let project = header("openai-project")
        .or_else(|| header("anthropic-workspace"))
        .unwrap_or("default");
    let project = format!(
        "arn:{}:bedrock-mantle:{}:{}:project/{project}",
        shared.account.config.partition, caller.region, caller.account
    );
    let mut context = caller.context();
    if caller.identity.kind == "bearer" {
        authorize::allow(caller, "bedrock-mantle:CallWithBearerToken", "*", &context)?;
    }
    context.set("bedrock-mantle:Model", id);
    authorize::allow(caller, "bedrock-mantle:CreateInference", &project, &context)?;
    shared.bedrock.served_apis.on_mantle(api, prefix, id)?;
    let family = shared
        .bedrock
        .catalog
        .family_of(id)
        .ok_or_else(|| AwsError::validation("The provided model identifier is invalid."))?;
    Ok(Target {
        model: Model {
            id: id.to_owned(),
            name: id.to_owned(),
            family,
            on_demand: true,
            legacy: false,
            access: true,
            regions: Vec::new(),
            profiles: Vec::new(),
        },
        profile: None,
        model_arn: project,
    })
}

fn list_models(shared: &Shared, caller: &Caller) -> Result<Response, AwsError> {
    authorize::allow(caller, "bedrock-mantle:ListModels", "*", &caller.context())?;
    let models: Vec<Value> = shared
        .bedrock
        .served_apis
        .mantle
        .iter()
        .map(|row| json!({ "id": row.id, "object": "model", "created": 1_764_460_800, "owned_by": "system" }))
        .collect();
    Ok(converse::json_reply(
        &json!({ "object": "list", "data": models }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn rejects_a_model_on_the_wrong_api_or_path() {
        let catalog = Catalog::new(&Config::default()).expect("the built-in data");
        let served_apis = ServedApis::new(&catalog).expect("the built-in data");
        let rows = [
            ("openai.gpt-oss-120b", Api::Responses, "/v1", ""),
            (
                "openai.gpt-5.6-sol",
                Api::ChatCompletions,
                "/openai/v1",
                "does not support the '/v1/chat/completions' API",
            ),
            (
                "openai.gpt-5.6-sol",
                Api::Responses,
                "/v1",
                "model `openai.gpt-5.6-sol` isn't supported on this route",
            ),
            (
                "anthropic.claude-opus-4-7",
                Api::Responses,
                "/v1",
                "does not support the '/v1/responses' API",
            ),
            (
                "anthropic.claude-opus-4-7",
                Api::Messages,
                "/anthropic/v1",
                "",
            ),
            (
                "openai.gpt-oss-120b-1:0",
                Api::Responses,
                "/v1",
                "does not exist",
            ),
        ];
        for (model, api, prefix, expected) in rows {
            let found = served_apis.on_mantle(api, prefix, model);
            let message = found.err().map(|error| error.message).unwrap_or_default();
            assert!(
                message.contains(expected) && message.is_empty() == expected.is_empty(),
                "{model} {api:?} {prefix}: {message}"
            );
        }
        assert!(served_apis.on_runtime(Api::Responses, "openai.gpt-5.6-sol"));
        assert!(!served_apis.on_runtime(Api::Responses, "openai.gpt-oss-120b-1:0"));
    }

    #[test]
    fn identifies_operations_by_path_and_host() {
        let rows = [
            (
                "/openai/v1/chat/completions",
                false,
                Some("ChatCompletions"),
            ),
            ("/openai/v1/responses", true, Some("CreateResponse")),
            ("/v1/responses", true, Some("CreateResponse")),
            ("/v1/responses", false, None),
            ("/anthropic/v1/messages", false, Some("CreateMessage")),
            ("/v1/messages", true, None),
            ("/openai/v1/messages", false, None),
        ];
        for (path, mantle, operation) in rows {
            assert_eq!(
                identify(&Method::POST, path, mantle),
                operation,
                "{path} {mantle}"
            );
        }
        assert_eq!(identify(&Method::GET, "/v1/responses", true), None);
    }
}
