//! Reads the last user turn of a Converse request, and its blocks with their tokens and cache points.
//!
//! As documented in the crate's README, four Unicode characters are one token (rounded up), a media block is 100 tokens,
//! and JSON is counted as compact text.

use serde_json::Value;

use super::cache::Lifetime;
use super::catalog::Rules;
use super::claude::thinks;
use super::json::list;
use super::reply::{Forced, forced_tool};
use crate::encoding::sha256_hex;

const CHARACTERS_PER_TOKEN: usize = 4;
const TOKENS_PER_MEDIA_BLOCK: usize = 100;

/// Number of tokens of a text.
pub(super) fn tokens(text: &str) -> usize {
    text.chars().count().div_ceil(CHARACTERS_PER_TOKEN)
}

/// The first tokens of a text.
pub(super) fn first_tokens(text: &str, count: usize) -> String {
    text.chars()
        .take(count.saturating_mul(CHARACTERS_PER_TOKEN))
        .collect()
}

/// Splits a text into pieces of some tokens each.
pub(super) fn pieces(text: &str, tokens_per_piece: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(CHARACTERS_PER_TOKEN.saturating_mul(tokens_per_piece.max(1)))
        .map(|piece| piece.iter().collect())
        .collect()
}

/// The blocks of the last user message.
pub(super) fn last_user_blocks(request: &Value) -> &[Value] {
    list(request, "messages")
        .iter()
        .rev()
        .find(|message| message.get("role").and_then(Value::as_str) == Some("user"))
        .map_or(&[], |message| list(message, "content"))
}

/// The text blocks of the last user message, one per line.
pub(super) fn last_user_text(request: &Value) -> String {
    let texts: Vec<&str> = last_user_blocks(request)
        .iter()
        .filter_map(|block| {
            block
                .get("text")
                .or_else(|| block.pointer("/guardContent/text/text"))?
                .as_str()
        })
        .collect();
    texts.join("\n")
}

/// The tool results and media of the last user message, one line each.
pub(super) fn last_user_extras(request: &Value) -> Vec<String> {
    last_user_blocks(request)
        .iter()
        .filter_map(describe)
        .collect()
}

fn describe(block: &Value) -> Option<String> {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if let Some(result) = block.get("toolResult") {
        let status = match text(result, "status") {
            status if status.is_empty() => "success".to_owned(),
            status => status,
        };
        let contents: Vec<String> = list(result, "content")
            .iter()
            .map(
                |one| match (one.get("text").and_then(Value::as_str), one.get("json")) {
                    (Some(text), _) => text.to_owned(),
                    (None, Some(json)) => json.to_string(),
                    (None, None) => describe(one).unwrap_or_default(),
                },
            )
            .collect();
        return Some(format!(
            "tool_result {} {status}: {}",
            text(result, "toolUseId"),
            contents.join(" | ")
        ));
    }
    for kind in ["image", "document", "video", "audio"] {
        if let Some(media) = block.get(kind) {
            let name = text(media, "name");
            let source = media.get("source");
            let size = match source.and_then(|s| s.get("bytes")).and_then(Value::as_str) {
                Some(encoded) => format!("{} bytes", decoded_length(encoded)),
                None => source
                    .and_then(|s| s.pointer("/s3Location/uri"))
                    .and_then(Value::as_str)
                    .unwrap_or("no bytes")
                    .to_owned(),
            };
            let name = if name.is_empty() {
                name
            } else {
                format!(" '{name}'")
            };
            return Some(format!("[{kind} {}{name}, {size}]", text(media, "format")));
        }
    }
    None
}

/// Number of bytes of a base64 text.
pub(super) fn decoded_length(encoded: &str) -> usize {
    let digits = encoded.trim_end_matches('=').len();
    digits.saturating_mul(3) / 4
}

/// A cache point of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Number of blocks before it.
    pub(super) blocks: usize,
    pub(super) lifetime: Lifetime,
}

/// The prefix that ends with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefix {
    hash: String,
    tokens: usize,
}

/// A request as the model reads it: its blocks in the order of prompt caching (tools, system, messages), and the cache
/// points between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    prefixes: Vec<Prefix>,
    pub(super) points: Vec<Point>,
}

impl Prompt {
    /// Reads a request in Converse's format. Successive messages of a role are one turn, as Claude reads them.
    pub(super) fn read(request: &Value, rules: &Rules) -> Self {
        let tools = request
            .get("toolConfig")
            .map_or(&[][..], |config| list(config, "tools"));
        let mut prompt = Self::default();
        prompt.extend("tools", tools);
        prompt.extend("system", list(request, "system"));
        // Rule cache-settings.
        let settings = if rules.anthropic {
            settings(request)
        } else {
            String::new()
        };
        for message in list(request, "messages") {
            let role = message
                .get("role")
                .and_then(Value::as_str)
                .unwrap_or_default();
            prompt.extend(&format!("{settings} {role}"), list(message, "content"));
        }
        prompt
    }

