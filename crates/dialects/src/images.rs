//! `/v1/images/generations`: translates a request in OpenAI's format to one or more InvokeModel bodies, and combines the
//! images in order.
//!
//! The family's `image` capabilities define sizes, formats and seeds. Images are returned as base64 only, because the
//! gateway does not host files.
//! Specification: <https://platform.openai.com/docs/api-reference/images/create>.

mod response;
mod size;

use serde_json::{Map, Value, json};

use crate::{
    families::{ImageBody, ImageShape, ModelCapabilities},
    translation::{
        RequestError,
        json::{FieldPath, Object},
        warnings::Warnings,
    },
};

pub use response::{ImageResult, encode_images, read_image_response};

/// OpenAI's limit of images per request.
const MAX: u64 = 10;

/// A translated request.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRequest {
    /// InvokeModel bodies. Send them in any order; keep their images in this order.
    pub calls: Vec<Vec<u8>>,
    /// `png`, `jpeg` or `webp`.
    pub output_format: String,
    /// Warnings about dropped and changed fields.
    pub warnings: Vec<String>,
}

/// Decodes a request. `draw` is a random number for the seed if the client sets none: with a constant seed, models return
/// the same image every time.
///
/// # Errors
/// A 400 that names the field.
pub fn decode_images(
    body: &[u8],
    capabilities: &ModelCapabilities,
    strict: bool,
    draw: u64,
) -> Result<ImageRequest, RequestError> {
    let Some(shape) = &capabilities.image else {
        return Err(RequestError::unsupported(
            "model",
            format!(
                "{} does not support this endpoint: {}",
                capabilities.title,
                capabilities.apis.advice()
            ),
        ));
    };
    let mut body = Object::from_body(body)?;
    let mut warnings = Warnings::new(strict);
    body.take("model");
    let prompt = prompt(&mut body, "prompt", shape, capabilities)?
        .ok_or_else(|| RequestError::missing("prompt", "is required"))?;
    let negative = negative_prompt(&mut body, shape, capabilities)?;
    let count = whole(&mut body, "n")?.unwrap_or(1);
    if !(1..=MAX).contains(&count) {
        let message = format!("must be 1 to {MAX}");
        return Err(RequestError::invalid("n", message));
    }
    let seed = match whole(&mut body, "seed")? {
        Some(seed) if seed > shape.most_seed => {
            let most = shape.most_seed;
            return Err(RequestError::invalid(
                "seed",
                format!("must be 0 to {most} for {}", capabilities.title),
            ));
        }
        Some(seed) => seed,
        None => draw % shape.most_seed.saturating_add(1),
    };
    delivery(&mut body)?;
    let output_format = output_format(&mut body, shape, capabilities)?;
    let mut common = Map::new();
    size::take(&mut body, shape, capabilities, &mut common, &mut warnings)?;
    quality(&mut body, shape, &mut common, &mut warnings)?;
    if let Some(scale) = body.take("cfg_scale") {
        let scale = scale.float(&FieldPath::Root.key("cfg_scale"))?;
        match shape.body {
            ImageBody::Amazon => {
                common.insert("cfgScale".to_owned(), scale.into());
            }
            ImageBody::Stability => warnings.dropped("cfg_scale", "not supported by this model")?,
        }
    }
    drop_remaining(body, &mut warnings)?;
    let per_call = shape.per_call.max(1);
    let mut calls = Vec::new();
    let mut left = count;
    let mut seed = seed;
    while left > 0 {
        let now = left.min(per_call);
        let call = Call {
            prompt: &prompt,
            negative: negative.as_deref(),
            count: now,
            seed,
            output_format: &output_format,
        };
        calls.push(call.body(shape.body, common.clone()));
        left = left.saturating_sub(now);
        // A different seed for each call, because equal seeds give equal images.
        seed = if seed >= shape.most_seed {
            0
        } else {
            seed.saturating_add(1)
        };
    }
    Ok(ImageRequest {
        calls,
        output_format,
        warnings: warnings.into_vec(),
    })
}

/// The parameters of one call.
struct Call<'p> {
    prompt: &'p str,
    negative: Option<&'p str>,
    count: u64,
    seed: u64,
    output_format: &'p str,
}

impl Call<'_> {
    fn body(&self, body: ImageBody, mut common: Map<String, Value>) -> Vec<u8> {
        let call = match body {
            ImageBody::Amazon => {
                let mut parameters = json!({ "text": self.prompt });
                if let (Some(negative), Value::Object(members)) = (self.negative, &mut parameters) {
                    members.insert("negativeText".to_owned(), negative.into());
                }
                common.insert("numberOfImages".to_owned(), self.count.into());
                common.insert("seed".to_owned(), self.seed.into());
                json!({
                    "taskType": "TEXT_IMAGE",
                    "textToImageParams": parameters,
                    "imageGenerationConfig": common,
                })
            }
            ImageBody::Stability => {
                common.insert("prompt".to_owned(), self.prompt.into());
                if let Some(negative) = self.negative {
                    common.insert("negative_prompt".to_owned(), negative.into());
                }
                common.insert("seed".to_owned(), self.seed.into());
                common.insert("output_format".to_owned(), self.output_format.into());
                Value::Object(common)
            }
        };
        call.to_string().into_bytes()
    }
}

