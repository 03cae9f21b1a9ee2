//! Checks models: whether Bedrock lists them, whether the region can call them, and whether a test call succeeds.
//!
//! The test call requests a few output tokens for a prompt of one word, by the API that serves the model. Only a call proves permission, model access
//! and quota together.

use std::{collections::BTreeMap, time::SystemTime};

use api::{
    GatewayConfig, Region,
    catalogue::{self, Availability},
    config::{AssumeRole, Target},
};
use bedrock::{
    apis::{BedrockApi, Protocol, Service as AwsService},
    error::Class,
};
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use dialects::families::FamilyTable;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use super::finding::Finding;
use crate::cli::{
    aws::{
        Service,
        client::{AwsClient, Call, CallError},
    },
    models::list::{self, RegionModels},
};

const MANTLE: AwsService = AwsService::Mantle;

/// A model to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelCheck {
    /// Alias in the configuration, or the ID.
    pub(super) name: String,
    /// Bedrock model ID, inference profile ID or ARN.
    pub(super) id: String,
    /// Region of the calls.
    pub(super) region: Region,
    /// The target's own role, if any.
    pub(super) role: Option<AssumeRole>,
    /// The API of a target on bedrock-mantle, whose models neither Bedrock's list nor the table describes.
    pub(super) mantle: Option<(BedrockApi, Protocol)>,
}

impl ModelCheck {
    /// The service of the test call.
    pub(super) fn service(&self) -> Service {
        match self.mantle {
            Some(_) => Service::BedrockMantle,
            None => Service::BedrockRuntime,
        }
    }
}

/// The API and protocol of a target that only bedrock-mantle serves, or for which the configuration chooses it.
fn mantle(
    families: Option<&FamilyTable>,
    id: &str,
    base_model: Option<&str>,
    chosen: Option<BedrockApi>,
) -> Option<(BedrockApi, Protocol)> {
    let own = families?.resolve(id, base_model).apis;
    let apis = own.for_target(id, chosen);
    let protocols = [
        (apis.chat, Protocol::ChatCompletions),
        (apis.responses, Protocol::Responses),
        (apis.messages, Protocol::Messages),
    ];
    let served = |(api, protocol): &(Option<BedrockApi>, Protocol)| {
        let api = api.filter(|api| api.path(*protocol).is_some())?;
        (api.service() == MANTLE).then_some((api, *protocol))
    };
    let on_runtime =
        |(api, _): &(Option<BedrockApi>, Protocol)| api.is_some_and(|api| api.service() != MANTLE);
    if chosen.is_none_or(|api| api.service() != MANTLE) && protocols.iter().any(on_runtime) {
        return None;
    }
    // Claude has its own protocol there, too.
    let is_claude = matches!(
        own.messages,
        Some(BedrockApi::InvokeModel | BedrockApi::Anthropic | BedrockApi::Mantle)
    );
    let messages = protocols.iter().rev().find_map(served);
    let first = protocols.iter().find_map(served);
    if is_claude { messages } else { first }
}

/// The models in `more` and the targets of the configuration, without duplicates.
pub(super) fn to_check(
    config: &GatewayConfig,
    more: &[String],
    region: &Region,
) -> Vec<ModelCheck> {
    // The configuration is checked elsewhere.
    let families = FamilyTable::with_overrides(&config.model_families).ok();
    let mut models: Vec<ModelCheck> = Vec::new();
    let mut add = |name: &str, id: &str, region: &Region, role: Option<&AssumeRole>, mantle| {
        if !models
            .iter()
            .any(|known| known.id == id && known.region == *region && known.role.as_ref() == role)
        {
            models.push(ModelCheck {
                name: name.to_owned(),
                id: id.to_owned(),
                region: region.clone(),
                role: role.cloned(),
                mantle,
            });
        }
    };
    for id in more {
        let mantle = mantle(families.as_deref(), id, None, None);
        add(id, id, region, None, mantle);
    }
    for model in &config.models {
        for Target {
            model_id,
            region: own,
            assume_role,
            api,
            base_model,
            ..
        } in &model.targets
        {
            let region = own.as_ref().unwrap_or(region);
            let chosen = api.map(crate::pipeline::route::api);
            let mantle = mantle(families.as_deref(), model_id, base_model.as_deref(), chosen);
            add(&model.name, model_id, region, assume_role.as_ref(), mantle);
        }
    }
    models
}

