//! `response_format`: natively where the model has it, by a tool whose arguments are the answer
//! where not, by instructions where there are no tools either.

use super::{
    super::{
        error::RequestError,
        json::{At, Json, Object},
    },
    request::Context,
};
pub(crate) use crate::translation::format::{Schema, Wish, decide};

/// Reads `response_format`.
pub(crate) fn read<'a>(
    format: Option<Json<'a>>,
    context: &mut Context<'_>,
) -> Result<Wish<'a>, RequestError> {
    let root = At::Root;
    let at = root.key("response_format");
    let Some(format) = format else {
        return Ok(Wish::Text);
    };
    let mut format = format.object(&at)?;
    let kind = format.required_string("type", &at)?;
    if kind != "json_schema" {
        return without_schema(&kind, &at);
    }
    let inner_at = at.key("json_schema");
    let inner = format
        .object("json_schema", &at)?
        .ok_or_else(|| RequestError::missing(inner_at.to_string(), "must be given"))?;
    read_schema(inner, &inner_at, context)
}

/// A type of format that needs no schema.
pub(crate) fn without_schema<'a>(kind: &str, at: &At<'_>) -> Result<Wish<'a>, RequestError> {
    match kind {
        "text" => Ok(Wish::Text),
        "json_object" => Ok(Wish::Object),
        other => Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!("{other:?} is not text, json_object or json_schema"),
        )),
    }
}

/// Reads `name`, `description`, `strict` and `schema`.
pub(crate) fn read_schema<'a>(
    mut inner: Object<'a>,
    at: &At<'_>,
    context: &mut Context<'_>,
) -> Result<Wish<'a>, RequestError> {
    let name = inner.string("name", at)?;
    let description = inner
        .string("description", at)?
        .filter(|text| !text.trim().is_empty());
    inner.take("strict");
    let path = at.key("schema").to_string();
    let given = inner
        .take("schema")
        .ok_or_else(|| RequestError::missing(path.clone(), "must be given"))?;
    context.unknown(inner, at)?;
    Ok(Wish::Schema(Schema {
        given,
        name,
        description,
        path,
    }))
}
