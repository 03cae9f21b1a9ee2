//! Images, documents, video and audio: formats, sources, sizes, counts and names.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::catalog::Rules;
use super::super::prompt::decoded_length;
use super::constraints::{constraint, union};
use super::{Check, blocks, list, reject, text};
use crate::error::AwsError;

const IMAGE_BYTES: usize = 3_932_160; // 3.75 MiB
const DOCUMENT_BYTES: usize = 4_718_592; // 4.5 MiB
const KINDS: [&str; 4] = ["image", "document", "video", "audio"];

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    let mut images = 0_usize;
    let mut documents = 0_usize;
    let mut names = BTreeSet::new();
    for (m, b, block) in blocks(request) {
        let path = format!("messages.{m}.content.{b}");
        let inside = block
            .pointer("/toolResult/content")
            .and_then(Value::as_array);
        let all = std::iter::once((block, path.clone(), &rules.media)).chain(
            inside
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(index, one)| {
                    (
                        one,
                        format!("{path}.toolResult.content.{index}"),
                        &rules.tool_result_media,
                    )
                }),
        );
        for (block, path, taken) in all {
            let Some(kind) = KINDS.iter().find(|kind| block.get(**kind).is_some()) else {
                continue;
            };
            let Some(media) = block.get(*kind) else {
                continue;
            };
            if !taken.iter().any(|one| one == kind) {
                return reject(format!(
                    "This model doesn't support the {kind} content block that you provided. Remove the {kind} content block and try again."
                ));
            }
            one(kind, media, &path)?;
            images += usize::from(*kind == "image");
            if *kind == "document" {
                documents += 1;
                if !names.insert(text(media, "name").unwrap_or_default().to_owned()) {
                    return reject(
                        "Messages can't contain duplicate document names. Rename the document and retry your request.",
                    );
                }
            }
        }
    }
    if documents > 5 {
        return reject("You can't include more than 5 documents in a request.");
    }
    if images > 20 {
        return reject("You can't include more than 20 images in a request.");
    }
    beside_documents(request)
}

fn one(kind: &str, media: &Value, path: &str) -> Check {
    let formats: &[&str] = match kind {
        "image" => &["png", "jpeg", "gif", "webp"],
        "document" => &[
            "pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md",
        ],
        "video" => &[
            "mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp",
        ],
        _ => &[
            "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "webm", "pcm", "mpeg",
        ],
    };
    let format = text(media, "format").unwrap_or("null");
    // The format of a document is optional and defaults to text.
    let left_out = kind == "document" && media.get("format").is_none();
    if !left_out && !formats.contains(&format) {
        return constraint(
            format,
            &format!("{path}.{kind}.format"),
            &format!(
                "Member must satisfy enum value set: [{}]",
                formats.join(", ")
            ),
        );
    }
    if kind == "document" {
        document_name(text(media, "name").unwrap_or_default(), path)?;
    }
    let (shape, keys): (_, &[&str]) = match kind {
        // Text and content sources require citations.
        "document" if media.pointer("/citations/enabled") == Some(&Value::Bool(true)) => (
            "DocumentSource",
            &["bytes", "s3Location", "text", "content"],
        ),
        "document" => ("DocumentSource", &["bytes", "s3Location"]),
        "image" => ("ImageSource", &["bytes", "s3Location"]),
        "video" => ("VideoSource", &["bytes", "s3Location"]),
        _ => ("AudioSource", &["bytes", "s3Location"]),
    };
    let source = media.get("source").unwrap_or(&Value::Null);
    union(source, shape, &format!("{path}.{kind}.source"), keys)?;
    if let Some(bytes) = source.get("bytes") {
        size(kind, bytes, path)?;
    }
    if let Some(uri) = source.pointer("/s3Location/uri").and_then(Value::as_str)
        && !uri.starts_with("s3://")
    {
        return constraint(
            uri,
            &format!("{path}.{kind}.source.s3Location.uri"),
            "Member must satisfy regular expression pattern: s3://[a-z0-9][\\.\\-a-z0-9]{1,61}[a-z0-9](/.*)?",
        );
    }
    Ok(())
}

fn size(kind: &str, bytes: &Value, path: &str) -> Check {
    let encoded = bytes.as_str().unwrap_or_default();
    if encoded.is_empty() {
        return constraint(
            "",
            &format!("{path}.{kind}.source.bytes"),
            "Member must have length greater than or equal to 1",
        );
    }
    if STANDARD.decode(encoded).is_err() {
        return Err(AwsError::new(
            400,
            "SerializationException",
            format!("Unable to decode the blob at {path}.{kind}.source.bytes as base64"),
        ));
    }
    let length = decoded_length(encoded);
    match kind {
        "image" if length > IMAGE_BYTES => reject(format!(
            "The model returned the following errors: {path}.image.source.base64: image exceeds 3.75 MB maximum: {length} bytes > {IMAGE_BYTES} bytes"
        )),
        "document" if length > DOCUMENT_BYTES => reject(
            "The maximum document size is 4.5 MB. Use a smaller document and retry your request.",
        ),
        _ => Ok(()),
    }
}

/// Underscores are not documented, but accepted.
fn document_name(name: &str, path: &str) -> Check {
    if !(1..=200).contains(&name.chars().count()) {
        return constraint(
            name,
            &format!("{path}.document.name"),
            "Member must have length between 1 and 200",
        );
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || " -_()[]".contains(c);
    if name.chars().all(legal) && !name.contains("  ") {
        return Ok(());
    }
    reject(
        "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.",
    )
}

/// A message with a document must have a text block.
fn beside_documents(request: &Value) -> Check {
    for message in list(request, "messages") {
        let content = list(message, "content");
        let has = |kind: &str| content.iter().any(|block| block.get(kind).is_some());
        if has("document") && !has("text") && !has("guardContent") {
            return reject(
                "A text block must be included when using documents. Add a text block and retry your request.",
            );
        }
    }
    Ok(())
}
