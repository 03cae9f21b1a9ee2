//! Translates Converse's citations to Anthropic's.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::translation::reply::ReplyCore;

/// A citation of Converse.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConverseCitation {
    title: Option<String>,
    source: Option<String>,
    source_content: Vec<Content>,
    location: Location,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    text: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Location {
    document_char: Option<Place>,
    document_page: Option<Place>,
    document_chunk: Option<Place>,
    #[serde(rename = "searchResultLocation")]
    search_result: Option<Place>,
    web: Option<Web>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Place {
    document_index: u64,
    search_result_index: u64,
    start: u64,
    end: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Web {
    url: String,
}

/// A citation of Anthropic's API.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "names in Anthropic's API")]
pub(super) enum Citation {
    CharLocation {
        cited_text: String,
        document_index: u64,
        document_title: Option<String>,
        start_char_index: u64,
        end_char_index: u64,
    },
    PageLocation {
        cited_text: String,
        document_index: u64,
        document_title: Option<String>,
        start_page_number: u64,
        end_page_number: u64,
    },
    ContentBlockLocation {
        cited_text: String,
        document_index: u64,
        document_title: Option<String>,
        start_block_index: u64,
        end_block_index: u64,
    },
    SearchResultLocation {
        cited_text: String,
        source: String,
        title: Option<String>,
        search_result_index: u64,
        start_block_index: u64,
        end_block_index: u64,
    },
    WebSearchResultLocation {
        cited_text: String,
        url: String,
        title: Option<String>,
        encrypted_index: &'static str,
    },
}

/// Translates one citation; `None` for an unknown kind.
pub(super) fn one(given: &RawValue, reply: &ReplyCore) -> Option<Citation> {
    let given: ConverseCitation = serde_json::from_str(given.get()).ok()?;
    translated(given, reply)
}

/// Translates a list of citations.
pub(super) fn all(given: Option<&RawValue>, reply: &ReplyCore) -> Vec<Citation> {
    let list: Vec<ConverseCitation> = given
        .and_then(|given| serde_json::from_str(given.get()).ok())
        .unwrap_or_default();
    list.into_iter()
        .filter_map(|one| translated(one, reply))
        .collect()
}

fn translated(given: ConverseCitation, reply: &ReplyCore) -> Option<Citation> {
    let texts = given.source_content.into_iter().filter_map(|one| one.text);
    let cited_text: String = texts.collect();
    let title = given.title;
    let document_title = title.clone().and_then(|name| reply.document_title(name));
    let Location {
        document_char,
        document_page,
        document_chunk,
        search_result,
        web,
    } = given.location;
    if let Some(place) = document_char {
        return Some(Citation::CharLocation {
            cited_text,
            document_index: place.document_index,
            document_title,
            start_char_index: place.start,
            end_char_index: place.end,
        });
    }
    if let Some(place) = document_page {
        return Some(Citation::PageLocation {
            cited_text,
            document_index: place.document_index,
            document_title,
            start_page_number: place.start,
            end_page_number: place.end,
        });
    }
    if let Some(place) = document_chunk {
        return Some(Citation::ContentBlockLocation {
            cited_text,
            document_index: place.document_index,
            document_title,
            start_block_index: place.start,
            end_block_index: place.end,
        });
    }
    if let Some(place) = search_result {
        return Some(Citation::SearchResultLocation {
            cited_text,
            source: given.source.unwrap_or_default(),
            title,
            search_result_index: place.search_result_index,
            start_block_index: place.start,
            end_block_index: place.end,
        });
    }
    web.map(|web| Citation::WebSearchResultLocation {
        cited_text,
        url: web.url,
        title,
        encrypted_index: "",
    })
}
