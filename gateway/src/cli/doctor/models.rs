//! Checks models: whether Bedrock lists them, whether the region can call them, and whether a test call succeeds.
//!
//! The test call requests one output token for a prompt of one word. Only a call proves permission, model access
//! and quota together.

use std::{collections::BTreeMap, time::SystemTime};

use api::{
    GatewayConfig, Region,
    catalogue::{self, Availability},
    config::{AssumeRole, BedrockApi, Target},
};
use bedrock::error::Class;
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::Method;
use serde_json::json;

use super::finding::Finding;
use crate::cli::{
    aws::{
        Service,
        client::{AwsClient, Call, CallError},
    },
    models::list::{self, RegionModels},
};

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
    /// Whether the target is on bedrock-mantle, whose models neither Bedrock's list nor the table describes.
    pub(super) on_mantle: bool,
}

/// The models in `more` and the targets of the configuration, without duplicates.
pub(super) fn to_check(
    config: &GatewayConfig,
    more: &[String],
    region: &Region,
) -> Vec<ModelCheck> {
    let mut models: Vec<ModelCheck> = Vec::new();
    let mut add = |name: &str, id: &str, region: &Region, role: Option<&AssumeRole>, on_mantle| {
        if !models
            .iter()
            .any(|known| known.id == id && known.region == *region && known.role.as_ref() == role)
        {
            models.push(ModelCheck {
                name: name.to_owned(),
                id: id.to_owned(),
                region: region.clone(),
                role: role.cloned(),
                on_mantle,
            });
        }
    };
    for id in more {
        add(id, id, region, None, false);
    }
    for model in &config.models {
        for Target {
            model_id,
            region: own,
            assume_role,
            api,
            ..
        } in &model.targets
        {
            let region = own.as_ref().unwrap_or(region);
            let on_mantle = api.is_some_and(BedrockApi::is_mantle);
            add(
                &model.name,
                model_id,
                region,
                assume_role.as_ref(),
                on_mantle,
            );
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
    if model.on_mantle {
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
    if model.on_mantle {
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

/// Sends a Converse request for one output token.
pub(super) async fn invoke(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    model: &ModelCheck,
    config: &GatewayConfig,
) -> Finding {
    let check = format!("invoke:{}", model.name);
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
    let call = Call {
        method: Method::POST,
        url: format!("{base}/model/{id}/converse"),
        service: Service::BedrockRuntime.signing_name(),
        region: model.region.to_string(),
        content_type: Some("application/json"),
        body: Bytes::from(body.to_string()),
    };
    let (id, region) = (&model.id, &model.region);
    match client.send(call, handle, credentials).await {
        Ok(_) => Finding::ok(
            check,
            format!("{id} in {region} responded to a Converse request for one token"),
        ),
        Err(error) => call_failed(check, model, &error),
    }
}

fn call_failed(check: String, model: &ModelCheck, error: &CallError) -> Finding {
    let message = format!("Converse with {} in {}: {error}", model.id, model.region);
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
            known_fix.unwrap_or_else(|| "see the finding endpoint:bedrock-runtime".to_owned()),
        ),
    }
}

fn hint(error: &CallError) -> Option<&'static str> {
    let service = error.service()?;
    crate::http::hints::hint(&service.name, &service.message)
}
