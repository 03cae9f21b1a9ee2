//! Maps names of tools and arguments, and call ids, to the character sets that Bedrock accepts; names reversibly.

mod arguments;

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use crate::families::ToolIdRule;
use arguments::Renamed;
pub(crate) use arguments::is_argument_name;

/// Maximum length of a name and of an id.
const MAX_LENGTH: usize = 64;

/// The tool names of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolNames {
    /// Bedrock's names by the client's, of names that differ.
    changed: BTreeMap<String, String>,
    /// The client's names by Bedrock's, of all names.
    used: BTreeMap<String, String>,
    /// Changed names of arguments, by Bedrock's name of the tool.
    arguments: BTreeMap<String, Renamed>,
}

impl ToolNames {
    pub(crate) const fn new() -> Self {
        Self {
            changed: BTreeMap::new(),
            used: BTreeMap::new(),
            arguments: BTreeMap::new(),
        }
    }

    /// Reserves a valid name for its tool, so that no mapped name equals it.
    pub(crate) fn reserve(&mut self, name: &str) {
        if is_name(name) && !self.knows(name) {
            self.used.insert(name.to_owned(), name.to_owned());
        }
    }

    /// Bedrock's name for the client's name; the mapping is stable and injective.
    pub(crate) fn upstream<'a>(&mut self, name: Cow<'a, str>) -> Cow<'a, str> {
        if let Some(upstream) = self.changed.get(name.as_ref()) {
            return Cow::Owned(upstream.clone());
        }
        if is_name(&name) {
            match self.used.get(name.as_ref()) {
                Some(client) if *client != name => {}
                Some(_) => return name,
                None => {
                    self.used.insert(name.to_string(), name.to_string());
                    return name;
                }
            }
        }
        let plain: String = name
            .chars()
            .map(|c| if is_name_char(c) { c } else { '_' })
            .collect();
        let mut upstream = plain.clone();
        let mut round: u32 = 0;
        while !is_name(&upstream) || self.knows(&upstream) {
            // The hash of the client's name keeps the result the same in every turn of a conversation.
            let mut suffix = String::new();
            let _: std::fmt::Result = write!(suffix, "_{:08x}", hash(&name, round) >> 32);
            upstream = plain.chars().take(MAX_LENGTH - suffix.len()).collect();
            upstream.push_str(&suffix);
            round = round.saturating_add(1);
        }
        self.used.insert(upstream.clone(), name.to_string());
        self.changed.insert(name.into_owned(), upstream.clone());
        Cow::Owned(upstream)
    }

    /// Whether Bedrock's name belongs to one of the client's tools.
    pub(crate) fn knows(&self, upstream: &str) -> bool {
        self.used.contains_key(upstream)
    }

    /// The client's name for Bedrock's.
    pub(crate) fn original<'n>(&'n self, upstream: &'n str) -> &'n str {
        self.used.get(upstream).map_or(upstream, String::as_str)
    }
}

/// Bedrock's call id for the client's; equal ids give equal results.
pub(crate) fn call_id(id: Cow<'_, str>, rule: ToolIdRule) -> Cow<'_, str> {
    match rule {
        ToolIdRule::Converse => {
            let fine = (1..=MAX_LENGTH).contains(&id.len()) && id.chars().all(is_id_char);
            if fine {
                return id;
            }
            let plain: String = id
                .chars()
                .map(|c| if is_id_char(c) { c } else { '_' })
                .take(MAX_LENGTH - 17)
                .collect();
            Cow::Owned(format!("{plain}_{:016x}", hash(&id, 0)))
        }
        ToolIdRule::NineAlphanumerics => {
            if id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric()) {
                return id;
            }
            let mut rest = hash(&id, 0);
            let short = std::iter::repeat_with(|| {
                let digit = u32::try_from(rest % 36).unwrap_or(0);
                rest /= 36;
                char::from_digit(digit, 36).unwrap_or('0')
            })
            .take(9)
            .collect();
            Cow::Owned(short)
        }
    }
}

/// Claude's own API accepts fewer characters in call ids than Converse; `None` if it accepts this one.
pub(crate) fn claude_id(id: &str) -> Option<String> {
    if !id.is_empty() && id.chars().all(is_name_char) {
        return None;
    }
    let plain: String = id
        .chars()
        .map(|c| if is_name_char(c) { c } else { '_' })
        .take(MAX_LENGTH - 17)
        .collect();
    Some(format!("{plain}_{:016x}", hash(id, 0)))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.chars().all(is_name_char)
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

const fn is_id_char(c: char) -> bool {
    is_name_char(c) || c == '.' || c == ':'
}

/// FNV-1a with a final mix: short and stable between runs. It protects no secret.
fn hash(text: &str, round: u32) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325 ^ u64::from(round);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_distinct_and_reversible() {
        let long = "x".repeat(70);
        let longer = "x".repeat(71);
        let clients = [
            "get_weather",
            "mcp.fs.read",
            "mcp/fs.read",
            "mcp_fs_read",
            "böse",
            "",
            &long,
            &longer,
        ];
        let mut names = ToolNames::default();
        let upstream: Vec<String> = clients
            .iter()
            .map(|name| names.upstream(Cow::Borrowed(*name)).into_owned())
            .collect();
        for (client, upstream) in clients.iter().zip(&upstream) {
            assert!(is_name(upstream), "{upstream:?}");
            assert_eq!(names.original(upstream), *client);
            assert_eq!(
                names.upstream(Cow::Borrowed(*client)),
                *upstream,
                "not stable"
            );
        }
        let distinct: std::collections::BTreeSet<_> = upstream.iter().collect();
        assert_eq!(distinct.len(), clients.len());
        assert_eq!(upstream.first().map(String::as_str), Some("get_weather"));
    }

    #[test]
    fn valid_ids_are_kept_and_others_mapped_stably() {
        let kimi = "functions.get_x:0";
        assert_eq!(call_id(Cow::Borrowed(kimi), ToolIdRule::Converse), kimi);
        let nine = call_id(Cow::Borrowed("tooluse_abc"), ToolIdRule::NineAlphanumerics);
        assert_eq!(nine.len(), 9);
        assert_eq!(
            nine,
            call_id(Cow::Borrowed("tooluse_abc"), ToolIdRule::NineAlphanumerics)
        );
        assert_ne!(
            nine,
            call_id(Cow::Borrowed("tooluse_abd"), ToolIdRule::NineAlphanumerics)
        );
        assert_eq!(
            call_id(Cow::Borrowed("abcDEF123"), ToolIdRule::NineAlphanumerics),
            "abcDEF123"
        );
        for odd in ["", "a b", &"y".repeat(65)] {
            let id = call_id(Cow::Borrowed(odd), ToolIdRule::Converse);
            assert!(
                id.len() <= MAX_LENGTH && id.chars().all(is_id_char),
                "{id:?}"
            );
        }
    }
}
