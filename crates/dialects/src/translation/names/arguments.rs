//! Maps argument names that a family rejects, at the root of a tool's schema, and back in calls.
//!
//! Claude rejects a request if a property at the root of a schema has another name than `[a-zA-Z0-9_.-]{1,64}`; nested
//! properties may have any name
//! (<https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/709>).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{MAX_LENGTH, ToolNames, hash, is_name_char};
use crate::translation::schema::{RawObject, owned};

/// A changed name of an argument.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    /// Bedrock's name of the tool.
    tool: String,
    client: String,
    upstream: String,
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
    pub(crate) fn argument(&mut self, tool: &str, client: &str, taken: &[String]) -> String {
        let plain: String = client
            .chars()
            .map(|c| if is_argument_char(c) { c } else { '_' })
            .collect();
        let is_free = |name: &str, arguments: &[Argument]| {
            is_argument_name(name)
                && !taken.iter().any(|taken| taken == name)
                && !arguments
                    .iter()
                    .any(|known| known.tool == tool && known.upstream == name)
        };
        let mut upstream = plain.clone();
        let mut round: u32 = 0;
        while !is_free(&upstream, &self.arguments) {
            let suffix = format!("_{:08x}", hash(client, round) >> 32);
            upstream = plain.chars().take(MAX_LENGTH - suffix.len()).collect();
            upstream.push_str(&suffix);
            round = round.saturating_add(1);
        }
        self.arguments.push(Argument {
            tool: tool.to_owned(),
            client: client.to_owned(),
            upstream: upstream.clone(),
        });
        upstream
    }

    /// Whether arguments of a tool, given Bedrock's name, are renamed.
    pub(crate) fn renames_arguments(&self, tool: &str) -> bool {
        self.arguments.iter().any(|known| known.tool == tool)
    }

    /// The arguments of an earlier call, with Bedrock's names.
    pub(crate) fn upstream_arguments<'a>(
        &self,
        tool: &str,
        input: Cow<'a, RawValue>,
    ) -> Cow<'a, RawValue> {
        let renamed = self.renamed(tool, input.get(), |known| (&known.client, &known.upstream));
        renamed
            .and_then(|text| owned(text).ok())
            .map_or(input, |raw| raw)
    }

    /// The arguments of a call, with the client's names; truncated arguments are unchanged.
    pub(crate) fn original_arguments<'t>(&self, tool: &str, input: &'t str) -> Cow<'t, str> {
        self.renamed(tool, input, |known| (&known.upstream, &known.client))
            .map_or(Cow::Borrowed(input), Cow::Owned)
    }

    fn renamed(
        &self,
        tool: &str,
        input: &str,
        direction: fn(&Argument) -> (&String, &String),
    ) -> Option<String> {
        if !self.renames_arguments(tool) {
            return None;
        }
        let mut object: RawObject<'_> = serde_json::from_str(input).ok()?;
        for (key, _) in &mut object.0 {
            let mut known = self.arguments.iter().filter(|known| known.tool == tool);
            if let Some((_, new)) = known.by_ref().map(direction).find(|(old, _)| *old == key) {
                new.clone_into(key);
            }
        }
        serde_json::to_string(&object).ok()
    }
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
        let taken: Vec<String> = clients.iter().map(|name| (*name).to_owned()).collect();
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
