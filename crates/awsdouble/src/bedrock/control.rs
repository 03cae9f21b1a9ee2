//! Bedrock's control plane: lists and returns foundation models and inference profiles.

use serde_json::{Value, json};

use super::authorize::allow;
use super::catalog::{Catalog, Model, Profile};
use crate::auth::{Protocol, authenticate};
use crate::encoding::{form_pairs, percent_decode};
use crate::error::AwsError;
use crate::record::Call;
use crate::server::{Incoming, Shared};

/// The operation of a path, and the id in the path.
pub(crate) fn identify(
    method: &http::Method,
    path: &str,
) -> Option<(&'static str, Option<String>)> {
    if method != http::Method::GET {
        return None;
    }
    let path = path.trim_end_matches('/');
    Some(match path {
        "/foundation-models" => ("ListFoundationModels", None),
        "/inference-profiles" => ("ListInferenceProfiles", None),
        _ => {
            if let Some(id) = path.strip_prefix("/foundation-models/") {
                ("GetFoundationModel", Some(percent_decode(id)))
            } else {
                let id = path.strip_prefix("/inference-profiles/")?;
                ("GetInferenceProfile", Some(percent_decode(id)))
            }
        }
    })
}

pub(crate) fn respond(
    shared: &Shared,
    incoming: &Incoming,
    call: &mut Call,
) -> Result<Value, AwsError> {
    let caller = authenticate(shared, incoming, &["bedrock"], Protocol::RestJson)?;
    call.identity = Some(caller.identity.clone());
    call.region = Some(caller.region.clone());
    let catalog = &shared.bedrock.catalog;
    let region = caller.region.as_str();
    let context = caller.context();
    let query = form_pairs(&incoming.query);
    let id = call.model.clone().unwrap_or_default();
    let action = format!("bedrock:{}", call.operation);
    match call.operation.as_str() {
        "ListFoundationModels" => {
            allow(&caller, &action, "*", &context)?;
            let models: Vec<Value> = catalog
                .models_in(region)
                .into_iter()
                .map(|model| model_json(catalog, model, region))
                .filter(|model| query.iter().all(|(name, value)| fits(model, name, value)))
                .collect();
            Ok(json!({ "modelSummaries": models }))
        }
        "GetFoundationModel" => {
            let target = catalog.resolve(&id, region)?;
            allow(&caller, &action, &target.model_arn, &context)?;
            Ok(json!({ "modelDetails": model_json(catalog, &target.model, region) }))
        }
        "ListInferenceProfiles" => {
            allow(&caller, &action, "*", &context)?;
            list_profiles(catalog, region, &query)
        }
        _ => {
            let profile = catalog.profile(&id, region);
            let arn = profile.as_ref().map_or("*", |profile| profile.arn.as_str());
            allow(&caller, &action, arn, &context)?;
            profile
                .map(|profile| profile_json(catalog, &profile))
                .ok_or_else(|| {
                    AwsError::named(
                        "ResourceNotFoundException",
                        "Inference Profile not found for the specified identifier.",
                    )
                })
        }
    }
}

fn fits(model: &Value, filter: &str, wanted: &str) -> bool {
    let has = |field: &str| {
        model
            .get(field)
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|one| one == wanted))
    };
    match filter {
        "byProvider" => model
            .get("providerName")
            .and_then(Value::as_str)
            .is_some_and(|provider| provider.eq_ignore_ascii_case(wanted)),
        "byOutputModality" => has("outputModalities"),
        "byInferenceType" => has("inferenceTypesSupported"),
        "byCustomizationType" => false,
        _ => true,
    }
}

fn list_profiles(
    catalog: &Catalog,
    region: &str,
    query: &[(String, String)],
) -> Result<Value, AwsError> {
    let find = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let number = |name: &str, default: usize| match find(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| AwsError::validation(format!("The value at {name} is invalid."))),
    };
    let size = number("maxResults", 100)?;
    if !(1..=1000).contains(&size) {
        return Err(AwsError::validation(
            "The value at maxResults must be between 1 and 1000.",
        ));
    }
    // The token is the number of profiles on the previous pages.
    let start = number("nextToken", 0)?;
    let application = match find("typeEquals").or_else(|| find("type")) {
        None => None,
        Some("SYSTEM_DEFINED") => Some(false),
        Some("APPLICATION") => Some(true),
        Some(_) => return Err(AwsError::validation("The value at typeEquals is invalid.")),
    };
    let mut profiles = catalog.profiles_in(region);
    profiles.retain(|profile| application.is_none_or(|wanted| profile.application == wanted));
    let page: Vec<Value> = profiles
        .iter()
        .skip(start)
        .take(size)
        .map(|p| profile_json(catalog, p))
        .collect();
    let mut reply = json!({ "inferenceProfileSummaries": page });
    if profiles.len() > start.saturating_add(size)
        && let Some(object) = reply.as_object_mut()
    {
        object.insert("nextToken".to_owned(), json!((start + size).to_string()));
    }
    Ok(reply)
}

fn model_json(catalog: &Catalog, model: &Model, region: &str) -> Value {
    let rules = &model.family.rules;
    let mut inputs = vec!["TEXT"];
    for (kind, modality) in [("image", "IMAGE"), ("video", "VIDEO")] {
        if rules.media.iter().any(|one| one == kind) {
            inputs.push(modality);
        }
    }
    let mut types = Vec::new();
    if model.on_demand {
        types.push("ON_DEMAND");
    }
    if !model.profiles.is_empty() {
        types.push("INFERENCE_PROFILE");
    }
    json!({
        "customizationsSupported": [],
        "inferenceTypesSupported": types,
        "inputModalities": inputs,
        "modelArn": catalog.model_arn(region, &model.id),
        "modelId": model.id,
        "modelLifecycle": { "status": if model.legacy { "LEGACY" } else { "ACTIVE" } },
        "modelName": model.name,
        "outputModalities": [rules.body_format.output()],
        "providerName": model.family.provider,
        "responseStreamingSupported": rules.body_format.streams(),
    })
}

fn profile_json(catalog: &Catalog, profile: &Profile) -> Value {
    let mut models: Vec<Value> = profile
        .destinations
        .iter()
        .map(|region| json!({ "modelArn": catalog.model_arn(region, &profile.model) }))
        .collect();
    if profile.global {
        let own = profile.arn.split(':').nth(3).unwrap_or_default();
        models.push(json!({ "modelArn": catalog.model_arn(own, &profile.model) }));
        models.push(json!({ "modelArn": catalog.model_arn("", &profile.model) }));
    }
    let kind = if profile.application {
        "APPLICATION"
    } else {
        "SYSTEM_DEFINED"
    };
    json!({
        "createdAt": "2024-08-26T00:00:00Z",
        "description": format!("Routes requests to {}.", profile.model),
        "inferenceProfileArn": profile.arn,
        "inferenceProfileId": profile.id,
        "inferenceProfileName": profile.id,
        "models": models,
        "status": "ACTIVE",
        "type": kind,
        "updatedAt": "2024-08-26T00:00:00Z",
    })
}
