//! `bedrock-gateway doctor` against the double: findings, fixes, and no secrets in the output.

mod github;

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode},
    time::Duration,
};

use awsdouble::{Double, Fault, TokenIssuer, allow_bedrock};
use clap::Parser;
use serde_json::{Value, json};

use crate::support::{
    HAIKU, ISSUER, KEY_ID, PROFILE, ROLE, SECRET, account, config_file, environment, everything,
    settings, token_file, with_keys,
};

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: gateway::cli::doctor::Args,
}

struct Outcome {
    code: ExitCode,
    report: Value,
}

/// Runs the command with both output formats, and checks rules that apply to each run.
async fn run(variables: BTreeMap<String, String>, arguments: &[&str]) -> Outcome {
    let secrets: Vec<String> = ["AWS_SECRET_ACCESS_KEY", "AWS_BEARER_TOKEN_BEDROCK"]
        .iter()
        .filter_map(|name| variables.get(*name).cloned())
        .chain(
            variables
                .get("AWS_WEB_IDENTITY_TOKEN_FILE")
                .and_then(|path| std::fs::read_to_string(path).ok()),
        )
        .collect();
    let settings = settings(variables);
    let mut texts = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for output in ["text", "json"] {
        let line = [&["doctor", "-o", output][..], arguments].concat();
        let line = CommandLine::try_parse_from(line).unwrap();
        let mut out = Vec::new();
        code = gateway::cli::doctor::run(&line.args, &settings, &mut out)
            .await
            .unwrap();
        texts.push(String::from_utf8(out).unwrap());
    }
    for text in &texts {
        for secret in &secrets {
            assert!(!text.contains(secret.trim()), "a secret in {text}");
        }
        assert!(!text.contains(KEY_ID), "a complete key ID in {text}");
    }
    let report: Value = serde_json::from_str(&texts[1]).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        let is_ok = finding["level"] == "ok";
        assert_eq!(
            is_ok,
            finding["fix"].is_null(),
            "one fix for each problem: {finding:#}"
        );
    }
    Outcome { code, report }
}

impl Outcome {
    fn all(&self, check: &str) -> Vec<&Value> {
        let findings = self.report["findings"].as_array().unwrap();
        findings
            .iter()
            .filter(|finding| finding["check"] == check)
            .collect()
    }

    #[track_caller]
    fn one(&self, check: &str) -> &Value {
        let all = self.all(check);
        assert_eq!(all.len(), 1, "{check} in {:#}", self.report);
        all[0]
    }

    #[track_caller]
    fn is(&self, check: &str, level: &str, expected: &str) {
        let finding = self.one(check);
        assert_eq!(finding["level"], level, "{finding:#}");
        let text = finding.to_string();
        assert!(text.contains(expected), "{expected:?} in {finding:#}");
    }
}

const RECENT: &str = "2100-01-01T00:00:00Z";

#[tokio::test]
async fn legacy_model_is_a_warning_by_the_list_of_bedrock_and_by_the_table() {
    let mut config = account(everything(), "2026-01-01T00:00:00Z");
    let legacy = json!({"id": "amazon.nova-old-v1:0", "on_demand": true, "legacy": true});
    config.models.push(serde_json::from_value(legacy).unwrap());
    let double = Double::start(config).await.unwrap();
    let arguments = ["--model", "amazon.nova-old-v1:0", "--invoke", "none"];
    let outcome = run(with_keys(&double, &[]), &arguments).await;
    outcome.is("model:amazon.nova-old-v1:0", "warning", "is legacy");
    outcome.is("table", "ok", "days old");

    // Without credentials, the built-in table is what is left.
    let closed = [
        ("us.anthropic.claude-3-opus-20240229-v1:0", "is retired"),
        (
            "anthropic.claude-3-hiaku-20240307-v1:0",
            "check the spelling",
        ),
        ("eu.amazon.nova-2-lite-v1:0", "us.amazon.nova-2-lite-v1:0"),
    ];
    for (id, expected) in closed {
        let outcome = run(
            environment(&double, &[]),
            &["--model", id, "--timeout", "1"],
        )
        .await;
        outcome.is(&format!("model:{id}"), "warning", expected);
    }
}

