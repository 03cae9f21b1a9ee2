//! The outline of a request: what Bedrock's prompt cache depends on, as hashes. Pure.
//!
//! One pass over the body, and one hash. Cache points are left out of the hashes and a string is the same as one block of
//! text, since clients move their cache points to the last message of each request. Nothing of the content is kept.

use std::sync::LazyLock;

use dialects::translation::Cursor;
use http::HeaderMap;
use memchr::memmem::{self, Finder};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The session of Claude Code.
const SESSION: &str = "x-claude-code-session-id";
/// Members, other than contents, on which the cache of the messages depends.
const PARAMETERS: [&str; 10] = [
    "tool_choice",
    "toolChoice",
    "thinking",
    "output_config",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "text",
    "additionalModelRequestFields",
    "guardrailConfig",
];
/// Part of the names of all members for a prompt cache.
static CACHE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"cache"));
/// Most messages that are compared.
const MAX_MESSAGES: usize = 2048;

/// What the prompt cache of a request depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The conversation that the client names.
    pub(super) key: Option<u64>,
    pub(super) tools: u64,
    /// The system prompt, with system messages before the first other message.
    pub(super) system: u64,
    /// Number of these messages.
    pub(super) leading: usize,
    pub(super) parameters: u64,
    /// The other messages.
    pub(super) messages: Vec<u64>,
    pub(super) points: Points,
}

/// Which parts have cache points, by lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Points {
    pub(super) tools: Lifetimes,
    pub(super) system: Lifetimes,
    pub(super) messages: Lifetimes,
}

/// Lifetimes of cache points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lifetimes {
    /// Five minutes.
    pub(super) short: bool,
    /// An hour.
    pub(super) long: bool,
}

/// Reads a body.
struct Reader {
    outline: Outline,
    /// Hash of the parts of the unit so far, each with the hash before it as its seed.
    unit: u64,
    /// Cache points of the unit.
    points: Lifetimes,
}

impl Outline {
    /// Members that belong to [`super::Part::Parameters`].
    pub(crate) const PARAMETER_NAMES: [&str; 10] = PARAMETERS;

    /// Number of messages, with those of the system prompt.
    pub(crate) fn messages(&self) -> usize {
        self.messages.len().saturating_add(self.leading)
    }

    /// The outline of a request that uses a prompt cache or names its conversation; `None` for all others, most of which are recognized
    /// without reading the body. `automatic`: the gateway adds cache points.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8], automatic: bool) -> Option<Self> {
        let session = headers.get(SESSION).map(|value| xxh3_64(value.as_bytes()));
        if session.is_none() && !automatic && CACHE.find(body).is_none() {
            return None;
        }
        let mut outline = Self::of_body(body)?;
        outline.key = session.or(outline.key);
        let is_chat = !outline.messages.is_empty();
        let is_cached = automatic || outline.points.any();
        (is_chat && (is_cached || outline.key.is_some())).then_some(outline)
    }

    /// The outline of a body; `None` if it is not a JSON object.
    pub(crate) fn of_body(body: &[u8]) -> Option<Self> {
        let mut reader = Reader {
            outline: Self::default(),
            unit: 0,
            points: Lifetimes::default(),
        };
        Cursor::new(body).members(|cursor, name| reader.member(cursor, name))?;
        Some(reader.outline)
    }

    /// The conversation for routing: as the client names it, otherwise its beginning, which no later request changes.
    pub(super) fn conversation(&self, model: &str) -> u64 {
        self.key.unwrap_or_else(|| {
            let first = self.messages.first().copied().unwrap_or_default();
            hash_all(&[xxh3_64(model.as_bytes()), self.tools, self.system, first])
        })
    }
}

impl Points {
    pub(super) fn any(self) -> bool {
        let parts = [self.tools, self.system, self.messages];
        parts.iter().any(|part| part.short || part.long)
    }

    /// Whether the whole cached prefix is kept for an hour.
    pub(super) fn is_long(self) -> bool {
        let parts = [self.tools, self.system, self.messages];
        parts.iter().any(|part| part.long) && !parts.iter().any(|part| part.short)
    }
}

