//! Content blocks: text, images, documents and search results.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::{
    CitationsConfig, ContentBlock, DocumentBlock, SearchResultBlock, Source, TextPiece,
};

use crate::{
    families::MediaKind,
    translation::{
        RequestError, cache,
        context::Context,
        json::{FieldPath, Json, Object},
        media,
        parts::{Part, text_block},
    },
};

/// Reads a block of a user message or of a tool result.
pub(super) fn part<'a>(
    kind: &str,
    mut block: Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Part<'a>, RequestError> {
    let cache = cache::point(&mut block, at, context.capabilities.cache.messages, context)?;
    let translated = match kind {
        "text" => text(&mut block, at, context)?,
        "image" => image(&mut block, at, context)?,
        "document" => document(&mut block, at, context)?,
        "search_result" => search_result(&mut block, at, context)?,
        "tool_reference" => {
            let how = "sent as text, because Converse does not search tools";
            context
                .warnings
                .changed("messages[].content[].tool_reference", how)?;
            let name = block.required_string("tool_name", at)?;
            Some(ContentBlock::Text(tool_reference(&name).into()))
        }
        other => {
            let known = "text, image, document, search_result or tool_result";
            return Err(unknown(other, at, known));
        }
    };
    context.drop_unknown(block, at)?;
    Ok(Part {
        block: translated,
        cache,
    })
}

/// A reference to a tool as text.
pub(in crate::anthropic) fn tool_reference(name: &str) -> String {
    format!("The tool {name} is available.")
}

/// The error for a block type that is not supported at this place.
pub(super) fn unknown(kind: &str, at: &FieldPath<'_>, known: &str) -> RequestError {
    RequestError::unsupported(
        at.key("type").to_string(),
        format!("{kind:?} is not supported here; use {known}"),
    )
}

/// Reads a text block; citations of earlier turns are dropped.
pub(super) fn text<'a>(
    block: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    if let Some(Json::Array(citations)) = block.take("citations")
        && !citations.is_empty()
    {
        let why = "citations of earlier turns are not supported by Bedrock";
        context
            .warnings
            .dropped("messages[].content[].citations", why)?;
    }
    block.required_text("text", at).map(text_block)
}

fn image<'a>(
    block: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let source_at = at.key("source");
    let mut source = source(block, at)?;
    let kind = source.required_string("type", &source_at)?;
    let (given, key) = media_input(&kind, &mut source, &source_at, MediaKind::Image)?;
    context.drop_unknown(source, &source_at)?;
    media::block(&given, &source_at.key(key), context)
}

fn source<'a>(block: &mut Object<'a>, at: &FieldPath<'_>) -> Result<Object<'a>, RequestError> {
    block
        .object("source", at)?
        .ok_or_else(|| RequestError::missing(at.key("source").to_string(), "is required"))
}

/// The base64 data or URL of a source, and the name of its member.
fn media_input<'a>(
    kind: &str,
    source: &mut Object<'a>,
    at: &FieldPath<'_>,
    media: MediaKind,
) -> Result<(media::MediaInput<'a>, &'static str), RequestError> {
    let (key, bare) = match kind {
        "base64" => ("data", true),
        "url" => ("url", false),
        "file" => {
            return Err(RequestError::unsupported(
                at.key("type").to_string(),
                "uploaded files are not supported; send the data with type \"base64\"",
            ));
        }
        other => {
            return Err(RequestError::invalid(
                at.key("type").to_string(),
                format!("{other:?} is not supported; use base64 or url"),
            ));
        }
    };
    let given = media::MediaInput {
        location: source.required_string(key, at)?,
        name: None,
        format: source.string("media_type", at)?,
        kind: Some(media),
        bare,
    };
    Ok((given, key))
}

/// The fields of a document besides its source.
struct About<'a> {
    title: Option<Cow<'a, str>>,
    context: Option<Cow<'a, str>>,
    citations: Option<CitationsConfig>,
}

