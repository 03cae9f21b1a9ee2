//! `bedrock-gateway models` against the double: the list of Bedrock if permitted, the built-in table otherwise.

use std::{collections::BTreeMap, process::ExitCode};

use awsdouble::Double;
use clap::Parser;
use serde_json::{Value, json};

use crate::support::{HAIKU, PROFILE, account, everything, settings, with_keys};

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: gateway::cli::models::Args,
}

async fn run(variables: BTreeMap<String, String>, arguments: &[&str]) -> (ExitCode, String) {
    let line = CommandLine::try_parse_from(["models"].iter().chain(arguments)).unwrap();
    let mut out = Vec::new();
    let code = gateway::cli::models::run(&line.args, &settings(variables), &mut out)
        .await
        .unwrap();
    (code, String::from_utf8(out).unwrap())
}

async fn run_json(variables: BTreeMap<String, String>, arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments
        .iter()
        .chain(&["--output", "json"])
        .copied()
        .collect();
    serde_json::from_str(&run(variables, &all).await.1).unwrap()
}

#[tokio::test]
async fn lists_models_of_bedrock_if_permitted() {
    let mut config = account(everything(), "2026-01-01T00:00:00Z");
    let only_here =
        json!({"id": "amazon.nova-only-here-v1:0", "regions": ["us-east-1"], "on_demand": true});
    config
        .models
        .push(serde_json::from_value(only_here).unwrap());
    let double = Double::start(config).await.unwrap();
    let report = run_json(with_keys(&double, &[]), &[]).await;
    let region = &report["regions"][0];
    assert_eq!(region["source"], "live", "{report:#}");
    assert_eq!(region["region"], "us-east-1");
    let models = region["models"].as_array().unwrap();
    let found = models
        .iter()
        .find(|model| model["model"] == "amazon.nova-only-here-v1:0")
        .unwrap();
    assert_eq!(found["callAs"], json!(["amazon.nova-only-here-v1:0"]));

    // Calls Bedrock in each region, which the double reads from the signature.
    let report = run_json(
        with_keys(&double, &[]),
        &["--model", "amazon.nova-only-here-v1:0"],
    )
    .await;
    let regions: Vec<&str> = report["regions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|region| !region["models"].as_array().unwrap().is_empty())
        .map(|region| region["region"].as_str().unwrap())
        .collect();
    assert_eq!(regions, ["us-east-1"]);
}

#[tokio::test]
async fn lists_models_of_the_built_in_table_with_a_note_if_denied() {
    let nothing = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "*", "Resource": "*"}]});
    let double = Double::start(account(nothing, "2026-01-01T00:00:00Z"))
        .await
        .unwrap();
    let report = run_json(with_keys(&double, &[]), &[]).await;
    let region = &report["regions"][0];
    assert_eq!(region["source"], "table");
    assert!(
        region["note"].as_str().unwrap().contains("not permitted"),
        "{region:#}"
    );
    assert!(!double.calls_of("ListFoundationModels").is_empty());
    let (_, text) = run(with_keys(&double, &[]), &[]).await;
    assert!(text.contains("built-in table of 20"), "{text}");
    assert!(text.contains("amazon.nova-lite-v1:0"), "{text}");
}

#[tokio::test]
async fn name_that_bedrock_lists_finds_the_model() {
    let double = Double::start(account(everything(), "2026-01-01T00:00:00Z"))
        .await
        .unwrap();
    let arguments = ["--region", "us-east-1", "--model", "claude 3 haiku"];
    let report = run_json(with_keys(&double, &[]), &arguments).await;
    let models = report["regions"][0]["models"].as_array().unwrap();
    assert_eq!(models.len(), 1, "{report:#}");
    assert_eq!(models[0]["model"], HAIKU);
    assert_eq!(models[0]["name"], "Claude 3 Haiku");
}

#[tokio::test]
async fn offline_calls_no_endpoint_and_needs_no_settings() {
    let none = BTreeMap::new();
    let (code, text) = run(none.clone(), &["--offline", "--model", PROFILE]).await;
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(text.contains("us-east-1 (built-in table of"), "{text}");
    assert!(text.contains(" days old)"), "{text}");
    assert!(text.contains("eu-central-1"), "{text}");
    assert!(!text.contains("sa-east-1 ("), "not offered there: {text}");

    let (code, text) = run(none.clone(), &["--offline", "--model", "claude-sonnet-4-5"]).await;
    assert_eq!(code, ExitCode::SUCCESS, "part of a model ID");
    assert!(text.contains("eu.anthropic.claude-sonnet-4-5"), "{text}");

    let (code, text) = run(none.clone(), &["--offline", "--model", "Claude 3 Haiku"]).await;
    assert_eq!(code, ExitCode::SUCCESS, "a name");
    assert!(text.contains(HAIKU) && text.contains("(legacy)"), "{text}");

    let (code, text) = run(none.clone(), &["--offline", "--model", "titan-text"]).await;
    assert_eq!(code, ExitCode::from(3));
    assert!(
        text.contains("amazon.titan-text-express-v1 is retired"),
        "{text}"
    );
    assert!(!text.contains("may lack"), "{text}");

    let (code, text) = run(none.clone(), &["--offline", "--model", "unknown.model"]).await;
    assert_eq!(code, ExitCode::from(3));
    assert!(text.contains("may lack newer models"), "{text}");

    let (code, text) = run(none, &["--offline", "--region", "eu-central-1"]).await;
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(
        text.contains("eu.amazon.nova-lite-v1:0") && !text.contains("us-east-1"),
        "{text}"
    );
}