#[tokio::test]
async fn valid_static_keys_pass_all_checks() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let config = config_file(&format!(
        "region: us-east-1\nmodels: [{{name: fast, targets: [{{modelId: {HAIKU}}}]}}]"
    ));
    let path = config.path().to_str().unwrap();
    let outcome = run(with_keys(&double, &[]), &["--config", path]).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("source", "ok", "static keys");
    outcome.is("caller", "ok", "user/dev");
    outcome.is("clock", "ok", "local clock");
    outcome.is("model:fast", "ok", HAIKU);
    outcome.is("invoke:fast", "ok", HAIKU);
    outcome.is("key-age", "ok", "0 days");
    for service in ["sts", "bedrock", "bedrock-runtime"] {
        outcome.is(&format!("endpoint:{service}"), "ok", "responds");
    }
    // One call for each of the two output formats.
    let calls = double.calls_of("Converse");
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn trial_call_uses_the_role_of_the_target_and_a_denied_role_is_an_error() {
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Condition": {"StringEquals": {"sts:ExternalId": "agreed"}},
    }]});
    let far = "arn:aws:iam::210987654321:role/Models";
    let account = account(everything(), RECENT).with_role(far, trust, allow_bedrock());
    let double = Double::start(account).await.unwrap();
    for (external_id, level, calls) in [("agreed", "ok", 2), ("guessed", "error", 0)] {
        let config = config_file(&format!(
            "region: us-east-1\nmodels: [{{name: fast, targets: [{{modelId: {HAIKU}, assumeRole: {{roleArn: '{far}', externalId: {external_id}}}}}]}}]"
        ));
        let path = config.path().to_str().unwrap();
        let limits = ["--config", path, "--timeout", "2"];
        let outcome = run(with_keys(&double, &[]), &limits).await;
        let field = "models[0].targets[0].assumeRole";
        outcome.is(&format!("role:{far}"), level, field);
        let made = double.calls_of("Converse");
        assert_eq!(made.len(), calls, "{external_id}");
        for call in made {
            assert_eq!(call.identity.unwrap().role_arn.as_deref(), Some(far));
        }
        double.clear_calls();
    }
}

#[tokio::test]
async fn invoke_none_calls_no_model() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let arguments = ["--model", HAIKU, "--invoke", "none"];
    let outcome = run(with_keys(&double, &[]), &arguments).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    assert!(double.calls_of("Converse").is_empty());
}

