//! Reads Rust source far enough to see which modules a file uses: comments, literals and test code are blanked, `use`
//! trees and paths through `crate::` and `super::` are listed. It does not parse Rust; macros that build paths are
//! not seen.

/// The attribute of an item that is compiled for tests alone.
const TEST_MARK: &str = "#[cfg(test)]";

/// A path of the source, resolved from the root of its crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Segments after `crate`; the last ones may name an item rather than a module.
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// The references of one file. `module` is the path of the file's module, empty at the root of the crate.
pub(super) fn references(module: &[String], text: &str) -> Vec<Reference> {
    let code = without_tests(&without_literals(text));
    let tokens = tokens(&code);
    let mut found = Vec::new();
    let mut index = 0;
    while let Some((word, line)) = tokens.get(index) {
        let after_path = index
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|(before, _)| before == "::");
        if word == "use" {
            index = use_tree(&tokens, index + 1, module, &[], &mut found);
        } else if !after_path && (word == "crate" || word == "super") {
            let (path, end) = plain_path(&tokens, index);
            // `pub(crate)` and `pub(super)` name no path.
            if path.len() > 1 {
                found.extend(resolve(module, &path, *line));
            }
            index = end;
        } else {
            index += 1;
        }
    }
    found
}

/// Names of the child modules that exist for tests alone: `#[cfg(test)] mod name;`.
pub(super) fn test_modules(text: &str) -> Vec<String> {
    let code = without_literals(text);
    let items = code.split(TEST_MARK).skip(1);
    items
        .filter_map(|item| {
            let (item, _) = item.split_at(item_length(item));
            let words: Vec<&str> = item.trim_end_matches(';').split_whitespace().collect();
            match words.as_slice() {
                [.., "mod", name] if item.ends_with(';') => Some((*name).to_owned()),
                _ => None,
            }
        })
        .collect()
}

/// Reads the segments of a path that begins at `start`; gives them and the index after them.
fn plain_path(tokens: &[(String, usize)], start: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    let mut index = start;
    while let Some((word, _)) = tokens.get(index).filter(|(word, _)| is_name(word)) {
        path.push(word.clone());
        index += 1;
        if tokens.get(index).is_some_and(|(word, _)| word == "::") {
            index += 1;
        } else {
            break;
        }
    }
    (path, index)
}

/// Reads a `use` tree that begins at `start`, below `prefix`; gives the index after it.
fn use_tree(
    tokens: &[(String, usize)],
    start: usize,
    module: &[String],
    prefix: &[String],
    found: &mut Vec<Reference>,
) -> usize {
    let mut path = prefix.to_vec();
    let mut index = start;
    let mut line = tokens.get(start).map_or(0, |(_, line)| *line);
    while let Some((word, at)) = tokens.get(index) {
        match word.as_str() {
            "{" => {
                index += 1;
                while tokens.get(index).is_some_and(|(word, _)| word != "}") {
                    let before = index;
                    index = use_tree(tokens, index, module, &path, found);
                    index += usize::from(tokens.get(index).is_some_and(|(word, _)| word == ","));
                    if index == before {
                        break;
                    }
                }
                return index + 1;
            }
            "as" => {
                // The new name is no part of the path.
                index += 2;
                continue;
            }
            "::" => {}
            "," | "}" | ";" => break,
            segment => {
                line = *at;
                path.push(segment.to_owned());
            }
        }
        index += 1;
    }
    found.extend(resolve(module, &path, line));
    index
}

/// A path as segments from the root of the crate; `None` for a path into another crate. A path that begins with
/// neither `crate`, `super` nor `self` is taken as relative: the caller knows which child modules exist.
fn resolve(module: &[String], path: &[String], line: usize) -> Option<Reference> {
    let mut base: Vec<String> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "std" | "core" | "alloc" => return None,
        _ => module.to_vec(),
    };
    for segment in path {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            segment => base.push(segment.to_owned()),
        }
    }
    Some(Reference { path: base, line })
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single punctuation marks, each with its line.
fn tokens(code: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push((token.to_owned(), line));
            }
            rest = after;
        }
    }
    tokens
}