/// Lists the models of a region. Also returns the list.
pub(super) async fn list(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    region: &Region,
) -> (Finding, Option<RegionModels>) {
    let check = format!("list:{region}");
    match list::list(client, handle, credentials, base, region).await {
        Ok(found) => {
            let count = found.models.len();
            let finding = match &found.note {
                None => Finding::ok(check, format!("Bedrock lists {count} models")),
                Some(note) => Finding::warning(
                    check,
                    format!("Bedrock lists {count} models; {note}"),
                    "allow bedrock:ListInferenceProfiles (`bedrock-gateway iam --with-listing` prints the policy)",
                ),
            };
            (finding, Some(found))
        }
        // Information: the least policy of a gateway does not permit it.
        Err(error) if lacks_permission(&error) => {
            let finding = Finding::ok(
                check,
                "not permitted to list models, which serving does not require; \
                 `bedrock-gateway iam --with-listing` prints a policy with this permission",
            );
            (finding, None)
        }
        Err(error) => {
            let finding = Finding::error(
                check,
                format!("ListFoundationModels: {error}"),
                hint(&error).unwrap_or("see the finding endpoint:bedrock"),
            );
            (finding, None)
        }
    }
}

/// Whether AWS knows the caller and only the permission is missing. A wrong Bedrock API key is denied, too.
fn lacks_permission(error: &CallError) -> bool {
    let says = |error: &bedrock::error::ServiceError| error.message.contains("not authorized");
    error.is_denied() && error.service().is_some_and(says)
}

/// Age of the built-in table of models.
pub(super) fn table_age(now: SystemTime) -> Finding {
    let table = catalogue::builtin();
    let days = table.age_days(now).unwrap_or_default();
    let message = format!(
        "the built-in table of models is of {}, {days} days old",
        table.as_of()
    );
    if days > catalogue::STALE_AFTER_DAYS {
        let fix = "install a newer release of the gateway; Bedrock's own list is current (`bedrock-gateway models`)";
        return Finding::warning("table", message, fix);
    }
    Finding::ok("table", message)
}

/// Checks whether the ID can be called from the region, according to Bedrock's list or the built-in table.
/// None for ARNs that do not contain a model ID, and if neither knows anything about the region.
pub(super) fn availability(
    model: &ModelCheck,
    lists: &BTreeMap<Region, RegionModels>,
) -> Option<Finding> {
    let check = format!("model:{}", model.name);
    let table = catalogue::builtin();
    if model.mantle.is_some() {
        return None;
    }
    if model.id.starts_with("arn:") {
        return by_table(model);
    }
    let Some(found) = lists.get(&model.region) else {
        return by_table(model);
    };
    let (id, region) = (&model.id, &model.region);
    if let Some(entry) = found.models.iter().find(|entry| entry.call_as.contains(id)) {
        let callable = format!("{id} can be called from {region}");
        return Some(if entry.lifecycle == "LEGACY" {
            Finding::warning(
                check,
                format!("{callable}, but it is legacy: {LEGACY}"),
                current(region),
            )
        } else {
            Finding::ok(check, callable)
        });
    }
    if let Some(entry) = found.models.iter().find(|entry| entry.model == *id) {
        let (message, fix) = match entry.call_as.first() {
            Some(profile) => (
                format!("{id} cannot be called by its model ID from {region}"),
                format!("use {profile} as modelId"),
            ),
            None => (
                format!("{id} requires provisioned throughput in {region}"),
                "use the ARN of a provisioned model as modelId, or another model".to_owned(),
            ),
        };
        return Some(Finding::error(check, message, fix));
    }
    if found.note.is_some() && table.split_profile(id).is_some() {
        return by_table(model);
    }
    let fix = table.advice(id, region).unwrap_or_else(|| {
        format!("check the spelling of the ID: `bedrock-gateway models --region {region}` lists the models of the region")
    });
    Some(Finding::error(
        check,
        format!("Bedrock does not list {id} in {region}"),
        fix,
    ))
}

/// The same according to the built-in table only.
pub(super) fn by_table(model: &ModelCheck) -> Option<Finding> {
    if model.mantle.is_some() {
        return None;
    }
    let table = catalogue::builtin();
    let check = format!("model:{}", model.name);
    let (id, region) = (&model.id, &model.region);
    let dated = format!("according to the built-in table of {}", table.as_of());
    let advice = || table.advice(id, region);
    let (message, fix) = match table.availability(id, region)? {
        Availability::Active => {
            let message = format!("{id} can be called from {region} {dated}");
            return Some(Finding::ok(check, message));
        }
        Availability::Legacy => (format!("{id} is legacy {dated}: {LEGACY}"), current(region)),
        Availability::Retired => (
            format!("{id} is retired {dated}: no region offers it"),
            current(region),
        ),
        Availability::OtherRegion => (
            format!("{id} cannot be called from {region} {dated}"),
            advice().unwrap_or_else(|| current(region)),
        ),
        Availability::Unknown => (
            format!("{id} is unknown {dated}"),
            format!(
                "check the spelling of the ID, unless the model is newer than the table: \
                 `bedrock-gateway models --region {region}` lists the models of the region"
            ),
        ),
    };
    Some(Finding::warning(check, message, fix))
}

