//! Reads the content parts of items.

use bedrock::converse::ContentBlock;

use crate::{
    families::MediaKind,
    translation::{
        RequestError, cache,
        context::Context,
        json::{FieldPath, Json, Object},
        media::{self, MediaInput},
        parts::{Part, flatten, text_block},
    },
};

/// Reads `content` or `output`: a string, or an array of parts.
pub(super) fn decode<'a>(
    given: Option<Json<'a>>,
    at: &FieldPath<'_>,
    cached: bool,
    context: &mut Context<'_>,
) -> Result<Vec<ContentBlock<'a>>, RequestError> {
    let parts = match given {
        None => Vec::new(),
        Some(Json::String(text)) => vec![Part {
            block: text_block(text),
            cache: None,
        }],
        Some(Json::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| part(item, &at.index(index), cached, context))
            .collect::<Result<_, _>>()?,
        Some(_) => {
            return Err(RequestError::invalid(
                at.to_string(),
                "expected a string or an array of content parts",
            ));
        }
    };
    Ok(flatten(parts))
}

fn part<'a>(
    part: Json<'a>,
    at: &FieldPath<'_>,
    cached: bool,
    context: &mut Context<'_>,
) -> Result<Part<'a>, RequestError> {
    let mut object = part.object(at)?;
    let cache = cache::point(&mut object, at, cached, context)?;
    let kind = object.required_string("type", at)?;
    let block = match kind.as_ref() {
        "input_text" | "output_text" | "text" => {
            // Members of replayed output.
            object.take("annotations");
            object.take("logprobs");
            text_block(object.required_text("text", at)?)
        }
        "refusal" => text_block(object.required_text("refusal", at)?),
        "input_image" => image(&mut object, at, context)?,
        "input_file" => file(&mut object, at, context)?,
        other => {
            return Err(RequestError::unsupported(
                at.key("type").to_string(),
                format!(
                    "{other:?} is not a supported content part; use input_text, input_image, \
                     input_file, output_text or refusal"
                ),
            ));
        }
    };
    context.drop_unknown(object, at)?;
    Ok(Part { block, cache })
}

fn image<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    // Bedrock has no detail setting.
    object.take("detail");
    let (location, key) = match (
        object.string("image_url", at)?,
        object.string("file_id", at)?,
    ) {
        (Some(url), _) => (url, "image_url"),
        (None, Some(id)) => (stored(id, at)?, "file_id"),
        (None, None) => {
            return Err(RequestError::missing(
                at.key("image_url").to_string(),
                "is required",
            ));
        }
    };
    let given = MediaInput {
        location,
        format: None,
        name: None,
        kind: Some(MediaKind::Image),
        bare: false,
    };
    media::block(&given, &at.key(key), context)
}

fn file<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    object.take("detail");
    let name = object.string("filename", at)?;
    let data = object.string("file_data", at)?;
    let url = object.string("file_url", at)?;
    let id = object.string("file_id", at)?;
    let (location, key) = match (data, url, id) {
        (Some(data), _, _) => (data, "file_data"),
        (None, Some(url), _) => (url, "file_url"),
        (None, None, Some(id)) => (stored(id, at)?, "file_id"),
        (None, None, None) => {
            return Err(RequestError::missing(
                at.key("file_data").to_string(),
                "file_data or file_url is required",
            ));
        }
    };
    let given = MediaInput {
        location,
        name,
        format: None,
        kind: None,
        bare: key == "file_data",
    };
    media::block(&given, &at.key(key), context)
}

/// A `file_id` that is an S3 URI.
fn stored<'a>(
    id: std::borrow::Cow<'a, str>,
    at: &FieldPath<'_>,
) -> Result<std::borrow::Cow<'a, str>, RequestError> {
    if id.starts_with("s3://") {
        return Ok(id);
    }
    Err(RequestError::unsupported(
        at.key("file_id").to_string(),
        "uploaded files are not supported; send the data, or an s3:// URI as file_id",
    ))
}
