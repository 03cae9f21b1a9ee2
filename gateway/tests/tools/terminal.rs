//! The commands under a terminal: a pseudo-terminal of `script` (util-linux), as a person sees them.

mod conversation;
mod screen;
mod shells;

use self::screen::Screen;
use crate::support::HAIKU;

/// What a terminal shows of a command.
fn shown(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let variables = [&[("AWS_EC2_METADATA_DISABLED", "true")], variables].concat();
    let mut screen = Screen::start(arguments, &variables);
    screen.end();
    screen.text()
}

/// All commands whose output a person reads.
const COMMANDS: [(&[&str], &str); 14] = [
    (&["--help"], "Gateway to Amazon Bedrock"),
    (&["serve", "--help"], "Run the gateway"),
    (&["health", "--help"], "Check whether"),
    (&["chat", "--help"], "Send a prompt"),
    (
        &["models", "--offline", "--region", "us-east-1"],
        "us-east-1 (built-in table",
    ),
    (
        &["models", "--region", "us-east-1"],
        "us-east-1 (built-in table",
    ),
    (&["iam", "--region", "us-east-1", "--model", HAIKU], "{"),
    (
        &[
            "iam",
            "--region",
            "us-east-1",
            "--model",
            HAIKU,
            "-o",
            "text",
        ],
        "Permission policy",
    ),
    (&["doctor", "--timeout", "1"], "ok       config"),
    (
        &["health", "--admin-listen", "127.0.0.1:1"],
        "not ready: Unreachable",
    ),
    (&["serve", "--listen", "nowhere"], "error: "),
    (&["serve"], "error: "),
    (&["completions", "bash"], "_bedrock__gateway()"),
    (&["man"], ".ie"),
];

#[test]
fn terminal_shows_the_result_and_no_other_lines() {
    for (arguments, start) in COMMANDS {
        let text = shown(arguments, &[("NO_COLOR", "1")]);
        assert!(text.starts_with(start), "{arguments:?}: {text}");
        for foreign in ["tracing-subscriber", "ansi", " INFO ", " WARN ", "\u{1b}["] {
            // The SDK's names are in the man page and in help texts.
            assert!(!text.contains(foreign), "{arguments:?}: {foreign}: {text}");
        }
    }
}

#[test]
fn colors_are_used_on_terminals_that_permit_them() {
    let doctor = ["doctor", "--timeout", "1"];
    let colored = |variables: &[(&str, &str)]| shown(&doctor, variables).contains("\u{1b}[");
    assert!(colored(&[]));
    assert!(!colored(&[("NO_COLOR", "1")]));
    assert!(!colored(&[("CLICOLOR", "0")]));
    assert!(!colored(&[("TERM", "dumb")]));
    assert!(shown(&["--help"], &[]).contains("\u{1b}["));
    assert!(shown(&["serve"], &[]).starts_with("\u{1b}["));
    // Documents have no colors anywhere.
    let document = shown(&["doctor", "--timeout", "1", "-o", "json"], &[]);
    assert!(document.starts_with("{\r\n"), "{document}");
}

#[test]
fn models_without_credentials_uses_the_table_soon() {
    // A silent address of TEST-NET-1 takes the place of the instance metadata service.
    let silent = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://192.0.2.1");
    let enabled = ("AWS_EC2_METADATA_DISABLED", "false");
    let started = tokio::time::Instant::now();
    let text = shown(&["models", "--region", "us-east-1"], &[enabled, silent]);
    assert!(text.contains("built-in table of"), "{text}");
    assert!(!text.contains("WARN"), "{text}");
    let elapsed = started.elapsed();
    assert!(elapsed.as_secs() < 8, "{elapsed:?}");
}
