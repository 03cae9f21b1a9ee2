//! Maps argument names that a family rejects, at the root of a tool's schema, and back in calls.
//!
//! Claude rejects a request if a property at the root of a schema has another name than `[a-zA-Z0-9_.-]{1,64}`; nested
//! properties may have any name
//! (<https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/709>).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::value::RawValue;

use super::{MAX_LENGTH, ToolNames, hash, is_name_char};
use crate::translation::schema::{RawObject, owned};

/// The changed names of a tool's arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Renamed {
    /// Bedrock's names by the client's.
    upstream: BTreeMap<String, String>,
    /// The client's names by Bedrock's.
    client: BTreeMap<String, String>,
}

/// Whether every family accepts the name.
pub(crate) fn is_argument_name(name: &str) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.chars().all(is_argument_char)
}

const fn is_argument_char(c: char) -> bool {
    is_name_char(c) || c == '.'
}

impl ToolNames {
    /// Bedrock's name for an argument of a tool; `taken` are the names of its arguments. Equal schemas give equal names.
    pub(crate) fn argument(
        &mut self,
        tool: &str,
        client: &str,
        taken: &BTreeSet<String>,
    ) -> String {
        let renamed = self.arguments.entry(tool.to_owned()).or_default();
        let plain: String = client
            .chars()
            .map(|c| if is_argument_char(c) { c } else { '_' })
            .collect();
        let is_free = |name: &str| {
            is_argument_name(name) && !taken.contains(name) && !renamed.client.contains_key(name)
        };
        let mut upstream = plain.clone();
        let mut round: u32 = 0;
        while !is_free(&upstream) {
            let suffix = format!("_{:08x}", hash(client, round) >> 32);
            upstream = plain.chars().take(MAX_LENGTH - suffix.len()).collect();
            upstream.push_str(&suffix);
            round = round.saturating_add(1);
        }
        renamed.upstream.insert(client.to_owned(), upstream.clone());
        renamed.client.insert(upstream.clone(), client.to_owned());
        upstream
    }

    /// Whether arguments of a tool, given Bedrock's name, are renamed.
    pub(crate) fn renames_arguments(&self, tool: &str) -> bool {
        self.arguments.contains_key(tool)
    }

    /// Whether arguments of any tool are renamed.
    pub(crate) fn renames_any_arguments(&self) -> bool {
        !self.arguments.is_empty()
    }

    /// The arguments of an earlier call, with Bedrock's names.
    pub(crate) fn upstream_arguments<'a>(
        &self,
        tool: &str,
        input: Cow<'a, RawValue>,
    ) -> Cow<'a, RawValue> {
        self.with_upstream_arguments(tool, input.get())
            .and_then(|text| owned(text).ok())
            .map_or(input, |raw| raw)
    }

    /// The same as text; `None` if no name differs.
    pub(crate) fn with_upstream_arguments(&self, tool: &str, input: &str) -> Option<String> {
        with_names(input, &self.arguments.get(tool)?.upstream)
    }

    /// The arguments of a call, with the client's names; truncated arguments are unchanged.
    pub(crate) fn original_arguments<'t>(&self, tool: &str, input: &'t str) -> Cow<'t, str> {
        let names = self.arguments.get(tool).map(|renamed| &renamed.client);
        names
            .and_then(|names| with_names(input, names))
            .map_or(Cow::Borrowed(input), Cow::Owned)
    }
}

/// An object with other names of its members; `None` if the text is not an object.
fn with_names(input: &str, names: &BTreeMap<String, String>) -> Option<String> {
    let mut object: RawObject<'_> = serde_json::from_str(input).ok()?;
    for (key, _) in &mut object.0 {
        if let Some(new) = names.get(key) {
            new.clone_into(key);
        }
    }
    serde_json::to_string(&object).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_get_valid_distinct_names_and_their_own_back() {
        let mut names = ToolNames::default();
        let long = "x".repeat(70);
        let clients = [
            "filter[id]",
            "filter(id)",
            "ok_name",
            "$top",
            "naïve",
            &long,
            "",
        ];
        let taken: BTreeSet<String> = clients.iter().map(|name| (*name).to_owned()).collect();
        let mut all = vec!["ok_name".to_owned()];
        for client in clients.iter().filter(|name| !is_argument_name(name)) {
            let upstream = names.argument("t", client, &taken);
            assert!(is_argument_name(&upstream), "{upstream}");
            assert!(!all.contains(&upstream), "{upstream}");
            let call = format!("{{\"{upstream}\":1.00,\"other\":{{\"{upstream}\":2}}}}");
            assert_eq!(
                names.original_arguments("t", &call),
                format!("{{\"{client}\":1.00,\"other\":{{\"{upstream}\":2}}}}")
            );
            assert_eq!(names.original_arguments("u", &call), call);
            all.push(upstream);
        }
        let past = owned("{\"$top\":1}".to_owned()).unwrap();
        assert_eq!(names.upstream_arguments("t", past).get(), "{\"_top\":1}");
        assert_eq!(names.original_arguments("t", "{\"_to"), "{\"_to");
    }
}
