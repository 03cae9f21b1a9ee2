//! Credential cases: environment, files and faults in; readiness, metric, hints and the findings of `doctor` out.
//!
//! The test runs every case of `credential_cases/cases.yaml` against the simulated AWS and compares the table with
//! `docs/reference/credential-cases.md`. If they differ, it writes a `.new` file beside the page: review it like code,
//! and rename it.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::Arc, time::Duration};

use awsdouble::{Config, Double, Fault, TokenIssuer};
use clap::Parser;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rig::{MODEL, Plan, Rig, now};

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/reference/credential-cases.md"
);
const ISSUER: &str = "https://oidc.example/id/TEAM";
const KEYS: &str = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n";
const ROLE: &str = "role_arn = arn:aws:iam::123456789012:role/BedrockAccessRole";
/// Texts that no client may see: parts of secrets, and names of files and profiles.
const HIDDEN: [&str; 9] = [
    "wJalrXUtn",
    "another-secret-key",
    "unknown-secret-key",
    "hvs.SECRET123",
    "bedrock-api-key-",
    "/config",
    "/credentials and",
    "profile dev",
    "x-amz-security-token:",
];

#[derive(Deserialize)]
struct Group {
    group: String,
    cases: Vec<Case>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Variables of another case; `env` overrides them.
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    faults: Vec<Fault>,
    #[serde(default)]
    config: Option<String>,
    /// Sessions have expired before the start.
    #[serde(default)]
    expired: bool,
    /// Sessions expire after the start.
    #[serde(default)]
    expires: bool,
    #[serde(default)]
    skew: i64,
}

/// What a case shows.
struct Outcome {
    /// The error that prevents the start, else readiness.
    state: String,
    metric: String,
    responses: String,
    hint: String,
    doctor: String,
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: gateway::cli::doctor::Args,
}

/// A case with a simulated AWS and its placeholders replaced.
struct Prepared {
    double: Double,
    environment: Vec<(String, String)>,
    document: Option<String>,
    directory: tempfile::TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_shows_its_state_in_readiness_metric_hints_and_doctor() {
    let text = include_str!("credential_cases/cases.yaml");
    let groups: Vec<Group> = serde_yaml::from_str(text).unwrap();
    let issuer = Arc::new(TokenIssuer::generate(ISSUER).unwrap());
    let cases: Vec<(String, Case)> = groups
        .into_iter()
        .flat_map(|Group { group, cases }| cases.into_iter().map(move |case| (group.clone(), case)))
        .collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let outcomes: Vec<(String, Case, Option<Outcome>)> = futures::stream::iter(cases)
        .map(|(group, case)| {
            let issuer = Arc::clone(&issuer);
            async move {
                let outcome = tokio::spawn(run(case.clone(), issuer)).await;
                (group, case, outcome.ok())
            }
        })
        .buffered(32)
        .collect()
        .await;
    let expected = std::fs::read_to_string(PAGE).unwrap_or_default();
    let mut page = String::from(HEADER);
    let mut heading = String::new();
    for (group, case, outcome) in outcomes {
        if heading != group {
            writeln!(page, "\n## {group}\n\n{TABLE}").unwrap();
            heading = group;
        }
        let row = outcome.map(|outcome| row(&case.name, outcome));
        let row = match row.filter(|row| expected.contains(row)) {
            Some(row) => row,
            // On a loaded machine a call of 32 cases at once can exceed its timeout: run the case alone.
            None => self::row(&case.name, run(case.clone(), Arc::clone(&issuer)).await),
        };
        page.push_str(&row);
    }
    if page != expected {
        let new = format!("{PAGE}.new");
        std::fs::write(&new, &page).unwrap();
        let differs = page
            .lines()
            .zip(expected.lines())
            .find(|(new, old)| new != old);
        panic!("the page differs, see {new}: {differs:#?}");
    }
}

/// The line of a case in the table.
fn row(case: &str, outcome: Outcome) -> String {
    let cells = [
        case.to_owned(),
        outcome.state,
        outcome.metric,
        outcome.responses,
        outcome.hint,
        outcome.doctor,
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', "<br>"));
    format!("| {} |\n", cells.join(" | "))
}

const HEADER: &str = "# Credential cases

`gateway/tests/it/credential_cases.rs` writes this page: it starts a gateway for each case with the simulated AWS, sends one
request in each of three dialects, and runs `bedrock-gateway doctor --invoke none`. Columns:

- **State**: the error if `serve` exits with 1; otherwise `/readyz` after the start and, if it changes, after the requests.
- **Metric**: `bedrock_gateway_credentials_ready` after the requests.
- **Responses**: statuses for clients of Chat Completions, Messages and Converse.
- **Hint**: `hint` of the first two dialects and `x-bedrock-gateway-hint` of the third, which are the same text.
- **doctor**: findings about credentials that are not ok.
";
const TABLE: &str =
    "| Case | State | Metric | Responses | Hint | doctor |\n|---|---|---|---|---|---|";

async fn prepare(case: &Case, issuer: &TokenIssuer) -> Prepared {
    let account = include_str!("credential_cases/account.yaml");
    let account = account.replace("{jwks}", &issuer.jwks().to_string());
    let double = Double::start(Config::from_yaml(&account).unwrap())
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut values = vec![
        ("{url}", double.url()),
        ("{dir}", directory.path().display().to_string()),
        ("{keys}", KEYS.to_owned()),
        ("{role}", ROLE.to_owned()),
    ];
    let token = |account: &str, audience: &str, end: i64| {
        let end = now().checked_add_signed(end).unwrap();
        let token = issuer.service_account_token("team-a", account, audience, now() - 7200, end);
        token.unwrap()
    };
    let sts = "sts.amazonaws.com";
    let pods = "pods.eks.amazonaws.com";
    values.extend([
        ("{token}", token("app", sts, 3600)),
        ("{token:expired}", token("app", sts, -60)),
        ("{token:other-audience}", token("app", "api", 3600)),
        ("{token:other-account}", token("intruder", sts, 3600)),
        ("{token:pod-identity}", token("app", pods, 3600)),
        (
            "{token:pod-identity-other-account}",
            token("intruder", pods, 3600),
        ),
    ]);
    let mut environment = BTreeMap::from([
        ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL".to_owned(), "{url}".to_owned()),
        ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
    ]);
    environment.extend(case.set.clone());
    environment.extend(case.env.clone());
    if environment
        .values()
        .any(|value| value.contains("{session:"))
    {
        let session = session(&double).await;
        values.extend([
            ("{session:id}", session[0].clone()),
            ("{session:secret}", session[1].clone()),
            ("{session:token}", session[2].clone()),
        ]);
    }
    if case
        .files
        .values()
        .any(|text| text.contains("{token:other-issuer}"))
    {
        let other = TokenIssuer::generate("https://oidc.example/id/OTHER").unwrap();
        let token = other.service_account_token("team-a", "app", sts, now() - 60, now() + 3600);
        values.push(("{token:other-issuer}", token.unwrap()));
    }
    let fill = |text: &str| {
        values.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
    };
    for (name, text) in &case.files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, fill(text)).unwrap();
    }
    if case.expired {
        double.revoke_sessions();
    }
    for fault in case.faults.clone() {
        double.inject(fault);
    }
    double.set_clock_skew(case.skew);
    Prepared {
        environment: environment
            .into_iter()
            .map(|(name, value)| (name, fill(&value)))
            .collect(),
        document: case.config.clone(),
        double,
        directory,
    }
}

