//! Embeddings of Titan, Cohere and Nova. A vector is the normalized sum of the vectors of the text's words: equal
//! texts have equal vectors, texts with common words have similar vectors.
//!
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html>,
//! <https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::json::{list, text};
use super::super::prompt::tokens;
use super::{Whole, malformed, schema};
use crate::error::AwsError;

/// Maximum number of texts in a call to Cohere, and maximum characters of a text.
const MAX_COHERE_TEXTS: usize = 96;
const MAX_COHERE_CHARACTERS: usize = 2048;
const MAX_TITAN_TOKENS: usize = 8192;

/// The vector of a text.
pub(super) fn vector(text: &str, length: usize) -> Vec<f64> {
    let mut sum = vec![0.0_f64; length];
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        for (block, numbers) in sum.chunks_mut(32).enumerate() {
            let digest = Sha256::digest(format!("{block} {word}").as_bytes());
            for (number, byte) in numbers.iter_mut().zip(digest.iter()) {
                *number += f64::from(*byte) - 127.5;
            }
        }
    }
    let norm = sum.iter().map(|n| n * n).sum::<f64>().sqrt();
    if norm > 0.0 {
        for number in &mut sum {
            // Seven digits, as at AWS.
            *number = (*number / norm * 1e7).round() / 1e7;
        }
    }
    sum
}

fn length(body: &Value, name: &str, allowed: &[u64], default: u64) -> Result<usize, AwsError> {
    let requested = match body.get(name) {
        None => default,
        Some(value) => match value.as_u64() {
            Some(requested) if allowed.contains(&requested) => requested,
            _ => {
                return Err(malformed(&format!(
                    "#/{name}: {value} is not a valid enum value"
                )));
            }
        },
    };
    Ok(usize::try_from(requested).unwrap_or(0))
}

pub(super) fn titan(model: &str, body: &Value) -> Result<Whole, AwsError> {
    let (length, by_type) = if model.contains("titan-embed-text-v2") {
        let known = ["inputText", "dimensions", "normalize", "embeddingTypes"];
        schema(body, "#", &known, &["inputText"])?;
        (length(body, "dimensions", &[256, 512, 1024], 1024)?, true)
    } else if model.contains("titan-embed-image") {
        schema(
            body,
            "#",
            &["inputText", "inputImage", "embeddingConfig"],
            &[],
        )?;
        let config = body.get("embeddingConfig").unwrap_or(&Value::Null);
        (
            length(config, "outputEmbeddingLength", &[256, 384, 1024], 1024)?,
            false,
        )
    } else {
        schema(body, "#", &["inputText"], &["inputText"])?;
        (1536, false)
    };
    let input = match (text(body, "inputText"), text(body, "inputImage")) {
        (None | Some(""), None) => {
            return Err(malformed("expected minLength: 1, actual: 0"));
        }
        (input, image) => format!(
            "{} {}",
            input.unwrap_or_default(),
            image.unwrap_or_default()
        ),
    };
    let count = text(body, "inputText").map_or(0, tokens);
    if count > MAX_TITAN_TOKENS {
        return Err(AwsError::validation(format!(
            "400 Bad Request: Too many input tokens. Max input tokens: {MAX_TITAN_TOKENS}, request input token count: {count} "
        )));
    }
    let vector = vector(&input, length);
    let mut reply = json!({ "embedding": vector, "inputTextTokenCount": count });
    if by_type && let Some(object) = reply.as_object_mut() {
        object.insert("embeddingsByType".to_owned(), json!({ "float": vector }));
    }
    Ok(Whole {
        body: reply,
        input_tokens: count,
    })
}