#[tokio::test]
async fn printed_trust_policy_admits_the_denied_token() {
    let issuer = TokenIssuer::generate(ISSUER).unwrap();
    let start = |trust: Value| {
        let config = account(everything(), RECENT).with_issuer(issuer.issuer(), issuer.jwks());
        let config = config.with_role(ROLE, trust, allow_bedrock());
        Double::start(config)
    };
    let wrong = account(everything(), RECENT).irsa_trust(ISSUER, "team-b", "other");
    let double = start(wrong).await.unwrap();
    let token = token_file(&issuer, "team-a", "chat");
    let path = token.path().to_str().unwrap();
    let role = [
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path),
    ];
    let outcome = run(environment(&double, &role), &["--timeout", "3"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    outcome.is("source", "ok", "web identity");
    outcome.is("token", "ok", "system:serviceaccount:team-a:chat");
    outcome.is("credentials", "error", "AccessDenied");
    let printed = outcome.one("token")["details"].as_str().unwrap();
    let printed_once = outcome.one("credentials")["details"].is_null();
    assert!(printed_once, "{:#}", outcome.report);
    let policy: Value = serde_json::from_str(printed.split_once('\n').unwrap().1).unwrap();
    drop(double);

    let double = start(policy).await.unwrap();
    let outcome = run(environment(&double, &role), &["--model", HAIKU]).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("caller", "ok", "assumed-role/BedrockRole/");
    outcome.is("role", "ok", ROLE);
    assert!(
        outcome.all("key-age").is_empty(),
        "a role has no access keys"
    );
}

#[tokio::test]
async fn old_keys_are_a_warning_and_a_denied_key_list_is_information() {
    let double = Double::start(account(everything(), "2020-01-01T00:00:00Z"))
        .await
        .unwrap();
    let outcome = run(with_keys(&double, &[]), &[]).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("key-age", "warning", "days old");
    let strict = run(with_keys(&double, &[]), &["--strict"]).await;
    assert_eq!(strict.code, ExitCode::FAILURE);
    drop(double);

    let double = Double::start(account(allow_bedrock(), RECENT))
        .await
        .unwrap();
    let outcome = run(with_keys(&double, &[]), &[]).await;
    outcome.is("key-age", "ok", "unknown");
    outcome.is("key-age", "ok", "iam:ListAccessKeys");
}

#[tokio::test]
async fn least_policy_that_iam_prints_passes_without_warnings() {
    let line = ["iam", "--region", "us-east-1", "--model", PROFILE];
    let policy = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args(line)
        .env_clear()
        .output()
        .unwrap();
    let policy: Value = serde_json::from_slice(&policy.stdout).unwrap();
    let double = Double::start(account(policy, RECENT)).await.unwrap();
    let arguments = ["--model", PROFILE, "--strict"];
    let outcome = run(with_keys(&double, &[]), &arguments).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("list:us-east-1", "ok", "--with-listing");
    outcome.is("key-age", "ok", "iam:ListAccessKeys");
    outcome.is(&format!("invoke:{PROFILE}"), "ok", "responded");
    outcome.is(&format!("model:{PROFILE}"), "ok", "built-in table of");
}

#[tokio::test]
async fn fix_for_a_denied_model_names_the_iam_command() {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["bedrock:List*", "iam:ListAccessKeys"], "Resource": "*"}]});
    let double = Double::start(account(policy, RECENT)).await.unwrap();
    let outcome = run(with_keys(&double, &[]), &["--model", HAIKU]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    outcome.is(&format!("invoke:{HAIKU}"), "error", "bedrock-gateway iam");
}

#[tokio::test]
async fn model_that_the_region_does_not_list_is_an_error() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let variables = with_keys(&double, &[("AWS_REGION", "eu-north-1")]);
    let outcome = run(variables, &["--model", "unknown.model", "--invoke", "none"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    outcome.is("model:unknown.model", "error", "eu-north-1");
}

#[tokio::test]
async fn missing_and_conflicting_variables_are_named() {
    let outcome = run(BTreeMap::new(), &[]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    outcome.is("region", "error", "AWS_REGION=us-east-1");

    let half = BTreeMap::from([
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), KEY_ID.to_owned()),
    ]);
    let outcome = run(half, &[]).await;
    outcome.is("source", "error", "AWS_SECRET_ACCESS_KEY");

    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let issuer = TokenIssuer::generate(ISSUER).unwrap();
    let token = token_file(&issuer, "team-a", "chat");
    let path = token.path().to_str().unwrap();
    let both = with_keys(
        &double,
        &[
            ("AWS_ROLE_ARN", ROLE),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", path),
        ],
    );
    let outcome = run(both, &["--timeout", "2"]).await;
    let warnings: Vec<_> = outcome
        .all("source")
        .into_iter()
        .filter(|finding| finding["level"] == "warning")
        .collect();
    assert_eq!(warnings.len(), 1, "{:#}", outcome.report);
}

#[tokio::test]
async fn disabled_metadata_service_is_no_problem_of_the_hop_limit() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    double.inject(Fault::error("GetToken", 403, "Forbidden").times(100));
    let url = double.url();
    let variables = environment(
        &double,
        &[
            ("AWS_EC2_METADATA_DISABLED", "false"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url),
            ("HOME", "/nonexistent"),
        ],
    );
    let outcome = run(variables, &["--timeout", "5"]).await;
    outcome.is("credentials", "error", "InstanceMetadataRefused");
    let finding = outcome.one("credentials").to_string();
    assert!(!finding.contains("hop"), "{finding}");
    assert!(finding.contains("--http-endpoint enabled"), "{finding}");
}

