//! A Converse request, assembled from the parts that a dialect has read.
//!
//! A dialect calls [`draft`], adds the fields that only it knows, and calls [`finish`].

use bedrock::converse::{ConverseRequest, Message, SystemBlock};
use serde_json::{Map, Value};

use super::{
    cache::{self, Automatic},
    context::Context,
    conversation::instruct,
    error::RequestError,
    reasoning::Reasoning,
    response_format::StructuredOutput,
    sampling::{self, SamplingFields, stop_sequence_paths},
    tools::{self, Tools},
};

/// The parts of a request that every dialect has.
#[derive(Debug)]
pub(crate) struct RequestParts<'a> {
    pub(crate) system: Vec<SystemBlock<'a>>,
    pub(crate) messages: Vec<Message<'a>>,
    pub(crate) tools: Tools<'a>,
    pub(crate) output: StructuredOutput<'a>,
    pub(crate) sampling: SamplingFields<'a>,
    /// Model-specific fields for `additionalModelRequestFields`.
    pub(crate) additional: Map<String, Value>,
}

/// A request without the fields that differ by dialect.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) request: ConverseRequest<'a>,
    /// Bedrock's name of the tool whose arguments are the response.
    schema_tool: Option<String>,
}

/// A complete request, and how to call Bedrock and read the response.
#[derive(Debug)]
pub(crate) struct Assembled<'a> {
    pub(crate) request: ConverseRequest<'a>,
    /// Whether to call ConverseStream.
    pub(crate) upstream_stream: bool,
    /// Bedrock's name of the tool whose arguments are the response.
    pub(crate) schema_tool: Option<String>,
    /// Whether the text of the response may contain tool calls.
    pub(crate) reads_calls_in_text: bool,
}

/// Assembles conversation, tools, output format and sampling.
///
/// # Errors
/// When the model family does not support a part, or in strict mode when it would be changed or dropped.
pub(crate) fn draft<'a>(
    parts: RequestParts<'a>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<Draft<'a>, RequestError> {
    let RequestParts {
        mut system,
        mut messages,
        tools,
        output,
        sampling,
        mut additional,
    } = parts;
    instruct(output.instruction, &mut system, &mut messages, context);
    let schema_tool = output
        .schema_tool
        .as_ref()
        .map(|tool| tool.spec.name.clone().into_owned());
    let (tool_config, instruction) = tools::config(
        tools,
        output.schema_tool,
        reasoning,
        &mut additional,
        context,
    )?;
    instruct(instruction, &mut system, &mut messages, context);
    let inference_config = sampling::decode(sampling, reasoning, &mut additional, context)?;
    Ok(Draft {
        request: ConverseRequest {
            messages,
            system,
            tool_config,
            additional_model_request_fields: additional,
            additional_model_response_field_paths: stop_sequence_paths(
                &inference_config,
                context.capabilities,
            ),
            inference_config,
            output_config: output.output,
            ..ConverseRequest::default()
        },
        schema_tool,
    })
}

/// Adds automatic cache points and puts all cache points where Bedrock accepts them. `stream`: whether the client
/// wants a stream.
///
/// # Errors
/// In strict mode, when cache points would be changed.
pub(crate) fn finish<'a>(
    draft: Draft<'a>,
    automatic: Option<Automatic>,
    stream: bool,
    context: &mut Context<'_>,
) -> Result<Assembled<'a>, RequestError> {
    let Draft {
        mut request,
        schema_tool,
    } = draft;
    cache::finish(&mut request, automatic, context)?;
    let tools = request.tool_config.is_some();
    Ok(Assembled {
        upstream_stream: stream && (!tools || context.capabilities.tools.streamed),
        reads_calls_in_text: tools && context.capabilities.tools.leaks_call_tokens,
        request,
        schema_tool,
    })
}
