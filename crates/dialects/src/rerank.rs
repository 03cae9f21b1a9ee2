//! `/v1/rerank` and `/v2/rerank`: translates the request format that Cohere's and Jina's clients share to InvokeModel.
//!
//! The response has the fields that either client reads. Specifications:
//! <https://docs.cohere.com/reference/rerank>, <https://jina.ai/reranker>.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    families::{ModelCapabilities, RerankBody},
    translation::{
        RequestError, UpstreamError,
        json::{FieldPath, Json, Object},
        warnings::Warnings,
    },
};

/// A translated request.
#[derive(Clone, Debug, PartialEq)]
pub struct RerankRequest {
    /// The InvokeModel body.
    pub body: Vec<u8>,
    /// Texts of the documents, if the client requests them in the response.
    pub documents: Option<Vec<String>>,
    /// Number of documents.
    pub count: usize,
    /// Warnings about dropped fields.
    pub warnings: Vec<String>,
}

/// Decodes a request.
///
/// # Errors
/// A 400 that names the field.
pub fn decode_rerank(
    body: &[u8],
    capabilities: &ModelCapabilities,
    strict: bool,
) -> Result<RerankRequest, RequestError> {
    let Some(shape) = &capabilities.rerank else {
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
    let root = FieldPath::Root;
    let mut warnings = Warnings::new(strict);
    body.take("model");
    let query = body.required_string("query", &root)?;
    if query.trim().is_empty() {
        return Err(RequestError::invalid("query", "must not be empty"));
    }
    let documents = documents(&mut body)?;
    if documents.is_empty() || documents.len() > shape.documents {
        let message = format!(
            "{} supports 1 to {} documents",
            capabilities.title, shape.documents
        );
        return Err(RequestError::invalid("documents", message));
    }
    let top = body
        .take("top_n")
        .map(|value| value.whole(&root.key("top_n")))
        .transpose()?;
    if top == Some(0) {
        return Err(RequestError::invalid("top_n", "must be at least 1"));
    }
    let wanted = body.boolean("return_documents", &root)?.unwrap_or(false);
    let limit = body
        .take("max_tokens_per_doc")
        .map(|value| value.whole(&root.key("max_tokens_per_doc")))
        .transpose()?;
    let mut call = Map::new();
    call.insert("query".to_owned(), query.as_ref().into());
    call.insert("documents".to_owned(), Value::from(documents.clone()));
    if let Some(top) = top {
        // A larger number means all documents.
        let count = u64::try_from(documents.len()).unwrap_or(u64::MAX);
        call.insert("top_n".to_owned(), top.min(count).into());
    }
    match (shape.body, limit) {
        (RerankBody::Cohere, limit) => {
            call.insert("api_version".to_owned(), 2.into());
            if let Some(limit) = limit {
                call.insert("max_tokens_per_doc".to_owned(), limit.into());
            }
        }
        (RerankBody::Amazon, Some(_)) => {
            warnings.dropped("max_tokens_per_doc", "not supported by this model")?;
        }
        (RerankBody::Amazon, None) => {}
    }
    for (key, value) in body.rest() {
        let text = serde_json::to_string(&value).unwrap_or_default();
        match (key.as_ref(), text.as_str()) {
            ("rank_fields", r#"["text"]"#) | ("return_embeddings", "false") => {}
            ("rank_fields", _) => {
                let why = "documents are ranked by their text; send the fields as one text";
                return Err(RequestError::unsupported(key, why));
            }
            ("return_embeddings", _) => {
                let why = "not supported by Bedrock; use POST /v1/embeddings";
                return Err(RequestError::unsupported(key, why));
            }
            _ => warnings.dropped(&key, "not supported by Bedrock")?,
        }
    }
    Ok(RerankRequest {
        body: Value::Object(call).to_string().into_bytes(),
        count: documents.len(),
        documents: wanted.then_some(documents),
        warnings: warnings.into_vec(),
    })
}

/// Reads texts, or objects with a `text`.
fn documents(body: &mut Object<'_>) -> Result<Vec<String>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("documents");
    let list = body
        .take("documents")
        .ok_or_else(|| RequestError::missing("documents", "is required"))?;
    let mut texts = Vec::new();
    for (index, document) in list.array(&at)?.into_iter().enumerate() {
        let at = at.index(index);
        let text = match document {
            Json::Object(mut object) => object.required_string("text", &at)?,
            other => other.string(&at)?,
        };
        texts.push(Cow::into_owned(text));
    }
    Ok(texts)
}

/// A ranked document.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Ranked {
    /// Index in the request's documents.
    pub index: usize,
    /// Relevance, 0 to 1.
    pub relevance_score: f64,
}

#[derive(Deserialize)]
struct ModelResponse {
    results: Vec<Ranked>,
}

/// Reads the model's response.
///
/// # Errors
/// When the response is not a ranking of the request's documents.
pub fn read_rerank_response(
    request: &RerankRequest,
    body: &[u8],
) -> Result<Vec<Ranked>, UpstreamError> {
    let malformed = |message: String| UpstreamError {
        status: 502,
        code: "malformed_model_output".to_owned(),
        message,
        usage: Box::default(),
    };
    let response: ModelResponse = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("invalid response from the model: {error}")))?;
    let results = response.results;
    match results.iter().find(|one| one.index >= request.count) {
        Some(one) => Err(malformed(format!(
            "the model ranked document {} of {}",
            one.index, request.count
        ))),
        None => Ok(results),
    }
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    object: &'static str,
    model: &'a str,
    results: Vec<Entry<'a>>,
    usage: Usage,
    meta: Meta,
}

#[derive(Serialize)]
struct Entry<'a> {
    index: usize,
    relevance_score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Usage {
    total_tokens: u64,
}

#[derive(Serialize)]
struct Meta {
    api_version: ApiVersion,
    billed_units: BilledUnits,
    tokens: Tokens,
}

#[derive(Serialize)]
struct ApiVersion {
    version: &'static str,
}

#[derive(Serialize)]
struct BilledUnits {
    search_units: u64,
}

#[derive(Serialize)]
struct Tokens {
    input_tokens: u64,
}

/// Documents per search unit.
const DOCUMENTS_PER_UNIT: u64 = 100;

/// Writes the response for the client. `id` identifies it; `tokens` is the number of tokens of query and documents.
pub fn encode_rerank(
    request: &RerankRequest,
    ranked: &[Ranked],
    id: &str,
    model: &str,
    tokens: u64,
) -> Vec<u8> {
    let text = |index: usize| request.documents.as_ref()?.get(index);
    let results = ranked
        .iter()
        .map(|one| Entry {
            index: one.index,
            relevance_score: one.relevance_score,
            document: text(one.index).map(|text| Document { text }),
        })
        .collect();
    let count = u64::try_from(request.count).unwrap_or(u64::MAX);
    let response = Response {
        id,
        object: "list",
        model,
        results,
        usage: Usage {
            total_tokens: tokens,
        },
        meta: Meta {
            api_version: ApiVersion { version: "2" },
            billed_units: BilledUnits {
                search_units: count.div_ceil(DOCUMENTS_PER_UNIT),
            },
            tokens: Tokens {
                input_tokens: tokens,
            },
        },
    };
    serde_json::to_vec(&response).unwrap_or_default()
}

#[cfg(test)]
mod tests;
