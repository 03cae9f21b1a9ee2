//! The fields that OpenAI's chat endpoints share, as a Converse request.

use serde_json::{Map, Value};

use super::{reasoning, service};
use crate::translation::{
    cache,
    context::{Context, merge},
    conversation::{Conversation, system_and_messages},
    error::RequestError,
    fields::Fields,
    guardrail::guardrail,
    json::{FieldPath, Json, Object},
    request::{self, Assembled, RequestParts},
    response_format::{self, ResponseFormat},
    sampling::SamplingFields,
    tools::Tools,
};

/// The parts that the endpoints spell differently, already read.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) stream: bool,
    pub(crate) tools: Tools<'a>,
    pub(crate) conversation: Conversation<'a>,
    pub(crate) effort: Option<Json<'a>>,
    /// Whether the client receives the text of the reasoning.
    pub(crate) shows_reasoning: bool,
    pub(crate) response_format: ResponseFormat<'a>,
    pub(crate) sampling: SamplingFields<'a>,
}

/// Assembles a request from `parts` and from the shared fields of `body`.
///
/// # Errors
/// A 400 naming the field.
pub(crate) fn assemble<'a>(
    parts: Parts<'a>,
    mut body: Object<'a>,
    fields: &Fields,
    context: &mut Context<'_>,
) -> Result<Assembled<'a>, RequestError> {
    let stream = parts.stream;
    let thinking = body.take("thinking");
    let shown = parts.shows_reasoning;
    let mut reasoning = reasoning::decide(parts.effort, thinking, shown, context)?;
    let extra = extra(&mut body)?;
    if reasoning.fields.is_empty() {
        reasoning.active = thinks(&extra);
    }
    let (system, messages) = system_and_messages(parts.conversation, context)?;
    reasoning::check_replay(&mut reasoning, &messages, context)?;
    let output = response_format::decide(parts.response_format, &reasoning, context)?;
    let parts = RequestParts {
        system,
        messages,
        tools: parts.tools,
        output,
        sampling: parts.sampling,
        additional: std::mem::take(&mut reasoning.fields),
    };
    let mut draft = request::draft(parts, &reasoning, context)?;
    merge(&mut draft.request.additional_model_request_fields, extra);
    let automatic = cache::automatic_point(&mut body, context)?;
    draft.request.guardrail_config = guardrail(&mut body, stream, context)?;
    draft.request.request_metadata = service::metadata(&mut body, context)?;
    draft.request.performance_config = service::performance(&mut body, context)?;
    draft.request.service_tier = service::tier(&mut body)?;
    let assembled = request::finish(draft, automatic, stream, context)?;
    fields.drop_remaining(body, &mut context.warnings)?;
    Ok(assembled)
}

/// `extra_body` and Bedrock's own name for it: model-specific fields, passed on unchanged.
fn extra(body: &mut Object<'_>) -> Result<Map<String, Value>, RequestError> {
    let root = FieldPath::Root;
    let mut all = Map::new();
    for key in ["extra_body", "additionalModelRequestFields"] {
        if let Some(value) = body.take(key) {
            let at = root.key(key);
            match value.into_value(&at)? {
                Value::Object(fields) => merge(&mut all, fields),
                _ => return Err(RequestError::invalid(key, "expected an object")),
            }
        }
    }
    Ok(all)
}

/// Whether fields that the client passes through make the model reason.
fn thinks(fields: &Map<String, Value>) -> bool {
    let kind = fields
        .get("thinking")
        .and_then(|thinking| thinking.get("type"));
    kind.and_then(Value::as_str)
        .is_some_and(|kind| kind != "disabled")
}
