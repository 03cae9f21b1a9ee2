//! Images, documents, videos and audio: data URIs, S3 objects and (if allowed) URLs become what Bedrock accepts, base64
//! bytes or an S3 object.
//!
//! Standard base64 is validated but not decoded, except for its first bytes: clients often send a wrong media type,
//! which Bedrock rejects.

mod base64;
mod formats;

use std::borrow::Cow;

use ::base64::Engine as _;
use bedrock::converse::{ContentBlock, DocumentBlock, MediaBlock, S3Location, Source};

use super::{
    context::{Context, NamedDocument},
    error::RequestError,
    json::FieldPath,
    options::{Fetch, FetchKind, Fetched, RemoteMedia},
};
use crate::families::MediaKind;

pub(crate) use formats::Format;

/// An image or file in a client's request.
#[derive(Debug)]
pub(crate) struct MediaInput<'a> {
    /// A data URI, `s3://…`, `https://…` or, for files and audio, base64.
    pub(crate) location: Cow<'a, str>,
    /// File name, if any.
    pub(crate) name: Option<Cow<'a, str>>,
    /// Media type or extension given in a separate field.
    pub(crate) format: Option<Cow<'a, str>>,
    /// The expected kind; `None`: the kind of the detected type.
    pub(crate) kind: Option<MediaKind>,
    /// Whether the location may be bare base64.
    pub(crate) bare: bool,
}

/// Bytes or an S3 object, and what is known about their type.
struct Found<'a> {
    source: Source<'a>,
    media_type: Option<String>,
    bytes: u64,
    /// The first bytes, padded with zeros.
    magic: [u8; 12],
    from_s3: bool,
    /// Whether the request contains the data, not an address.
    inline: bool,
}

/// The media type of base64 data by its first bytes, for images and PDF.
pub(crate) fn media_type_of(data: &str) -> Option<&'static str> {
    let format = formats::by_magic(&base64::first_bytes(data))?;
    match format.word {
        "png" => Some("image/png"),
        "jpeg" => Some("image/jpeg"),
        "gif" => Some("image/gif"),
        "webp" => Some("image/webp"),
        "pdf" => Some("application/pdf"),
        _ => None,
    }
}

/// The content block of a media input; `None` if the gateway has to fetch it first.
pub(crate) fn block<'a>(
    given: &MediaInput<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    if let Some(kind) = given.kind
        && let Some(text) = replaced(kind, at, context)?
    {
        return Ok(Some(text));
    }
    let Some(found) = find(given, at, context)? else {
        return Ok(None);
    };
    let format = format_of(given, &found, at)?;
    let kind = format.kind;
    if let Some(text) = replaced(kind, at, context)? {
        return Ok(Some(text));
    }
    check_kind(kind, &found, at, context)?;
    let limits = &context.capabilities.limits;
    Ok(Some(match kind {
        MediaKind::Document | MediaKind::TextDocument | MediaKind::Text => {
            let address = (!found.inline).then_some(given.location.as_ref());
            let name = given.name.as_deref().or(address);
            let name = document_name(name, found.bytes, at, context)?;
            if let Some(document) = context.documents.last_mut() {
                // An address is not a name that the client gave.
                document.client = given.name.as_deref().map(str::to_owned);
            }
            ContentBlock::Document(DocumentBlock {
                format: format.word,
                name,
                source: found.source,
                context: None,
                citations: None,
            })
        }
        MediaKind::Image => {
            check_size(found.bytes, limits.image_bytes, "an image", at)?;
            if context.images >= limits.images {
                return Err(too_many("images", limits.images, at));
            }
            context.images = context.images.saturating_add(1);
            ContentBlock::Image(media(format, found))
        }
        MediaKind::Video => ContentBlock::Video(media(format, found)),
        MediaKind::Audio => ContentBlock::Audio(media(format, found)),
    }))
}

/// A line of text in place of media that the model does not support, where a rejection would end the conversation.
fn replaced<'a>(
    kind: MediaKind,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let capabilities = context.capabilities;
    if !context.replaces_media || capabilities.media.supports(kind) {
        return Ok(None);
    }
    let (title, words) = (&capabilities.title, plural(kind));
    let how = format!("replaced by text: {title} does not support {words}");
    context.warnings.changed(&at.to_string(), &how)?;
    let text = format!("[Left out: {title} does not support {words}.]");
    Ok(Some(ContentBlock::Text(text.into())))
}

