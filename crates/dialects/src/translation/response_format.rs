//! Structured output: natively if the model supports it, else by a tool whose arguments are the response, or by
//! instructions for models without tools.

use std::borrow::Cow;

use bedrock::converse::{
    InputSchema, JsonSchema, OutputConfig, SystemBlock, TextFormat, TextFormatStructure, ToolSpec,
};
use serde_json::Value;

use super::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Json},
    reasoning::Reasoning,
    schema,
};
use crate::families::{Choice, SchemaMode};

/// How a request gets structured output.
#[derive(Debug, Default)]
pub(crate) struct StructuredOutput<'a> {
    pub(crate) output: Option<OutputConfig<'a>>,
    pub(crate) schema_tool: Option<SchemaTool<'a>>,
    pub(crate) instruction: Option<SystemBlock<'a>>,
}

/// A tool whose arguments are the response.
#[derive(Debug)]
pub(crate) struct SchemaTool<'a> {
    pub(crate) spec: ToolSpec<'a>,
    /// Whether the model can be forced to call it.
    pub(crate) forced: bool,
}

/// The response format that the client requests.
#[derive(Debug, Default)]
pub(crate) enum ResponseFormat<'a> {
    #[default]
    Text,
    Object,
    Schema(Schema<'a>),
}

/// A JSON Schema for the response.
#[derive(Debug)]
pub(crate) struct Schema<'a> {
    pub(crate) given: Json<'a>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) description: Option<Cow<'a, str>>,
    /// Path of the schema in the request.
    pub(crate) path: String,
}

/// Selects how the model produces the format.
pub(crate) fn decide<'a>(
    format: ResponseFormat<'a>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<StructuredOutput<'a>, RequestError> {
    match format {
        ResponseFormat::Text => Ok(StructuredOutput::default()),
        ResponseFormat::Object => Ok(StructuredOutput {
            instruction: Some(instruction(None)),
            ..StructuredOutput::default()
        }),
        ResponseFormat::Schema(schema) => by_schema(schema, reasoning, context),
    }
}

fn by_schema<'a>(
    schema: Schema<'a>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<StructuredOutput<'a>, RequestError> {
    let Schema {
        given,
        name,
        description,
        path,
    } = schema;
    let root = FieldPath::Root;
    let at = &root.key(&path);
    let capabilities = context.capabilities;
    match capabilities.json_schema {
        SchemaMode::Native => {
            let mut tree = schema::tree(given, at)?;
            if schema::close(&mut tree) {
                context.warnings.changed(&path, schema::CLOSED)?;
            }
            let structure = TextFormatStructure::JsonSchema(JsonSchema {
                schema: tree.to_string(),
                name,
                description,
            });
            Ok(StructuredOutput {
                output: Some(OutputConfig {
                    text_format: Some(TextFormat {
                        kind: "json_schema",
                        structure,
                    }),
                }),
                ..StructuredOutput::default()
            })
        }
        SchemaMode::Tool => {
            let tree = schema::tree(given.clone(), at)?;
            // Arguments of a tool are an object; other types need instructions.
            if tree.get("type").is_some_and(|kind| kind != "object") {
                return Ok(instructed(&tree));
            }
            let can_force = capabilities.tools.choice.contains(&Choice::Tool)
                || capabilities.tools.choice.contains(&Choice::Any);
            let forced = can_force && (!reasoning.active || capabilities.reasoning.forced_tool);
            let tool = free_name(context);
            let ask = (!forced).then(|| call_it(&tool));
            let json = schema::tool_input(Some(given), at, &tool, context)?;
            let spec = ToolSpec {
                name: Cow::Owned(tool),
                description: Some(description.unwrap_or(Cow::Borrowed(
                    "Gives the final answer. The arguments are the answer.",
                ))),
                input_schema: InputSchema { json },
                strict: None,
            };
            Ok(StructuredOutput {
                schema_tool: Some(SchemaTool { spec, forced }),
                instruction: ask,
                ..StructuredOutput::default()
            })
        }
        SchemaMode::Prompt => Ok(instructed(&schema::tree(given, at)?)),
    }
}

fn instructed<'a>(schema: &Value) -> StructuredOutput<'a> {
    StructuredOutput {
        instruction: Some(instruction(Some(schema))),
        ..StructuredOutput::default()
    }
}

/// A name that none of the client's tools has.
fn free_name(context: &Context<'_>) -> String {
    let mut name = "structured_answer".to_owned();
    while context.names.knows(&name) {
        name.push('_');
    }
    name
}

fn call_it<'a>(tool: &str) -> SystemBlock<'a> {
    let text = format!("Give your final answer by calling the tool {tool}, and in no other way.");
    SystemBlock::Text(text.into())
}

fn instruction<'a>(schema: Option<&Value>) -> SystemBlock<'a> {
    SystemBlock::Text(match schema {
        None => {
            "Answer with one JSON object and nothing else: no explanation, no code fence.".into()
        }
        Some(schema) => format!(
            "Answer with JSON that follows this JSON Schema and with nothing else: no explanation, \
             no code fence.\n{schema}"
        )
        .into(),
    })
}
