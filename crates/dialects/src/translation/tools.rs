//! Tools, tool choice and parallel calls, as far as the family supports them.

use std::borrow::Cow;

use bedrock::converse::{
    Empty, InputSchema, SpecificTool, SystemBlock, Tool, ToolChoice, ToolConfig, ToolSpec,
};
use serde_json::{Map, Value, json};

use super::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Object},
    reasoning::Reasoning,
    response_format::SchemaTool,
    schema,
};
use crate::families::{Choice, ParallelOff};

/// Description of a tool that only occurs in the history.
const PAST_TOOL: &str = "Not available any more; do not call it.";

/// What happened to a forced tool.
pub(crate) const NOT_FORCED: &str = "changed to auto: a tool cannot be forced while reasoning";

/// The client's tools and tool choice.
#[derive(Debug, Default)]
pub(crate) struct Tools<'a> {
    pub(crate) specs: Vec<Tool<'a>>,
    pub(crate) wanted: Wanted<'a>,
    /// The field that disables parallel calls, if set.
    pub(crate) one_at_a_time: Option<&'static str>,
}

/// The client's tool choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// The request has no tool choice.
    #[default]
    Unset,
    Auto,
    None,
    Any,
    /// Bedrock's name of a tool.
    Named(Cow<'a, str>),
}

/// Reads the name of a tool as Bedrock's name, and checks that it is unique.
pub(crate) fn read_name<'a>(
    function: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Cow<'a, str>, RequestError> {
    let name = function.required_string("name", at)?;
    if name.trim().is_empty() {
        return Err(RequestError::invalid(
            at.key("name").to_string(),
            "must not be empty",
        ));
    }
    let name = context.names.upstream(name);
    if !context.declared.insert(name.to_string()) {
        return Err(RequestError::invalid(
            at.key("name").to_string(),
            "tool names must be unique",
        ));
    }
    Ok(name)
}

/// The tools of a request, and the instruction that replaces a choice that the family does not support.
pub(crate) type Config<'a> = (Option<ToolConfig<'a>>, Option<SystemBlock<'a>>);

/// Combines the tools, the schema tool and the choice; family-specific fields go into `additional`.
pub(crate) fn config<'a>(
    mut tools: Tools<'a>,
    schema_tool: Option<SchemaTool<'a>>,
    reasoning: &Reasoning,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<Config<'a>, RequestError> {
    let capabilities = context.capabilities;
    if tools.wanted == Wanted::None {
        if context.history.is_empty() {
            tools.specs.clear();
        } else {
            let how = "the tools stay declared because the conversation contains tool calls";
            context.warnings.changed("tool_choice", how)?;
        }
        tools.wanted = Wanted::Unset;
        tools.one_at_a_time = None;
    }
    if let Some(SchemaTool { spec, forced }) = schema_tool {
        let alone = tools.specs.is_empty();
        let name = spec.name.clone();
        tools.specs.push(Tool::ToolSpec(spec));
        if forced && matches!(tools.wanted, Wanted::Unset | Wanted::Auto) {
            tools.wanted = if alone {
                Wanted::Named(name)
            } else {
                Wanted::Any
            };
        }
    }
    if tools.specs.is_empty() {
        if !context.history.is_empty() && !capabilities.tools.supported {
            return Err(RequestError::unsupported(
                context.field_names.conversation,
                format!(
                    "{} does not support tools, but the conversation contains tool calls; choose another model",
                    capabilities.title
                ),
            ));
        }
        return Ok((past_tools(context), None));
    }
    let (wanted, instruction) =
        supported_choice(tools.wanted, &mut tools.specs, reasoning, context)?;
    let tool_choice = if let Some(param) = tools.one_at_a_time {
        if capabilities.tools.parallel_off == ParallelOff::ToolChoiceField {
            // Bedrock rejects two tool choices, so this field replaces the other one.
            additional.insert("tool_choice".to_owned(), one_at_a_time(&wanted));
            None
        } else {
            let why = format!("{} cannot disable parallel calls", capabilities.title);
            context.warnings.dropped(param, &why)?;
            tool_choice(wanted)
        }
    } else {
        tool_choice(wanted)
    };
    let config = ToolConfig {
        tools: tools.specs,
        tool_choice,
    };
    Ok((Some(config), instruction))
}

