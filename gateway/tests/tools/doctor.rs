//! `bedrock-gateway doctor` against the double: what it finds, what it advises, what it never shows.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use awsdouble::{Double, TokenIssuer, allow_bedrock};
use clap::Parser;
use serde_json::{Value, json};

use crate::support::{
    HAIKU, ISSUER, KEY_ID, ROLE, SECRET, account, config_file, environment, everything, settings,
    token_file, with_keys,
};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: gateway::cli::doctor::Args,
}

struct Seen {
    code: ExitCode,
    report: Value,
}

/// Runs the command with JSON output, and checks what holds for every run.
async fn examined(variables: BTreeMap<String, String>, arguments: &[&str]) -> Seen {
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
        let line = Line::try_parse_from(line).unwrap();
        let mut out = Vec::new();
        code = gateway::cli::doctor::run(&line.args, &settings, &mut out)
            .await
            .unwrap();
        texts.push(String::from_utf8(out).unwrap());
    }
    for text in &texts {
        for secret in &secrets {
            assert!(!text.contains(secret.trim()), "a secret shows in {text}");
        }
        assert!(!text.contains(KEY_ID), "a whole key id shows in {text}");
    }
    let report: Value = serde_json::from_str(&texts[1]).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        let fine = finding["level"] == "ok";
        assert_eq!(
            fine,
            finding["wayOut"].is_null(),
            "one way out for each problem: {finding:#}"
        );
    }
    Seen { code, report }
}

impl Seen {
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
    fn is(&self, check: &str, level: &str, says: &str) {
        let finding = self.one(check);
        assert_eq!(finding["level"], level, "{finding:#}");
        let text = finding.to_string();
        assert!(text.contains(says), "{says:?} in {finding:#}");
    }
}

const RECENT: &str = "2100-01-01T00:00:00Z";

#[tokio::test]
async fn a_laptop_with_good_keys_is_ok_throughout() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let config = config_file(&format!(
        "region: us-east-1\nmodels: [{{name: fast, targets: [{{modelId: {HAIKU}}}]}}]"
    ));
    let path = config.path().to_str().unwrap();
    let seen = examined(with_keys(&double, &[]), &["--config", path]).await;
    assert_eq!(seen.code, ExitCode::SUCCESS, "{:#}", seen.report);
    seen.is("source", "ok", "static keys");
    seen.is("caller", "ok", "user/dev");
    seen.is("clock", "ok", "local clock");
    seen.is("model:fast", "ok", HAIKU);
    seen.is("invoke:fast", "ok", HAIKU);
    seen.is("key-age", "ok", "0 days");
    for service in ["sts", "bedrock", "bedrock-runtime"] {
        seen.is(&format!("endpoint:{service}"), "ok", "answers");
    }
    // Once for each of the two outputs, and for one token only.
    let calls = double.calls_of("Converse");
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn target_of_a_role_is_called_by_it_and_a_role_that_refuses_is_told() {
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
        let seen = examined(with_keys(&double, &[]), &limits).await;
        let field = "models[0].targets[0].assumeRole";
        seen.is(&format!("role:{far}"), level, field);
        let made = double.calls_of("Converse");
        assert_eq!(made.len(), calls, "{external_id}");
        for call in made {
            assert_eq!(call.identity.unwrap().role_arn.as_deref(), Some(far));
        }
        double.clear_calls();
    }
}

#[tokio::test]
async fn nothing_is_invoked_when_that_is_asked_for() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let arguments = ["--model", HAIKU, "--invoke", "none"];
    let seen = examined(with_keys(&double, &[]), &arguments).await;
    assert_eq!(seen.code, ExitCode::SUCCESS, "{:#}", seen.report);
    assert!(double.calls_of("Converse").is_empty());
}

#[tokio::test]
async fn the_printed_trust_policy_makes_a_refused_token_welcome() {
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
    let seen = examined(environment(&double, &role), &["--timeout", "3"]).await;
    assert_eq!(seen.code, ExitCode::from(2));
    seen.is("source", "ok", "web identity");
    seen.is("token", "ok", "system:serviceaccount:team-a:chat");
    seen.is("credentials", "error", "AccessDenied");
    let printed = seen.one("credentials")["details"].as_str().unwrap();
    let policy: Value = serde_json::from_str(printed.split_once('\n').unwrap().1).unwrap();
    drop(double);

    let double = start(policy).await.unwrap();
    let seen = examined(environment(&double, &role), &["--model", HAIKU]).await;
    assert_eq!(seen.code, ExitCode::SUCCESS, "{:#}", seen.report);
    seen.is("caller", "ok", "assumed-role/BedrockRole/");
    seen.is("role", "ok", ROLE);
    assert!(seen.all("key-age").is_empty(), "roles have no keys to age");
}

#[tokio::test]
async fn old_keys_and_a_forbidden_look_are_warnings() {
    let double = Double::start(account(everything(), "2020-01-01T00:00:00Z"))
        .await
        .unwrap();
    let seen = examined(with_keys(&double, &[]), &[]).await;
    assert_eq!(seen.code, ExitCode::from(1), "{:#}", seen.report);
    seen.is("key-age", "warning", "days old");
    drop(double);

    let double = Double::start(account(allow_bedrock(), RECENT))
        .await
        .unwrap();
    let seen = examined(with_keys(&double, &[]), &[]).await;
    seen.is("key-age", "warning", "not permitted to look");
    seen.is("key-age", "warning", "iam:ListAccessKeys");
}

