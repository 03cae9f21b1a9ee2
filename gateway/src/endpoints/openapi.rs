//! `GET /openapi.json`: the API as an OpenAPI 3.1 document, without authentication, since it is the same for every
//! gateway of a version. <https://spec.openapis.org/oas/v3.1.1.html>
//!
//! `openapi/base.json` has paths, errors and security schemes. The request fields of Chat Completions, Responses and
//! Messages are those of the tables in `dialects`, which decoding uses as well. Built once, on the first request.

use std::sync::LazyLock;

use axum::{Extension, extract::State as FromState, response::Response};
use bytes::Bytes;
use dialects::{anthropic, openai, responses, translation::FieldDescription};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};

use crate::{
    http::{dialect::Dialect, response::json as json_response},
    pipeline::{context::RequestContext, driver::finish, record::RequestRecord, state::State},
};

pub(crate) const PATH: &str = "/openapi.json";

/// The parts that are written by hand.
const BASE: &str = include_str!("openapi/base.json");
/// Extension with the support of a field: one word, or model families by word.
const SUPPORT: &str = "x-bedrock-gateway-support";
/// Fields that have values of several types; the type of others is that of their example.
const SEVERAL_TYPES: [&str; 8] = [
    "stop",
    "system",
    "input",
    "tool_choice",
    "function_call",
    "conversation",
    "prompt",
    "container",
];

/// Fields for which null is not the same as absent.
const REQUIRED: [&str; 3] = ["model", "messages", "max_tokens"];

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
static TEXT: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());

/// A path that the gateway serves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation<'a> {
    pub(super) method: String,
    pub(super) path: &'a str,
    pub(super) summary: &'a str,
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
) -> Response {
    let record = RequestRecord::open(&state, &context, PATH, "");
    let mut response = json_response(TEXT.clone(), &HeaderMap::new(), &[]);
    let cache = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    finish(Ok(response), Dialect::OpenAi, record)
}

/// All paths, in the order of the document.
pub(super) fn operations() -> Vec<Operation<'static>> {
    let paths = DOCUMENT.get("paths").and_then(Value::as_object);
    let mut found = Vec::new();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let summary = operation.get("summary").and_then(Value::as_str);
            found.push(Operation {
                method: method.to_uppercase(),
                path,
                summary: summary.unwrap_or_default(),
            });
        }
    }
    found
}

fn document() -> Value {
    let mut document: Value = serde_json::from_str(BASE).unwrap_or_default();
    set(
        &mut document,
        "/info/version",
        env!("CARGO_PKG_VERSION").into(),
    );
    for (schema, fields) in [
        ("ChatCompletionsRequest", openai::field_descriptions()),
        ("ResponsesRequest", responses::field_descriptions()),
        ("MessagesRequest", anthropic::field_descriptions()),
    ] {
        let properties = properties(&fields);
        if let Some(object) = object_at(&mut document, &format!("/components/schemas/{schema}")) {
            object.insert("properties".to_owned(), properties.into());
        }
    }
    let paths = object_at(&mut document, "/paths");
    for (path, methods) in paths.into_iter().flatten() {
        let Some(operation) = methods.get_mut("post").and_then(Value::as_object_mut) else {
            continue;
        };
        if path.ends_with("/rerank") {
            operation.extend(rerank());
        } else if path.starts_with("/model/") || path.starts_with("/guardrail/") {
            operation.extend(bedrock(path));
        }
    }
    document
}

fn set(document: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
    }
}

fn object_at<'a>(document: &'a mut Value, pointer: &str) -> Option<&'a mut Map<String, Value>> {
    document.pointer_mut(pointer)?.as_object_mut()
}

/// The schemas of request fields; a member of an object is inside the schema of the object.
fn properties(fields: &[FieldDescription]) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in fields {
        let schema = property(field);
        let Some((outer, inner)) = field.name.split_once('.') else {
            properties.insert(field.name.to_owned(), schema);
            continue;
        };
        let object = properties
            .entry(outer)
            .or_insert_with(|| json!({ "type": "object" }));
        if let Some(object) = object.as_object_mut() {
            let members = object
                .entry("properties")
                .or_insert_with(|| Map::new().into());
            if let Some(members) = members.as_object_mut() {
                members.insert(inner.to_owned(), schema);
            }
        }
    }
    properties
}

