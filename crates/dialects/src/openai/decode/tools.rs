//! Tools, which of them to call, and whether several at once.

use std::borrow::Cow;

use bedrock::converse::{InputSchema, Tool, ToolSpec};

use super::{
    super::{
        error::RequestError,
        json::{At, Json, Object},
    },
    cache,
    request::Context,
    schema,
};
pub(crate) use crate::translation::tools::{Tools, Wanted, config, read_name};

/// Reads `tools`, `tool_choice` and `parallel_tool_calls`.
pub(crate) fn decode<'a>(
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<Tools<'a>, RequestError> {
    let root = At::Root;
    let mut tools = Vec::new();
    if let Some(list) = body.take("tools") {
        let at = root.key("tools");
        let list = list.array(&at)?;
        for tool in &list {
            if let Some(name) = tool.text_at(&["function", "name"]) {
                context.names.reserve(name);
            }
        }
        for (index, tool) in list.into_iter().enumerate() {
            read_tool(tool, &at.index(index), &mut tools, context)?;
        }
    }
    chosen(tools, body, context)
}

/// Reads `tool_choice` and `parallel_tool_calls`, which go with `tools`.
pub(crate) fn chosen<'a>(
    mut tools: Vec<Tool<'a>>,
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<Tools<'a>, RequestError> {
    let root = At::Root;
    let choice = body.take("tool_choice");
    let parallel = body
        .take("parallel_tool_calls")
        .map(|flag| flag.boolean(&root.key("parallel_tool_calls")))
        .transpose()?;
    if tools.is_empty() {
        // Without tools there is nothing to choose; Bedrock refuses a choice then.
        return Ok(Tools::default());
    }
    if !context.capabilities.tools.supported {
        return Err(RequestError::unsupported(
            "tools",
            format!(
                "{} takes no tools; choose another model",
                context.capabilities.title
            ),
        ));
    }
    let wanted = match choice {
        None => Wanted::Unsaid,
        Some(choice) => read_choice(choice, &root.key("tool_choice"), &mut tools, context)?,
    };
    Ok(Tools {
        specs: tools,
        wanted,
        one_at_a_time: (parallel == Some(false)).then_some("parallel_tool_calls"),
    })
}

fn read_tool<'a>(
    tool: Json<'a>,
    at: &At<'_>,
    tools: &mut Vec<Tool<'a>>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let mut tool = tool.object(at)?;
    let kind = tool.required_string("type", at)?;
    if kind != "function" {
        return Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{kind:?} is not a tool Bedrock has; only \"function\" is"),
        ));
    }
    let cached = context.capabilities.cache.tools;
    let mut point = cache::point(&mut tool, at, cached, context)?;
    let function_at = at.key("function");
    let mut function = tool
        .object("function", at)?
        .ok_or_else(|| RequestError::missing(function_at.to_string(), "must be given"))?;
    if let Some(inner) = cache::point(&mut function, &function_at, cached, context)? {
        point = Some(inner);
    }
    let spec = read_function(&mut function, &function_at, tools, context)?;
    context.unknown(function, &function_at)?;
    context.unknown(tool, at)?;
    tools.push(Tool::ToolSpec(spec));
    tools.extend(point.map(Tool::CachePoint));
    Ok(())
}

/// Reads `name`, `description`, `strict` and `parameters`.
pub(crate) fn read_function<'a>(
    function: &mut Object<'a>,
    function_at: &At<'_>,
    tools: &[Tool<'a>],
    context: &mut Context<'_>,
) -> Result<ToolSpec<'a>, RequestError> {
    let name = read_name(function, function_at, tools, context)?;
    let words = context.words;
    let description = function
        .string("description", function_at)?
        .filter(|text| !text.trim().is_empty());
    let strict = function
        .take("strict")
        .map(|flag| flag.boolean(&function_at.key("strict")))
        .transpose()?
        .unwrap_or(false);
    let schema_at = function_at.key("parameters");
    let parameters = function.take("parameters");
    let exact = strict && context.capabilities.tools.strict;
    if strict && !exact {
        let why = format!(
            "{} does not hold tools to their schema",
            context.capabilities.title
        );
        let param = format!("{}.strict", words.function);
        context.notes.dropped(&param, &why)?;
    }
    let json = match parameters {
        Some(parameters) if exact => {
            let mut tree = schema::tree(parameters, &schema_at)?;
            if schema::close(&mut tree) {
                let param = format!("{}.parameters", words.function);
                context.notes.changed(&param, schema::CLOSED)?;
            }
            let closed = schema::owned(tree.to_string())?;
            let again = format!("{{\"parameters\":{}}}", closed.get());
            mended(&again, &schema_at)?
        }
        parameters => schema::tool_schema(parameters, &schema_at)?,
    };
    Ok(ToolSpec {
        name,
        description,
        input_schema: InputSchema { json },
        strict: exact.then_some(true),
    })
}

