//! Reads functions and custom tools; custom tools become functions with one string argument.

use std::borrow::Cow;

use bedrock::converse::{InputSchema, Tool, ToolSpec};

use super::echo::Echo;
use crate::translation::{
    RequestError, cache,
    context::Context,
    json::{FieldPath, Json, Object},
    openai_shapes::tools::{chosen, read_function},
    schema,
    tools::{Tools, read_name},
};

/// The argument of a custom tool.
pub(super) const INPUT: &str = "input";
const INPUT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as text."}},"required":["input"]}"#;

/// The client's tools.
#[derive(Debug)]
pub(super) struct DecodedTools<'a> {
    pub(super) tools: Tools<'a>,
    /// Bedrock's names of the custom tools.
    pub(super) custom: Vec<String>,
}

/// Reads `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn decode<'a>(
    body: &mut Object<'a>,
    echo: &mut Echo,
    context: &mut Context<'_>,
) -> Result<DecodedTools<'a>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("tools");
    let mut tools = Vec::new();
    let mut custom = Vec::new();
    if let Some(list) = body.take("tools") {
        let list = list.array(&at)?;
        for tool in &list {
            if let Some(name) = tool.text_at(&["name"]) {
                context.names.reserve(name);
            }
        }
        for (index, tool) in list.into_iter().enumerate() {
            let at = at.index(index);
            match tool.text_at(&["type"]) {
                Some("function" | "custom") => echo.tool(&tool),
                Some(_) => {}
                None => {
                    return Err(RequestError::missing(
                        at.key("type").to_string(),
                        "is required: \"function\" or \"custom\"",
                    ));
                }
            }
            read(tool, &at, &mut tools, &mut custom, context)?;
        }
    }
    hosted_choice(body)?;
    Ok(DecodedTools {
        tools: chosen(tools, body, context)?,
        custom,
    })
}

fn read<'a>(
    tool: Json<'a>,
    at: &FieldPath<'_>,
    tools: &mut Vec<Tool<'a>>,
    custom: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut tool = tool.object(at)?;
    let kind = tool.required_string("type", at)?;
    let point = cache::point(&mut tool, at, context.capabilities.cache.tools, context)?;
    let spec = match kind.as_ref() {
        "function" => read_function(&mut tool, at, tools, context)?,
        "custom" => {
            let spec = free_text(&mut tool, at, tools, context)?;
            custom.push(spec.name.clone().into_owned());
            spec
        }
        other => {
            let why = format!("{other} is a tool that only OpenAI runs");
            return context.warnings.dropped("tools[]", &why);
        }
    };
    context.drop_unknown(tool, at)?;
    tools.push(Tool::ToolSpec(spec));
    tools.extend(point.map(Tool::CachePoint));
    Ok(())
}

/// A custom tool. Its grammar becomes part of the description, because Bedrock does not enforce grammars.
fn free_text<'a>(
    tool: &mut Object<'a>,
    at: &FieldPath<'_>,
    tools: &[Tool<'a>],
    context: &mut Context<'_>,
) -> Result<ToolSpec<'a>, RequestError> {
    let name = read_name(tool, at, tools, context)?;
    let mut description = tool
        .string("description", at)?
        .filter(|text| !text.trim().is_empty());
    if let Some(mut format) = tool.object("format", at)? {
        let at = at.key("format");
        match format.required_string("type", &at)?.as_ref() {
            "text" => {}
            "grammar" => {
                let syntax = format.string("syntax", &at)?.unwrap_or_default();
                let definition = format.required_string("definition", &at)?;
                let before = description.unwrap_or_default();
                let asked =
                    format!("{before}\n\nThe input follows this {syntax} grammar:\n{definition}");
                description = Some(Cow::Owned(asked.trim_start().to_owned()));
                let how = "the grammar was added to the description; Bedrock does not enforce it";
                context.warnings.changed("tools[].format", how)?;
            }
            other => {
                return Err(RequestError::unsupported(
                    at.key("type").to_string(),
                    format!("{other:?} is not supported; use text or grammar"),
                ));
            }
        }
        context.drop_unknown(format, &at)?;
    }
    Ok(ToolSpec {
        name,
        description,
        input_schema: InputSchema {
            json: schema::owned(INPUT_SCHEMA.to_owned())?,
        },
        strict: None,
    })
}

/// Rejects the choice of a tool that OpenAI runs, because the client relies on the tool.
fn hosted_choice(body: &Object<'_>) -> Result<(), RequestError> {
    let kind = body
        .get("tool_choice")
        .and_then(|choice| choice.text_at(&["type"]));
    match kind {
        None | Some("function" | "custom" | "tool" | "allowed_tools" | "auto" | "any" | "none") => {
            Ok(())
        }
        Some(kind) => Err(RequestError::unsupported(
            "tool_choice.type",
            format!("{kind} is a tool that only OpenAI runs"),
        )),
    }
}
