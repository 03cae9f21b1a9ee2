//! Reads `tools`, `tool_choice` and `parallel_tool_calls`.

use bedrock::converse::Tool;

use crate::translation::{
    RequestError, cache,
    context::Context,
    json::{FieldPath, Json, Object},
    openai_shapes::tools::{chosen, read_function},
    tools::Tools,
};

/// Reads `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn decode<'a>(
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<Tools<'a>, RequestError> {
    let root = FieldPath::Root;
    let mut tools = Vec::new();
    if let Some(list) = body.take("tools") {
        let at = root.key("tools");
        let list = list.array(&at)?;
        for tool in &list {
            if let Some(name) = tool.text_at(&["function", "name"]) {
                context.names.reserve(&name);
            }
        }
        for (index, tool) in list.into_iter().enumerate() {
            read_tool(tool, &at.index(index), &mut tools, context)?;
        }
    }
    chosen(tools, body, context)
}

fn read_tool<'a>(
    tool: Json<'a>,
    at: &FieldPath<'_>,
    tools: &mut Vec<Tool<'a>>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut tool = tool.object(at)?;
    if tool.take("input_schema").is_some() {
        return Err(RequestError::unsupported(
            at.key("input_schema").to_string(),
            "is a field of tools of Anthropic's Messages; send this body to POST /v1/messages",
        ));
    }
    let kind = tool.required_string("type", at)?;
    if kind != "function" {
        return Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("tools of type {kind:?} are not supported; use \"function\""),
        ));
    }
    let cached = context.capabilities.cache.tools;
    let mut point = cache::point(&mut tool, at, cached, context)?;
    let function_at = at.key("function");
    let mut function = tool
        .object("function", at)?
        .ok_or_else(|| RequestError::missing(function_at.to_string(), "is required"))?;
    if let Some(inner) = cache::point(&mut function, &function_at, cached, context)? {
        point = Some(inner);
    }
    let spec = read_function(&mut function, &function_at, context)?;
    context.drop_unknown(function, &function_at)?;
    context.drop_unknown(tool, at)?;
    tools.push(Tool::ToolSpec(spec));
    tools.extend(point.map(Tool::CachePoint));
    Ok(())
}
