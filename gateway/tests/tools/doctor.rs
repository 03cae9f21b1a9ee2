//! `bedrock-gateway doctor` against the double: findings, fixes, and no secrets in the output.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use awsdouble::{Double, TokenIssuer, allow_bedrock};
use clap::Parser;
use serde_json::{Value, json};

use crate::support::{
    HAIKU, ISSUER, KEY_ID, ROLE, SECRET, account, config_file, environment, everything, settings,
    token_file, with_keys,
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
        let line = [&["doctor", "--output", output][..], arguments].concat();
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
    assert_eq!(outcome.code, ExitCode::from(2));
    outcome.is("source", "ok", "web identity");
    outcome.is("token", "ok", "system:serviceaccount:team-a:chat");
    outcome.is("credentials", "error", "AccessDenied");
    let printed = outcome.one("credentials")["details"].as_str().unwrap();
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
async fn old_keys_and_a_denied_key_list_are_warnings() {
    let double = Double::start(account(everything(), "2020-01-01T00:00:00Z"))
        .await
        .unwrap();
    let outcome = run(with_keys(&double, &[]), &[]).await;
    assert_eq!(outcome.code, ExitCode::from(1), "{:#}", outcome.report);
    outcome.is("key-age", "warning", "days old");
    drop(double);

    let double = Double::start(account(allow_bedrock(), RECENT))
        .await
        .unwrap();
    let outcome = run(with_keys(&double, &[]), &[]).await;
    outcome.is("key-age", "warning", "not permitted to list");
    outcome.is("key-age", "warning", "iam:ListAccessKeys");
}

#[tokio::test]
async fn invoke_permission_alone_passes_with_a_warning() {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["bedrock:InvokeModel", "iam:ListAccessKeys"], "Resource": "*"}]});
    let double = Double::start(account(policy, RECENT)).await.unwrap();
    let outcome = run(with_keys(&double, &[]), &["--model", HAIKU]).await;
    assert_eq!(outcome.code, ExitCode::from(1), "{:#}", outcome.report);
    outcome.is("list:us-east-1", "warning", "--with-listing");
    outcome.is(&format!("invoke:{HAIKU}"), "ok", "responded");
    outcome.is(&format!("model:{HAIKU}"), "ok", "built-in table of");
}

#[tokio::test]
async fn fix_for_a_denied_model_names_the_iam_command() {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["bedrock:List*", "iam:ListAccessKeys"], "Resource": "*"}]});
    let double = Double::start(account(policy, RECENT)).await.unwrap();
    let outcome = run(with_keys(&double, &[]), &["--model", HAIKU]).await;
    assert_eq!(outcome.code, ExitCode::from(2));
    outcome.is(&format!("invoke:{HAIKU}"), "error", "bedrock-gateway iam");
}

#[tokio::test]
async fn model_that_the_region_does_not_list_is_an_error() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let variables = with_keys(&double, &[("AWS_REGION", "eu-north-1")]);
    let outcome = run(variables, &["--model", "unknown.model", "--invoke", "none"]).await;
    assert_eq!(outcome.code, ExitCode::from(2));
    outcome.is("model:unknown.model", "error", "eu-north-1");
}

#[tokio::test]
async fn missing_and_conflicting_variables_are_named() {
    let outcome = run(BTreeMap::new(), &[]).await;
    assert_eq!(outcome.code, ExitCode::from(2));
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
async fn invalid_configuration_is_an_error_that_names_the_field() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let config = config_file("models: [{name: '', targets: [{modelId: x}]}]");
    let path = config.path().to_str().unwrap();
    let outcome = run(with_keys(&double, &[]), &["--config", path]).await;
    assert_eq!(outcome.code, ExitCode::from(2));
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
    assert_eq!(outcome.code, ExitCode::from(2));
    outcome.is("endpoint:sts", "error", "does not accept connections");
    outcome.is("endpoint:bedrock", "error", "does not respond");
    outcome.is("caller", "error", "no response");
    outcome.is(&format!("invoke:{HAIKU}"), "error", "within 1 s");
    drop(silent);
}