/// The root of a closed schema, mended like any other.
fn mended(
    body: &str,
    at: &At<'_>,
) -> Result<Cow<'static, serde_json::value::RawValue>, RequestError> {
    let json: Json<'_> =
        serde_json::from_str(body).map_err(|error| RequestError::not_json(&error))?;
    let parameters = json.object(at)?.take("parameters");
    schema::tool_schema(parameters, at).map(|raw| Cow::Owned(raw.into_owned()))
}

fn read_choice<'a>(
    choice: Json<'a>,
    at: &At<'_>,
    tools: &mut Vec<Tool<'a>>,
    context: &mut Context<'_>,
) -> Result<Wanted<'a>, RequestError> {
    let mut object = match choice {
        Json::String(word) => return mode(&word, at),
        other => other.object(at)?,
    };
    let kind = object.required_string("type", at)?;
    match kind.as_ref() {
        "function" | "tool" | "custom" => {
            let name = match object.object("function", at)? {
                Some(mut function) => function.required_string("name", &at.key("function"))?,
                None => object.required_string("name", at)?,
            };
            let name = context.names.upstream(name);
            if !tools
                .iter()
                .any(|tool| matches!(tool, Tool::ToolSpec(spec) if spec.name == name))
            {
                return Err(RequestError::invalid(
                    at.to_string(),
                    format!(
                        "there is no tool {:?} in tools",
                        context.names.original(&name)
                    ),
                ));
            }
            Ok(Wanted::Named(name))
        }
        "allowed_tools" => {
            let at = at.key("allowed_tools");
            let mut allowed = match object.object("allowed_tools", &At::Root)? {
                Some(inner) => inner,
                None => object,
            };
            let wanted = mode(&allowed.required_string("mode", &at)?, &at.key("mode"))?;
            let mut names = Vec::new();
            let list = allowed.take("tools").ok_or_else(|| {
                RequestError::missing(at.key("tools").to_string(), "must be given")
            })?;
            for (index, tool) in list.array(&at.key("tools"))?.into_iter().enumerate() {
                let tools_at = at.key("tools");
                let at = tools_at.index(index);
                let mut tool = tool.object(&at)?;
                let name = match tool.object("function", &at)? {
                    Some(mut function) => function.required_string("name", &at.key("function"))?,
                    None => tool.required_string("name", &at)?,
                };
                names.push(context.names.upstream(name));
            }
            tools.retain(|tool| match tool {
                Tool::ToolSpec(spec) => names.contains(&spec.name),
                _ => true,
            });
            if !tools.iter().any(|tool| matches!(tool, Tool::ToolSpec(_))) {
                return Err(RequestError::invalid(
                    at.key("tools").to_string(),
                    "none of these is in tools",
                ));
            }
            Ok(wanted)
        }
        "auto" | "any" | "none" => mode(&kind, at),
        other => Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{other:?} cannot be chosen; use auto, none, required or a function"),
        )),
    }
}

fn mode<'a>(word: &str, at: &At<'_>) -> Result<Wanted<'a>, RequestError> {
    match word {
        "auto" => Ok(Wanted::Auto),
        "none" => Ok(Wanted::None),
        "required" | "any" => Ok(Wanted::Any),
        other => Err(RequestError::invalid(
            at.to_string(),
            format!("{other:?} is not auto, none, required or a function"),
        )),
    }
}
