//! Tests of ranking requests and responses.

use serde_json::json;

use super::*;
use crate::families::FamilyTable;

const COHERE: &str = "cohere.rerank-v3-5:0";
const AMAZON: &str = "amazon.rerank-v1:0";

fn decode(model: &str, request: &Value, strict: bool) -> Result<RerankRequest, RequestError> {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    decode_rerank(request.to_string().as_bytes(), &capabilities, strict)
}

#[test]
fn each_family_gets_its_own_body() {
    let request = json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 9,
        "max_tokens_per_doc": 100});
    for (model, expected) in [
        (
            COHERE,
            r#"{"query":"q","documents":["a","b"],"top_n":2,"api_version":2,"max_tokens_per_doc":100}"#,
        ),
        (AMAZON, r#"{"query":"q","documents":["a","b"],"top_n":2}"#),
    ] {
        let decoded = decode(model, &request, false).unwrap();
        assert_eq!(String::from_utf8(decoded.body).unwrap(), expected);
        assert_eq!(decoded.warnings.len(), usize::from(model == AMAZON));
    }
    assert!(decode(AMAZON, &request, true).is_err());
}

#[track_caller]
fn rejected(request: &Value, param: &str) {
    let error = decode(COHERE, request, false).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
}

#[test]
fn rejects_invalid_requests_by_name() {
    rejected(&json!({"documents": ["a"]}), "query");
    rejected(&json!({"query": " ", "documents": ["a"]}), "query");
    rejected(&json!({"query": "q"}), "documents");
    rejected(&json!({"query": "q", "documents": []}), "documents");
    rejected(
        &json!({"query": "q", "documents": vec!["a"; 1001]}),
        "documents",
    );
    rejected(&json!({"query": "q", "documents": [7]}), "documents[0]");
    rejected(
        &json!({"query": "q", "documents": ["a"], "rank_fields": ["title"]}),
        "rank_fields",
    );
    rejected(
        &json!({"query": "q", "documents": ["a"], "return_embeddings": true}),
        "return_embeddings",
    );
    let harmless = json!({"query": "q", "documents": ["a"], "rank_fields": ["text"],
        "return_embeddings": false});
    assert!(decode(COHERE, &harmless, true).is_ok());
    rejected(
        &json!({"query": "q", "documents": ["a", {"title": "b"}]}),
        "documents[1].text",
    );
    rejected(
        &json!({"query": "q", "documents": ["a"], "top_n": 0}),
        "top_n",
    );
    let error = decode("amazon.nova-lite-v1:0", &json!({"query": "q"}), false).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("model"));
}

#[test]
fn response_has_the_fields_of_cohere_and_jina() {
    let request = json!({"query": "q", "documents": ["a", "b"], "return_documents": true});
    let request = decode(COHERE, &request, true).unwrap();
    let body =
        br#"{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}"#;
    let ranked = read_rerank_response(&request, body).unwrap();
    let response: Value =
        serde_json::from_slice(&encode_rerank(&request, &ranked, "r-1", "m", 12)).unwrap();
    assert_eq!(
        response,
        json!({
            "id": "r-1",
            "object": "list",
            "model": "m",
            "results": [
                {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}},
                {"index": 0, "relevance_score": 0.1, "document": {"text": "a"}},
            ],
            "usage": {"total_tokens": 12},
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": 12}},
        })
    );
}

#[test]
fn ranking_of_unknown_documents_is_an_error() {
    let request = decode(COHERE, &json!({"query": "q", "documents": ["a"]}), true).unwrap();
    for body in [
        "{}",
        "[",
        r#"{"results":[{"index":1,"relevance_score":1}]}"#,
    ] {
        assert_eq!(
            read_rerank_response(&request, body.as_bytes())
                .unwrap_err()
                .status,
            502,
            "{body}"
        );
    }
}
