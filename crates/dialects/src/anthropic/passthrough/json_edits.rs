//! Edits JSON text without changing any other byte.
//!
//! Only the inspected level of the text is parsed: an image of several megabytes is skipped once. In invalid JSON,
//! members are not found.

use std::{borrow::Cow, ops::Range};

use memchr::memmem;

use crate::translation::cursor::content;

/// A member of an object, or an element of an array with an empty key.
#[derive(Clone, Debug)]
pub(crate) struct Member<'t> {
    pub(crate) key: Cow<'t, str>,
    /// The range from the key's quote to the end of the value.
    whole: Range<usize>,
    pub(crate) value: Slice<'t>,
}

/// A value within a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

/// Edits of one text, applied together.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl<'t> Slice<'t> {
    /// The value of a whole text.
    pub(crate) fn new(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let start = space(bytes, 0);
        Self {
            text,
            start,
            end: value(bytes, start),
        }
    }

    /// The value as JSON text.
    pub(crate) fn json(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    /// Where the value is in the text.
    pub(crate) const fn position(&self) -> usize {
        self.start
    }

    pub(crate) fn is_null(&self) -> bool {
        self.json() == "null"
    }

    pub(crate) fn is_object(&self) -> bool {
        self.json().starts_with('{')
    }

    /// The value as a string, if it is one.
    pub(crate) fn string(&self) -> Option<Cow<'t, str>> {
        unquoted(self.json())
    }

    /// The members of an object or the elements of an array; empty for other values.
    pub(crate) fn members(&self) -> Vec<Member<'t>> {
        let bytes = self.text.as_bytes();
        let object = match bytes.get(self.start) {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => return Vec::new(),
        };
        let mut members = Vec::new();
        let mut at = space(bytes, self.start.saturating_add(1));
        while at < self.end && !matches!(bytes.get(at), None | Some(b'}' | b']')) {
            let first = at;
            let mut key = Cow::Borrowed("");
            if object {
                let end = value(bytes, at);
                key = self
                    .text
                    .get(at..end)
                    .and_then(unquoted)
                    .unwrap_or_default();
                at = space(bytes, end);
                if bytes.get(at) != Some(&b':') {
                    break;
                }
                at = space(bytes, at.saturating_add(1));
            }
            let end = value(bytes, at);
            if end <= at {
                break;
            }
            members.push(Member {
                key,
                whole: first..end,
                value: Slice {
                    text: self.text,
                    start: at,
                    end,
                },
            });
            at = space(bytes, end);
            if bytes.get(at) == Some(&b',') {
                at = space(bytes, at.saturating_add(1));
            }
        }
        members
    }

    /// A member of an object; the last of duplicate members.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        let mut members = self.members();
        members.retain(|member| member.key == key && self.is_object());
        members.pop().map(|member| member.value)
    }
}

impl Edits {
    pub(crate) fn replace(&mut self, value: &Slice<'_>, with: impl Into<String>) {
        self.0.push((value.start..value.end, with.into()));
    }

    /// Inserts an element after another one of its array.
    pub(crate) fn insert_after(&mut self, element: &Member<'_>, new: &str) {
        let at = element.whole.end;
        self.0.push((at..at, format!(",{new}")));
    }

    /// Inserts members at the start of an object; `more`: whether it has other members.
    pub(crate) fn insert_first(&mut self, object: &Slice<'_>, members: &str, more: bool) {
        let at = object.start.saturating_add(1);
        let comma = if more { "," } else { "" };
        self.0.push((at..at, format!("{members}{comma}")));
    }

    /// Inserts an element at the end of an array; `more`: whether it has other elements.
    pub(crate) fn insert_last(&mut self, array: &Slice<'_>, element: &str, more: bool) {
        let at = array.end.saturating_sub(1);
        let comma = if more { "," } else { "" };
        self.0.push((at..at, format!("{comma}{element}")));
    }

