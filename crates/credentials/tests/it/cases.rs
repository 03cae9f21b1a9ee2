//! Each directory in `testdata` is a case: environment and files in; choice, credentials and recorded AWS calls out.
//!
//! All cases run with a subscriber that records every log line of every level. Neither the log lines nor the
//! printed handles, credentials, statuses and errors may contain a secret of a case.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use awsdouble::{Call, Fault};
use credentials::{ActiveCredentials, AssumeRoleLink, Settings, SharedTimeSource};
use serde::Deserialize;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Account, TIMEOUT, keys, start, testdata};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configured {
    region: Option<String>,
    sts_endpoint: Option<String>,
    session_name: Option<String>,
    assume_roles: Vec<Link>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    role_arn: String,
    session_name: Option<String>,
    external_id: Option<String>,
    duration_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    method: String,
    #[serde(default)]
    because: Vec<String>,
    #[serde(default)]
    conflicts: Vec<String>,
    #[serde(default)]
    assume_roles: Vec<String>,
    region: Option<String>,
    /// ARN from `GetCallerIdentity`.
    identity: Option<String>,
    /// Role of the caller, for cases in which AWS chooses the session name.
    role: Option<String>,
    bearer: Option<String>,
    expires: Option<bool>,
    failures: Option<u32>,
    error: Option<ExpectedError>,
    /// Parts of the error that prevents the start.
    #[serde(default)]
    start_error: Vec<String>,
    calls: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    reason: String,
    #[serde(default)]
    message: Vec<String>,
}