/// A supported choice, and an instruction for the model if it cannot be forced.
type Supported<'a> = (Wanted<'a>, Option<SystemBlock<'a>>);

/// The choice as far as the family and reasoning support it.
fn supported_choice<'a>(
    wanted: Wanted<'a>,
    tools: &mut Vec<Tool<'a>>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<Supported<'a>, RequestError> {
    let capabilities = context.capabilities;
    let has = |choice| capabilities.tools.choice.contains(&choice);
    let forced = matches!(wanted, Wanted::Any | Wanted::Named(_));
    if forced && reasoning.active && !capabilities.reasoning.forced_tool {
        context.warnings.changed("tool_choice", NOT_FORCED)?;
        return Ok((Wanted::Auto, None));
    }
    let wanted = match wanted {
        Wanted::Named(name) if !has(Choice::Tool) && has(Choice::Any) => {
            // Forcing any of a single tool forces that tool.
            only(&name, tools);
            Wanted::Any
        }
        Wanted::Named(name) if !has(Choice::Tool) => {
            only(&name, tools);
            let instruction = ask(&format!("Call the tool {name} now"), context)?;
            return Ok((Wanted::Unset, Some(instruction)));
        }
        Wanted::Any if !has(Choice::Any) => {
            let instruction = ask("Call at least one of the tools now", context)?;
            return Ok((Wanted::Unset, Some(instruction)));
        }
        Wanted::Auto if !has(Choice::Auto) => Wanted::Unset,
        wanted => wanted,
    };
    Ok((wanted, None))
}

/// Keeps one tool.
fn only(name: &str, tools: &mut Vec<Tool<'_>>) {
    tools.retain(|tool| match tool {
        Tool::ToolSpec(spec) => spec.name == name,
        _ => true,
    });
}

/// The instruction that replaces a forced choice, with a warning.
fn ask<'a>(what: &str, context: &mut Context<'_>) -> Result<SystemBlock<'a>, RequestError> {
    let how = format!(
        "{} cannot be forced to call a tool; replaced by an instruction in the system prompt",
        context.capabilities.title
    );
    context.warnings.changed("tool_choice", &how)?;
    let text = format!("{what}, and answer in no other way.");
    Ok(SystemBlock::Text(text.into()))
}

fn tool_choice(wanted: Wanted<'_>) -> Option<ToolChoice<'_>> {
    match wanted {
        Wanted::Unset | Wanted::None => None,
        Wanted::Auto => Some(ToolChoice::Auto(Empty {})),
        Wanted::Any => Some(ToolChoice::Any(Empty {})),
        Wanted::Named(name) => Some(ToolChoice::Tool(SpecificTool { name })),
    }
}

fn one_at_a_time(wanted: &Wanted<'_>) -> Value {
    match wanted {
        Wanted::Unset | Wanted::None | Wanted::Auto => {
            json!({"type": "auto", "disable_parallel_tool_use": true})
        }
        Wanted::Any => json!({"type": "any", "disable_parallel_tool_use": true}),
        Wanted::Named(name) => {
            json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})
        }
    }
}

/// Declarations for the tools in the history: Bedrock requires them even if the request has no tools.
fn past_tools<'a>(context: &Context<'_>) -> Option<ToolConfig<'a>> {
    let tools: Vec<_> = context
        .history
        .iter()
        .filter_map(|name| {
            Some(Tool::ToolSpec(ToolSpec {
                name: Cow::Owned(name.clone()),
                description: Some(Cow::Borrowed(PAST_TOOL)),
                input_schema: InputSchema {
                    json: schema::tool_schema(None, &FieldPath::Root).ok()?,
                },
                strict: None,
            }))
        })
        .collect();
    (!tools.is_empty()).then_some(ToolConfig {
        tools,
        tool_choice: None,
    })
}