/// The name of a document, after checking its size and the number of documents.
pub(crate) fn document_name(
    name: Option<&str>,
    bytes: u64,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<String, RequestError> {
    let limits = &context.capabilities.limits;
    check_size(bytes, limits.document_bytes, "a document", at)?;
    if context.documents.len() >= limits.documents {
        return Err(too_many("documents", limits.documents, at));
    }
    let upstream = unique_name(name, &context.documents);
    context.documents.push(NamedDocument {
        upstream: upstream.clone(),
        client: name.map(str::to_owned),
    });
    Ok(upstream)
}

fn media(format: Format, found: Found<'_>) -> MediaBlock<'_> {
    MediaBlock {
        format: format.word,
        source: found.source,
    }
}

fn find<'a>(
    given: &MediaInput<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<Found<'a>>, RequestError> {
    let location = given.location.trim();
    if location.starts_with("s3://") {
        return Ok(Some(Found {
            source: Source::S3Location(S3Location {
                uri: given.location.clone(),
                bucket_owner: None,
            }),
            media_type: None,
            bytes: 0,
            magic: [0; 12],
            from_s3: true,
            inline: false,
        }));
    }
    if location.starts_with("https://") || location.starts_with("http://") {
        return fetched(given, location, at, context);
    }
    if let Some((media_type, payload_start)) = data_uri(&given.location) {
        let payload = tail(&given.location, payload_start);
        return inline(payload, Some(media_type), at).map(Some);
    }
    if given.bare {
        return inline(given.location.clone(), None, at).map(Some);
    }
    Err(RequestError::invalid(
        at.to_string(),
        "expected data:<media type>;base64,<data>, s3://<bucket>/<key> or https://<url>",
    ))
}

fn inline<'a>(
    payload: Cow<'a, str>,
    media_type: Option<String>,
    at: &FieldPath<'_>,
) -> Result<Found<'a>, RequestError> {
    let payload = base64::standard(payload)
        .ok_or_else(|| RequestError::invalid(at.to_string(), "invalid base64"))?;
    if payload.is_empty() {
        return Err(RequestError::invalid(at.to_string(), "the data is empty"));
    }
    Ok(Found {
        media_type,
        bytes: base64::decoded_len(&payload),
        magic: base64::first_bytes(&payload),
        source: Source::Bytes(payload),
        from_s3: false,
        inline: true,
    })
}

/// The fetched content of a URL; records a [`Fetch`] if it is not fetched yet.
fn fetched<'a>(
    given: &MediaInput<'a>,
    url: &str,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<Found<'a>>, RequestError> {
    let RemoteMedia::Fetch(fetched) = context.options.remote_media else {
        return Err(RequestError::unsupported(
            at.to_string(),
            "Bedrock does not fetch URLs, and this gateway is not configured to; send \
            data:<media type>;base64,<data> or s3://<bucket>/<key>",
        ));
    };
    if let Some(Fetched {
        bytes,
        content_type,
    }) = fetched.get(url)
    {
        let data = ::base64::engine::general_purpose::STANDARD.encode(bytes);
        let media_type = content_type.as_deref().map(media_type_only);
        let mut found = inline(Cow::Owned(data), media_type, at)?;
        found.inline = false;
        return Ok(Some(found));
    }
    let (kind, max_bytes) = match given.kind {
        Some(MediaKind::Image) => (FetchKind::Image, context.capabilities.limits.image_bytes),
        Some(MediaKind::Video) => (FetchKind::Video, MAX_VIDEO_BYTES),
        _ => (FetchKind::File, context.capabilities.limits.document_bytes),
    };
    let fetch = Fetch {
        url: url.to_owned(),
        param: at.to_string(),
        kind,
        max_bytes,
    };
    if !context.fetches.iter().any(|one| one.url == fetch.url) {
        context.fetches.push(fetch);
    }
    Ok(None)
}

/// Bedrock's limit is 25 MB per request, of which base64 takes a third more.
const MAX_VIDEO_BYTES: u64 = 18 * 1024 * 1024;

/// Media type of a base64 data URI, and the position of its payload.
fn data_uri(text: &str) -> Option<(String, usize)> {
    let (head, _) = text.split_once(',')?;
    let scheme = head.get(..5)?;
    if !scheme.eq_ignore_ascii_case("data:") {
        return None;
    }
    let parameters = head.get(5..)?;
    let (media_type, last) = parameters.rsplit_once(';')?;
    last.trim()
        .eq_ignore_ascii_case("base64")
        .then(|| (media_type_only(media_type), head.len() + 1))
}

fn media_type_only(text: &str) -> String {
    let bare = text.split_once(';').map_or(text, |(bare, _)| bare);
    bare.trim().to_ascii_lowercase()
}

fn tail<'a>(text: &Cow<'a, str>, start: usize) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(start..).unwrap_or_default().to_owned()),
    }
}