impl Reader {
    fn member<'b>(&mut self, cursor: &mut Cursor<'b>, name: &'b [u8]) -> Option<()> {
        match name {
            b"tools" => self.tools(cursor)?,
            b"toolConfig" if cursor.peek()? == b'{' => {
                cursor.members(|cursor, name| match name {
                    b"tools" => self.tools(cursor),
                    name => self.parameter(name, cursor),
                })?;
            }
            b"system" | b"instructions" => {
                self.content(cursor)?;
                self.end_of_system();
                let points = self.take_points();
                self.outline.points.system.add(points);
            }
            b"messages" | b"input" if cursor.peek()? == b'[' => {
                cursor.elements(|cursor| self.message(cursor))?;
            }
            b"input" => {
                self.content(cursor)?;
                let hash = self.take_unit();
                self.outline.messages.push(hash);
            }
            b"prompt_cache_key" if cursor.peek()? == b'"' => {
                self.outline.key = Some(xxh3_64(cursor.string()?));
            }
            b"metadata" if cursor.peek()? == b'{' => {
                cursor.members(|cursor, name| self.metadata(name, cursor))?;
            }
            b"cache_control" => {
                let value = cursor.value()?;
                self.outline.points.messages.add(lifetime(value));
            }
            name if PARAMETERS.iter().any(|one| one.as_bytes() == name) => {
                self.parameter(name, cursor)?;
            }
            _ => {
                cursor.value()?;
            }
        }
        Some(())
    }

    /// `user_id` is a conversation only if it has a session, as that of Claude Code: others name a person or a service.
    fn metadata<'b>(&mut self, name: &'b [u8], cursor: &mut Cursor<'b>) -> Option<()> {
        let value = cursor.value()?;
        if name == b"user_id" && memmem::find(value, b"session").is_some() {
            self.outline.key = self.outline.key.or(Some(xxh3_64(value)));
        }
        Some(())
    }

    /// The order of parameters has no meaning.
    fn parameter(&mut self, name: &[u8], cursor: &mut Cursor<'_>) -> Option<()> {
        self.pair(name, cursor.value()?);
        self.outline.parameters ^= self.take_unit();
        Some(())
    }

    fn tools(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        self.content(cursor)?;
        self.outline.tools = self.take_unit();
        let points = self.take_points();
        self.outline.points.tools.add(points);
        Some(())
    }

    fn message(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let mut is_system = false;
        if cursor.peek()? == b'{' {
            cursor.members(|cursor, name| match name {
                b"role" => {
                    let role = cursor.value()?;
                    is_system = matches!(role, b"\"system\"" | b"\"developer\"");
                    self.pair(name, role);
                    Some(())
                }
                b"content" => self.content(cursor),
                name => self.block_member(cursor, name),
            })?;
        } else {
            self.add(cursor.value()?);
        }
        let points = self.take_points();
        if is_system && self.outline.messages.is_empty() {
            self.end_of_system();
            self.outline.leading = self.outline.leading.saturating_add(1);
            self.outline.points.system.add(points);
        } else {
            let hash = self.take_unit();
            if self.outline.messages.len() < MAX_MESSAGES {
                self.outline.messages.push(hash);
            }
            self.outline.points.messages.add(points);
        }
        Some(())
    }

    /// A string, or a list of blocks.
    fn content(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        match cursor.peek()? {
            b'"' => self.text(cursor.string()?),
            b'[' => cursor.elements(|cursor| {
                if cursor.peek()? == b'{' {
                    return cursor.members(|cursor, name| self.block_member(cursor, name));
                }
                self.add(cursor.value()?);
                Some(())
            })?,
            _ => self.add(cursor.value()?),
        }
        Some(())
    }

    fn block_member(&mut self, cursor: &mut Cursor<'_>, name: &[u8]) -> Option<()> {
        match name {
            b"cache_control" | b"cachePoint" => self.points.add(lifetime(cursor.value()?)),
            b"text" if cursor.peek()? == b'"' => self.text(cursor.string()?),
            b"type" => {
                let kind = cursor.value()?;
                if kind != b"\"text\"" {
                    self.pair(name, kind);
                }
            }
            name => self.pair(name, cursor.value()?),
        }
        Some(())
    }

    fn text(&mut self, text: &[u8]) {
        self.pair(b"text", text);
    }

    fn pair(&mut self, name: &[u8], value: &[u8]) {
        self.add(name);
        self.add(value);
    }

    fn add(&mut self, part: &[u8]) {
        self.unit = xxh3_64_with_seed(part, self.unit);
    }

    fn take_unit(&mut self) -> u64 {
        std::mem::take(&mut self.unit)
    }

    /// The unit is a part of the system prompt.
    fn end_of_system(&mut self) {
        let hash = self.take_unit();
        self.outline.system = hash_all(&[self.outline.system, hash]);
    }

    fn take_points(&mut self) -> Lifetimes {
        std::mem::take(&mut self.points)
    }
}

impl Lifetimes {
    fn add(&mut self, other: Self) {
        self.short |= other.short;
        self.long |= other.long;
    }
}

/// The lifetime of a cache point; none of `null`.
fn lifetime(point: &[u8]) -> Lifetimes {
    let is_point = point.first() == Some(&b'{');
    let long = is_point && memmem::find(point, b"\"1h\"").is_some();
    Lifetimes {
        short: is_point && !long,
        long,
    }
}

