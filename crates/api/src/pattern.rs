//! Patterns with `*` for any run of characters, as the access's `allow` and the policies have them.

/// Whether the whole of `text` fits the pattern. Everything but `*` stands for itself, upper and lower case
/// differ, and `*` stands for any run of characters, also none and also one with `/` or `:` in it.
///
/// `text` may be a pattern itself: it fits when all that it fits is fitted by `pattern`, since a `*` of its can
/// only be taken up by a `*` of `pattern`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stands_for_any_run_and_the_rest_for_itself() {
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
    fn pattern_fits_a_pattern_only_when_it_takes_in_all_of_it() {
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
