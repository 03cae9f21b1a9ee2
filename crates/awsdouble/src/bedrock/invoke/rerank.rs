//! Rerank models of Cohere and Amazon: the score is the share of the query's words that a document contains.
//!
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/rerank-supported.html> and
//! <https://docs.cohere.com/reference/rerank>.

use serde_json::{Value, json};

use super::super::json::{list, text};
use super::super::prompt::tokens;
use super::{Whole, malformed, schema};
use crate::error::AwsError;

const MAX_DOCUMENTS: usize = 1000;

pub(super) fn cohere(body: &Value) -> Result<Whole, AwsError> {
    let known = [
        "query",
        "documents",
        "top_n",
        "api_version",
        "max_tokens_per_doc",
    ];
    schema(body, "#", &known, &["query", "documents", "api_version"])?;
    if body
        .get("api_version")
        .and_then(Value::as_u64)
        .is_none_or(|version| version < 2)
    {
        return Err(malformed(
            "#/api_version: must be greater than or equal to 2",
        ));
    }
    rank(body)
}

pub(super) fn amazon(body: &Value) -> Result<Whole, AwsError> {
    let known = ["query", "documents", "top_n"];
    schema(body, "#", &known, &["query", "documents"])?;
    rank(body)
}

fn rank(body: &Value) -> Result<Whole, AwsError> {
    let query = text(body, "query").unwrap_or_default();
    if query.is_empty() {
        return Err(malformed("#/query: expected minLength: 1, actual: 0"));
    }
    let documents = list(body, "documents");
    if documents.is_empty() || documents.len() > MAX_DOCUMENTS {
        return Err(malformed(&format!(
            "#/documents: expected 1 to {MAX_DOCUMENTS} items, found: {}",
            documents.len()
        )));
    }
    let mut scored = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let Some(document) = document.as_str() else {
            return Err(malformed(&format!(
                "#/documents/{index}: expected type: String, found: JSONObject"
            )));
        };
        scored.push((index, score(query, document)));
    }
    scored.sort_by(|one, other| other.1.total_cmp(&one.1));
    if let Some(top) = body.get("top_n") {
        let maximum = top.as_u64().and_then(|top| usize::try_from(top).ok());
        let Some(maximum) = maximum.filter(|maximum| *maximum > 0) else {
            return Err(malformed("#/top_n: must be greater than or equal to 1"));
        };
        scored.truncate(maximum);
    }
    let results: Vec<Value> = scored
        .into_iter()
        .map(|(index, score)| json!({ "index": index, "relevance_score": score }))
        .collect();
    let all = documents.iter().filter_map(Value::as_str).map(tokens);
    Ok(Whole {
        body: json!({ "results": results }),
        input_tokens: tokens(query) + all.sum::<usize>(),
    })
}

/// A score from just above 0 to 0.99.
fn score(query: &str, document: &str) -> f64 {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let (wanted, found) = (words(query), words(document));
    let shared = wanted.iter().filter(|word| found.contains(word)).count();
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    0.001 + 0.989 * count(shared) / count(wanted.len().max(1))
}