/// The format by the first bytes, else by the client's field, else by the media type or the file name.
fn format_of(
    given: &MediaInput<'_>,
    found: &Found<'_>,
    at: &FieldPath<'_>,
) -> Result<Format, RequestError> {
    let wanted = |format: &Format| {
        given.kind.is_none_or(|kind| {
            kind == format.kind
                || (kind == MediaKind::Document && format.kind == MediaKind::TextDocument)
        })
    };
    let extension = |name: &str| {
        let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let (_, extension) = last.rsplit_once('.')?;
        formats::by_extension(extension)
    };
    let named = given.name.as_deref().and_then(extension);
    let format = formats::by_magic(&found.magic)
        .filter(wanted)
        .or_else(|| {
            given
                .format
                .as_deref()
                .and_then(formats::by_word)
                .filter(wanted)
        })
        .or_else(|| {
            let said = found.media_type.as_deref().and_then(formats::by_media_type);
            // A file name is more specific than "text/plain" or "application/octet-stream".
            said.filter(|format| format.word != "txt" || named.is_none())
                .filter(wanted)
        })
        .or_else(|| named.filter(wanted))
        .or_else(|| {
            extension(&given.location)
                .filter(|_| found.from_s3)
                .filter(wanted)
        })
        .or_else(|| {
            found
                .media_type
                .as_deref()
                .and_then(formats::by_media_type)
                .filter(wanted)
        });
    format.ok_or_else(|| {
        let declared = found.media_type.as_deref().unwrap_or("none");
        RequestError::invalid(
            at.to_string(),
            format!(
                "unsupported media type (declared type: {declared}); {}",
                formats::supported(given.kind)
            ),
        )
    })
}

const fn plural(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "images",
        MediaKind::Video => "videos",
        MediaKind::Audio => "audio",
        MediaKind::Document | MediaKind::TextDocument | MediaKind::Text => "documents",
    }
}

fn check_kind(
    kind: MediaKind,
    found: &Found<'_>,
    at: &FieldPath<'_>,
    context: &Context<'_>,
) -> Result<(), RequestError> {
    let capabilities = context.capabilities;
    let word = plural(kind);
    if !capabilities.media.supports(kind) {
        return Err(RequestError::unsupported(
            at.to_string(),
            format!(
                "{} does not support {word}; remove the part or choose another model",
                capabilities.title
            ),
        ));
    }
    let bare = if kind == MediaKind::TextDocument {
        MediaKind::Document
    } else {
        kind
    };
    if found.from_s3 && !capabilities.media.s3.contains(&bare) {
        return Err(RequestError::unsupported(
            at.to_string(),
            format!(
                "{} does not support {word} from S3; send the data as base64",
                capabilities.title
            ),
        ));
    }
    Ok(())
}

fn check_size(bytes: u64, most: u64, what: &str, at: &FieldPath<'_>) -> Result<(), RequestError> {
    if bytes <= most {
        return Ok(());
    }
    Err(RequestError::invalid(
        at.to_string(),
        format!("{what} may have at most {most} bytes, this one has {bytes}"),
    ))
}

fn too_many(what: &str, most: usize, at: &FieldPath<'_>) -> RequestError {
    RequestError::invalid(
        at.to_string(),
        format!("a request may have at most {most} {what}"),
    )
}

/// A document name in Bedrock's character set that is unique in the request.
fn unique_name(name: Option<&str>, taken: &[NamedDocument]) -> String {
    let last = name
        .and_then(|name| name.rsplit(['/', '\\']).next())
        .unwrap_or_default();
    let extension = last
        .rsplit_once('.')
        .filter(|(_, extension)| formats::by_extension(extension).is_some());
    let stem = extension.map_or(last, |(stem, _)| stem);
    let mut clean = String::new();
    for c in stem.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '(' | ')' | '[' | ']') {
            c
        } else if c.is_whitespace() {
            ' '
        } else {
            '-'
        };
        if !(c == ' ' && clean.ends_with(' ')) && clean.len() < MAX_NAME {
            clean.push(c);
        }
    }
    let clean = clean.trim();
    let base = if clean.chars().any(|c| c.is_ascii_alphanumeric()) {
        clean
    } else {
        "document"
    };
    let mut name = base.to_owned();
    let mut count: u32 = 1;
    while taken.iter().any(|document| document.upstream == name) {
        count = count.saturating_add(1);
        name = format!("{base} ({count})");
    }
    name
}

/// Bedrock's limit is 200 characters; the rest is for a number that makes the name unique.
const MAX_NAME: usize = 180;

#[cfg(test)]
mod tests;
