//! Tools of a Responses request: functions, also in namespaces, as Bedrock's endpoints accept them.

use serde_json::{Map, Value, json};

use super::super::json::{list, text};
use super::rejected;
use crate::error::AwsError;

/// Namespaces of Bedrock's own tools; rule reserved-namespaces.
const RESERVED: [&str; 5] = ["browser", "functions", "image_gen", "python", "web"];
/// Types of tools; rule responses-tool-types. Tools that Bedrock runs are accepted and never called.
const GPT_OSS: [&str; 2] = ["function", "mcp"];
const OTHERS: [&str; 5] = ["function", "mcp", "namespace", "tool_search", "web_search"];

/// The tools as tools of Converse, and the choice.
pub(super) fn config(body: &Value, model: &str) -> Result<Option<Value>, AwsError> {
    let mut tools = Vec::new();
    for tool in list(body, "tools") {
        let kind = known(tool, model)?;
        match kind {
            "namespace" => {
                let name = text(tool, "name").unwrap_or_default();
                if RESERVED.contains(&name) {
                    return Err(rejected(format!(
                        "invalid request body: Invalid Value: 'tools.namespace'. User-defined namespace '{name}' collides with an existing tool namespace."
                    )));
                }
                for inside in list(tool, "tools") {
                    if known(inside, model)? == "function" {
                        tools.push(spec(inside, Some(name)));
                    }
                }
            }
            "function" => tools.push(spec(tool, None)),
            _ => {}
        }
    }
    if tools.is_empty() {
        return Ok(None);
    }
    let mut choice = body.get("tool_choice").cloned();
    if let Some(Value::Object(named)) = &mut choice
        && let Some(Value::String(namespace)) = named.remove("namespace")
    {
        let name = named
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = joined(Some(&namespace), name);
        named.insert("name".to_owned(), name.into());
    }
    let choice = super::super::chat::tool_choice(choice.as_ref(), "/name");
    Ok(Some(json!({ "tools": tools, "toolChoice": choice })))
}

/// The type of a tool, if the model's endpoint has it.
fn known<'a>(tool: &'a Value, model: &str) -> Result<&'a str, AwsError> {
    let kinds: &[&str] = if model.contains("openai.gpt-oss") {
        &GPT_OSS
    } else {
        &OTHERS
    };
    let kind = text(tool, "type").unwrap_or_default();
    if kinds.contains(&kind) {
        return Ok(kind);
    }
    let quoted: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let expected = match quoted.as_slice() {
        [one, other] => format!("{one} or {other}"),
        all => format!("one of {}", all.join(", ")),
    };
    Err(rejected(format!(
        "Invalid 'tools': unknown variant `{kind}`, expected {expected}"
    )))
}

fn spec(function: &Value, namespace: Option<&str>) -> Value {
    let schema = function
        .get("parameters")
        .filter(|schema| !schema.is_null());
    let schema = schema
        .cloned()
        .unwrap_or_else(|| json!({ "type": "object" }));
    let name = text(function, "name").unwrap_or_default();
    json!({ "toolSpec": { "name": joined(namespace, name), "description": function.get("description"),
        "inputSchema": { "json": schema } } })
}

/// The name of a function in the conversation.
pub(super) fn joined(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |space| format!("{space}__{name}"))
}

/// The members with a function's name in a call: Grok calls functions in namespaces without the namespace
/// (rule namespace-in-calls).
pub(super) fn name_in_call(body: &Value, model: &str, called: &str) -> Map<String, Value> {
    let found = list(body, "tools").iter().find_map(|tool| {
        let namespace = text(tool, "name").filter(|_| text(tool, "type") == Some("namespace"))?;
        let mut names = list(tool, "tools")
            .iter()
            .filter_map(|one| text(one, "name"));
        let name = names.find(|name| joined(Some(namespace), name) == called)?;
        Some((namespace, name))
    });
    let mut members = Map::new();
    let (namespace, name) = found.map_or((None, called), |(space, name)| (Some(space), name));
    members.insert("name".to_owned(), json!(name));
    if let Some(namespace) = namespace.filter(|_| !model.contains("grok")) {
        members.insert("namespace".to_owned(), json!(namespace));
    }
    members
}