#[tokio::test]
async fn a_role_that_may_only_invoke_still_passes_with_a_warning() {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["bedrock:InvokeModel", "iam:ListAccessKeys"], "Resource": "*"}]});
    let double = Double::start(account(policy, RECENT)).await.unwrap();
    let seen = examined(with_keys(&double, &[]), &["--model", HAIKU]).await;
    assert_eq!(seen.code, ExitCode::from(1), "{:#}", seen.report);
    seen.is("list:us-east-1", "warning", "--with-listing");
    seen.is(&format!("invoke:{HAIKU}"), "ok", "answered");
    seen.is(&format!("model:{HAIKU}"), "ok", "built-in table of");
}

#[tokio::test]
async fn a_forbidden_model_is_an_error_with_the_policy_as_way_out() {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["bedrock:List*", "iam:ListAccessKeys"], "Resource": "*"}]});
    let double = Double::start(account(policy, RECENT)).await.unwrap();
    let seen = examined(with_keys(&double, &[]), &["--model", HAIKU]).await;
    assert_eq!(seen.code, ExitCode::from(2));
    seen.is(&format!("invoke:{HAIKU}"), "error", "bedrock-gateway iam");
}

#[tokio::test]
async fn a_model_that_is_not_in_the_region_is_told_where_it_is() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let variables = with_keys(&double, &[("AWS_REGION", "eu-north-1")]);
    let seen = examined(
        variables,
        &["--model", "nobody.knows-this", "--invoke", "none"],
    )
    .await;
    assert_eq!(seen.code, ExitCode::from(2));
    seen.is("model:nobody.knows-this", "error", "eu-north-1");
}

#[tokio::test]
async fn what_is_missing_or_doubled_in_the_environment_is_named() {
    let seen = examined(BTreeMap::new(), &[]).await;
    assert_eq!(seen.code, ExitCode::from(2));
    seen.is("region", "error", "AWS_REGION=us-east-1");

    let half = BTreeMap::from([
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), KEY_ID.to_owned()),
    ]);
    let seen = examined(half, &[]).await;
    seen.is("source", "error", "AWS_SECRET_ACCESS_KEY");

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
    let seen = examined(both, &["--timeout", "2"]).await;
    let warnings: Vec<_> = seen
        .all("source")
        .into_iter()
        .filter(|finding| finding["level"] == "warning")
        .collect();
    assert_eq!(warnings.len(), 1, "{:#}", seen.report);
}

#[tokio::test]
async fn wrong_files_are_errors_that_name_the_field() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    let config = config_file("models: [{name: '', targets: [{modelId: x}]}]");
    let path = config.path().to_str().unwrap();
    let seen = examined(with_keys(&double, &[]), &["--config", path]).await;
    assert_eq!(seen.code, ExitCode::from(2));
    seen.is("config", "error", "models[0].name");
}

#[tokio::test]
async fn an_api_key_is_checked_without_sts() {
    let mut config = account(everything(), RECENT);
    config = config.with_bearer_key("svc", "ABSKQmVkcm9jay10ZXN0", everything());
    let double = Double::start(config).await.unwrap();
    let variables = environment(
        &double,
        &[("AWS_BEARER_TOKEN_BEDROCK", "ABSKQmVkcm9jay10ZXN0")],
    );
    let seen = examined(variables, &["--model", HAIKU]).await;
    assert_eq!(seen.code, ExitCode::SUCCESS, "{:#}", seen.report);
    seen.is("source", "ok", "Bedrock API key");
    assert!(seen.all("caller").is_empty() && seen.all("endpoint:sts").is_empty());
    assert!(double.calls_of("GetCallerIdentity").is_empty());
}

#[tokio::test]
async fn a_clock_that_is_off_is_found() {
    let double = Double::start(account(everything(), RECENT)).await.unwrap();
    double.set_clock_skew(-600);
    let seen = examined(with_keys(&double, &[]), &[]).await;
    seen.is("clock", "error", "ahead of AWS's");
}

#[tokio::test]
async fn endpoints_that_refuse_or_never_answer_end_in_time() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    // Takes connections into its backlog and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://{}", silent.local_addr().unwrap());
    let variables = BTreeMap::from([
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET.to_owned()),
        ("AWS_ENDPOINT_URL".to_owned(), mute),
        ("AWS_ENDPOINT_URL_STS".to_owned(), refused),
    ]);
    let examination = examined(variables, &["--timeout", "1", "--model", HAIKU]);
    let seen = tokio::time::timeout(Duration::from_mins(1), examination)
        .await
        .expect("it ends");
    assert_eq!(seen.code, ExitCode::from(2));
    seen.is("endpoint:sts", "error", "does not take connections");
    seen.is("endpoint:bedrock", "error", "does not answer");
    seen.is("caller", "error", "no answer");
    seen.is(&format!("invoke:{HAIKU}"), "error", "within 1 s");
    drop(silent);
}