pub(super) fn cohere(model: &str, body: &Value) -> Result<Whole, AwsError> {
    let v4 = model.contains("embed-v4");
    let mut known = vec![
        "texts",
        "images",
        "input_type",
        "truncate",
        "embedding_types",
    ];
    if v4 {
        known.extend(["inputs", "output_dimension", "max_tokens"]);
    }
    schema(body, "#", &known, &["input_type"])?;
    let kinds = [
        "search_document",
        "search_query",
        "classification",
        "clustering",
        "image",
    ];
    let kind = text(body, "input_type").unwrap_or_default();
    if !kinds.contains(&kind) {
        return Err(malformed(&format!(
            "#/input_type: {kind} is not a valid enum value"
        )));
    }
    let length = if v4 {
        length(body, "output_dimension", &[256, 512, 1024, 1536], 1536)?
    } else {
        1024
    };
    let texts: Vec<&str> = list(body, "texts")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if texts.is_empty() && body.get("inputs").is_none() && body.get("images").is_none() {
        return Err(malformed("#: required key [texts] not found"));
    }
    if texts.len() > MAX_COHERE_TEXTS {
        return Err(malformed(&format!(
            "#/texts: expected maximum item count: {MAX_COHERE_TEXTS}, found: {}",
            texts.len()
        )));
    }
    for (index, one) in texts.iter().enumerate() {
        let count = one.chars().count();
        if count > MAX_COHERE_CHARACTERS && !v4 {
            return Err(malformed(&format!(
                "#/texts/{index}: expected maxLength: {MAX_COHERE_CHARACTERS}, actual: {count}"
            )));
        }
    }
    let images = list(body, "images").iter().filter_map(Value::as_str);
    let inputs: Vec<String> = list(body, "inputs").iter().map(Value::to_string).collect();
    let all = texts
        .iter()
        .copied()
        .chain(images)
        .chain(inputs.iter().map(String::as_str));
    let vectors: Vec<Vec<f64>> = all.map(|one| vector(one, length)).collect();
    let mut reply = json!({ "id": "a7d0c2ae-double", "texts": texts });
    if let Some(object) = reply.as_object_mut() {
        let types = list(body, "embedding_types");
        if types.is_empty() {
            object.insert("response_type".to_owned(), json!("embeddings_floats"));
            object.insert("embeddings".to_owned(), json!(vectors));
        } else {
            let mut by_type = serde_json::Map::new();
            for kind in types.iter().filter_map(Value::as_str) {
                by_type.insert(kind.to_owned(), typed(&vectors, kind));
            }
            object.insert("response_type".to_owned(), json!("embeddings_by_type"));
            object.insert("embeddings".to_owned(), Value::Object(by_type));
        }
    }
    Ok(Whole {
        body: reply,
        input_tokens: texts.iter().map(|text| tokens(text)).sum(),
    })
}

/// Cohere's embedding types: `int8` is scaled to ±127.
fn typed(vectors: &[Vec<f64>], kind: &str) -> Value {
    match kind {
        "int8" => vectors
            .iter()
            .map(|vector| {
                let numbers = vector.iter().map(|n| (n * 127.0).round());
                json!(numbers.collect::<Vec<f64>>())
            })
            .collect(),
        _ => json!(vectors),
    }
}

pub(super) fn nova(body: &Value) -> Result<Whole, AwsError> {
    let known = ["schemaVersion", "taskType", "singleEmbeddingParams"];
    schema(body, "#", &known, &["taskType", "singleEmbeddingParams"])?;
    if text(body, "taskType") != Some("SINGLE_EMBEDDING") {
        return Err(malformed(
            "#/taskType: only SINGLE_EMBEDDING can be invoked synchronously",
        ));
    }
    let parameters = body.get("singleEmbeddingParams").unwrap_or(&Value::Null);
    let known = [
        "embeddingPurpose",
        "embeddingDimension",
        "text",
        "image",
        "audio",
        "video",
    ];
    schema(
        parameters,
        "#/singleEmbeddingParams",
        &known,
        &["embeddingPurpose"],
    )?;
    let length = length(
        parameters,
        "embeddingDimension",
        &[256, 384, 1024, 3072],
        3072,
    )?;
    let (kind, input) = match parameters.get("text") {
        Some(one) => {
            schema(
                one,
                "#/singleEmbeddingParams/text",
                &["truncationMode", "value", "source"],
                &["truncationMode"],
            )?;
            ("TEXT", text(one, "value").unwrap_or_default().to_owned())
        }
        None => ("IMAGE", parameters.to_string()),
    };
    if input.is_empty() {
        return Err(malformed(
            "#/singleEmbeddingParams/text/value: expected minLength: 1, actual: 0",
        ));
    }
    Ok(Whole {
        body: json!({ "embeddings": [{ "embeddingType": kind, "embedding": vector(&input, length) }] }),
        input_tokens: if kind == "TEXT" { tokens(&input) } else { 0 },
    })
}
