//! Functions, tool choice and arguments in the shapes that OpenAI's endpoints share.

use std::{borrow::Cow, collections::BTreeSet};

use bedrock::converse::{InputSchema, Tool, ToolSpec};
use serde_json::value::RawValue;

use crate::translation::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Json, Object},
    schema,
    tools::{Tools, Wanted, read_name},
};

/// Reads `tool_choice` and `parallel_tool_calls` for `tools`.
pub(crate) fn chosen<'a>(
    mut tools: Vec<Tool<'a>>,
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<Tools<'a>, RequestError> {
    let root = FieldPath::Root;
    let choice = body.take("tool_choice");
    let parallel = body.boolean("parallel_tool_calls", &root)?;
    if tools.is_empty() {
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
    let wanted = match choice {
        None => Wanted::Unset,
        Some(choice) => read_choice(choice, &root.key("tool_choice"), &mut tools, context)?,
    };
    Ok(Tools {
        specs: tools,
        wanted,
        one_at_a_time: (parallel == Some(false)).then_some("parallel_tool_calls"),
    })
}

/// Reads `name`, `description`, `strict` and `parameters`.
pub(crate) fn read_function<'a>(
    function: &mut Object<'a>,
    function_at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<ToolSpec<'a>, RequestError> {
    let name = read_name(function, function_at, context)?;
    let words = context.field_names;
    let description = function
        .string("description", function_at)?
        .filter(|text| !text.trim().is_empty());
    let strict = function.boolean("strict", function_at)?.unwrap_or(false);
    let schema_at = function_at.key("parameters");
    let parameters = function.take("parameters");
    let exact = strict && context.capabilities.tools.strict;
    if strict && !exact {
        let why = format!(
            "{} does not support strict tool schemas",
            context.capabilities.title
        );
        let param = format!("{}.strict", words.function);
        context.warnings.dropped(&param, &why)?;
    }
    let json = if exact {
        let (closed, changed) = schema::strict_tool(parameters, &schema_at)?;
        if changed {
            let param = format!("{}.parameters", words.function);
            context.warnings.changed(&param, schema::CLOSED)?;
        }
        let closed = schema::owned(closed.to_string())?;
        let closed = Json::Raw(&closed);
        Cow::Owned(schema::tool_input(Some(closed), &schema_at, &name, context)?.into_owned())
    } else {
        schema::tool_input(parameters, &schema_at, &name, context)?
    };
    Ok(ToolSpec {
        name,
        description,
        input_schema: InputSchema { json },
        strict: exact.then_some(true),
    })
}

fn read_choice<'a>(
    choice: Json<'a>,
    at: &FieldPath<'_>,
    tools: &mut Vec<Tool<'a>>,
    context: &mut Context<'_>,
) -> Result<Wanted<'a>, RequestError> {
    let mut object = match choice {
        Json::String(word) => return mode(&word.decode(), at),
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
            if !context.declared.contains(name.as_ref()) {
                return Err(RequestError::invalid(
                    at.to_string(),
                    format!("tools contains no tool {:?}", context.names.original(&name)),
                ));
            }
            Ok(Wanted::Named(name))
        }
        "allowed_tools" => {
            let at = at.key("allowed_tools");
            let mut allowed = match object.object("allowed_tools", &FieldPath::Root)? {
                Some(inner) => inner,
                None => object,
            };
            let wanted = mode(&allowed.required_string("mode", &at)?, &at.key("mode"))?;
            let mut names = BTreeSet::new();
            let list = allowed
                .take("tools")
                .ok_or_else(|| RequestError::missing(at.key("tools").to_string(), "is required"))?;
            for (index, tool) in list.array(&at.key("tools"))?.into_iter().enumerate() {
                let tools_at = at.key("tools");
                let at = tools_at.index(index);
                let mut tool = tool.object(&at)?;
                let name = match tool.object("function", &at)? {
                    Some(mut function) => function.required_string("name", &at.key("function"))?,
                    None => tool.required_string("name", &at)?,
                };
                names.insert(context.names.upstream(name));
            }
            tools.retain(|tool| match tool {
                Tool::ToolSpec(spec) => names.contains(&spec.name),
                _ => true,
            });
            if !tools.iter().any(|tool| matches!(tool, Tool::ToolSpec(_))) {
                return Err(RequestError::invalid(
                    at.key("tools").to_string(),
                    "tools contains none of these tools",
                ));
            }
            Ok(wanted)
        }
        "auto" | "any" | "none" => mode(&kind, at),
        other => Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{other:?} is not supported; use auto, none, required or a function"),
        )),
    }
}

fn mode<'a>(word: &str, at: &FieldPath<'_>) -> Result<Wanted<'a>, RequestError> {
    match word {
        "auto" => Ok(Wanted::Auto),
        "none" => Ok(Wanted::None),
        "required" | "any" => Ok(Wanted::Any),
        other => Err(RequestError::invalid(
            at.to_string(),
            format!("{other:?} is not supported; use auto, none, required or a function"),
        )),
    }
}

/// Arguments as a JSON object; anything else becomes `{}`, because Bedrock accepts only objects.
pub(crate) fn arguments<'a>(
    value: Option<Json<'a>>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Cow<'a, RawValue>, RequestError> {
    let text = match value {
        None => String::new(),
        Some(Json::String(text)) => text.decode().into_owned(),
        Some(object @ Json::Object(_)) => serde_json::to_string(&object)
            .map_err(|error| RequestError::invalid(at.to_string(), error.to_string()))?,
        Some(other) => other.string(at)?.into_owned(),
    };
    let blank = text.trim().is_empty();
    if text.trim_start().starts_with('{')
        && let Ok(raw) = schema::owned(text)
    {
        return Ok(raw);
    }
    if !blank {
        context.warnings.changed(
            context.field_names.arguments,
            "arguments that are not a JSON object were replaced by {}",
        )?;
    }
    schema::owned("{}".to_owned())
}