/// Keys of a role session: access key id, secret key, session token.
async fn session(double: &Double) -> [String; 3] {
    let url = format!("{}/get-credentials", double.url());
    let response = crate::rig::get(&url, &[("authorization", "container-authorization-token")]);
    let keys: Value = response.await.json();
    ["AccessKeyId", "SecretAccessKey", "Token"].map(|name| keys[name].as_str().unwrap().to_owned())
}

async fn run(case: Case, issuer: Arc<TokenIssuer>) -> Outcome {
    let Prepared {
        double,
        environment,
        document,
        directory,
    } = prepare(&case, &issuer).await;
    let normal = Normalizer {
        url: double.url(),
        directory: directory.path().display().to_string(),
    };
    let mut doctor = {
        let (environment, document) = (environment.clone(), document.clone());
        let directory = directory.path().to_owned();
        tokio::spawn(async move { doctor(&environment, document.as_deref(), &directory).await })
    };
    // Both run at the same time, unless the gateway's part of the case changes what doctor would find.
    let early = if case.expires {
        Some((&mut doctor).await.unwrap())
    } else {
        None
    };
    let plan = Plan {
        document,
        environment,
        ..Plan::default()
    };
    // The simulated AWS runs until doctor is done, unless the gateway does not start.
    let (mut outcome, _rig) = gateway(&case, double, plan, &normal).await;
    let findings = match early {
        Some(findings) => findings,
        None => doctor.await.unwrap(),
    };
    outcome.doctor = normal.apply(&findings);
    outcome
}

