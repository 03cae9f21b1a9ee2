//! Answers by a JSON Schema: natively where the model has it, by a tool whose arguments are the answer
//! where not, by instructions where there are no tools either.

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

/// What a format becomes.
#[derive(Debug, Default)]
pub(crate) struct StructuredOutput<'a> {
    pub(crate) output: Option<OutputConfig<'a>>,
    pub(crate) schema_tool: Option<SchemaTool<'a>>,
    pub(crate) instruction: Option<SystemBlock<'a>>,
}

/// A tool whose arguments are the answer.
#[derive(Debug)]
pub(crate) struct SchemaTool<'a> {
    pub(crate) spec: ToolSpec<'a>,
    /// Whether the model can be made to call it.
    pub(crate) forced: bool,
}

/// What the client wants the answer to be.
#[derive(Debug, Default)]
pub(crate) enum ResponseFormat<'a> {
    #[default]
    Text,
    Object,
    Schema(Schema<'a>),
}

/// A JSON Schema that the answer has to follow.
#[derive(Debug)]
pub(crate) struct Schema<'a> {
    pub(crate) given: Json<'a>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) description: Option<Cow<'a, str>>,
    /// Where the schema stands.
    pub(crate) path: String,
}

/// Decides how the wish comes true.
pub(crate) fn decide<'a>(
    wish: ResponseFormat<'a>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<StructuredOutput<'a>, RequestError> {
    match wish {
        ResponseFormat::Text => Ok(StructuredOutput::default()),
        ResponseFormat::Object => Ok(StructuredOutput {
            instruction: Some(instruction(None)),
            ..StructuredOutput::default()
        }),
        ResponseFormat::Schema(schema) => by_schema(schema, reasoning, context),
    }
}

fn by_schema<'a>(
    wish: Schema<'a>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<StructuredOutput<'a>, RequestError> {
    let Schema {
        given,
        name,
        description,
        path,
    } = wish;
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
            // A tool's arguments are an object; other answers can only be asked for.
            if tree.get("type").is_some_and(|kind| kind != "object") {
                return Ok(asked_for(&tree));
            }
            let can_force = capabilities.tools.choice.contains(&Choice::Tool)
                || capabilities.tools.choice.contains(&Choice::Any);
            let forced = can_force && (!reasoning.active || capabilities.reasoning.forced_tool);
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
            Ok(StructuredOutput {
                schema_tool: Some(SchemaTool { spec, forced }),
                instruction: ask,
                ..StructuredOutput::default()
            })
        }
        SchemaMode::Prompt => Ok(asked_for(&schema::tree(given, at)?)),
    }
}

fn asked_for<'a>(schema: &Value) -> StructuredOutput<'a> {
    StructuredOutput {
        instruction: Some(instruction(Some(schema))),
        ..StructuredOutput::default()
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