#[tokio::test]
async fn wrong_bedrock_api_key_is_an_error_and_no_missing_permission() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let key = [("AWS_BEARER_TOKEN_BEDROCK", "ABSKd3Jvbmcta2V5")];
    let outcome = run(environment(&double, &key), &["--invoke", "none"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE, "{:#}", outcome.report);
    let finding = outcome.one("list:us-east-1").to_string();
    assert!(!finding.contains("not permitted"), "{finding}");
}

#[tokio::test]
async fn invalid_configuration_is_an_error_that_names_the_field() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let config = config_file("models: [{name: '', targets: [{modelId: x}]}]");
    let path = config.path().to_str().unwrap();
    let outcome = run(with_keys(&double, &[]), &["--config", path]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    outcome.is("config", "error", "models[0].name");
}

#[tokio::test]
async fn bedrock_api_key_is_checked_without_sts() {
    let mut config = account(everything(), RECENT);
    config = config.with_bearer_key("svc", "ABSKQmVkcm9jay10ZXN0", everything());
    let double = Double::start(config).await.unwrap();
    let variables = environment(
        &double,
        &[("AWS_BEARER_TOKEN_BEDROCK", "ABSKQmVkcm9jay10ZXN0")],
    );
    let outcome = run(variables, &["--model", HAIKU]).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("source", "ok", "Bedrock API key");
    assert!(outcome.all("caller").is_empty() && outcome.all("endpoint:sts").is_empty());
    assert!(double.calls_of("GetCallerIdentity").is_empty());
}

#[tokio::test]
async fn wrong_clock_is_an_error() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    double.set_clock_skew(-600);
    let outcome = run(with_keys(&double, &[]), &[]).await;
    outcome.is("clock", "error", "ahead of AWS time");
}

#[tokio::test]
async fn unreachable_and_silent_endpoints_time_out() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    // Accepts connections into its backlog and never responds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let variables = BTreeMap::from([
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET.to_owned()),
        ("AWS_ENDPOINT_URL".to_owned(), silent_url),
        ("AWS_ENDPOINT_URL_STS".to_owned(), closed_url),
    ]);
    let checks = run(variables, &["--timeout", "1", "--model", HAIKU]);
    let outcome = tokio::time::timeout(Duration::from_mins(1), checks)
        .await
        .expect("doctor exits");
    assert_eq!(outcome.code, ExitCode::FAILURE);
    outcome.is("endpoint:sts", "error", "does not accept connections");
    outcome.is("endpoint:bedrock", "error", "does not respond");
    outcome.is("caller", "error", "no response");
    outcome.is(&format!("invoke:{HAIKU}"), "error", "within 1 s");
    drop(silent);
}

#[tokio::test]
async fn targets_on_mantle_are_called_on_mantle() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let config = config_file(
        "region: us-east-1\nmodels:\n\
         - {name: chat, targets: [{modelId: openai.gpt-oss-20b, api: Mantle}]}\n\
         - {name: responses, targets: [{modelId: openai.gpt-5.5}]}\n",
    );
    let path = config.path().to_str().unwrap();
    let mantle = [("AWS_ENDPOINT_URL_BEDROCK_MANTLE", double.mantle_url())];
    let mantle = mantle.each_ref().map(|(name, url)| (*name, url.as_str()));
    let outcome = run(
        with_keys(&double, &mantle),
        &["--config", path, "--invoke", "all"],
    )
    .await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("invoke:chat", "ok", "Chat Completions");
    outcome.is("invoke:responses", "ok", "Responses");
    outcome.is("endpoint:bedrock-mantle", "ok", "responds");
    assert!(double.calls_of("Converse").is_empty());
    assert_eq!(double.calls_of("ChatCompletions").len(), 2);
    assert_eq!(double.calls_of("CreateResponse").len(), 2);
}