fn property(field: &FieldDescription) -> Value {
    let mut schema = Map::new();
    if let Some(kind) = kind(field) {
        let kinds = if REQUIRED.contains(&field.name) {
            kind.into()
        } else {
            json!([kind, "null"])
        };
        schema.insert("type".to_owned(), kinds);
    }
    let (words, support) = match field.support.as_slice() {
        [(label, _)] => {
            let words = match *label {
                "supported" => "Supported".to_owned(),
                "dropped" => "Dropped with a warning".to_owned(),
                "rejected" => "Rejected with status 400".to_owned(),
                other => format!("Supported ({other})"),
            };
            (words, Value::from(*label))
        }
        several => {
            let families = several
                .iter()
                .map(|(label, titles)| ((*label).to_owned(), json!(titles)));
            (
                "Depends on the model family".to_owned(),
                families.collect::<Map<_, _>>().into(),
            )
        }
    };
    schema.insert(
        "description".to_owned(),
        format!("{words}: {}", field.note).into(),
    );
    if support == "rejected" {
        schema.insert("deprecated".to_owned(), true.into());
    }
    schema.insert("examples".to_owned(), json!([field.example]));
    schema.insert(SUPPORT.to_owned(), support);
    schema.into()
}

/// The JSON type of a field's values, if they have one.
fn kind(field: &FieldDescription) -> Option<&'static str> {
    if SEVERAL_TYPES.contains(&field.name) {
        return None;
    }
    match &field.example {
        Value::Null => None,
        Value::Bool(_) => Some("boolean"),
        Value::Number(number) if number.is_f64() => Some("number"),
        Value::Number(_) => Some("integer"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    }
}

fn rerank() -> Map<String, Value> {
    object(json!({
        "summary": "Rank documents by a query",
        "externalDocs": { "url": "https://docs.cohere.com/reference/rerank" },
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/RerankRequest" } } } },
        "responses": {
            "200": { "description": "The documents by relevance", "content": { "application/json": { "schema": {
                "type": "object", "required": ["results"], "properties": { "results": { "type": "array",
                    "items": { "type": "object", "required": ["index", "relevance_score"], "properties": {
                        "index": { "type": "integer" }, "relevance_score": { "type": "number" } } } } } } } } },
            "4XX": { "$ref": "#/components/responses/OpenAiError" },
            "5XX": { "$ref": "#/components/responses/OpenAiError" },
        },
    }))
}

/// An operation of Bedrock: parameters of its path, and bodies that pass through.
fn bedrock(path: &str) -> Map<String, Value> {
    let parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let media = if path.ends_with("stream") {
        "application/vnd.amazon.eventstream"
    } else {
        "application/json"
    };
    object(json!({
        "parameters": parameters,
        "security": [{ "signature": [] }, { "bearer": [] }, {}],
        "requestBody": { "required": true, "content": { "application/json": { "schema": { "type": "object" } } } },
        "responses": {
            "200": { "description": "Bedrock's response", "content": { media: { "schema": {} } } },
            "4XX": { "$ref": "#/components/responses/BedrockError" },
            "5XX": { "$ref": "#/components/responses/BedrockError" },
        },
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_fields_have_the_support_of_the_tables() {
        let document = document();
        for (schema, fields) in [
            ("ChatCompletionsRequest", openai::field_descriptions()),
            ("ResponsesRequest", responses::field_descriptions()),
            ("MessagesRequest", anthropic::field_descriptions()),
        ] {
            let schema = &document["components"]["schemas"][schema]["properties"];
            for field in fields {
                let shown = &schema[field.name.split('.').next().unwrap()];
                let shown = match field.name.split_once('.') {
                    Some((_, inner)) => &shown["properties"][inner],
                    None => shown,
                };
                let description = shown["description"].as_str().unwrap();
                assert!(description.ends_with(field.note), "{}", field.name);
                for (label, families) in field.support {
                    let support = &shown[SUPPORT];
                    assert!(
                        support == label || support[label] == json!(families),
                        "{}",
                        field.name
                    );
                }
            }
        }
        let chat = &document["components"]["schemas"]["ChatCompletionsRequest"]["properties"];
        for (name, support) in [
            ("messages", "supported"),
            ("seed", "dropped"),
            ("n", "rejected"),
        ] {
            assert_eq!(chat[name][SUPPORT], support, "{name}");
        }
        assert!(
            chat["tools"][SUPPORT]["rejected"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        );
    }

    #[test]
    fn every_operation_has_a_summary_responses_and_its_own_id() {
        let document = document();
        let mut ids = std::collections::BTreeSet::new();
        let methods = document["paths"].as_object().unwrap().values();
        for operation in methods.flat_map(|methods| methods.as_object().unwrap().values()) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id}");
            assert!(operation["responses"]["200"].is_object(), "{id}");
        }
        assert_eq!(operations().len(), ids.len());
        for operation in operations() {
            assert!(!operation.summary.is_empty(), "{operation:?}");
        }
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