fn whole(body: &mut Object<'_>, key: &str) -> Result<Option<u64>, RequestError> {
    body.take(key)
        .map(|value| value.whole(&FieldPath::Root.key(key)))
        .transpose()
}

fn prompt(
    body: &mut Object<'_>,
    key: &str,
    shape: &ImageShape,
    capabilities: &ModelCapabilities,
) -> Result<Option<String>, RequestError> {
    let Some(text) = body.string(key, &FieldPath::Root)? else {
        return Ok(None);
    };
    if text.trim().is_empty() {
        return Err(RequestError::invalid(key, "must not be empty"));
    }
    if text.chars().count() > shape.prompt_characters {
        return Err(RequestError::invalid(
            key,
            format!(
                "{} supports at most {} characters",
                capabilities.title, shape.prompt_characters
            ),
        ));
    }
    Ok(Some(text.into_owned()))
}

/// `negative_prompt`, which is not in OpenAI's API.
fn negative_prompt(
    body: &mut Object<'_>,
    shape: &ImageShape,
    capabilities: &ModelCapabilities,
) -> Result<Option<String>, RequestError> {
    prompt(body, "negative_prompt", shape, capabilities)
}

/// Checks how the client wants to receive the images.
fn delivery(body: &mut Object<'_>) -> Result<(), RequestError> {
    match body.string("response_format", &FieldPath::Root)?.as_deref() {
        None | Some("b64_json") => {}
        Some("url") => {
            return Err(RequestError::unsupported(
                "response_format",
                "URLs are not supported; use b64_json",
            ));
        }
        Some(other) => {
            return Err(RequestError::invalid(
                "response_format",
                format!("{other:?} is not supported; use b64_json"),
            ));
        }
    }
    let stream = body.boolean("stream", &FieldPath::Root)?;
    if stream == Some(true) {
        return Err(RequestError::unsupported(
            "stream",
            "image streaming is not supported by Bedrock; remove the field",
        ));
    }
    match body.string("background", &FieldPath::Root)?.as_deref() {
        Some("transparent") => Err(RequestError::unsupported(
            "background",
            "transparent images are not supported; use opaque",
        )),
        _ => Ok(()),
    }
}

fn output_format(
    body: &mut Object<'_>,
    shape: &ImageShape,
    capabilities: &ModelCapabilities,
) -> Result<String, RequestError> {
    let Some(format) = body.string("output_format", &FieldPath::Root)? else {
        return Ok("png".to_owned());
    };
    if shape.formats.iter().any(|known| *known == format) {
        return Ok(format.into_owned());
    }
    Err(RequestError::unsupported(
        "output_format",
        format!(
            "{} supports {}",
            capabilities.title,
            shape.formats.join(", ")
        ),
    ))
}

fn quality(
    body: &mut Object<'_>,
    shape: &ImageShape,
    common: &mut Map<String, Value>,
    warnings: &mut Warnings,
) -> Result<(), RequestError> {
    let Some(quality) = body.string("quality", &FieldPath::Root)? else {
        return Ok(());
    };
    let own = match quality.as_ref() {
        "auto" => return Ok(()),
        "standard" | "low" | "medium" => "standard",
        "hd" | "high" | "premium" => "premium",
        other => {
            return Err(RequestError::invalid(
                "quality",
                format!("{other:?} is not supported; use auto, low, medium, high, standard or hd"),
            ));
        }
    };
    match shape.body {
        ImageBody::Amazon => {
            common.insert("quality".to_owned(), own.into());
            Ok(())
        }
        ImageBody::Stability if own == "standard" => Ok(()),
        ImageBody::Stability => warnings.dropped("quality", "not supported by this model"),
    }
}

/// Drops the remaining fields; rejects images, on which the response would depend.
fn drop_remaining(body: Object<'_>, warnings: &mut Warnings) -> Result<(), RequestError> {
    for (key, _) in body.rest() {
        let why = match key.as_ref() {
            "user" => "not supported by InvokeModel",
            "style" => "not supported by Bedrock (use the prompt)",
            "moderation" => "Bedrock's content filters apply",
            "output_compression" | "partial_images" => "not supported by Bedrock",
            "image" | "images" | "mask" => {
                let why = "this endpoint generates images from text only; remove the field, or send the image to \
                    POST /model/{id}/invoke";
                return Err(RequestError::unsupported(key, why));
            }
            _ => "not a field of this endpoint",
        };
        warnings.dropped(&key, why)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
