//! Response formats in the shapes that OpenAI's endpoints share.

use crate::translation::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Object},
    response_format::{ResponseFormat, Schema},
};

/// A response format without a schema.
pub(crate) fn without_schema<'a>(
    kind: &str,
    at: &FieldPath<'_>,
) -> Result<ResponseFormat<'a>, RequestError> {
    match kind {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::Object),
        other => Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{other:?} is not supported; use text, json_object or json_schema"),
        )),
    }
}

/// Reads `name`, `description`, `strict` and `schema`.
pub(crate) fn read_schema<'a>(
    mut inner: Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<ResponseFormat<'a>, RequestError> {
    let name = inner.string("name", at)?;
    let description = inner
        .string("description", at)?
        .filter(|text| !text.trim().is_empty());
    inner.take("strict");
    let path = at.key("schema").to_string();
    let given = inner
        .take("schema")
        .ok_or_else(|| RequestError::missing(path.clone(), "is required"))?;
    context.drop_unknown(inner, at)?;
    Ok(ResponseFormat::Schema(Schema {
        given,
        name,
        description,
        path,
    }))
}