/// The source with comments, strings and characters replaced by spaces; lines stay where they are.
fn without_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let length = literal(rest, previous);
        if length == 0 {
            out.push(first);
            rest = rest.split_at(first.len_utf8()).1;
        } else {
            let (blank, after) = rest.split_at(length);
            out.extend(blank.chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = after;
        }
        previous = first;
    }
    out
}

/// Length in bytes of the comment, string or character that `text` begins with, or 0.
fn literal(text: &str, previous: char) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(text.len());
    if text.starts_with("//") {
        return to(text.find('\n'));
    }
    if text.starts_with("/*") {
        return to(text.find("*/").map(|at| at + 2));
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    let in_a_name = previous.is_alphanumeric() || previous == '_';
    if !in_a_name && (text.starts_with('r') || text.starts_with("br")) {
        let hashes = text.trim_start_matches('b').trim_start_matches('r');
        let count = hashes.len() - hashes.trim_start_matches('#').len();
        if hashes.trim_start_matches('#').starts_with('"') {
            let open = text.len() - hashes.len() + count + 1;
            let close = format!("\"{}", "#".repeat(count));
            let body = text.split_at(open).1;
            return to(body.find(&close).map(|at| open + at + close.len()));
        }
        return 0;
    }
    // A character, not a lifetime: closed after one character, or an escape.
    let mut characters = text.chars();
    if characters.next() == Some('\'') {
        let body = characters.next();
        if body == Some('\\') || characters.next() == Some('\'') {
            return quoted(text, '\'');
        }
    }
    0
}

/// Length of a literal between quotes, with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// The source without the items under `#[cfg(test)]`; it has no literals any more.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(TEST_MARK) {
        let (before, item) = rest.split_at(at);
        out.push_str(before);
        let (item, after) = item.split_at(item_length(item));
        out.extend(item.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Length of an item: to the first `;` outside of all brackets, or to the brace that closes the first one.
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_row(module: &str, text: &str, expected: &[(&str, usize)]) {
        let module: Vec<String> = module
            .split("::")
            .filter(|segment| !segment.is_empty())
            .map(str::to_owned)
            .collect();
        let found: Vec<(String, usize)> = references(&module, text)
            .into_iter()
            .map(|reference| (reference.path.join("::"), reference.line))
            .collect();
        let expected: Vec<(String, usize)> = expected
            .iter()
            .map(|(path, line)| ((*path).to_owned(), *line))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn reads_use_trees() {
        check_row("a::b", "use crate::c::D;", &[("c::D", 1)]);
        check_row("a::b", "use super::c;", &[("a::c", 1)]);
        check_row("a::b", "use std::fmt;", &[]);
        check_row("a", "pub use b::C as D;", &[("a::b::C", 1)]);
        check_row(
            "a::b",
            "use crate::{\n    c::{self, D as E},\n    f::*,\n};\nuse super::{super::g, h};",
            &[("c", 2), ("c::D", 2), ("f::*", 3), ("g", 5), ("a::h", 5)],
        );
    }

    #[test]
    fn reads_paths_in_code() {
        check_row(
            "a::b",
            "fn f(x: &crate::c::D) -> super::E {\n    crate::g::h::<u8>()\n}",
            &[("c::D", 1), ("a::E", 1), ("g::h", 2)],
        );
        check_row("a", "pub(crate) fn f() {}\npub(super) struct S;", &[]);
    }

    #[test]
    fn names_the_modules_that_exist_for_tests_alone() {
        let text = "mod a;\n#[cfg(test)]\npub(crate) mod b;\n#[cfg(test)]\nmod tests {\n}\n#[cfg(test)]\nuse c::D;\n";
        assert_eq!(test_modules(text), ["b"]);
    }

    #[test]
    fn ignores_comments_literals_and_test_code() {
        check_row(
            "a",
            "//! [`crate::x`]\n/* crate::x */\nconst A: &str = \"crate::x \\\" crate::x\";\n\
             const B: &str = r#\"crate::x \" crate::x\"#;\nconst C: char = '\"';\nfn f<'a>(_: &'a crate::y::Z) {}\n",
            &[("y::Z", 6)],
        );
        check_row(
            "a",
            "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::x;\n#[cfg(test)]\nmod tests {\n    use crate::x;\n    \
             fn f() { crate::x::y() }\n}\nuse crate::z;\n",
            &[("z", 10)],
        );
    }
}