/// The log of all cases.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        printed.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Printed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The printed values of a case, and its secrets.
#[derive(Default)]
struct Traces {
    printed: String,
    secrets: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_has_the_expected_result_and_prints_no_secret() {
    let logged = Printed::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(logged.clone())
        .init();
    let only = std::option_env!("CREDENTIALS_CASE");
    let mut names: Vec<String> = fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| only.is_none_or(|only| name.contains(only)))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let running: Vec<_> = names
        .iter()
        .map(|name| (name.clone(), tokio::spawn(run(name.clone()))))
        .collect();
    let mut failures = String::new();
    let mut traces = Vec::new();
    for (name, case) in running {
        match case.await {
            Ok(trace) => traces.push((name, trace)),
            Err(failure) => {
                let panic = failure.into_panic();
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("panicked");
                writeln!(failures, "{name}: {text}").unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");

    let logged = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(logged.contains("obtained AWS credentials") && logged.contains("unable to refresh"));
    let secrets = traces
        .iter()
        .map(|(_, trace)| trace.secrets.len())
        .sum::<usize>();
    assert!(secrets > 30, "the cases used {secrets} secrets");
    for (name, trace) in &traces {
        for secret in &trace.secrets {
            assert!(
                !trace.printed.contains(secret.as_str()),
                "{name}: a printed value contains a secret"
            );
            if let Some(line) = logged.lines().find(|line| line.contains(secret.as_str())) {
                let target = line
                    .split_whitespace()
                    .take(3)
                    .collect::<Vec<_>>()
                    .join(" ");
                panic!("{name}: a log line contains a secret: {target} …");
            }
        }
    }
}

/// A case with its placeholders replaced.
struct Case {
    account: Account,
    environment: BTreeMap<String, String>,
    configured: Configured,
    expected: Expected,
    /// Deleted when the case ends.
    _files: tempfile::TempDir,
}

async fn prepare(name: &str, secrets: &mut Vec<String>) -> Case {
    let case = testdata().join(name);
    let account = Account::start(None).await;
    let files = tempfile::tempdir().unwrap();
    let replacements = replacements(&account, files.path(), &case, secrets).await;
    let fill = |text: &str| {
        let mut text = text.to_owned();
        for (placeholder, value) in &replacements {
            text = text.replace(placeholder, value);
        }
        text
    };
    copy(&case.join("files"), files.path(), &fill);
    let read = |file: &str| {
        fs::read_to_string(case.join(file))
            .ok()
            .map(|text| fill(&text))
    };
    let environment: BTreeMap<String, String> = read("env")
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    account.double.clear_calls();
    let faults: Vec<Fault> =
        read("faults.yaml").map_or_else(Vec::new, |text| serde_yaml::from_str(&text).unwrap());
    for fault in faults {
        account.double.inject(fault);
    }
    for (name, value) in &environment {
        let secret = ["SECRET_ACCESS_KEY", "TOKEN", "TOKEN_BEDROCK"]
            .iter()
            .any(|end| name.ends_with(end));
        if secret && !value.is_empty() {
            secrets.push(value.clone());
        }
    }
    secrets.push("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned());
    secrets.push("bedrock-api-key-c2VjcmV0LWtleS1vZi10ZXN0cw".to_owned());
    Case {
        account,
        environment,
        configured: read("settings.yaml").map_or_else(Configured::default, |text| {
            serde_yaml::from_str(&text).unwrap()
        }),
        expected: serde_yaml::from_str(&read("expect.yaml").unwrap()).unwrap(),
        _files: files,
    }
}

fn settings(case: &mut Case) -> Settings {
    let configured = std::mem::take(&mut case.configured);
    let links = configured
        .assume_roles
        .into_iter()
        .map(|link| AssumeRoleLink {
            role_arn: link.role_arn,
            session_name: link.session_name,
            external_id: link.external_id,
            duration_seconds: link.duration_seconds,
            tags: Vec::new(),
        });
    // Cases without an STS call of their own check the caller of their keys.
    let endpoint_is_set = case.environment.contains_key("AWS_ENDPOINT_URL_STS");
    let sts_endpoint = configured
        .sts_endpoint
        .or_else(|| (!endpoint_is_set).then(|| case.account.double.url()));
    Settings::from_env(
        &case.environment,
        configured.region.as_deref(),
        links.collect(),
        sts_endpoint,
        configured.session_name.as_deref().unwrap_or("gateway"),
    )
    .unwrap()
}

async fn run(name: String) -> Traces {
    let mut traces = Traces::default();
    let mut case = prepare(&name, &mut traces.secrets).await;
    let settings = settings(&mut case);
    writeln!(traces.printed, "{settings:?}").unwrap();
    if !case.expected.start_error.is_empty() {
        let error = credentials::start(settings, SharedTimeSource::default()).await;
        let error = error.unwrap_err().to_string();
        writeln!(traces.printed, "{error}").unwrap();
        for part in &case.expected.start_error {
            assert!(error.contains(part.as_str()), "no {part:?} in: {error}");
        }
        return traces;
    }
    let handle = start(settings).await;
    // Wait for the first failure if the case expects an error, otherwise for credentials.
    let outcome = if case.expected.error.is_some() {
        let failed = || handle.status().consecutive_failures > 0;
        crate::support::eventually(&name, failed).await;
        handle.current()
    } else {
        handle.wait_ready(TIMEOUT).await
    };
    let status = handle.status();
    writeln!(traces.printed, "{outcome:?} {status:?} {handle:?}").unwrap();
    // Before keys are used, their caller is checked, if the region of STS is known.
    let (checks, calls): (Vec<Call>, Vec<Call>) = case
        .account
        .double
        .calls()
        .into_iter()
        .partition(|call| call.operation == "GetCallerIdentity");
    check_choice(&case.expected, &status);
    match (&case.expected.error, outcome) {
        (Some(error), Err(unavailable)) => {
            writeln!(traces.printed, "{unavailable}").unwrap();
            assert_eq!(unavailable.reason.as_str(), error.reason, "{unavailable}");
            for text in &error.message {
                let found = unavailable.message.contains(text.as_str());
                assert!(found, "no {text:?} in: {unavailable}");
            }
        }
        (Some(error), Ok(_)) => panic!("expected {}, got credentials", error.reason),
        (None, Err(unavailable)) => panic!("{unavailable}"),
        (None, Ok(credentials)) => {
            let checkable = credentials.bearer().is_none() && status.region.is_some();
            let expected = usize::from(checkable);
            assert_eq!(checks.len(), expected, "calls of GetCallerIdentity");
            check_credentials(&case, &credentials, &mut traces.secrets).await;
        }
    }
    check_calls(&case.expected, &calls);
    traces
}

/// Checks the expiration and the caller identity of the credentials.
async fn check_credentials(
    case: &Case,
    credentials: &ActiveCredentials,
    secrets: &mut Vec<String>,
) {
    let expected = &case.expected;
    if let Some(expires) = expected.expires {
        let ends = credentials.expires_at().is_some();
        assert_eq!(ends, expires, "whether the credentials expire");
    }
    if let Some(key) = &expected.bearer {
        assert_eq!(credentials.bearer().unwrap().token(), key);
        return;
    }
    assert!(credentials.bearer().is_none());
    let keys = keys(credentials);
    secrets.push(keys.secret_access_key().to_owned());
    secrets.extend(keys.session_token().map(str::to_owned));
    let caller = case.account.caller(credentials).await;
    if let Some(identity) = &expected.identity {
        assert_eq!(&caller, identity);
    }
    if let Some(role) = &expected.role {
        let assumed = role
            .replace(":iam:", ":sts:")
            .replace(":role/", ":assumed-role/");
        assert!(caller.starts_with(&format!("{assumed}/")), "{caller}");
    }
    let named = expected.identity.is_some() || expected.role.is_some();
    assert!(named, "the case does not set the expected identity");
}

fn check_calls(expected: &Expected, calls: &[Call]) {
    let Some(expected) = &expected.calls else {
        return;
    };
    let shown = |call: &&Call| (call.operation.clone(), call.path.clone(), call.status);
    let mut calls: Vec<&Call> = calls.iter().collect();
    // The SDK repeats a call of the metadata service that takes more than a second, as on a busy machine.
    if calls.len() > expected.len() {
        calls.dedup_by_key(|call| shown(call));
    }
    let seen: Vec<_> = calls.iter().map(shown).collect();
    assert_eq!(calls.len(), expected.len(), "AWS received {seen:?}");
    for (call, expected) in calls.iter().zip(expected) {
        let call = serde_json::to_value(call).unwrap();
        assert!(
            contains(&call, expected),
            "AWS received {call:#}\ninstead of {expected}"
        );
    }
}

fn check_choice(expected: &Expected, status: &credentials::Status) {
    let choice = &status.choice;
    assert_eq!(choice.method.as_str(), expected.method, "{choice}");
    assert_eq!(choice.assume_roles, expected.assume_roles);
    for text in &expected.because {
        assert!(
            choice.because.contains(text.as_str()),
            "no {text:?} in: {}",
            choice.because
        );
    }
    let conflicts = choice.conflicts.join("; ");
    assert_eq!(
        conflicts.is_empty(),
        expected.conflicts.is_empty(),
        "{conflicts}"
    );
    for text in &expected.conflicts {
        assert!(
            conflicts.contains(text.as_str()),
            "no {text:?} in: {conflicts}"
        );
    }
    if expected.region.is_some() {
        assert_eq!(status.region, expected.region);
    }
    if let Some(failures) = expected.failures {
        assert_eq!(status.consecutive_failures, failures);
        assert_eq!(
            status.refreshes_by_result.keys().collect::<Vec<_>>(),
            [&credentials::SUCCESS]
        );
    }
}

/// Whether `whole` contains all fields of `part`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|found| contains(found, value))),
        _ => whole == part,
    }
}

async fn replacements(
    account: &Account,
    files: &Path,
    case: &Path,
    secrets: &mut Vec<String>,
) -> Vec<(&'static str, String)> {
    let url = account.double.url();
    let tokens = [
        ("{token}", account.token("app", "sts.amazonaws.com", 3600)),
        ("{token:other-audience}", account.token("app", "api", 3600)),
        (
            "{token:other-account}",
            account.token("intruder", "sts.amazonaws.com", 3600),
        ),
        (
            "{token:expired}",
            account.token("app", "sts.amazonaws.com", -60),
        ),
        (
            "{token:pod-identity}",
            account.token("app", "pods.eks.amazonaws.com", 3600),
        ),
        (
            "{token:pod-identity-other-account}",
            account.token("intruder", "pods.eks.amazonaws.com", 3600),
        ),
    ];
    secrets.extend(tokens.iter().map(|(_, token)| token.clone()));
    let mut all = vec![
        ("{host}", url.trim_start_matches("http://").to_owned()),
        ("{url}", url),
        ("{files}", files.display().to_string()),
    ];
    all.extend(tokens);
    if fs::read_to_string(case.join("env"))
        .unwrap()
        .contains("{session:")
    {
        let session = account.session().await;
        secrets.extend([
            session.secret_access_key.clone(),
            session.session_token.clone(),
        ]);
        all.extend([
            ("{session:id}", session.access_key_id),
            ("{session:secret}", session.secret_access_key),
            ("{session:token}", session.session_token),
        ]);
    }
    all
}

fn copy(from: &Path, to: &Path, fill: &dyn Fn(&str) -> String) {
    let Ok(entries) = fs::read_dir(from) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target, fill);
        } else {
            fs::write(target, fill(&fs::read_to_string(entry.path()).unwrap())).unwrap();
        }
    }
}
