//! Banned phrases: `phrases.txt` lists what no text of this repository says, and what to write instead.
//!
//! A text is compared word by word, so that a phrase is found in prose (also across lines of a comment), in strings
//! and in identifiers: `snake_case` and `CamelCase` names are split into their words.

use std::collections::BTreeMap;

use super::Finding;

/// The list, in the format that its header describes.
pub(super) const LIST: &str = include_str!("phrases.txt");

/// Extensions of the files that are checked.
const EXTENSIONS: [&str; 13] = [
    "rs", "md", "yaml", "yml", "tpl", "txt", "py", "ts", "js", "mjs", "go", "toml", "sh",
];

/// Files that name the phrases on purpose.
const EXEMPT_FILES: [&str; 2] = ["docs/WRITING.md", "xtask/src/tidy/phrases.txt"];

/// Directories with recorded or third-party material, which stays as it was published.
const EXEMPT_DIRECTORIES: [&str; 5] = [
    "/recorded/",
    "crates/awsdouble/testdata/sigv4/",
    "crates/bedrock/testdata/eventstream/",
    "crates/bedrock/testdata/sigv4/",
    "tests/fixtures/first-release/",
];

/// Whether the phrases of a file are checked.
pub(super) fn applies_to(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.contains(&extension)
        && !EXEMPT_FILES.contains(&name)
        && !EXEMPT_DIRECTORIES
            .iter()
            .any(|directory| name.contains(directory))
}

/// The parsed list, indexed by the first word of each phrase.
#[derive(Debug)]
pub(super) struct Phrases(BTreeMap<String, Vec<Phrase>>);

#[derive(Debug)]
struct Phrase {
    /// As the list writes it, without its exceptions.
    text: String,
    /// What to write instead.
    instead: String,
    words: Vec<String>,
    /// Words that make the phrase acceptable when they follow it.
    except: Vec<String>,
}

/// A word or a punctuation mark, and the line it is in.
#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

impl Phrases {
    /// Reads a list: one phrase a line, `phrase (except word, word) | instead`.
    pub(super) fn parse(list: &str) -> Self {
        let mut phrases: BTreeMap<String, Vec<Phrase>> = BTreeMap::new();
        for line in list.lines() {
            let Some((phrase, instead)) = line.split_once('|').filter(|_| !line.starts_with('#'))
            else {
                continue;
            };
            let (text, except) = phrase
                .split_once("(except")
                .map_or((phrase, ""), |(text, except)| (text, except));
            let text = text.trim().to_owned();
            let words: Vec<String> = tokens(&text).into_iter().map(|token| token.text).collect();
            let except = tokens(except)
                .into_iter()
                .map(|token| token.text)
                .filter(|word| word.chars().all(char::is_alphanumeric))
                .collect();
            if let Some(first) = words.first() {
                phrases.entry(first.clone()).or_default().push(Phrase {
                    text,
                    instead: instead.trim().to_owned(),
                    words,
                    except,
                });
            }
        }
        Self(phrases)
    }

    /// Finds every banned phrase in the text of one file, and in its name.
    pub(super) fn check(&self, name: &str, text: &str) -> Vec<Finding> {
        let path = name.rsplit_once('.').map_or(name, |(path, _)| path);
        let in_name = self
            .search(&tokens(path))
            .into_iter()
            .map(|(phrase, _)| phrase.finding(name));
        let in_text = self
            .search(&tokens(text))
            .into_iter()
            .map(|(phrase, line)| phrase.finding(&format!("{name}:{line}")));
        in_name.chain(in_text).collect()
    }

    /// The phrases in a sequence of tokens, each with the line it begins in.
    fn search(&self, tokens: &[Token]) -> Vec<(&Phrase, usize)> {
        let mut found = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let rest = tokens.get(index..).unwrap_or_default();
            for phrase in self.0.get(&token.text).into_iter().flatten() {
                if phrase.begins(rest) {
                    found.push((phrase, token.line));
                }
            }
        }
        found
    }
}

impl Phrase {
    /// Whether the tokens begin with this phrase and none of its exceptions follows.
    fn begins(&self, tokens: &[Token]) -> bool {
        let same = tokens.len() >= self.words.len()
            && self
                .words
                .iter()
                .zip(tokens)
                .all(|(word, token)| *word == token.text);
        // A hyphen joins an exception to the phrase: "access-key".
        let next = tokens
            .iter()
            .skip(self.words.len())
            .find(|token| token.text != "-");
        same && !next.is_some_and(|next| self.except.contains(&next.text))
    }

    fn finding(&self, place: &str) -> Finding {
        Finding::new(
            place,
            format!("banned phrase `{}`: use {}", self.text, self.instead),
        )
    }
}

/// Splits a text into lowercase words and punctuation marks. Spaces, underscores, line breaks, markers of comments
/// and of emphasis only separate words; everything else keeps words of different sentences apart.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = without_comment_marker(content);
        let mut word = String::new();
        let mut characters = content.chars().peekable();
        let mut previous: Option<char> = None;
        while let Some(character) = characters.next() {
            let next = characters.peek().copied();
            if previous.is_some_and(|previous| splits(previous, character, next)) {
                finish(&mut word, line, &mut tokens);
            }
            previous = Some(character);
            if character.is_alphanumeric() {
                word.extend(character.to_lowercase());
                continue;
            }
            finish(&mut word, line, &mut tokens);
            let ends_line = characters.clone().all(char::is_whitespace);
            let separates = character.is_whitespace()
                || "_*`".contains(character)
                // A string that continues in the next line.
                || (character == '\\' && ends_line);
            if !separates {
                tokens.push(Token {
                    text: character.to_string(),
                    line,
                });
            }
        }
        finish(&mut word, line, &mut tokens);
        if content.trim().is_empty() {
            // An empty line ends a paragraph.
            tokens.push(Token {
                text: String::new(),
                line,
            });
        }
    }
    tokens
}

