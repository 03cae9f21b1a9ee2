//! The commands under a terminal: a pseudo-terminal of `script` (util-linux), as a person sees them.

use std::process::Command;

use crate::support::HAIKU;

/// What a terminal shows of a command.
fn shown(arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_bedrock-gateway");
    let line = format!("{program} {}", arguments.join(" "));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap_or_else(|error| panic!("script (package bsdutils): {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn terminal_shows_the_result_and_no_other_lines() {
    let iam = ["iam", "--region", "us-east-1", "--model", HAIKU];
    for (arguments, start) in [
        (&["--help"][..], "Gateway to Amazon Bedrock"),
        (&["models", "--offline", "--region", "us-east-1"], ""),
        (&iam, "{"),
        (&["doctor", "--timeout", "1"], ""),
        (&["serve", "--listen", "nowhere"], "error: "),
    ] {
        let text = shown(arguments);
        assert!(text.starts_with(start), "{arguments:?}: {text}");
        for foreign in ["tracing-subscriber", "ansi", " INFO ", "\u{1b}["] {
            assert!(!text.contains(foreign), "{arguments:?}: {foreign}: {text}");
        }
    }
}
