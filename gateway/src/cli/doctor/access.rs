//! Whether the models can be used: listed, callable from the region, and, with one small call, invoked.
//!
//! An invocation asks for one token of output from a prompt of one word: it costs next to nothing and
//! is the only proof there is of permission, model access and quota together.

use std::collections::BTreeMap;

use api::{
    GatewayConfig, Region,
    catalogue::{self, Catalogue},
    config::{AssumeRole, Target},
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
        client::{Call, CallError, Caller},
    },
    models::list::{self, Found},
};

/// A model to look at: how it is called in the configuration, its id, and the region it is called in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) region: Region,
    /// The role it is called by, where it has one of its own.
    pub(super) role: Option<AssumeRole>,
}

/// The targets of a configuration, each id in a region by a role once, and models asked for by hand.
pub(super) fn wanted(config: &GatewayConfig, more: &[String], region: &Region) -> Vec<Wanted> {
    let mut found: Vec<Wanted> = Vec::new();
    let mut add = |name: &str, id: &str, region: &Region, role: Option<&AssumeRole>| {
        if !found
            .iter()
            .any(|known| known.id == id && known.region == *region && known.role.as_ref() == role)
        {
            found.push(Wanted {
                name: name.to_owned(),
                id: id.to_owned(),
                region: region.clone(),
                role: role.cloned(),
            });
        }
    };
    for id in more {
        add(id, id, region, None);
    }
    for model in &config.models {
        for Target {
            model_id,
            region: own,
            assume_role,
            ..
        } in &model.targets
        {
            let region = own.as_ref().unwrap_or(region);
            add(&model.name, model_id, region, assume_role.as_ref());
        }
    }
    found
}

/// Asks for the list of models of a region. Also returns the list.
pub(super) async fn list(
    caller: &Caller,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    region: &Region,
) -> (Finding, Option<Found>) {
    let check = format!("list:{region}");
    match list::list(caller, handle, credentials, base, region).await {
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
        Err(error) if error.is_denied() => {
            let finding = Finding::warning(
                check,
                format!("not permitted to list models, which serving does not need: {error}"),
                "allow bedrock:ListFoundationModels if lists are wanted (`bedrock-gateway iam --with-listing` prints the policy)",
            );
            (finding, None)
        }
        Err(error) => {
            let finding = Finding::error(
                check,
                format!("ListFoundationModels: {error}"),
                way_out(&error).unwrap_or("see the finding on the endpoint of bedrock"),
            );
            (finding, None)
        }
    }
}

/// Whether a model can be called by this id from this region, by Bedrock's list or by the table.
/// Nothing for ARNs, and for models that the table does not know.
pub(super) fn availability(wanted: &Wanted, lists: &BTreeMap<Region, Found>) -> Option<Finding> {
    if wanted.id.starts_with("arn:") {
        return None;
    }
    let check = format!("model:{}", wanted.name);
    let table = catalogue::builtin();
    let Some(found) = lists.get(&wanted.region) else {
        return by_table(check, wanted, table);
    };
    let (id, region) = (&wanted.id, &wanted.region);
    if found.models.iter().any(|entry| entry.call_as.contains(id)) {
        return Some(Finding::ok(
            check,
            format!("{id} can be called from {region}"),
        ));
    }
    if let Some(entry) = found.models.iter().find(|entry| entry.model == *id) {
        let (message, way_out) = match entry.call_as.first() {
            Some(instead) => (
                format!("{id} cannot be called by its own id from {region}"),
                format!("use {instead} as its modelId"),
            ),
            None => (
                format!("{id} can only be called with provisioned throughput in {region}"),
                "use the ARN of a provisioned model as modelId, or another model".to_owned(),
            ),
        };
        return Some(Finding::error(check, message, way_out));
    }
    if found.note.is_some() && table.split_profile(id).is_some() {
        return by_table(check, wanted, table);
    }
    let way_out = table.advice(id, region).unwrap_or_else(|| {
        format!("check the id for typing errors: `bedrock-gateway models --region {region}` lists those of the region")
    });
    Some(Finding::error(
        check,
        format!("Bedrock does not list {id} in {region}"),
        way_out,
    ))
}

fn by_table(check: String, wanted: &Wanted, table: &Catalogue) -> Option<Finding> {
    let (id, region) = (&wanted.id, &wanted.region);
    let foundation = table
        .split_profile(id)
        .map_or(id.as_str(), |(_, model)| model);
    let advice = table.advice(id, region)?;
    let callable = table
        .model(id)
        .is_some_and(|model| model.ids_in(foundation, region).contains(id));
    let dated = format!("by the built-in table of {}", table.as_of());
    Some(if callable {
        Finding::ok(check, format!("{id} can be called from {region} {dated}"))
    } else {
        Finding::warning(
            check,
            format!("{id} cannot be called from {region} {dated}"),
            advice,
        )
    })
}

/// One Converse with one token of output.
pub(super) async fn invoke(
    caller: &Caller,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    wanted: &Wanted,
    config: &GatewayConfig,
) -> Finding {
    let check = format!("invoke:{}", wanted.name);
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
    let id = bedrock::model_id::encode_path_segment(&wanted.id);
    let call = Call {
        method: Method::POST,
        url: format!("{base}/model/{id}/converse"),
        service: Service::BedrockRuntime.signing_name(),
        region: wanted.region.to_string(),
        content_type: Some("application/json"),
        body: Bytes::from(body.to_string()),
    };
    let (id, region) = (&wanted.id, &wanted.region);
    match caller.send(call, handle, credentials).await {
        Ok(_) => Finding::ok(
            check,
            format!("{id} in {region} answered a Converse of one token"),
        ),
        Err(error) => refused(check, wanted, &error),
    }
}

fn refused(check: String, wanted: &Wanted, error: &CallError) -> Finding {
    let message = format!("Converse with {} in {}: {error}", wanted.id, wanted.region);
    let class = error.service().map(bedrock::error::ServiceError::class);
    let advice = || catalogue::builtin().advice(&wanted.id, &wanted.region);
    let about_model = matches!(class, Some(Class::Validation | Class::NotFound));
    let own = way_out(error).map(|hint| match about_model.then(advice).flatten() {
        Some(advice) => format!("{hint} {advice}"),
        None => hint.to_owned(),
    });
    match class {
        Some(Class::Throttled | Class::NotReady | Class::Unavailable | Class::Quota) => {
            Finding::warning(
                check,
                message,
                own.unwrap_or_else(|| "try again in a minute; the permission is there".to_owned()),
            )
        }
        Some(Class::Validation | Class::NotFound) => Finding::error(
            check,
            message,
            own.or_else(advice).unwrap_or_else(|| {
                "if this is a model for embeddings, images or ranking it does not converse: \
                 run doctor with --invoke none"
                    .to_owned()
            }),
        ),
        _ => Finding::error(
            check,
            message,
            own.unwrap_or_else(|| "see the finding on the endpoint of bedrock-runtime".to_owned()),
        ),
    }
}

fn way_out(error: &CallError) -> Option<&'static str> {
    let service = error.service()?;
    crate::hints::hint(&service.name, &service.message)
}
