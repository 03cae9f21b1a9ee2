//! `/v1/embeddings`: translates a request to one or more InvokeModel bodies, and combines the responses in order.
//!
//! Titan and Nova accept one text per call, Cohere several. OpenAI's clients request base64 vectors by default: 32-bit
//! little-endian floats.

mod response;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::fields::FIELDS;
use crate::{
    families::{EmbeddingBody, EmbeddingShape, ModelCapabilities},
    translation::{
        RequestError,
        json::{FieldPath, Json, Object},
        warnings::Warnings,
    },
};

pub use response::{EmbeddingResult, encode_embeddings, read_embedding_response};

/// OpenAI's limit of texts per request.
const MAX_INPUTS: usize = 2048;

/// A translated request.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// InvokeModel calls. Make them in any order; keep their results in this order.
    pub calls: Vec<EmbeddingCall>,
    /// Whether the response contains vectors as base64.
    pub base64: bool,
    /// Warnings about dropped fields.
    pub warnings: Vec<String>,
}

/// An InvokeModel call.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingCall {
    /// The body.
    pub body: Vec<u8>,
    /// Number of texts, and of vectors in the response.
    pub inputs: usize,
}

/// Decodes a request of `/v1/embeddings`.
///
/// # Errors
/// A 400 naming the field.
pub fn decode_embeddings(
    body: &[u8],
    capabilities: &ModelCapabilities,
    strict: bool,
) -> Result<EmbeddingRequest, RequestError> {
    let Some(shape) = &capabilities.embedding else {
        return Err(RequestError::unsupported(
            "model",
            format!(
                "{} does not support embeddings; choose an embedding model",
                capabilities.title
            ),
        ));
    };
    let json: Json<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::not_json(&error))?;
    let mut body = json.object(&FieldPath::Root)?;
    let root = FieldPath::Root;
    let mut warnings = Warnings::new(strict);
    body.take("model");
    let inputs = inputs(&mut body)?;
    let base64 = match body.string("encoding_format", &root)?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            return Err(RequestError::invalid(
                "encoding_format",
                format!("{other:?} is not supported; use float or base64"),
            ));
        }
    };
    let dimensions = dimensions(&mut body, shape, capabilities)?;
    let kind = input_type(&mut body, shape)?;
    if body.take("user").is_some() {
        warnings.dropped("user", "not supported by InvokeModel")?;
    }
    FIELDS.drop_remaining(body, &mut warnings)?;
    let calls = inputs
        .chunks(shape.batch.max(1))
        .map(|texts| EmbeddingCall {
            body: call(shape.body, texts, dimensions, kind.as_deref())
                .to_string()
                .into_bytes(),
            inputs: texts.len(),
        })
        .collect();
    Ok(EmbeddingRequest {
        calls,
        base64,
        warnings: warnings.into_vec(),
    })
}

fn inputs<'a>(body: &mut Object<'a>) -> Result<Vec<Cow<'a, str>>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("input");
    let rejected = |message: &str| Err(RequestError::invalid("input", message));
    let items = match body.take("input") {
        None => return Err(RequestError::missing("input", "is required")),
        Some(Json::Array(items)) => items,
        Some(one) => vec![one],
    };
    if items.is_empty() || items.len() > MAX_INPUTS {
        return rejected(&format!("must contain 1 to {MAX_INPUTS} texts"));
    }
    let mut texts = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        if matches!(item, Json::Number(_) | Json::Array(_)) {
            return rejected(
                "token ids are not supported by Bedrock's models; send text \
                 (LangChain: check_embedding_ctx_length=False)",
            );
        }
        let text = item.string(&at.index(index))?;
        if text.trim().is_empty() {
            return Err(RequestError::invalid(
                at.index(index).to_string(),
                "must not be empty",
            ));
        }
        texts.push(text);
    }
    Ok(texts)
}

fn dimensions(
    body: &mut Object<'_>,
    shape: &EmbeddingShape,
    capabilities: &ModelCapabilities,
) -> Result<Option<u64>, RequestError> {
    let root = FieldPath::Root;
    let Some(value) = body.take("dimensions") else {
        return Ok(None);
    };
    let asked = value.whole(&root.key("dimensions"))?;
    if shape
        .dimensions
        .iter()
        .any(|length| u64::from(*length) == asked)
    {
        return Ok(Some(asked));
    }
    let known: Vec<String> = shape.dimensions.iter().map(u32::to_string).collect();
    Err(RequestError::unsupported(
        "dimensions",
        if known.is_empty() {
            format!(
                "not supported by {}, whose vectors have a fixed length",
                capabilities.title
            )
        } else {
            format!("{} supports {}", capabilities.title, known.join(", "))
        },
    ))
}

/// `input_type`, a field of Cohere (and Nova's purpose), not of OpenAI.
fn input_type<'a>(
    body: &mut Object<'a>,
    shape: &EmbeddingShape,
) -> Result<Option<Cow<'a, str>>, RequestError> {
    let known: &[&str] = match shape.body {
        EmbeddingBody::Cohere => &[
            "search_document",
            "search_query",
            "classification",
            "clustering",
        ],
        EmbeddingBody::Nova => &[
            "GENERIC_INDEX",
            "GENERIC_RETRIEVAL",
            "TEXT_RETRIEVAL",
            "DOCUMENT_RETRIEVAL",
            "CLASSIFICATION",
            "CLUSTERING",
        ],
        EmbeddingBody::TitanText | EmbeddingBody::TitanImage => return Ok(None),
    };
    let Some(kind) = body.string("input_type", &FieldPath::Root)? else {
        return Ok(None);
    };
    if known.contains(&kind.as_ref()) {
        Ok(Some(kind))
    } else {
        Err(RequestError::invalid(
            "input_type",
            format!("{kind:?} is not supported; use {}", known.join(", ")),
        ))
    }
}

fn call(
    shape: EmbeddingBody,
    texts: &[Cow<'_, str>],
    dimensions: Option<u64>,
    kind: Option<&str>,
) -> Value {
    let first = texts.first().map_or("", AsRef::as_ref);
    match shape {
        EmbeddingBody::TitanText => {
            let mut body = json!({ "inputText": first });
            if let Some(dimensions) = dimensions {
                set(&mut body, "dimensions", dimensions.into());
            }
            body
        }
        EmbeddingBody::TitanImage => {
            let mut body = json!({ "inputText": first });
            if let Some(dimensions) = dimensions {
                set(
                    &mut body,
                    "embeddingConfig",
                    json!({ "outputEmbeddingLength": dimensions }),
                );
            }
            body
        }
        EmbeddingBody::Cohere => {
            let mut body = json!({
                "texts": texts,
                "input_type": kind.unwrap_or("search_document"),
                "embedding_types": ["float"],
            });
            if let Some(dimensions) = dimensions {
                set(&mut body, "output_dimension", dimensions.into());
            }
            body
        }
        EmbeddingBody::Nova => json!({
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": kind.unwrap_or("GENERIC_INDEX"),
                "embeddingDimension": dimensions.unwrap_or(3072),
                "text": { "truncationMode": "END", "value": first },
            },
        }),
    }
}

fn set(body: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = body {
        members.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