    /// Removes members of an object or array. `all` are its members, `is_removed` selects the ones to remove. Returns the
    /// number of remaining members.
    pub(crate) fn remove(
        &mut self,
        all: &[Member<'_>],
        mut is_removed: impl FnMut(&Member<'_>) -> bool,
    ) -> usize {
        let removed: Vec<bool> = all.iter().map(&mut is_removed).collect();
        let kept = removed.iter().filter(|removed| !**removed).count();
        let mut before: Option<usize> = None;
        for (index, (member, removed)) in all.iter().zip(&removed).enumerate() {
            if !*removed {
                before = Some(member.whole.end);
                continue;
            }
            // Removes the comma before the member, or after it if no remaining member precedes it.
            let range = match (before, all.get(index.saturating_add(1))) {
                (Some(_), _) => {
                    let last = index
                        .checked_sub(1)
                        .and_then(|last| all.get(last))
                        .map_or(member.whole.start, |last| last.whole.end);
                    last..member.whole.end
                }
                (None, Some(next)) => member.whole.start..next.whole.start,
                (None, None) => member.whole.clone(),
            };
            self.0.push((range, String::new()));
        }
        kept
    }

    /// Applies the edits.
    pub(crate) fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let added: usize = self.0.iter().map(|(_, with)| with.len()).sum();
        let mut out = String::with_capacity(text.len().saturating_add(added));
        let mut at = 0;
        for (range, with) in self.0 {
            // This range is inside a removed one.
            if range.start < at {
                continue;
            }
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(&with);
            at = range.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }
}

/// Whether a text contains a word; faster than [`str::contains`].
pub(crate) fn mentions(text: &str, word: &str) -> bool {
    memmem::find(text.as_bytes(), word.as_bytes()).is_some()
}

fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The position of the next byte that is not whitespace.
fn space(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let blank = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        .count();
    at.saturating_add(blank)
}

/// The end of the value at `at`.
fn value(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string(bytes, at),
        Some(b'{' | b'[') => {
            let mut depth: usize = 0;
            let mut at = at;
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'"' => {
                        at = string(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth = depth.saturating_add(1),
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at = at.saturating_add(1);
                if depth == 0 {
                    break;
                }
            }
            at
        }
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            let plain = rest
                .iter()
                .take_while(|byte| {
                    !matches!(
                        byte,
                        b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b':'
                    )
                })
                .count();
            at.saturating_add(plain)
        }
    }
}

/// The end of the string whose quote is at `at`.
fn string(bytes: &[u8], at: usize) -> usize {
    let start = at.saturating_add(1);
    let content = content(bytes.get(start..).unwrap_or_default());
    content.map_or(bytes.len(), |content| {
        start.saturating_add(content.len()).saturating_add(1)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn without(text: &str, keys: &[&str]) -> String {
        let root = Slice::new(text);
        let mut edits = Edits::default();
        edits.remove(&root.members(), |member| {
            keys.contains(&member.key.as_ref())
        });
        edits.apply(text)
    }

    #[test]
    fn removing_members_changes_no_other_byte() {
        for (text, keys, expected) in [
            (r#"{"a":1,"b":2,"c":3}"#, &["a"][..], r#"{"b":2,"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["b"], r#"{"a":1,"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["c"], r#"{"a":1,"b":2}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "b"], r#"{"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "c"], r#"{"b":2}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["b", "c"], r#"{"a":1}"#),
            (r#"{"a":1,"b":2}"#, &["a", "b"], "{}"),
            (
                " { \"x\" : 1.50 ,\n \"a\":{\"a\":[\"}\\\"\"]} , \"y\":\"\\u00e9ü\" } ",
                &["a"],
                " { \"x\" : 1.50 , \"y\":\"\\u00e9ü\" } ",
            ),
            (r#"{"\u0061":1,"b":2,"a":3}"#, &["a"], r#"{"b":2}"#),
        ] {
            assert_eq!(without(text, keys), expected, "{text} {keys:?}");
        }
    }

    #[test]
    fn nested_members_are_found_and_replaced() {
        let text = r#"{"a":[{"k":"v\"]"}, 2 ,null],"b":"x"}"#;
        let root = Slice::new(text);
        let list = root.get("a").unwrap().members();
        assert_eq!(list.len(), 3);
        let inner = list[0].value.get("k").unwrap();
        assert_eq!(inner.string().as_deref(), Some("v\"]"));
        let mut edits = Edits::default();
        edits.replace(&inner, "7");
        edits.insert_first(&root, "\"z\":0", true);
        assert_eq!(
            edits.apply(text),
            r#"{"z":0,"a":[{"k":7}, 2 ,null],"b":"x"}"#
        );
    }

    proptest! {
        #[test]
        fn removing_equals_parsing_and_removing(
            members in prop::collection::vec(("[a-e]", "\\PC{0,6}[\"\\\\{}\\[\\],]{0,3}"), 0..8),
            gone in "[a-e]",
        ) {
            let text = {
                let inner: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\" :\t{}", Value::from(value.as_str()))).collect();
                format!("{{{}}}", inner.join(" ,"))
            };
            let mut expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
            expected.shift_remove(&gone);
            let left: Value = serde_json::from_str(&without(&text, &[&gone])).unwrap();
            prop_assert_eq!(left, Value::Object(expected));
        }

        #[test]
        fn any_text_never_panics(text in "[\\[\\]{}\",:\\\\ a1\u{e9}]{0,40}") {
            let root = Slice::new(&text);
            for member in root.members() {
                let _ = member.value.members();
            }
            let mut edits = Edits::default();
            edits.remove(&root.members(), |member| member.key == "a");
            let _ = edits.apply(&text);
        }
    }
}
