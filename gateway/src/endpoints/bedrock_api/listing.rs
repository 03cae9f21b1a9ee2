//! The read-only operations of Bedrock's control plane that clients call before Converse and InvokeModel: foundation
//! models and inference profiles. They list what the client may use, by the names that it may use. A
//! gateway without a configuration reads the cached list of `pipeline::model_list`, which alone calls AWS.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use dialects::families::base_model_id;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{error, reject};
use crate::{
    endpoints::models::entries,
    http::{
        error::{GatewayError, Result},
        response,
    },
    pipeline::{
        active_config::ActiveConfig,
        authenticate::{Caller, Identity},
        context::RequestContext,
        record::RequestRecord,
        state::State,
    },
    telemetry::OTHER,
};

pub(crate) const MODELS_PATH: &str = "/foundation-models";
pub(crate) const MODEL_PATH: &str = "/foundation-models/{*id}";
pub(crate) const PROFILES_PATH: &str = "/inference-profiles";
pub(crate) const PROFILE_PATH: &str = "/inference-profiles/{*id}";

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Profile,
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let (kind, route) = if request.uri().path().starts_with(MODELS_PATH) {
        (Kind::Model, MODELS_PATH)
    } else {
        (Kind::Profile, PROFILES_PATH)
    };
    let mut record = RequestRecord::open(&state, &context, route, "");
    match respond(&state, kind, request, &mut record).await {
        Ok(body) => {
            record.succeeded();
            let body = serde_json::to_vec(&body).unwrap_or_default();
            response::json(body, &HeaderMap::new(), &[])
        }
        Err(error) => reject(&mut record, &error),
    }
}

/// An error in AWS's format for a request that is rejected before it reaches an endpoint.
pub(crate) fn unhandled(state: &State, context: &RequestContext, error: &GatewayError) -> Response {
    let mut record = RequestRecord::open(state, context, OTHER, "");
    record.failed(error);
    error::response(error, record.request_id())
}

async fn respond(
    state: &State,
    kind: Kind,
    request: Request,
    record: &mut RequestRecord,
) -> Result<Value> {
    let (parts, _) = request.into_parts();
    let path = parts.uri.path();
    if parts.method != Method::GET {
        return Err(GatewayError::WrongMethod {
            path: path.to_owned(),
            method: parts.method.to_string(),
            allowed: "GET",
        });
    }
    let active = state.active();
    let authenticator = &active.authenticator;
    let caller = match authenticator.identify_head(&parts, state.now())? {
        Identity::Known(caller) => caller,
        Identity::Signed { client, head } => authenticator.verify(&client, head, &parts, b"")?,
    };
    record.set_client(&caller.name);
    let list = match kind {
        Kind::Model => MODELS_PATH,
        Kind::Profile => PROFILES_PATH,
    };
    let id = path.strip_prefix(list).unwrap_or_default();
    if let Some(id) = id.strip_prefix('/').filter(|id| !id.is_empty()) {
        let id = percent_decode_str(id).decode_utf8_lossy();
        one(&active, kind, &id, &caller)
    } else {
        let listed = state.model_list().ids(state).await;
        let found: Vec<Value> = entries(&active, &caller, listed.as_deref())
            .iter()
            .filter(|(_, bedrock_id)| kind_of(bedrock_id) == kind)
            .map(|(name, bedrock_id)| {
                description(&active, kind, name, bedrock_id, base_model_id(bedrock_id))
            })
            .collect();
        Ok(match kind {
            Kind::Model => json!({ "modelSummaries": found }),
            Kind::Profile => json!({ "inferenceProfileSummaries": found }),
        })
    }
}

/// A model or profile by its name.
fn one(active: &ActiveConfig, kind: Kind, id: &str, caller: &Caller) -> Result<Value> {
    let target = active.routes.resolve(id, caller, 0)?.first;
    if kind_of(&target.model_id) != kind {
        return Err(GatewayError::UnknownModel {
            model: id.to_owned(),
            allowed: Vec::new(),
        });
    }
    let base = target.base_model.as_deref();
    let found = description(active, kind, id, &target.model_id, base);
    Ok(match kind {
        Kind::Model => json!({ "modelDetails": found }),
        Kind::Profile => found,
    })
}

/// Whether an id is that of an inference profile.
fn kind_of(bedrock_id: &str) -> Kind {
    let is_profile = bedrock_id.contains("inference-profile/")
        || base_model_id(bedrock_id).is_some_and(|base| base != bedrock_id);
    if is_profile && !bedrock_id.contains(":foundation-model/") {
        Kind::Profile
    } else {
        Kind::Model
    }
}

/// A model or profile in the format of Bedrock.
fn description(
    active: &ActiveConfig,
    kind: Kind,
    name: &str,
    bedrock_id: &str,
    base: Option<&str>,
) -> Value {
    let region = active.routes.region();
    let arn = |resource: &str, id: &str| {
        if id.starts_with("arn:") {
            return id.to_owned();
        }
        let partition = region.partition().id();
        format!("arn:{partition}:bedrock:{region}::{resource}/{id}")
    };
    match kind {
        Kind::Model => json!({
            "modelArn": arn("foundation-model", bedrock_id),
            "modelId": name,
            "modelName": name,
            "inferenceTypesSupported": ["ON_DEMAND"],
        }),
        Kind::Profile => {
            let models: Vec<Value> = base
                .map(|base| json!({ "modelArn": arn("foundation-model", base) }))
                .into_iter()
                .collect();
            let application = bedrock_id.contains("application-inference-profile/");
            json!({
                "inferenceProfileName": name,
                "inferenceProfileArn": arn("inference-profile", bedrock_id),
                "inferenceProfileId": name,
                "models": models,
                "status": "ACTIVE",
                "type": if application { "APPLICATION" } else { "SYSTEM_DEFINED" },
            })
        }
    }
}
