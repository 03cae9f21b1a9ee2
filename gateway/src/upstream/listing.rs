//! The foundation models and system inference profiles of a region, as Bedrock lists them.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use std::{collections::BTreeMap, time::Duration};

use api::Region;
use bedrock::ServiceError;
use bytes::Bytes;
use credentials::{ActiveCredentials, Handle};
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};

use super::sign;
use crate::http::{client::Client, error::causes, payload::Payload};

/// Maximum pages of inference profiles; a page has up to 1,000.
const MAX_PAGES: usize = 20;
/// Maximum size of a response; a list of all models has a few hundred kilobytes.
const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;
/// Timeout of a call, and of waiting for the first credentials.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The models of a region.
#[derive(Debug)]
pub(crate) struct RegionModels {
    /// Sorted by id.
    pub(crate) models: Vec<Entry>,
    /// What the list lacks, and why.
    pub(crate) note: Option<String>,
}

/// One model in one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// ID of the foundation model.
    pub(crate) model: String,
    /// Name of the model, such as `Claude 3 Haiku`. Only Bedrock knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Model and inference profile IDs that can be called from this region.
    pub(crate) call_as: Vec<String>,
    /// `ACTIVE` or `LEGACY`.
    pub(crate) lifecycle: String,
}

/// A response that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("the response to {operation} cannot be parsed: {error}")]
pub(crate) struct Malformed {
    operation: &'static str,
    #[source]
    error: serde_json::Error,
}

/// Why a gateway could not list models.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// Bedrock returned an error.
    #[error("{0}")]
    Service(ServiceError),
    /// No credentials, no connection, or no complete response.
    #[error("{0}")]
    Call(String),
    /// See [`Malformed`].
    #[error(transparent)]
    Malformed(#[from] Malformed),
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
    model_name: Option<String>,
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

/// Lists models and inference profiles with `get`, which returns the response to a path of the control plane. If only the
/// profiles are unavailable, returns the models with a note.
///
/// # Errors
/// `ListFoundationModels` failed.
pub(crate) async fn list<E, F>(get: impl Fn(String) -> F) -> Result<RegionModels, E>
where
    E: From<Malformed> + std::fmt::Display,
    F: Future<Output = Result<Bytes, E>>,
{
    let body = get("/foundation-models".to_owned()).await?;
    let models: ModelList = parse(&body, "ListFoundationModels")?;

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
            Ok(body) => parse::<ProfileList>(&body, "ListInferenceProfiles").map_err(E::from),
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
        name: model.model_name,
        lifecycle: model
            .model_lifecycle
            .map_or_else(|| "ACTIVE".to_owned(), |lifecycle| lifecycle.status),
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    body: &[u8],
    operation: &'static str,
) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|error| Malformed { operation, error })
}

/// Lists the models of a region with the gateway's own credentials. `base` is the URL of the control plane.
///
/// # Errors
/// `ListFoundationModels` failed.
pub(crate) async fn with_gateway_credentials(
    client: &Client,
    credentials: &Handle,
    base: &str,
    region: &Region,
) -> Result<RegionModels, ListError> {
    let active = credentials.wait_ready(TIMEOUT).await;
    let active = active.map_err(|error| ListError::Call(error.message))?;
    list(|path| {
        get(
            client,
            credentials,
            &active,
            format!("{base}{path}"),
            region,
        )
    })
    .await
}

async fn get(
    client: &Client,
    credentials: &Handle,
    active: &ActiveCredentials,
    url: String,
    region: &Region,
) -> Result<Bytes, ListError> {
    let failed = |error: &dyn std::fmt::Display| ListError::Call(error.to_string());
    let mut request = Request::new(Payload::default());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| failed(&error))?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::ACCEPT, json);
    let (mut parts, content) = request.into_parts();
    let scope = (region.as_str(), "bedrock");
    sign::authorize(
        &mut parts,
        &Payload::default(),
        active,
        scope,
        credentials.now(),
    )
    .map_err(|error| failed(&error))?;
    let exchange = async {
        let sent = client.request(Request::from_parts(parts, content)).await;
        let (head, body) = sent.map_err(|error| failed(&causes(&error)))?.into_parts();
        let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        let error = ServiceError::from_http(head.status, &head.headers, &body);
        Err(ListError::Service(error))
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_elapsed| failed(&format!("no response within {} s", TIMEOUT.as_secs())))?
}
