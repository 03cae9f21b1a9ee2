//! Lists the foundation models and system inference profiles of a region by calls to Bedrock.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use std::collections::BTreeMap;

use api::Region;
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::Method;
use serde::Deserialize;

use super::Entry;
use crate::cli::aws::{
    Service,
    client::{AwsClient, Call, CallError},
};

/// Maximum pages of inference profiles; a page has up to 1,000.
const MAX_PAGES: usize = 20;

/// The models of a region.
#[derive(Debug)]
pub(crate) struct RegionModels {
    pub(crate) models: Vec<Entry>,
    /// What the list lacks, and why.
    pub(crate) note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelList {
    #[serde(default)]
    model_summaries: Vec<ModelSummary>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelSummary {
    model_id: String,
    #[serde(default)]
    inference_types_supported: Vec<String>,
    #[serde(default)]
    model_lifecycle: Option<ModelLifecycle>,
}

#[derive(Debug, Deserialize)]
struct ModelLifecycle {
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileList {
    #[serde(default)]
    inference_profile_summaries: Vec<ProfileSummary>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileSummary {
    inference_profile_id: String,
    #[serde(default)]
    models: Vec<ProfileModel>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileModel {
    #[serde(default)]
    model_arn: String,
}

/// Lists models and inference profiles. If only the profiles are unavailable, returns the models with a note.
///
/// # Errors
/// `ListFoundationModels` failed.
pub(crate) async fn list(
    client: &AwsClient,
    handle: &Handle,
    credentials: &ActiveCredentials,
    base: &str,
    region: &Region,
) -> Result<RegionModels, CallError> {
    let get = |path: String| {
        let call = Call {
            method: Method::GET,
            url: format!("{base}{path}"),
            service: Service::Bedrock.signing_name(),
            region: region.to_string(),
            content_type: None,
            body: Bytes::new(),
        };
        client.send(call, handle, credentials)
    };
    let response = get("/foundation-models".to_owned()).await?;
    let models: ModelList = parse(&response.body, "ListFoundationModels")?;

    let mut profiles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut note = None;
    let mut next: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let mut path = "/inference-profiles?maxResults=1000&type=SYSTEM_DEFINED".to_owned();
        if let Some(token) = &next {
            path.push_str("&nextToken=");
            path.push_str(&bedrock::model_id::encode_path_segment(token));
        }
        let page = match get(path).await {
            Ok(response) => parse::<ProfileList>(&response.body, "ListInferenceProfiles"),
            Err(error) => Err(error),
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                note = Some(format!("the list lacks inference profiles: {error}"));
                break;
            }
        };
        for profile in page.inference_profile_summaries {
            for model in &profile.models {
                if let Some((_, model)) = model.model_arn.split_once(":foundation-model/") {
                    let ids = profiles.entry(model.to_owned()).or_default();
                    if !ids.contains(&profile.inference_profile_id) {
                        ids.push(profile.inference_profile_id.clone());
                    }
                }
            }
        }
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }

    let mut entries: Vec<Entry> = models
        .model_summaries
        .into_iter()
        .map(|model| entry(model, &profiles))
        .collect();
    entries.sort_by(|left, right| left.model.cmp(&right.model));
    Ok(RegionModels {
        models: entries,
        note,
    })
}

fn entry(model: ModelSummary, profiles: &BTreeMap<String, Vec<String>>) -> Entry {
    let on_demand = model
        .inference_types_supported
        .iter()
        .any(|kind| kind == "ON_DEMAND");
    let own_id = on_demand.then(|| model.model_id.clone());
    let mut profile_ids = profiles.get(&model.model_id).cloned().unwrap_or_default();
    profile_ids.sort();
    Entry {
        call_as: own_id.into_iter().chain(profile_ids).collect(),
        model: model.model_id,
        lifecycle: model
            .model_lifecycle
            .map_or_else(|| "ACTIVE".to_owned(), |lifecycle| lifecycle.status),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8], operation: &str) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| {
        CallError::Malformed(format!(
            "the response to {operation} cannot be parsed: {error}"
        ))
    })
}
