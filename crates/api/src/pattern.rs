//! Patterns with `*`, as in `allow` of a BedrockAccess and in its policies.

use wildmatch::WildMatchPattern;

/// Whether the pattern matches the whole of `text`. `*` matches any run of characters, including none and
/// including `/` and `:`. Every other character matches itself; matching is case-sensitive.
///
/// `text` may itself be a pattern: it matches if `pattern` matches everything that `text` matches, because a
/// `*` in `text` is only matched by a `*` in `pattern`.
pub fn matches(pattern: &str, text: &str) -> bool {
    WildMatchPattern::<'*', '\0'>::new(pattern).matches(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_matches_any_run_and_other_characters_match_themselves() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "A", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a/b:c", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a?c", "abc", false),
            ("a?c", "a?c", true),
            ("us.anthropic.*", "anthropic.claude", false),
            (
                "arn:aws:iam::1:role/team-*",
                "arn:aws:iam::1:role/team-a",
                true,
            ),
            (
                "arn:aws:iam::1:role/team-*",
                "arn:aws:iam::2:role/team-a",
                false,
            ),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn pattern_matches_a_pattern_only_if_it_covers_all_of_it() {
        for (wide, narrow, fits) in [
            ("anthropic.*", "anthropic.claude-*", true),
            ("anthropic.claude-*", "anthropic.*", false),
            ("*", "*", true),
            ("a*", "*", false),
            ("*a", "*", false),
            ("a*c", "a*b*c", true),
            ("a*b*c", "a*c", false),
            ("a", "*", false),
        ] {
            assert_eq!(matches(wide, narrow), fits, "{wide:?} over {narrow:?}");
        }
    }
}
