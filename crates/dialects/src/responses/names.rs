//! Names of functions in namespaces.
//!
//! Converse has one list of tools, so a function in a namespace gets one name there: its namespace, two underscores and
//! its own name. Decoding keeps both parts in one string for [`ToolNames`](crate::translation::names::ToolNames), which
//! adapts it to the characters and the length that Bedrock accepts and keeps it distinct from all other names.

use std::borrow::Cow;

/// Between a namespace and a name; becomes two underscores for Bedrock. Not part of any valid name.
const SEPARATOR: &str = "\u{1f}\u{1f}";

/// The name with its namespace, in one string.
pub(super) fn join<'a>(namespace: Option<&str>, name: Cow<'a, str>) -> Cow<'a, str> {
    match namespace {
        None => name,
        Some(namespace) => Cow::Owned(format!("{namespace}{SEPARATOR}{name}")),
    }
}

/// The namespace, if any, and the name.
pub(super) fn split(joined: &str) -> (Option<&str>, &str) {
    match joined.split_once(SEPARATOR) {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, joined),
    }
}

/// Whether a client means this function by a name without a namespace.
pub(super) fn means(given: &str, joined: &str) -> bool {
    let (namespace, name) = split(joined);
    let Some(namespace) = namespace else {
        return given == name;
    };
    given == name
        || given
            .strip_prefix(namespace)
            .and_then(|rest| rest.strip_suffix(name))
            .is_some_and(|between| matches!(between, "__" | "." | "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translation::names::ToolNames;

    #[test]
    fn names_in_namespaces_are_distinct_valid_and_reversible() {
        let functions = [
            (None, "a__b"),
            (Some("a"), "b"),
            (Some("a__b"), "c"),
            (Some("a"), "b__c"),
            (Some("mcp__docs.example"), "search docs"),
        ];
        let mut names = ToolNames::new();
        let mut seen = Vec::new();
        for (namespace, name) in functions {
            let upstream = names.upstream(join(namespace, Cow::Borrowed(name)));
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            assert!(
                upstream.len() <= 64 && upstream.chars().all(valid),
                "{upstream}"
            );
            assert_eq!(split(names.original(&upstream)), (namespace, name));
            assert!(!seen.contains(&upstream.to_string()), "{upstream} twice");
            seen.push(upstream.into_owned());
        }
        assert_eq!(
            seen.last().map(String::as_str),
            Some("mcp__docs_example__search_docs")
        );
    }

    #[test]
    fn a_name_without_namespace_matches_with_and_without_the_prefix() {
        let joined = join(Some("mcp__docs"), Cow::Borrowed("search"));
        for given in ["search", "mcp__docs__search", "mcp__docs.search"] {
            assert!(means(given, &joined), "{given}");
        }
        for given in ["mcp__docs", "docs__search", "mcp__docs__", "searches"] {
            assert!(!means(given, &joined), "{given}");
        }
    }
}