/// Starts a gateway and sends requests; the result has no findings of `doctor`.
async fn gateway(
    case: &Case,
    double: Double,
    plan: Plan,
    normal: &Normalizer,
) -> (Outcome, Option<Rig>) {
    let rig = match Rig::beside(double, plan).await {
        Ok(rig) => rig,
        Err(error) => {
            let text = chain(&error);
            assert!(!text.contains("wJalrXUtn"), "{}: {text}", case.name);
            let outcome = Outcome {
                state: format!("exit 1: {}", normal.apply(&text)),
                metric: String::new(),
                responses: String::new(),
                hint: String::new(),
                doctor: String::new(),
            };
            return (outcome, None);
        }
    };
    let started = settle(&rig).await;
    if case.expires {
        rig.double.revoke_sessions();
    }
    let (responses, hint) = ask(&rig, &case.name).await;
    let after = readiness(&rig).await;
    let metric = rig
        .metric("bedrock_gateway_credentials_ready")
        .await
        .unwrap();
    let is_ready = after == "ready";
    assert_eq!(
        metric > 0.5,
        is_ready,
        "{}: metric and readiness",
        case.name
    );
    let page = rig.admin("/readyz").await.text();
    for hidden in ["wJalrXUtn", "hvs.SECRET123", "bedrock-api-key-"] {
        assert!(!page.contains(hidden), "{}: {hidden} in {page}", case.name);
    }
    let outcome = Outcome {
        state: if started == after {
            after
        } else {
            format!("{started}, then {after}")
        },
        metric: format!("{metric}"),
        responses,
        hint,
        doctor: String::new(),
    };
    (outcome, Some(rig))
}

/// The readiness once the first attempt has finished.
async fn settle(rig: &Rig) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let state = readiness(rig).await;
        if state != "not ready: Pending" {
            return state;
        }
        assert!(
            Instant::now() < deadline,
            "the first attempt did not finish"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn readiness(rig: &Rig) -> String {
    let page = rig.admin("/readyz").await;
    if let Some(reason) = page.json()["reason"].as_str() {
        format!("not ready: {reason}")
    } else {
        assert_eq!(page.status, 200);
        "ready".to_owned()
    }
}

/// Sends one request in each dialect. Returns the statuses and the hint.
async fn ask(rig: &Rig, case: &str) -> (String, String) {
    let message = json!([{ "role": "user", "content": "Hi" }]);
    let chat = json!({ "model": MODEL, "messages": message });
    let messages = json!({ "model": MODEL, "max_tokens": 9, "messages": message });
    let converse = json!({ "messages": [{ "role": "user", "content": [{ "text": "Hi" }] }] });
    let converse_path = format!("/model/{MODEL}/converse");
    let post = http::Method::POST;
    let (chat, messages, converse) = tokio::join!(
        rig.chat(&chat),
        rig.call(post.clone(), "/v1/messages", &[], messages.to_string()),
        rig.call(post, &converse_path, &[], converse.to_string()),
    );
    let mut hints = Vec::new();
    for response in [&chat, &messages] {
        let hint = response.json()["error"]["hint"].clone();
        hints.push(hint.as_str().unwrap_or_default().to_owned());
    }
    let hint = converse.headers.get("x-bedrock-gateway-hint");
    hints.push(hint.map_or_else(String::new, |hint| hint.to_str().unwrap().to_owned()));
    for response in [&chat, &messages, &converse] {
        let text = response.text();
        for hidden in HIDDEN {
            assert!(!text.contains(hidden), "{case}: {hidden} in {text}");
        }
        if response.status != 200 {
            assert!(!hints[0].is_empty(), "{case}: no hint in {text}");
        }
    }
    assert!(
        hints.iter().all(|hint| *hint == hints[0]),
        "{case}: {hints:?}"
    );
    let statuses = [chat.status, messages.status, converse.status];
    let statuses = statuses.map(|status| status.as_u16().to_string());
    (statuses.join(", "), hints.remove(0))
}

/// The findings about credentials that are not ok.
async fn doctor(
    environment: &[(String, String)],
    document: Option<&str>,
    directory: &Path,
) -> String {
    let mut line = vec!["doctor", "--invoke", "none", "--timeout", "12"];
    let path = directory.join("gateway-of-doctor.yaml");
    if let Some(document) = document {
        std::fs::write(&path, document).unwrap();
        line.extend(["--config", path.to_str().unwrap()]);
    }
    let line = CommandLine::try_parse_from(line).unwrap();
    let settings = crate::rig::settings(environment.to_vec());
    let report = gateway::cli::doctor::check_all(&line.args, &settings).await;
    let report = serde_json::to_value(&report).unwrap();
    let mut findings = Vec::new();
    for finding in report.as_array().unwrap() {
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let check = text("check");
        let name = check.split(':').next().unwrap();
        let checks = [
            "region",
            "source",
            "token",
            "credentials",
            "caller",
            "role",
            "list",
            "key-age",
        ];
        if text("level") == "ok" || !checks.contains(&name) {
            continue;
        }
        // Messages have durations and dates; the credentials' begin with the reason.
        let reason = text("message");
        let reason = reason.split(':').next().unwrap();
        let reason = if name == "credentials" && !reason.contains(' ') {
            format!(" {reason}")
        } else {
            String::new()
        };
        findings.push(format!(
            "{check} {}{reason}: {}",
            text("level"),
            text("fix")
        ));
    }
    findings.join("\n")
}

/// Replaces what differs between runs.
struct Normalizer {
    url: String,
    directory: String,
}

impl Normalizer {
    fn apply(&self, text: &str) -> String {
        text.replace(&self.url, "{url}")
            .replace(&self.directory, "{dir}")
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
