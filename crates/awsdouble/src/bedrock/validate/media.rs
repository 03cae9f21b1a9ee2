//! Images, documents, video and audio: formats, sources, sizes, counts and names.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::catalog::Rules;
use super::super::claude;
use super::super::prompt::decoded_length;
use super::constraints::union;
use super::{Check, blocks, list, model_rejects, reject, results, text, unsupported};

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
        let all = std::iter::once((block, path.clone(), Some(&rules.media))).chain(
            inside
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(index, one)| (one, format!("{path}.toolResult.content.{index}"), None)),
        );
        for (block, path, taken) in all {
            let Some(kind) = KINDS.iter().find(|kind| block.get(**kind).is_some()) else {
                continue;
            };
            let Some(media) = block.get(*kind) else {
                continue;
            };
            // What a result may contain: `results.rs`.
            if taken.is_some_and(|taken| !taken.iter().any(|one| one == kind)) {
                return results::unsupported_block(kind);
            }
            one(kind, media, &path, rules)?;
            in_s3(kind, media, &path, taken.is_none(), rules)?;
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

fn one(kind: &str, media: &Value, path: &str, rules: &Rules) -> Check {
    if kind == "document" {
        document_name(text(media, "name").unwrap_or_default())?;
    }
    let source = media.get("source").unwrap_or(&Value::Null);
    let cited = media.pointer("/citations/enabled") == Some(&Value::Bool(true));
    // Rule text-source: text and content sources require citations: strands-agents/harness-sdk#3582, maximhq/bifrost#7072.
    if kind == "document" && !cited {
        let keys = ["bytes", "s3Location"];
        union(
            source,
            "DocumentSource",
            &format!("{path}.document.source"),
            &keys,
        )?;
    }
    if let Some(bytes) = source.get("bytes") {
        size(kind, bytes, path)?;
        if rules.anthropic {
            contents(kind, media, bytes, cited, path)?;
        }
    }
    Ok(())
}

/// Claude's checks of bytes: an image has its declared type, a cited document of bytes is a PDF.
fn contents(kind: &str, media: &Value, bytes: &Value, cited: bool, path: &str) -> Check {
    let format = text(media, "format").unwrap_or("txt");
    if kind == "image" {
        let declared = format!("image/{format}");
        let encoded = bytes.as_str().unwrap_or_default();
        let path = format!("{path}.image.source.base64");
        return claude::image_label(&declared, encoded, &path).or_else(model_rejects);
    }
    // Rule cited-text-as-bytes.
    if kind == "document" && cited && format == "txt" {
        return model_rejects(format!(
            "{path}.document.source.base64.data: The PDF specified was not valid."
        ));
    }
    Ok(())
}

/// Media in S3, which some families do not support; rule s3-media.
fn in_s3(kind: &str, media: &Value, path: &str, in_result: bool, rules: &Rules) -> Check {
    let in_s3 = media.pointer("/source/s3Location").is_some();
    if !in_s3 || rules.s3_media.iter().any(|one| one == kind) {
        return Ok(());
    }
    match kind {
        // Recorded: accepted within a result, although the model does not see the document.
        "document" if in_result => Ok(()),
        "document" => model_rejects(format!("{path}.document.source.type: Field required")),
        _ => unsupported("s3Uri"),
    }
}

fn size(kind: &str, bytes: &Value, path: &str) -> Check {
    let encoded = bytes.as_str().unwrap_or_default();
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
fn document_name(name: &str) -> Check {
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
