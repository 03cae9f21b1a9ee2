//! Reads `tools` and `tool_choice`.

use std::borrow::Cow;

use bedrock::converse::{InputSchema, Tool, ToolSpec};
use serde_json::{Map, Value};

use super::super::passthrough::tools::{SEARCH, SERVER_TOOLS, server_tool};
use crate::translation::{
    RequestError, cache,
    context::Context,
    json::{FieldPath, Json, Object},
    schema,
    tools::{Tools, Wanted, read_name},
};

/// Members of tools that Bedrock does not support; they are dropped silently if they have no effect.
const EXTRA: [&str; 4] = [
    "input_examples",
    "defer_loading",
    "eager_input_streaming",
    "allowed_callers",
];

/// Reads `tools` and `tool_choice`. Tools that Anthropic defines go into `additional`, which Claude reads.
pub(super) fn decode<'a>(
    body: &mut Object<'a>,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<Tools<'a>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("tools");
    let mut tools = Vec::new();
    let mut defined = Vec::new();
    if let Some(list) = body.take("tools") {
        let list = list.array(&at)?;
        for tool in &list {
            if let Some(name) = tool.text_at(&["name"]) {
                context.names.reserve(&name);
            }
        }
        for (index, tool) in list.into_iter().enumerate() {
            let at = at.index(index);
            let kind = tool
                .text_at(&["type"])
                .map_or_else(|| "custom".to_owned(), Cow::into_owned);
            if kind == "custom" {
                client_tool(tool, &at, &mut tools, context)?;
            } else if kind.starts_with(SEARCH) {
                let why = "Converse does not search tools; all tools are sent";
                context.warnings.dropped("tools[].type", why)?;
            } else {
                defined.push(anthropic_tool(tool, &kind, &at, context)?);
            }
        }
    }
    let choice = body.take("tool_choice");
    if tools.is_empty() && defined.is_empty() {
        // Bedrock rejects a tool choice without tools.
        return Ok(Tools::default());
    }
    if !context.capabilities.tools.supported {
        return Err(RequestError::unsupported(
            "tools",
            format!(
                "{} does not support tools; choose another model",
                context.capabilities.title
            ),
        ));
    }
    let alone = tools.is_empty();
    let mut all = Tools {
        specs: tools,
        ..Tools::default()
    };
    if let Some(choice) = choice {
        let named: Vec<&str> = defined
            .iter()
            .filter_map(|tool| tool.get("name").and_then(Value::as_str))
            .collect();
        read_choice(choice, &root.key("tool_choice"), &named, &mut all, context)?;
    }
    if !defined.is_empty() {
        if alone && !matches!(all.wanted, Wanted::Unset | Wanted::Auto) {
            let why = "Converse cannot force a tool that Anthropic defines";
            context.warnings.dropped("tool_choice", why)?;
            all.wanted = Wanted::Unset;
        }
        additional.insert("tools".to_owned(), Value::Array(defined));
    }
    Ok(all)
}

/// A tool that the client defines.
fn client_tool<'a>(
    tool: Json<'a>,
    at: &FieldPath<'_>,
    tools: &mut Vec<Tool<'a>>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut tool = tool.object(at)?;
    tool.take("type");
    let point = cache::point(&mut tool, at, context.capabilities.cache.tools, context)?;
    let name = read_name(&mut tool, at, context)?;
    let description = tool
        .string("description", at)?
        .filter(|text| !text.trim().is_empty());
    let strict = tool.boolean("strict", at)?.unwrap_or(false);
    let exact = strict && context.capabilities.tools.strict;
    if strict && !exact {
        let why = format!(
            "{} does not support strict tool schemas",
            context.capabilities.title
        );
        context.warnings.dropped("tools[].strict", &why)?;
    }
    let schema_at = at.key("input_schema");
    let given = tool
        .take("input_schema")
        .ok_or_else(|| RequestError::missing(schema_at.to_string(), "is required"))?;
    let json = if exact {
        let (closed, changed) = schema::strict_tool(Some(given), &schema_at)?;
        if changed {
            context
                .warnings
                .changed("tools[].input_schema", schema::CLOSED)?;
        }
        let closed = schema::owned(closed.to_string())?;
        let closed = Json::Raw(&closed);
        Cow::Owned(schema::tool_input(Some(closed), &schema_at, &name, context)?.into_owned())
    } else {
        schema::tool_input(Some(given), &schema_at, &name, context)?
    };
    for key in EXTRA {
        let Some(value) = tool.take(key) else {
            continue;
        };
        let text = serde_json::to_string(&value).unwrap_or_default();
        if !matches!(text.as_str(), "false" | "[]" | "[\"direct\"]") {
            let param = format!("tools[].{key}");
            context
                .warnings
                .dropped(&param, "not supported by Bedrock")?;
        }
    }
    context.drop_unknown(tool, at)?;
    tools.push(Tool::ToolSpec(ToolSpec {
        name,
        description,
        input_schema: InputSchema { json },
        strict: exact.then_some(true),
    }));
    tools.extend(point.map(Tool::CachePoint));
    Ok(())
}

/// A tool that Anthropic defines and the client runs, such as `bash_20250124`; only Claude supports it.
fn anthropic_tool(
    tool: Json<'_>,
    kind: &str,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Value, RequestError> {
    if SERVER_TOOLS.iter().any(|start| kind.starts_with(start)) {
        return Err(server_tool(&at.to_string(), kind));
    }
    if context.capabilities.betas.is_empty() {
        return Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!(
                "only Claude supports {kind}; for {} define a tool with a name and an input_schema",
                context.capabilities.title
            ),
        ));
    }
    let mut value = tool.into_value(at)?;
    if let Some(object) = value.as_object_mut() {
        for key in EXTRA {
            object.shift_remove(key);
        }
    }
    Ok(value)
}

fn read_choice<'a>(
    choice: Json<'a>,
    at: &FieldPath<'_>,
    defined: &[&str],
    all: &mut Tools<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut choice = choice.object(at)?;
    let kind = choice.required_string("type", at)?;
    let one = choice
        .boolean("disable_parallel_tool_use", at)?
        .unwrap_or(false);
    all.one_at_a_time = one.then_some("tool_choice.disable_parallel_tool_use");
    all.wanted = match kind.as_ref() {
        "auto" => Wanted::Auto,
        "any" => Wanted::Any,
        "none" => Wanted::None,
        "tool" => {
            let client = choice.required_string("name", at)?;
            if defined.contains(&client.as_ref()) {
                let why = "Converse cannot force a tool that Anthropic defines";
                context.warnings.dropped("tool_choice", why)?;
                return Ok(());
            }
            let name = context.names.upstream(client);
            let known = |tool: &Tool<'_>| matches!(tool, Tool::ToolSpec(spec) if spec.name == name);
            if !all.specs.iter().any(known) {
                return Err(RequestError::invalid(
                    at.key("name").to_string(),
                    format!("tools contains no tool {:?}", context.names.original(&name)),
                ));
            }
            Wanted::Named(name)
        }
        other => {
            return Err(RequestError::invalid(
                at.key("type").to_string(),
                format!("{other:?} is not supported; use auto, any, tool or none"),
            ));
        }
    };
    context.drop_unknown(choice, at)
}
