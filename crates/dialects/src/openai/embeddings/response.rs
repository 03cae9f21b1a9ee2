//! Reads InvokeModel responses and writes the list of embeddings.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::super::{ResponseIdentity, UpstreamError};
use super::EmbeddingCall;

/// The result of one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingResult {
    /// One vector per text.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of the texts, if the body reports them.
    pub tokens: Option<u64>,
}

/// All response formats; the members present identify the format.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    embedding: Option<Vec<f32>>,
    input_text_token_count: Option<u64>,
    embeddings: Option<Embeddings>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Embeddings {
    /// Cohere without types.
    Plain(Vec<Vec<f32>>),
    /// Cohere with types.
    Typed { float: Vec<Vec<f32>> },
    /// Nova.
    Tagged(Vec<Tagged>),
}

#[derive(Deserialize)]
struct Tagged {
    embedding: Vec<f32>,
}

/// Reads the response to a call.
///
/// # Errors
/// When the response does not contain one vector per text.
pub fn read_embedding_response(
    call: &EmbeddingCall,
    body: &[u8],
) -> Result<EmbeddingResult, UpstreamError> {
    let malformed = |message: String| UpstreamError {
        status: 502,
        code: "malformed_model_output".to_owned(),
        message,
        usage: Box::default(),
    };
    let read: Body = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("invalid response from the model: {error}")))?;
    let vectors = match (read.embedding, read.embeddings) {
        (Some(vector), _) => vec![vector],
        (_, Some(Embeddings::Plain(vectors) | Embeddings::Typed { float: vectors })) => vectors,
        (_, Some(Embeddings::Tagged(list))) => {
            list.into_iter().map(|tagged| tagged.embedding).collect()
        }
        (None, None) => Vec::new(),
    };
    if vectors.len() != call.inputs {
        return Err(malformed(format!(
            "the model returned {} vectors for {} texts",
            vectors.len(),
            call.inputs
        )));
    }
    Ok(EmbeddingResult {
        vectors,
        tokens: read.input_text_token_count,
    })
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Entry<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Floats(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Combines results in the order of the calls. `tokens`: the sum of the headers `x-amzn-bedrock-input-token-count`, or
/// else of the counts in the bodies.
pub fn encode_embeddings(
    results: &[EmbeddingResult],
    tokens: u64,
    base64: bool,
    identity: &ResponseIdentity,
) -> Vec<u8> {
    let vectors = results.iter().flat_map(|result| &result.vectors);
    let data = vectors
        .enumerate()
        .map(|(index, vector)| Entry {
            object: "embedding",
            index,
            embedding: if base64 {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                Vector::Base64(STANDARD.encode(bytes))
            } else {
                Vector::Floats(vector)
            },
        })
        .collect();
    let list = List {
        object: "list",
        data,
        model: &identity.model,
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    };
    serde_json::to_vec(&list).unwrap_or_default()
}