fn document<'a>(
    block: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let about = About {
        title: block.string("title", at)?,
        context: block.string("context", at)?,
        citations: citations(block, at, context)?,
    };
    let source_at = at.key("source");
    let mut source = source(block, at)?;
    let kind = source.required_string("type", &source_at)?;
    let translated = match kind.as_ref() {
        "text" => {
            source.take("media_type");
            let data = source.required_string("data", &source_at)?;
            written(vec![data], about, &source_at.key("data"), context)?
        }
        "content" => {
            let at = source_at.key("content");
            let given = source
                .take("content")
                .ok_or_else(|| RequestError::missing(at.to_string(), "is required"))?;
            let pieces = pieces(given, &at, context)?;
            written(pieces, about, &at, context)?
        }
        kind => {
            let (mut given, key) = media_input(kind, &mut source, &source_at, MediaKind::Document)?;
            given.name = about.title.clone();
            let at = source_at.key(key);
            match media::block(&given, &at, context)? {
                Some(ContentBlock::Document(document)) if about.citations.is_some() => {
                    let document = quotable(document, &at, context)?;
                    described(Some(ContentBlock::Document(document)), about)
                }
                block => described(block, about),
            }
        }
    };
    context.drop_unknown(source, &source_at)?;
    Ok(translated)
}

/// A text document as Bedrock requires it for citations: as text. Bytes would be read as a PDF
/// (<https://github.com/boto/boto3/issues/4726>).
fn quotable<'a>(
    document: DocumentBlock<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<DocumentBlock<'a>, RequestError> {
    let is_text = matches!(document.format, "txt" | "csv" | "md" | "html");
    let Source::Bytes(data) = &document.source else {
        return Ok(document);
    };
    if !is_text {
        return Ok(document);
    }
    let bytes = STANDARD.decode(data.as_bytes()).unwrap_or_default();
    let (text, is_utf8) = text_of(bytes);
    if !is_utf8 {
        let how = "the text is not UTF-8 and was converted";
        context.warnings.changed(&at.to_string(), how)?;
    }
    if text.trim().is_empty() {
        return Err(RequestError::invalid(at.to_string(), "the text is empty"));
    }
    Ok(DocumentBlock {
        source: Source::Text(text.into()),
        ..document
    })
}

/// The text of a file, and whether it is UTF-8: a byte order mark of UTF-16 counts, other bytes are Latin-1.
pub(in crate::anthropic) fn text_of(bytes: Vec<u8>) -> (String, bool) {
    match String::from_utf8(bytes) {
        Ok(text) => (text.trim_start_matches('\u{feff}').to_owned(), true),
        Err(error) => (converted(error.as_bytes()), false),
    }
}

fn converted(bytes: &[u8]) -> String {
    let units = |of: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2).skip(1);
        let units: Vec<u16> = pairs
            .filter_map(|pair| Some(of(pair.try_into().ok()?)))
            .collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Adds context and citations to a document block.
fn described<'a>(block: Option<ContentBlock<'a>>, about: About<'a>) -> Option<ContentBlock<'a>> {
    match block {
        Some(ContentBlock::Document(document)) => Some(ContentBlock::Document(DocumentBlock {
            context: about.context.filter(|text| !text.trim().is_empty()),
            citations: about.citations,
            ..document
        })),
        other => other,
    }
}

