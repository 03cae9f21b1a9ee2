//! `response_format`: natively where the model has it, by a tool whose arguments are the answer
//! where not, by instructions where there are no tools either.

use std::borrow::Cow;

use bedrock::converse::{
    InputSchema, JsonSchema, OutputConfig, SystemBlock, TextFormat, TextFormatStructure, ToolSpec,
};
use serde_json::Value;

use super::{
    super::{
        error::RequestError,
        json::{At, Json},
    },
    reasoning::Reasoning,
    request::Context,
    schema,
};
use crate::families::{Choice, SchemaMode};

/// What a format becomes.
#[derive(Debug, Default)]
pub(super) struct Format<'a> {
    pub(super) output: Option<OutputConfig<'a>>,
    pub(super) schema_tool: Option<SchemaTool<'a>>,
    pub(super) instruction: Option<SystemBlock<'a>>,
}

/// A tool whose arguments are the answer.
#[derive(Debug)]
pub(super) struct SchemaTool<'a> {
    pub(super) spec: ToolSpec<'a>,
    /// Whether the model can be made to call it.
    pub(super) forced: bool,
}

/// Reads `response_format`.
pub(super) fn decode<'a>(
    format: Option<Json<'a>>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<Format<'a>, RequestError> {
    let root = At::Root;
    let at = root.key("response_format");
    let Some(format) = format else {
        return Ok(Format::default());
    };
    let mut format = format.object(&at)?;
    let kind = format.required_string("type", &at)?;
    match kind.as_ref() {
        "text" => Ok(Format::default()),
        "json_object" => Ok(Format {
            instruction: Some(instruction(None)),
            ..Format::default()
        }),
        "json_schema" => {
            let at = at.key("json_schema");
            let mut inner = format
                .object("json_schema", &At::Root.key("response_format"))?
                .ok_or_else(|| RequestError::missing(at.to_string(), "must be given"))?;
            let name = inner.string("name", &at)?;
            let description = inner
                .string("description", &at)?
                .filter(|text| !text.trim().is_empty());
            inner.take("strict");
            let schema_at = at.key("schema");
            let given = inner
                .take("schema")
                .ok_or_else(|| RequestError::missing(schema_at.to_string(), "must be given"))?;
            context.unknown(inner, &at)?;
            by_schema(given, name, description, &schema_at, reasoning, context)
        }
        other => Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{other:?} is not text, json_object or json_schema"),
        )),
    }
}

fn by_schema<'a>(
    given: Json<'a>,
    name: Option<Cow<'a, str>>,
    description: Option<Cow<'a, str>>,
    at: &At<'_>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<Format<'a>, RequestError> {
    let facts = context.facts;
    match facts.json_schema {
        SchemaMode::Native => {
            let mut tree = schema::tree(given, at)?;
            if schema::close(&mut tree) {
                context
                    .notes
                    .changed("response_format.json_schema.schema", schema::CLOSED)?;
            }
            let structure = TextFormatStructure::JsonSchema(JsonSchema {
                schema: tree.to_string(),
                name,
                description,
            });
            Ok(Format {
                output: Some(OutputConfig {
                    text_format: Some(TextFormat {
                        kind: "json_schema",
                        structure,
                    }),
                }),
                ..Format::default()
            })
        }
        SchemaMode::Tool => {
            let tree = schema::tree(given.clone(), at)?;
            // A tool's arguments are an object; other answers can only be asked for.
            if tree.get("type").is_some_and(|kind| kind != "object") {
                return Ok(asked_for(&tree));
            }
            let can_force = facts.tools.choice.contains(&Choice::Tool)
                || facts.tools.choice.contains(&Choice::Any);
            let forced = can_force && (!reasoning.active || facts.reasoning.forced_tool);
            let tool = free_name(context);
            let ask = (!forced).then(|| call_it(&tool));
            let spec = ToolSpec {
                name: Cow::Owned(tool),
                description: Some(description.unwrap_or(Cow::Borrowed(
                    "Gives the final answer. The arguments are the answer.",
                ))),
                input_schema: InputSchema {
                    json: schema::tool_schema(Some(given), at)?,
                },
                strict: None,
            };
            Ok(Format {
                schema_tool: Some(SchemaTool { spec, forced }),
                instruction: ask,
                ..Format::default()
            })
        }
        SchemaMode::Prompt => Ok(asked_for(&schema::tree(given, at)?)),
    }
}

fn asked_for<'a>(schema: &Value) -> Format<'a> {
    Format {
        instruction: Some(instruction(Some(schema))),
        ..Format::default()
    }
}

/// A name no tool of the client's has.
fn free_name(context: &Context<'_>) -> String {
    let mut name = "structured_answer".to_owned();
    while context.names.knows(&name) {
        name.push('_');
    }
    name
}

fn call_it<'a>(tool: &str) -> SystemBlock<'a> {
    SystemBlock::Text(Cow::Owned(format!(
        "Give your final answer by calling the tool {tool}, and in no other way."
    )))
}

fn instruction<'a>(schema: Option<&Value>) -> SystemBlock<'a> {
    SystemBlock::Text(match schema {
        None => Cow::Borrowed(
            "Answer with one JSON object and nothing else: no explanation, no code fence.",
        ),
        Some(schema) => Cow::Owned(format!(
            "Answer with JSON that follows this JSON Schema and with nothing else: no explanation, \
             no code fence.\n{schema}"
        )),
    })
}