/// What AWS says about legacy models: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html>.
const LEGACY: &str =
    "AWS has announced its end of life, and accounts that have not used it lately cannot call it";

fn current(region: &Region) -> String {
    format!("use a current model: `bedrock-gateway models --region {region}` lists them")
}

/// The test call, and how findings name it.
struct TestCall {
    name: &'static str,
    path: String,
    headers: HeaderMap,
    body: serde_json::Value,
}

impl TestCall {
    /// The smallest request of the API that serves the model.
    fn new(model: &ModelCheck, config: &GatewayConfig) -> Self {
        let message = json!([{"role": "user", "content": "Hi"}]);
        let mut headers = HeaderMap::new();
        let Some((api, protocol)) = model.mantle else {
            return Self::converse(model, config);
        };
        let (name, body) = match protocol {
            Protocol::Responses => (
                "a Responses request",
                // The least that OpenAI's models accept.
                json!({"model": model.id, "input": "Hi", "max_output_tokens": 16}),
            ),
            Protocol::Messages | Protocol::CountMessageTokens => {
                headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
                (
                    "a Messages request",
                    json!({"model": model.id, "max_tokens": 1, "messages": message}),
                )
            }
            Protocol::ChatCompletions => (
                "a Chat Completions request",
                json!({"model": model.id, "max_completion_tokens": 16, "messages": message}),
            ),
        };
        Self {
            name,
            path: api.path(protocol).unwrap_or("/").to_owned(),
            headers,
            body,
        }
    }

    fn converse(model: &ModelCheck, config: &GatewayConfig) -> Self {
        let mut body = json!({
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "inferenceConfig": {"maxTokens": 1},
        });
        if let (Some(guardrail), Some(fields)) = (&config.guardrail, body.as_object_mut()) {
            let guardrail = json!({
                "guardrailIdentifier": guardrail.identifier,
                "guardrailVersion": guardrail.version,
            });
            fields.insert("guardrailConfig".to_owned(), guardrail);
        }
        let id = bedrock::model_id::encode_path_segment(&model.id);
        Self {
            name: "a Converse request",
            path: format!("/model/{id}/converse"),
            headers: HeaderMap::new(),
            body,
        }
    }
}

/// Sends a request for a few output tokens by the API that serves the model.
pub(super) async fn invoke(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    model: &ModelCheck,
    config: &GatewayConfig,
) -> Finding {
    let check = format!("invoke:{}", model.name);
    if model.mantle.is_some() && config.guardrail.is_some() {
        return Finding::error(
            check,
            format!(
                "bedrock-mantle supports no guardrail, so the gateway rejects requests for {}",
                model.id
            ),
            "set another `api` for the target, such as Converse, or use another model",
        );
    }
    let TestCall {
        name,
        path,
        headers,
        body,
    } = TestCall::new(model, config);
    let call = Call {
        method: Method::POST,
        url: format!("{base}{path}"),
        service: model.service().signing_name(),
        region: model.region.to_string(),
        content_type: Some("application/json"),
        headers,
        body: Bytes::from(body.to_string()),
    };
    let (id, region) = (&model.id, &model.region);
    match client.send(call, handle, credentials).await {
        Ok(_) => Finding::ok(
            check,
            format!("{id} in {region} responded to {name} for a few tokens"),
        ),
        Err(error) => call_failed(check, name, model, &error),
    }
}

fn call_failed(check: String, name: &str, model: &ModelCheck, error: &CallError) -> Finding {
    let message = format!("{name} to {} in {}: {error}", model.id, model.region);
    let class = error.service().map(bedrock::error::ServiceError::class);
    let advice = || catalogue::builtin().advice(&model.id, &model.region);
    let is_about_model = matches!(class, Some(Class::Validation | Class::NotFound));
    let known_fix = hint(error).map(|hint| match is_about_model.then(advice).flatten() {
        Some(advice) => format!("{hint} {advice}"),
        None => hint.to_owned(),
    });
    match class {
        Some(Class::Throttled | Class::NotReady | Class::Unavailable | Class::Quota) => {
            Finding::warning(
                check,
                message,
                known_fix.unwrap_or_else(|| {
                    "try again in a minute; the caller has the permission".to_owned()
                }),
            )
        }
        Some(Class::Validation | Class::NotFound) => Finding::error(
            check,
            message,
            known_fix.or_else(advice).unwrap_or_else(|| {
                "models for embeddings, images and reranking do not support Converse: \
                 to skip the test call, run doctor with --invoke none"
                    .to_owned()
            }),
        ),
        _ => Finding::error(
            check,
            message,
            known_fix
                .unwrap_or_else(|| format!("see the finding endpoint:{}", model.service().title())),
        ),
    }
}

fn hint(error: &CallError) -> Option<&'static str> {
    let service = error.service()?;
    crate::http::hints::hint(&service.name, &service.message)
}
