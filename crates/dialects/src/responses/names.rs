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

/// The forms in which a client names this function without its namespace.
pub(super) fn forms(joined: &str) -> Vec<String> {
    let (namespace, name) = split(joined);
    let separated = namespace
        .map(|namespace| ["__", ".", "/"].map(|separator| format!("{namespace}{separator}{name}")));
    std::iter::once(name.to_owned())
        .chain(separated.into_iter().flatten())
        .collect()
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
    fn a_function_has_names_with_and_without_its_namespace() {
        let joined = join(Some("mcp__docs"), Cow::Borrowed("search"));
        assert_eq!(
            forms(&joined),
            [
                "search",
                "mcp__docs__search",
                "mcp__docs.search",
                "mcp__docs/search"
            ]
        );
        assert_eq!(forms("search"), ["search"]);
    }
}
