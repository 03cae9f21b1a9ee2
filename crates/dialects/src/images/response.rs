//! Reads InvokeModel responses and writes the list of images.

use serde::{Deserialize, Serialize};

use crate::translation::UpstreamError;

/// OpenAI's error code for a request that a filter blocked.
const BLOCKED: &str = "content_policy_violation";

/// The result of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageResult {
    /// Images in base64.
    pub images: Vec<String>,
    /// Why a filter blocked some of the images.
    pub blocked: Option<String>,
}

/// Both response formats: Amazon has `error`, Stability `finish_reasons`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    images: Option<Vec<String>>,
    error: Option<String>,
    finish_reasons: Vec<Option<String>>,
    #[serde(rename = "amazon-bedrock-guardrailAction")]
    guardrail_action: Option<String>,
}

/// Reads the response to a call.
///
/// # Errors
/// When a filter blocked all images (400), the model failed, or the response is invalid.
pub fn read_image_response(body: &[u8]) -> Result<ImageResult, UpstreamError> {
    let failed = |status, code: &str, message: String| UpstreamError {
        status,
        code: code.to_owned(),
        message,
        usage: Box::default(),
    };
    let read: Body = serde_json::from_slice(body).map_err(|error| {
        let message = format!("invalid response from the model: {error}");
        failed(502, "malformed_model_output", message)
    })?;
    let images = read.images.unwrap_or_default();
    let reason = read
        .error
        .into_iter()
        .chain(read.finish_reasons.into_iter().flatten())
        .find(|reason| !reason.is_empty());
    match (images.is_empty(), reason) {
        (false, blocked) => Ok(ImageResult { images, blocked }),
        (true, Some(reason)) if reason == "Inference error" => Err(failed(
            502,
            "model_error",
            format!("the model failed: {reason}"),
        )),
        (true, Some(reason)) => Err(failed(400, BLOCKED, reason)),
        (true, None) if read.guardrail_action.as_deref() == Some("INTERVENED") => Err(failed(
            400,
            BLOCKED,
            "the guardrail blocked this request".to_owned(),
        )),
        (true, None) => Err(failed(
            502,
            "malformed_model_output",
            "the model returned no image".to_owned(),
        )),
    }
}

#[derive(Serialize)]
struct List<'a> {
    created: u64,
    data: Vec<Entry<'a>>,
    output_format: &'a str,
}

#[derive(Serialize)]
struct Entry<'a> {
    b64_json: &'a str,
}

/// Combines results in the order of the calls. `created`: seconds since 1970.
pub fn encode_images(results: &[ImageResult], output_format: &str, created: u64) -> Vec<u8> {
    let images = results.iter().flat_map(|result| &result.images);
    let list = List {
        created,
        data: images.map(|image| Entry { b64_json: image }).collect(),
        output_format,
    };
    serde_json::to_vec(&list).unwrap_or_default()
}