    fn extend(&mut self, place: &str, blocks: &[Value]) {
        for block in blocks {
            if let Some(point) = block.get("cachePoint") {
                let is_hour = point.get("ttl").and_then(Value::as_str) == Some("1h");
                self.points.push(Point {
                    blocks: self.blocks(),
                    lifetime: if is_hour {
                        Lifetime::Hour
                    } else {
                        Lifetime::FiveMinutes
                    },
                });
                continue;
            }
            let before = self.hash_before(self.blocks());
            let hash = sha256_hex(format!("{before} {place} {}", canonical(block)).as_bytes());
            let tokens = self.tokens() + block_tokens(block);
            self.prefixes.push(Prefix { hash, tokens });
        }
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.prefixes.len()
    }

    fn before(&self, blocks: usize) -> Option<&Prefix> {
        self.prefixes.get(blocks.checked_sub(1)?)
    }

    /// Hash of the first blocks.
    pub(super) fn hash_before(&self, blocks: usize) -> &str {
        self.before(blocks).map_or("", |prefix| &prefix.hash)
    }

    /// Tokens of the first blocks.
    pub(super) fn tokens_before(&self, blocks: usize) -> usize {
        self.before(blocks).map_or(0, |prefix| prefix.tokens)
    }

    /// All tokens.
    pub(super) fn tokens(&self) -> usize {
        self.tokens_before(self.blocks())
    }
}

/// The settings on which Claude's reading of the messages depends: a forced tool, and thinking.
fn settings(request: &Value) -> String {
    let tool = match forced_tool(request) {
        None => "auto",
        Some(Forced::Any) => "any",
        Some(Forced::Named(name)) => name,
    };
    let thinking = request
        .pointer("/additionalModelRequestFields/thinking")
        .filter(|thinking| thinks(Some(thinking)));
    format!("{tool} {}", thinking.unwrap_or(&Value::Null))
}

/// The text of a block in which the order of its own members has no meaning; that within schemas and arguments has.
fn canonical(block: &Value) -> String {
    let mut block = block.clone();
    if let Some(members) = block.as_object_mut() {
        members.sort_keys();
        for inner in members.values_mut().filter_map(Value::as_object_mut) {
            inner.sort_keys();
        }
    }
    block.to_string()
}

fn block_tokens(block: &Value) -> usize {
    let media = ["image", "document", "video", "audio"];
    if media.iter().any(|kind| block.get(kind).is_some()) {
        return TOKENS_PER_MEDIA_BLOCK;
    }
    if let Some(text) = block.get("text").and_then(Value::as_str) {
        return tokens(text);
    }
    if let Some(text) = block
        .pointer("/reasoningContent/reasoningText/text")
        .and_then(Value::as_str)
    {
        return tokens(text);
    }
    if let Some(result) = block.get("toolResult") {
        return list(result, "content").iter().map(block_tokens).sum();
    }
    if let Some(input) = block.pointer("/toolUse/input") {
        return tokens(&input.to_string());
    }
    tokens(&block.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_four_characters() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("abcd"), 1);
        assert_eq!(tokens("ÄÖÜß€"), 2);
        assert_eq!(first_tokens("hello world", 2), "hello wo");
        assert_eq!(pieces("hello world", 1), ["hell", "o wo", "rld"]);
    }

    #[test]
    fn counts_tokens_up_to_cache_points() {
        let request = json!({
            "system": [{"text": "12345678"}, {"cachePoint": {"type": "default"}}],
            "messages": [{"role": "user", "content": [{"text": "abcd"}]}]});
        let prompt = Prompt::read(&request, &Rules::default());
        let [point] = prompt.points[..] else {
            panic!("{prompt:?}")
        };
        assert_eq!(
            (point.blocks, prompt.tokens_before(1), prompt.tokens()),
            (1, 2, 3)
        );
        assert_ne!(prompt.hash_before(1), prompt.hash_before(2));
    }

    #[test]
    fn describes_tool_results_and_media() {
        let request = json!({"messages": [{"role": "user", "content": [
            {"toolResult": {"toolUseId": "t1", "status": "error", "content": [{"json": {"a": 1}}, {"text": "b"}]}},
            {"image": {"format": "png", "source": {"bytes": "AAECAw=="}}},
            {"document": {"format": "pdf", "name": "doc 1", "source": {"s3Location": {"uri": "s3://b/k"}}}}]}]});
        assert_eq!(
            last_user_extras(&request),
            [
                "tool_result t1 error: {\"a\":1} | b",
                "[image png, 4 bytes]",
                "[document pdf 'doc 1', s3://b/k]"
            ]
        );
    }
}
