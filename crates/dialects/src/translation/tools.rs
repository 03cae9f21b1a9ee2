//! Tools, which of them to call, and whether several at once, as far as the family goes along.

use std::borrow::Cow;

use bedrock::converse::{Empty, InputSchema, SpecificTool, Tool, ToolChoice, ToolConfig, ToolSpec};
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

/// What a tool gets that stands in the history only.
const PAST_TOOL: &str = "Not available any more; do not call it.";

/// Tools as the client wants them.
#[derive(Debug, Default)]
pub(crate) struct Tools<'a> {
    pub(crate) specs: Vec<Tool<'a>>,
    pub(crate) wanted: Wanted<'a>,
    /// The field that wants one call at a time, if one does.
    pub(crate) one_at_a_time: Option<&'static str>,
}

/// Which tool to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// Nothing was said.
    #[default]
    Unsaid,
    Auto,
    None,
    Any,
    /// Bedrock's name of a tool.
    Named(Cow<'a, str>),
}

/// Bedrock's name for a tool, which no tool before it has.
pub(crate) fn read_name<'a>(
    function: &mut Object<'a>,
    at: &FieldPath<'_>,
    tools: &[Tool<'a>],
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
    if tools
        .iter()
        .any(|tool| matches!(tool, Tool::ToolSpec(spec) if spec.name == name))
    {
        return Err(RequestError::invalid(
            at.key("name").to_string(),
            "there is a tool of this name before it; names must be unique",
        ));
    }
    Ok(name)
}

/// Puts tools, the schema tool and the choice together; what only this family knows goes into
/// `additional`.
pub(crate) fn config<'a>(
    mut tools: Tools<'a>,
    schema_tool: Option<SchemaTool<'a>>,
    reasoning: &Reasoning,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<Option<ToolConfig<'a>>, RequestError> {
    let capabilities = context.capabilities;
    if tools.wanted == Wanted::None {
        if context.history.is_empty() {
            tools.specs.clear();
        } else {
            let how = "the tools stay visible, since the conversation holds calls of them";
            context.warnings.changed("tool_choice", how)?;
        }
        tools.wanted = Wanted::Unsaid;
        tools.one_at_a_time = None;
    }
    if let Some(SchemaTool { spec, forced }) = schema_tool {
        let alone = tools.specs.is_empty();
        let name = spec.name.clone();
        tools.specs.push(Tool::ToolSpec(spec));
        if forced && matches!(tools.wanted, Wanted::Unsaid | Wanted::Auto) {
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
                    "{} takes no tools, and the conversation holds calls of them; choose another model",
                    capabilities.title
                ),
            ));
        }
        return Ok(past_tools(context));
    }
    let wanted = possible(tools.wanted, &mut tools.specs, reasoning, context)?;
    let tool_choice = if let Some(param) = tools.one_at_a_time {
        if capabilities.tools.parallel_off == ParallelOff::ToolChoiceField {
            // Both ways of choosing at once are refused, so the choice goes along here.
            additional.insert("tool_choice".to_owned(), one_at_a_time(&wanted));
            None
        } else {
            let why = format!("{} cannot be kept from parallel calls", capabilities.title);
            context.warnings.dropped(param, &why)?;
            on_the_wire(wanted)
        }
    } else {
        on_the_wire(wanted)
    };
    Ok(Some(ToolConfig {
        tools: tools.specs,
        tool_choice,
    }))
}

/// The choice as far as the family, and reasoning, allow it.
fn possible<'a>(
    wanted: Wanted<'a>,
    tools: &mut Vec<Tool<'a>>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<Wanted<'a>, RequestError> {
    let capabilities = context.capabilities;
    let has = |choice| capabilities.tools.choice.contains(&choice);
    let forced = matches!(wanted, Wanted::Any | Wanted::Named(_));
    if forced && reasoning.active && !capabilities.reasoning.forced_tool {
        let how = "lowered to auto: a tool cannot be forced while reasoning";
        context.warnings.changed("tool_choice", how)?;
        return Ok(Wanted::Auto);
    }
    match wanted {
        Wanted::Named(name) if !has(Choice::Tool) && has(Choice::Any) => {
            // One tool of which some has to be called is that tool by name.
            tools.retain(|tool| match tool {
                Tool::ToolSpec(spec) => spec.name == name,
                _ => true,
            });
            Ok(Wanted::Any)
        }
        Wanted::Named(_) if !has(Choice::Tool) => lowered(context),
        Wanted::Any if !has(Choice::Any) => lowered(context),
        Wanted::Auto if !has(Choice::Auto) => Ok(Wanted::Unsaid),
        wanted => Ok(wanted),
    }
}

fn lowered<'a>(context: &mut Context<'_>) -> Result<Wanted<'a>, RequestError> {
    let why = format!(
        "{} cannot be forced to call a tool",
        context.capabilities.title
    );
    context.warnings.dropped("tool_choice", &why)?;
    Ok(Wanted::Unsaid)
}

fn on_the_wire(wanted: Wanted<'_>) -> Option<ToolChoice<'_>> {
    match wanted {
        Wanted::Unsaid | Wanted::None => None,
        Wanted::Auto => Some(ToolChoice::Auto(Empty {})),
        Wanted::Any => Some(ToolChoice::Any(Empty {})),
        Wanted::Named(name) => Some(ToolChoice::Tool(SpecificTool { name })),
    }
}

fn one_at_a_time(wanted: &Wanted<'_>) -> Value {
    match wanted {
        Wanted::Unsaid | Wanted::None | Wanted::Auto => {
            json!({"type": "auto", "disable_parallel_tool_use": true})
        }
        Wanted::Any => json!({"type": "any", "disable_parallel_tool_use": true}),
        Wanted::Named(name) => {
            json!({"type": "tool", "name": name, "disable_parallel_tool_use": true})
        }
    }
}

/// Bedrock wants the tools of a history declared, even when the request has none.
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
