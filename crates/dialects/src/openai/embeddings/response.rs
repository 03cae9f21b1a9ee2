//! Answers of InvokeModel, and the list of vectors they make.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::super::{ResponseIdentity, UpstreamError};
use super::EmbeddingCall;

/// What one call gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingResult {
    /// One vector a text.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of the texts, where the body says so.
    pub tokens: Option<u64>,
}

/// Every shape there is, at once: which members are there tells them apart.
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

/// Reads the answer to a call.
///
/// # Errors
/// When it does not hold the vectors it should.
pub fn read_embedding_response(
    call: &EmbeddingCall,
    body: &[u8],
) -> Result<EmbeddingResult, UpstreamError> {
    let unreadable = |message: String| UpstreamError {
        status: 502,
        code: "malformed_model_output".to_owned(),
        message,
        usage: bedrock::converse::TokenUsage::default(),
    };
    let read: Body = serde_json::from_slice(body)
        .map_err(|error| unreadable(format!("the model's answer cannot be read: {error}")))?;
    let vectors = match (read.embedding, read.embeddings) {
        (Some(vector), _) => vec![vector],
        (_, Some(Embeddings::Plain(vectors) | Embeddings::Typed { float: vectors })) => vectors,
        (_, Some(Embeddings::Tagged(list))) => {
            list.into_iter().map(|tagged| tagged.embedding).collect()
        }
        (None, None) => Vec::new(),
    };
    if vectors.len() != call.inputs {
        return Err(unreadable(format!(
            "the model gave {} vectors for {} texts",
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

/// Puts results together in the order of the calls. `tokens`: their sum, from the header
/// `x-amzn-bedrock-input-token-count` where there is one, else from the bodies.
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
