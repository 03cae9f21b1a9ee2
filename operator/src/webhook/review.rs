//! `AdmissionReview` of `admission.k8s.io/v1`: requests and responses.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    policy::author::Author,
    sidecar::{admit::Admission, pod::Pod},
};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// Longest warning, in characters; the API server truncates longer ones.
const MAX_WARNING: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Request,
}

/// The request of an API server.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) uid: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) dry_run: bool,
    pub(super) object: Value,
    #[serde(default)]
    old_object: Value,
    #[serde(default)]
    pub(super) user_info: Author,
}

/// A rejection as it is sent.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Why a request body is invalid.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReviewError {
    #[error("not an AdmissionReview: {0}")]
    Parse(#[source] serde_json::Error),
    #[error("unsupported review {kind} of {api_version}: expected {KIND} of {API_VERSION}")]
    Kind { kind: String, api_version: String },
}

impl Request {
    pub(super) fn pod(&self) -> Result<Pod, serde_json::Error> {
        Pod::deserialize(&self.object)
    }

    /// The previous object, in case of an update.
    pub(super) fn before(&self) -> Option<&Value> {
        (!self.old_object.is_null()).then_some(&self.old_object)
    }

    /// The name, or the prefix of a generated name.
    pub(super) fn name(&self) -> &str {
        let metadata = self.object.get("metadata");
        ["name", "generateName"]
            .iter()
            .find_map(|field| metadata?.get(field)?.as_str())
            .unwrap_or_default()
    }
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, error: &impl ToString) -> Self {
        Self {
            code,
            reason,
            message: error.to_string(),
        }
    }
}

pub(super) fn parse(body: &[u8]) -> Result<Request, ReviewError> {
    let review: Review = serde_json::from_slice(body).map_err(ReviewError::Parse)?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(ReviewError::Kind {
            kind: review.kind,
            api_version: review.api_version,
        });
    }
    Ok(review.request)
}

/// The response, as JSON.
pub(super) fn response(uid: &str, decided: Result<Admission, Refusal>) -> String {
    let mut response = Map::new();
    response.insert("uid".to_owned(), json!(uid));
    response.insert("allowed".to_owned(), json!(decided.is_ok()));
    match decided {
        Ok(admission) => {
            if !admission.patch.is_empty() {
                let patch = json!(admission.patch).to_string();
                response.insert("patchType".to_owned(), json!("JSONPatch"));
                response.insert("patch".to_owned(), json!(STANDARD.encode(patch)));
            }
            if !admission.warnings.is_empty() {
                let cut = |text: &String| text.chars().take(MAX_WARNING).collect::<String>();
                let warnings: Vec<String> = admission.warnings.iter().map(cut).collect();
                response.insert("warnings".to_owned(), json!(warnings));
            }
        }
        Err(refusal) => {
            let status = json!({
                "status": "Failure",
                "code": refusal.code,
                "reason": refusal.reason,
                "message": refusal.message,
            });
            response.insert("status".to_owned(), status);
        }
    }
    json!({"apiVersion": API_VERSION, "kind": KIND, "response": response}).to_string()
}

#[cfg(test)]
mod tests;
