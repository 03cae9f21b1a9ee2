//! `doctor` in a job of GitHub Actions.

use std::{collections::BTreeMap, process::ExitCode};

use awsdouble::{Double, allow_bedrock};
use serde_json::{Value, json};

use super::{RECENT, run};
use crate::support::{ROLE, account, environment, everything};

/// The double's token service of GitHub Actions for a job, with a role whose trust policy names `subject`.
async fn github(subject: &str, trusted: &str) -> (Double, BTreeMap<String, String>) {
    let issuer = "https://token.actions.githubusercontent.com";
    let mut config = account(everything(), RECENT);
    let provider = config.provider_arn(issuer);
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": provider},
        "Condition": {"StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": trusted,
        }},
    }]});
    config = config.with_role(ROLE, trust, allow_bedrock());
    let job = json!({"request_token": "t0k3n-of-the-job", "subject": subject});
    config.github = Some(serde_json::from_value(job).unwrap());
    let double = Double::start(config).await.unwrap();
    let url = format!("{}/github/oidc/token?api-version=2.0", double.url());
    let variables = environment(
        &double,
        &[
            ("GITHUB_ACTIONS", "true"),
            ("AWS_ROLE_ARN", ROLE),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t0k3n-of-the-job"),
        ],
    );
    (double, variables)
}

#[tokio::test]
async fn claims_of_github_and_the_matching_trust_policy_are_shown() {
    let subject = "repo:octo/site:ref:refs/heads/main";
    let (_double, variables) = github(subject, "repo:octo/other:ref:refs/heads/main").await;
    let outcome = run(variables.clone(), &["--timeout", "3"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    for claim in [
        "token.actions.githubusercontent.com",
        "sts.amazonaws.com",
        subject,
    ] {
        outcome.is("token", "ok", claim);
    }
    outcome.is("credentials", "error", "AccessDenied");
    let fix = outcome.one("credentials")["fix"].as_str().unwrap();
    assert!(fix.contains("trust policy"), "{fix}");
    assert!(!fix.contains("sts:AssumeRole "), "{fix}");
    let printed = outcome.one("token")["details"].as_str().unwrap();
    let policy: Value = serde_json::from_str(printed.split_once('\n').unwrap().1).unwrap();
    let condition = &policy["Statement"][0]["Condition"];
    assert!(condition.to_string().contains(subject), "{condition}");

    let (_double, variables) = github(subject, subject).await;
    let outcome = run(variables, &["--invoke", "none"]).await;
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{:#}", outcome.report);
    outcome.is("role", "ok", ROLE);
}

#[tokio::test]
async fn job_of_github_without_a_token_needs_the_permission() {
    let variables = BTreeMap::from(
        [
            ("GITHUB_ACTIONS", "true"),
            ("AWS_ROLE_ARN", ROLE),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let outcome = run(variables, &["--timeout", "1"]).await;
    assert_eq!(outcome.code, ExitCode::FAILURE);
    let text = outcome.report.to_string();
    assert!(text.contains("id-token: write"), "{:#}", outcome.report);
}
