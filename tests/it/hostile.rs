//! Hostile clients: the suites of `tests/hostile` against the built programs, in raw sockets.
//!
//! Each group has a gateway and a simulated AWS of its own. The full lane runs it; the figures are written to
//! `target/hostile.json`, from which `docs/reliability.md` takes them.

use std::{fs, io::Write as _, path::Path, process::Command};

use serde_json::Value;

use crate::support::{
    clients::{python, repository},
    lane, program,
};

/// Fewest cases of all groups; a group that ends early has fewer.
const LEAST_CASES: u64 = 300;

/// Runs all groups and returns the report of each.
fn run(scripts: &Path) -> Value {
    let output = Command::new(python(scripts))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(scripts.join("run.py"))
        .args(["--gateway", &program("bedrock-gateway")])
        .args(["--double", &program("awsdouble")])
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[tokio::test]
async fn hostile_clients_get_what_the_table_says_and_harm_no_other_client() {
    if lane::is_left_to_full() {
        return;
    }
    let scripts = repository().join("tests/hostile");
    let report = tokio::task::spawn_blocking(move || run(&scripts))
        .await
        .unwrap();
    fs::write(
        repository().join("target/hostile.json"),
        serde_json::to_string_pretty(&report).unwrap(),
    )
    .unwrap();
    let mut cases = 0;
    let mut failures = Vec::new();
    for (name, group) in report.as_object().unwrap() {
        cases += group["cases"].as_u64().unwrap();
        for failure in group["failures"].as_array().unwrap() {
            failures.push(format!("{name}: {}", failure.as_str().unwrap()));
        }
    }
    // Straight to the stream: libtest captures what `eprintln!` prints.
    for (attack, seen) in report["beside"]["figures"].as_object().unwrap() {
        if let Some(ratio) = seen["ratio"].as_f64() {
            let (p99, alone) = (&seen["p99_ms"], &seen["p99_alone_ms"]);
            let _ = writeln!(
                std::io::stderr(),
                "{attack}: p99 {p99} ms beside, {alone} ms alone ({ratio} times)"
            );
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures in {cases} cases:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(cases >= LEAST_CASES, "{cases} cases");
}
