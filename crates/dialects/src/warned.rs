//! Which field a warning is about, by a name of the field tables.
//!
//! A warning quotes the path of a field, which may be a client's text; names of the tables are safe as labels of metrics.

use crate::{anthropic, openai, responses, translation::warnings::DROPPED};

/// Any field that no table has.
const OTHER: &str = "other";
/// The header with beta flags.
const BETAS: &str = "anthropic-beta";

/// The field of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warned {
    /// Its name in the field tables, or `other`.
    pub field: &'static str,
    /// Whether it was dropped; otherwise it was changed.
    pub is_dropped: bool,
}

impl Warned {
    /// Reads a warning of this crate.
    pub fn new(warning: &str) -> Self {
        let path = warning.split_once(": ").map_or(warning, |(path, _)| path);
        let name = path.split(['.', '[']).next().unwrap_or_default();
        let field = openai::known_field(name)
            .or_else(|| responses::known_field(name))
            .or_else(|| anthropic::known_field(name))
            .or_else(|| (name == BETAS).then_some(BETAS));
        Self {
            field: field.unwrap_or(OTHER),
            is_dropped: warning.ends_with(DROPPED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_tables_are_returned() {
        for (warning, field, is_dropped) in [
            ("seed: not supported by Bedrock; dropped", "seed", true),
            ("tools[].format: the grammar was added", "tools", false),
            ("input[]: teleport is unknown; dropped", "input", true),
            (
                "anthropic-beta: no such flag; dropped",
                "anthropic-beta",
                true,
            ),
            ("x-secret-of-a-client: not a field; dropped", "other", true),
            ("", "other", false),
        ] {
            assert_eq!(
                Warned::new(warning),
                Warned { field, is_dropped },
                "{warning}"
            );
        }
    }
}
