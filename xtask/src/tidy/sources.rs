//! Layout of Rust files: a header, a limited length, test names that are sentences, and no test that waits a fixed time
//! for a condition.

use super::Finding;

/// Longest file in lines.
const MAX_LINES: usize = 800;
/// Length in lines that results in a warning.
const LONG_LINES: usize = 500;

/// Checks one Rust file.
pub(super) fn check(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if name.ends_with("/mod.rs") {
        findings.push(Finding::new(
            name,
            "a module `foo` lives in `foo.rs` beside `foo/`, not in `foo/mod.rs`",
        ));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(Finding::new(
            name,
            format!("{lines} lines, at most {MAX_LINES}: split it by concept"),
        ));
    }
    let for_tests = is_test_file(name);
    if !for_tests && !text.starts_with("//! ") {
        findings.push(Finding::new(
            name,
            "begins without a `//! ` header: say what the file does and what it deliberately does not",
        ));
    }
    let all: Vec<&str> = text.lines().collect();
    let mut in_tests = for_tests;
    for (index, line) in all.iter().enumerate() {
        let place = || format!("{name}:{}", index + 1);
        let code = line.trim_start();
        in_tests |= code.starts_with("#[cfg(test)]");
        if in_tests && (code.starts_with("fn test_") || code.starts_with("async fn test_")) {
            findings.push(Finding::new(
                place(),
                "the name of a test is a statement about behaviour, without `test_`",
            ));
        }
        if in_tests && sleeps(code) && !excused(&all, index) {
            findings.push(Finding::new(
                place(),
                "a test does not wait a fixed time: poll in a loop with a deadline, pause the clock, or say why in a `// sleep: …` comment",
            ));
        }
    }
    findings
}

/// A warning about a long file within the limit.
pub(super) fn long(name: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > LONG_LINES && lines <= MAX_LINES).then(|| {
        Finding::new(
            name,
            format!(
                "{lines} lines: consider splitting it by concept before it exceeds {MAX_LINES}"
            ),
        )
    })
}

/// Whether a file contains tests only: `tests.rs`, or a file below a `tests` directory.
fn is_test_file(name: &str) -> bool {
    name.split('/')
        .any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

fn sleeps(code: &str) -> bool {
    !code.starts_with("//")
        && ["time::sleep(", "thread::sleep(", " sleep("]
            .iter()
            .filter_map(|call| code.split_once(call))
            // An odd number of quotes before it: the call is in a string.
            .any(|(before, _)| before.matches('"').count() % 2 == 0)
}

/// A sleep in a loop polls, and one on a paused clock takes no time; any other needs a reason. The layout is rustfmt's,
/// so the enclosing block of a line is the nearest line above with less indentation.
fn excused(lines: &[&str], index: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let reason = |line: Option<&&str>| line.is_some_and(|line| line.contains("// sleep: "));
    if reason(lines.get(index)) || reason(index.checked_sub(1).and_then(|above| lines.get(above))) {
        return true;
    }
    let Some(line) = lines.get(index) else {
        return false;
    };
    let mut inner = indent(line);
    let mut above = lines.iter().take(index).rev();
    while let Some(line) = above
        .by_ref()
        .find(|line| !line.trim().is_empty() && indent(line) < inner)
    {
        inner = indent(line);
        let code = line.trim_start();
        if ["loop ", "while ", "for ", "'"]
            .iter()
            .any(|word| code.starts_with(word))
            || code.contains("= loop {")
        {
            return true;
        }
        let words: Vec<&str> = code
            .split(' ')
            .take_while(|word| !word.contains('('))
            .collect();
        if code.starts_with("fn ") || words.contains(&"fn") {
            // The attributes of the enclosing function. A helper is used by the tests of its file; if these pause the
            // clock, its sleeps take no time.
            let attributes: Vec<_> = above
                .take_while(|line| line.trim_start().starts_with("#["))
                .collect();
            let is_test = attributes.iter().any(|line| line.contains("test"));
            let paused = |line: &&str| line.contains("start_paused = true");
            return attributes.into_iter().any(paused) || (!is_test && lines.iter().any(paused));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_row(name: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = check(name, text).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    /// A file of tests with this body in one function.
    fn module_of(attribute: &str, body: &str) -> String {
        format!(
            "//! Header.\n\n#[cfg(test)]\nmod tests {{\n    {attribute}\n    async fn waits() {{\n{body}    }}\n}}\n"
        )
    }

    #[test]
    fn file_without_header_is_refused_unless_it_contains_tests_only() {
        check_row("a/src/b.rs", "use x;\n", &["without a `//! ` header"]);
        check_row("a/src/b/tests.rs", "use x;\n", &[]);
        check_row("tests/it/b.rs", "use x;\n", &[]);
        check_row("a/src/b.rs", "//! Header.\nuse x;\n", &[]);
    }

    #[test]
    fn file_over_the_limit_is_refused_and_a_long_one_results_in_a_warning() {
        let text = |lines: usize| format!("//! Header.\n{}", "// x\n".repeat(lines - 1));
        check_row("a.rs", &text(800), &[]);
        check_row("a.rs", &text(801), &["801 lines"]);
        assert_eq!(long("a.rs", &text(500)), None);
        assert!(long("a.rs", &text(501)).is_some());
        assert_eq!(long("a.rs", &text(801)), None);
    }

    #[test]
    fn module_directories_have_their_file_beside_them() {
        check_row("a/src/b/mod.rs", "//! Header.\n", &["foo.rs"]);
        check_row("a/src/b_mod.rs", "//! Header.\n", &[]);
    }

    #[test]
    fn prefix_in_the_name_of_a_test_is_refused() {
        let text = "//! Header.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn test_it() {}\n}\n";
        check_row("a.rs", text, &["a.rs:5: the name of a test"]);
        check_row("a.rs", "//! Header.\nfn test_double() {}\n", &[]);
    }

    #[test]
    fn sleep_in_a_test_is_refused_outside_a_loop() {
        let bare = module_of(
            "#[tokio::test]",
            "        tokio::time::sleep(WAIT).await;\n",
        );
        check_row("a.rs", &bare, &["does not wait a fixed time"]);
        let polling = module_of(
            "#[tokio::test]",
            "        loop {\n            if done() {\n                break;\n            }\n            tokio::time::sleep(WAIT).await;\n        }\n",
        );
        check_row("a.rs", &polling, &[]);
        let after_a_loop = module_of(
            "#[tokio::test]",
            "        loop {\n            break;\n        }\n        tokio::time::sleep(WAIT).await;\n",
        );
        check_row("a.rs", &after_a_loop, &["does not wait a fixed time"]);
    }

    #[test]
    fn sleep_with_a_paused_clock_or_a_reason_is_accepted() {
        let sleep = "        tokio::time::sleep(WAIT).await;\n";
        check_row(
            "a.rs",
            &module_of("#[tokio::test(start_paused = true)]", sleep),
            &[],
        );
        let helper = format!(
            "{}{}",
            module_of("", sleep),
            "// #[tokio::test(start_paused = true)]\n"
        );
        check_row("a.rs", &helper, &[]);
        let reason = format!("        // sleep: the server is slow on purpose\n{sleep}");
        check_row("a.rs", &module_of("#[tokio::test]", &reason), &[]);
    }

    #[test]
    fn sleep_in_shipped_code_is_accepted() {
        check_row(
            "a.rs",
            "//! Header.\nasync fn backoff() {\n    tokio::time::sleep(WAIT).await;\n}\n",
            &[],
        );
    }
}
