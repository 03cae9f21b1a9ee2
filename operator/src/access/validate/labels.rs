//! Labels that a user sets on managed objects: the syntax of Kubernetes, and no key of the operator's own.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>

use std::collections::BTreeMap;

use api::names;

use super::{Problem, Problems};

/// Maximum length of a label value and of the name in a key.
const MAX_NAME: usize = 63;
/// Maximum length of the prefix of a key.
const MAX_PREFIX: usize = 253;
/// Keys that the operator sets itself, besides all keys with its own prefix.
const RESERVED: [&str; 4] = [
    names::APP_NAME_LABEL,
    names::APP_INSTANCE_LABEL,
    names::APP_COMPONENT_LABEL,
    names::APP_MANAGED_BY_LABEL,
];

/// The first label that Kubernetes or the operator does not allow.
pub(crate) fn first_problem(field: &str, labels: &BTreeMap<String, String>) -> Option<Problem> {
    let mut problems = Problems::default();
    check(field, labels, &mut problems);
    problems.into_vec().into_iter().next()
}

/// Reports each label that Kubernetes or the operator does not allow.
pub(super) fn check(field: &str, labels: &BTreeMap<String, String>, problems: &mut Problems) {
    for (key, value) in labels {
        let (prefix, name) = key
            .split_once('/')
            .map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        let valid = is_name(name) && prefix.is_none_or(is_prefix);
        if !valid {
            problems.add(
                format!("{field}[{key:?}]"),
                "is not a valid label key: use NAME or PREFIX/NAME, where NAME has at most 63 letters, digits and -_. and PREFIX is a DNS name",
            );
        }
        if prefix == Some(names::GROUP) || RESERVED.contains(&key.as_str()) {
            problems.add(
                format!("{field}[{key:?}]"),
                "is reserved: the operator sets this label",
            );
        }
        if !value.is_empty() && !is_name(value) {
            problems.add(
                format!("{field}[{key:?}]"),
                format!("{value:?} is not a valid label value: use at most 63 letters, digits and -_., starting and ending with a letter or digit"),
            );
        }
    }
}

/// Letters, digits and `-_.`, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= MAX_NAME
        && text.bytes().all(inside)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.ends_with(|last: char| last.is_ascii_alphanumeric())
}

/// A DNS subdomain.
fn is_prefix(text: &str) -> bool {
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_PREFIX && text.split('.').all(is_label)
}
