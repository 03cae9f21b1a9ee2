//! Reads `response_format`.

use crate::translation::{
    RequestError,
    context::Context,
    json::{FieldPath, Json},
    openai_shapes::response_format::{read_schema, without_schema},
    response_format::ResponseFormat,
};

/// Reads `response_format`.
pub(super) fn read<'a>(
    format: Option<Json<'a>>,
    context: &mut Context<'_>,
) -> Result<ResponseFormat<'a>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("response_format");
    let Some(format) = format else {
        return Ok(ResponseFormat::Text);
    };
    let mut format = format.object(&at)?;
    let kind = format.required_string("type", &at)?;
    if kind != "json_schema" {
        return without_schema(&kind, &at);
    }
    let inner_at = at.key("json_schema");
    let inner = format
        .object("json_schema", &at)?
        .ok_or_else(|| RequestError::missing(inner_at.to_string(), "is required"))?;
    read_schema(inner, &inner_at, context)
}