/// A document that is text: as text or in pieces for citations, which Bedrock accepts only with citations, else as a
/// file, or as plain text if the model does not support documents.
fn written<'a>(
    mut pieces: Vec<Cow<'a, str>>,
    about: About<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    pieces.retain(|piece| !piece.trim().is_empty());
    if pieces.is_empty() {
        return Err(RequestError::invalid(at.to_string(), "the text is empty"));
    }
    if !context.capabilities.media.supports(MediaKind::TextDocument) {
        let how = format!(
            "sent as text: {} does not support documents",
            context.capabilities.title
        );
        context
            .warnings
            .changed("messages[].content[].document", &how)?;
        let mut text = String::new();
        for line in about.title.iter().chain(&about.context).chain(&pieces) {
            text.push_str(line);
            text.push_str("\n\n");
        }
        text.truncate(text.trim_end().len());
        return Ok(Some(ContentBlock::Text(text.into())));
    }
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let bytes = u64::try_from(length).unwrap_or(u64::MAX);
    let name = media::document_name(about.title.as_deref(), bytes, at, context)?;
    let cited = about.citations.is_some();
    let source = match (pieces.len(), pieces.pop()) {
        (1, Some(text)) if cited => Source::Text(text.into()),
        (_, last) => {
            pieces.extend(last);
            if cited {
                let piece = |text| TextPiece { text };
                Source::Content(pieces.into_iter().map(piece).collect())
            } else {
                Source::Bytes(Cow::Owned(STANDARD.encode(pieces.join("\n\n"))))
            }
        }
    };
    let block = ContentBlock::Document(DocumentBlock {
        format: "txt",
        name,
        source,
        context: None,
        citations: None,
    });
    Ok(described(Some(block), about))
}

/// Pieces of text: a string, or text blocks.
fn pieces<'a>(
    given: Json<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Vec<Cow<'a, str>>, RequestError> {
    if let Json::String(text) = given {
        return Ok(vec![text.decode()]);
    }
    let mut pieces = Vec::new();
    for (index, block) in given.array(at)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut block = block.object(&at)?;
        let kind = block.required_string("type", &at)?;
        if kind != "text" {
            return Err(RequestError::unsupported(
                at.key("type").to_string(),
                "only text is supported here; send images as blocks of the message",
            ));
        }
        pieces.push(block.required_string("text", &at)?);
        block.take("cache_control");
        block.take("citations");
        context.drop_unknown(block, &at)?;
    }
    Ok(pieces)
}

/// `citations: {enabled}`, if the model supports citations.
fn citations(
    block: &mut Object<'_>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<CitationsConfig>, RequestError> {
    let Some(mut config) = block.object("citations", at)? else {
        return Ok(None);
    };
    let at = at.key("citations");
    let enabled = config.boolean("enabled", &at)?.unwrap_or(false);
    context.drop_unknown(config, &at)?;
    if enabled && !context.capabilities.citations {
        let why = format!(
            "citations are not supported by {}",
            context.capabilities.title
        );
        context
            .warnings
            .dropped("messages[].content[].citations", &why)?;
        return Ok(None);
    }
    Ok(enabled.then_some(CitationsConfig { enabled }))
}

fn search_result<'a>(
    block: &mut Object<'a>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Option<ContentBlock<'a>>, RequestError> {
    let origin = block.required_string("source", at)?;
    let title = block.required_string("title", at)?;
    let citations = citations(block, at, context)?;
    let content_at = at.key("content");
    let given = block
        .take("content")
        .ok_or_else(|| RequestError::missing(content_at.to_string(), "is required"))?;
    let mut pieces = pieces(given, &content_at, context)?;
    pieces.retain(|piece| !piece.trim().is_empty());
    if pieces.is_empty() {
        return Err(RequestError::invalid(
            content_at.to_string(),
            "the text is empty",
        ));
    }
    if context.capabilities.citations {
        return Ok(Some(ContentBlock::SearchResult(SearchResultBlock {
            source: origin,
            title,
            content: pieces.into_iter().map(|text| TextPiece { text }).collect(),
            citations,
        })));
    }
    let how = format!(
        "sent as text: {} does not support search results",
        context.capabilities.title
    );
    context
        .warnings
        .changed("messages[].content[].search_result", &how)?;
    let text = format!("{title}\n{origin}\n\n{}", pieces.join("\n\n"));
    Ok(Some(ContentBlock::Text(text.into())))
}