/// The rest of a line after the marker of a comment, if it has one.
fn without_comment_marker(line: &str) -> &str {
    let line = line.trim();
    ["///", "//!", "//", "#", "> "]
        .iter()
        .find_map(|marker| line.strip_prefix(marker))
        .unwrap_or(line)
}

/// Whether a new word of a `CamelCase` name begins at `character`: `tlsStore`, `TLSStore`, `store2`.
fn splits(previous: char, character: char, next: Option<char>) -> bool {
    (previous.is_lowercase() && character.is_uppercase())
        || (previous.is_uppercase()
            && character.is_uppercase()
            && next.is_some_and(char::is_lowercase))
        || (previous.is_alphabetic() && character.is_numeric())
        || (previous.is_numeric() && character.is_alphabetic())
}

fn finish(word: &mut String, line: usize, tokens: &mut Vec<Token>) {
    if !word.is_empty() {
        tokens.push(Token {
            text: std::mem::take(word),
            line,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of made-up phrases: the real ones would be findings in this file.
    const MADE_UP: &str = "# A comment | not a phrase.\n\
        zorp | \"actor\"\n\
        is zarked | \"is handled\"\n\
        ziff, zaff | rephrase\n\
        a zub (except key, keys) | \"an endpoint\"\n";

    #[track_caller]
    fn check_row(text: &str, expected: &[&str]) {
        let found = Phrases::parse(MADE_UP).check("a/b.rs", text);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn names_the_place_the_phrase_and_the_replacement() {
        let found = Phrases::parse(MADE_UP).check("a/b.md", "One.\nTwo zorp.\n");
        assert_eq!(
            found.first().map(ToString::to_string).as_deref(),
            Some("a/b.md:2: banned phrase `zorp`: use \"actor\"")
        );
    }

    #[test]
    fn finds_whole_words_in_any_case() {
        for text in ["zorp", "Zorp.", "ZORP!", "(zorp)", "\"zorp's\"", "**zorp**"] {
            check_row(text, &["a/b.rs:1: banned phrase `zorp`"]);
        }
        for text in ["zorps", "unzorp", "is nicely zarked", "This zarked"] {
            check_row(text, &[]);
        }
    }

    #[test]
    fn finds_words_of_identifiers() {
        for text in [
            "fn tells_zorp() {}",
            "struct ZorpError;",
            "const NO_ZORP: u8 = 1;",
            "let httpZorp2 = 1;",
            "HTTPZorp",
        ] {
            check_row(text, &["a/b.rs:1: banned phrase `zorp`"]);
        }
        check_row("it_is_zarked()", &["a/b.rs:1: banned phrase `is zarked`"]);
        check_row("IsZarked", &["a/b.rs:1: banned phrase `is zarked`"]);
    }

    #[test]
    fn finds_phrases_across_lines_of_a_comment_or_a_string() {
        for text in [
            "/// What is\n/// zarked here.",
            "    // it is\n    // zarked",
            "# it is\n# zarked",
            "\"it is \\\n    zarked\"",
            "It is\nzarked.",
        ] {
            check_row(text, &["a/b.rs:1: banned phrase `is zarked`"]);
        }
        check_row("It is.\nZarked.", &[]);
        check_row("It is\n\nZarked.", &[]);
    }

    #[test]
    fn punctuation_of_a_phrase_is_compared() {
        check_row("ziff, zaff", &["a/b.rs:1: banned phrase `ziff, zaff`"]);
        check_row("ziff zaff", &[]);
    }

    #[test]
    fn accepts_a_phrase_before_its_exceptions() {
        check_row("a zub key, a zub-key, a_zub_keys", &[]);
        check_row("a zub", &["a/b.rs:1: banned phrase `a zub`"]);
        check_row("a zub. Keys", &["a/b.rs:1: banned phrase `a zub`"]);
    }

    #[test]
    fn finds_phrases_in_the_name_of_a_file() {
        let found = Phrases::parse(MADE_UP).check("a/zorp_list.rs", "");
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn finds_every_phrase_of_the_real_list_in_a_comment_and_in_identifiers() {
        let phrases = Phrases::parse(LIST);
        let all: Vec<&Phrase> = phrases.0.values().flatten().collect();
        assert!(all.len() > 50, "{} phrases", all.len());
        for phrase in all {
            let comment = format!("// Text {} text.", phrase.text);
            let found = phrases.check("a/b.rs", &comment);
            let wanted = format!("`{}`", phrase.text);
            assert!(
                found
                    .iter()
                    .any(|finding| finding.to_string().contains(&wanted)),
                "{wanted}: {found:?}"
            );
            if phrase.words.iter().all(|word| word != ",") {
                let name = format!("fn text_{}_text() {{}}", phrase.words.join("_"));
                assert!(!phrases.check("a/b.rs", &name).is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn recorded_material_and_the_list_itself_are_exempt() {
        assert!(applies_to("gateway/src/main.rs"));
        assert!(applies_to("charts/bedrock-access/templates/_helpers.tpl"));
        for name in [
            "docs/WRITING.md",
            "xtask/src/tidy/phrases.txt",
            "LICENSE",
            "Cargo.lock",
            "a/testdata/recorded/x.txt",
            "tests/fixtures/first-release/children.yaml",
        ] {
            assert!(!applies_to(name), "{name}");
        }
    }
}
