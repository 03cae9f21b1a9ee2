//! Reads the parts in the `content` of a message.

use std::borrow::Cow;

use bedrock::converse::{ContentBlock, GuardContent, GuardText};

use crate::{
    families::MediaKind,
    translation::{
        RequestError, cache,
        context::Context,
        json::{FieldPath, Json, Object},
        media::{self, MediaInput},
        parts::{Part, text_block},
    },
};

/// Reads `content`: a string, or an array of parts.
pub(super) fn content<'a>(
    given: Option<Json<'a>>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Part<'a>>, RequestError> {
    match given {
        None => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![Part {
            block: text_block(text),
            cache: None,
        }]),
        Some(Json::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| part(item, &at.index(index), context))
            .collect(),
        Some(other) => Err(RequestError::invalid(
            at.to_string(),
            format!(
                "expected a string or an array of content parts, got {}",
                serde_json::to_string(&other).map_or_else(|_| String::new(), |text| shorten(&text))
            ),
        )),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

fn part<'a>(
    part: Json<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Part<'a>, RequestError> {
    // Some clients send text parts as bare strings.
    if let Json::String(text) = part {
        return Ok(Part {
            block: text_block(text),
            cache: None,
        });
    }
    let mut object = part.object(at)?;
    let cache = cache::point(
        &mut object,
        at,
        context.capabilities.cache.messages,
        context,
    )?;
    let kind = object.required_string("type", at)?;
    let block = match kind.as_ref() {
        "text" => text_block(object.required_text("text", at)?),
        "refusal" => text_block(object.required_text("refusal", at)?),
        "image_url" => image(&mut object, at, context)?,
        "file" => file(&mut object, at, context)?,
        "input_audio" => audio(&mut object, at, context)?,
        "video_url" => video(&mut object, at, context)?,
        "guarded_text" => guarded(&mut object, at)?,
        "image" | "document" | "tool_use" | "tool_result" | "thinking" | "redacted_thinking" => {
            return Err(RequestError::unsupported(
                at.key("type").to_string(),
                format!(
                    "{kind:?} is a block of Anthropic's Messages; send this body to POST /v1/messages"
                ),
            ));
        }
        other => {
            return Err(RequestError::unsupported(
                at.key("type").to_string(),
                format!(
                    "{other:?} is not a supported content part; use text, image_url, file, \
                     input_audio, video_url, refusal or guarded_text"
                ),
            ));
        }
    };
    context.drop_unknown(object, at)?;
    Ok(Part { block, cache })
}

/// The location and format in an object with `url`, or in a bare string.
fn url<'a>(
    object: &mut Object<'a>,
    key: &str,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<(Cow<'a, str>, Option<Cow<'a, str>>), RequestError> {
    match object.take(key) {
        Some(Json::String(url)) => Ok((url.decode(), None)),
        Some(value) => {
            let at = at.key(key);
            let mut inner = value.object(&at)?;
            // Bedrock has no detail setting.
            inner.take("detail");
            let url = inner.required_string("url", &at)?;
            let format = inner.string("format", &at)?;
            context.drop_unknown(inner, &at)?;
            Ok((url, format))
        }
        None => Err(RequestError::missing(
            at.key(key).to_string(),
            "is required",
        )),
    }
}

fn image<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let (location, format) = url(object, "image_url", at, context)?;
    let given = MediaInput {
        location,
        format,
        name: None,
        kind: Some(MediaKind::Image),
        bare: false,
    };
    media::block(&given, &at.key("image_url").key("url"), context)
}

fn video<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let (location, format) = url(object, "video_url", at, context)?;
    let given = MediaInput {
        location,
        format,
        name: None,
        kind: Some(MediaKind::Video),
        bare: false,
    };
    media::block(&given, &at.key("video_url").key("url"), context)
}

fn audio<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let at = at.key("input_audio");
    let mut inner = object
        .take("input_audio")
        .ok_or_else(|| RequestError::missing(at.to_string(), "is required"))?
        .object(&at)?;
    let given = MediaInput {
        location: inner.required_string("data", &at)?,
        format: inner.string("format", &at)?,
        name: None,
        kind: Some(MediaKind::Audio),
        bare: true,
    };
    context.drop_unknown(inner, &at)?;
    media::block(&given, &at.key("data"), context)
}

fn file<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let at = at.key("file");
    let mut inner = object
        .take("file")
        .ok_or_else(|| RequestError::missing(at.to_string(), "is required"))?
        .object(&at)?;
    let data = inner.string("file_data", &at)?;
    let id = inner.string("file_id", &at)?;
    let (location, key) = match (data, id) {
        (Some(data), _) => (data, "file_data"),
        (None, Some(id)) if id.starts_with("s3://") || id.starts_with("http") => (id, "file_id"),
        (None, Some(_)) => {
            return Err(RequestError::unsupported(
                at.key("file_id").to_string(),
                "uploaded files are not supported; send file_data, or an s3:// URI as file_id",
            ));
        }
        (None, None) => {
            return Err(RequestError::missing(
                at.key("file_data").to_string(),
                "is required",
            ));
        }
    };
    let given = MediaInput {
        location,
        name: inner.string("filename", &at)?,
        format: inner.string("format", &at)?,
        kind: None,
        bare: true,
    };
    inner.take("detail");
    context.drop_unknown(inner, &at)?;
    media::block(&given, &at.key(key), context)
}

fn guarded<'a>(
    object: &mut Object<'a>,
    at: &FieldPath<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let text = object.required_string("text", at)?;
    let qualifiers = match object.take("qualifiers") {
        None => Vec::new(),
        Some(list) => {
            let at = at.key("qualifiers");
            list.array(&at)?
                .into_iter()
                .enumerate()
                .map(|(index, one)| one.string(&at.index(index)))
                .collect::<Result<_, _>>()?
        }
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(ContentBlock::GuardContent(GuardContent::Text(
        GuardText { text, qualifiers },
    ))))
}