/// A hash of hashes.
pub(super) fn hash_all(parts: &[u64]) -> u64 {
    let with = |all, part: &u64| xxh3_64_with_seed(&part.to_le_bytes(), all);
    parts.iter().fold(0, with)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;

    fn outline(body: &Value) -> Outline {
        Outline::of_body(body.to_string().as_bytes()).unwrap()
    }

    fn read(headers: &HeaderMap, body: &Value) -> Option<Outline> {
        Outline::read(headers, body.to_string().as_bytes(), false)
    }

    #[test]
    fn a_moved_cache_point_changes_no_hash() {
        let plain = outline(
            &json!({ "model": "m", "system": "s", "tools": [{ "name": "t" }],
            "messages": [{ "role": "user", "content": "one" }, { "role": "assistant", "content": "two" }] }),
        );
        let point = json!({ "type": "ephemeral" });
        let marked = outline(&json!({ "model": "m",
            "system": [{ "type": "text", "text": "s", "cache_control": point }],
            "tools": [{ "name": "t", "cache_control": point }],
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "one", "cache_control": { "type": "ephemeral", "ttl": "1h" } }] },
                { "role": "assistant", "content": "two" }] }));
        assert!(marked.points.any() && !plain.points.any());
        let long = Lifetimes {
            short: false,
            long: true,
        };
        assert_eq!(marked.points.messages, long);
        assert_eq!(
            Outline {
                points: Points::default(),
                ..marked
            },
            plain
        );
    }

    #[test]
    fn the_same_conversation_of_converse_and_its_cache_points() {
        let plain = outline(&json!({ "system": [{ "text": "s" }],
            "messages": [{ "role": "user", "content": [{ "text": "one" }] }],
            "toolConfig": { "tools": [{ "toolSpec": { "name": "t" } }], "toolChoice": { "auto": {} } } }));
        let point = json!({ "cachePoint": { "type": "default" } });
        let marked = outline(&json!({ "system": [{ "text": "s" }, point],
            "messages": [{ "role": "user", "content": [{ "text": "one" }, point] }],
            "toolConfig": { "tools": [{ "toolSpec": { "name": "t" } }, point], "toolChoice": { "auto": {} } } }));
        assert!(
            marked.points.tools.short && marked.points.system.short && marked.points.messages.short
        );
        assert_eq!(
            Outline {
                points: Points::default(),
                ..marked
            },
            plain
        );
        assert_ne!(plain.parameters, 0);
    }

    #[test]
    fn leading_system_messages_are_the_system_prompt() {
        let of = |text: &str, last: &str| {
            outline(&json!({ "messages": [
                { "role": "system", "content": text },
                { "role": "user", "content": "one" },
                { "role": "system", "content": last }] }))
        };
        let one = of("a", "x");
        assert_eq!((one.leading, one.messages.len()), (1, 2));
        let other_prompt = of("b", "x");
        assert_ne!(one.system, other_prompt.system);
        assert_eq!(one.messages, other_prompt.messages);
        let other_message = of("a", "y");
        assert_eq!(one.system, other_message.system);
        assert_ne!(one.messages, other_message.messages);
    }

    #[test]
    fn every_part_has_its_own_hash() {
        let base = json!({ "system": "s", "tools": [{ "name": "a" }, { "name": "b" }],
            "tool_choice": "auto", "input": [{ "role": "user", "content": "one" }] });
        let with = |name: &str, value: Value| {
            let mut changed = base.clone();
            changed[name] = value;
            outline(&changed)
        };
        let base_outline = outline(&base);
        let reordered = with("tools", json!([{ "name": "b" }, { "name": "a" }]));
        assert_ne!(reordered.tools, base_outline.tools);
        assert_eq!(
            Outline {
                tools: base_outline.tools,
                ..reordered
            },
            base_outline
        );
        let choice = with("tool_choice", json!("none"));
        assert_ne!(choice.parameters, base_outline.parameters);
        assert_eq!(
            Outline {
                parameters: base_outline.parameters,
                ..choice
            },
            base_outline
        );
        assert_eq!(with("temperature", json!(1)), base_outline);
    }

    #[test]
    fn the_client_names_its_conversation() {
        let chat = json!({ "messages": [{ "role": "user", "content": "one" }] });
        let key = |headers: &HeaderMap, member: Option<(&str, Value)>| {
            let mut body = chat.clone();
            body["padding"] = json!("cache");
            if let Some((name, value)) = member {
                body[name] = value;
            }
            read(headers, &body).and_then(|outline| outline.key)
        };
        let none = HeaderMap::new();
        assert_eq!(key(&none, None), None);
        assert!(key(&none, Some(("prompt_cache_key", json!("k")))).is_some());
        let session = json!({ "user_id": "user_a_account__session_b" });
        assert!(key(&none, Some(("metadata", session.clone()))).is_some());
        assert!(key(&none, Some(("metadata", json!({ "user_id": "service" })))).is_none());
        let mut headers = HeaderMap::new();
        headers.insert(SESSION, HeaderValue::from_static("s"));
        let of_header = key(&headers, None);
        assert!(of_header.is_some());
        assert_eq!(key(&headers, Some(("metadata", session))), of_header);
    }

    #[test]
    fn requests_without_a_cache_and_a_conversation_have_no_outline() {
        let none = HeaderMap::new();
        let chat = json!({ "messages": [{ "role": "user", "content": "what is a cache?" }] });
        assert_eq!(read(&none, &chat), None);
        assert_eq!(
            read(&none, &json!({ "input": "cache", "model": "embed" })),
            None
        );
        assert!(Outline::read(&none, chat.to_string().as_bytes(), true).is_some());
        assert_eq!(Outline::read(&none, b"[\"cache\"]", true), None);
    }
}
