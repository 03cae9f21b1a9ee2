//! The metrics endpoint: formats, what Prometheus' own tool says about them, and how many series there can be.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use http::Method;
use serde_json::json;

use crate::rig::{MODEL, Plan, Response, Rig, ask, ask_stream, eventually, get};

const CHAT: &str = "/v1/chat/completions";
const OPEN_METRICS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// What `promtool check metrics` finds in a page; empty if nothing.
fn findings(page: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is required: on Debian, apt-get install prometheus");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(page.as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.success(), text.is_empty(), "{text}");
    text
}

async fn scrape(rig: &Rig, accept: &str) -> Response {
    let url = format!("http://{}/metrics", rig.admin);
    let headers = [("accept", accept)];
    get(&url, if accept.is_empty() { &[] } else { &headers }).await
}

async fn send(rig: &Rig, key: &str, body: impl Into<bytes::Bytes>) -> Response {
    let bearer = format!("Bearer sk-{key}");
    let headers = [("authorization", bearer.as_str())];
    rig.call(Method::POST, CHAT, &headers, body).await
}

/// The lines of a page that are series.
fn series(page: &str) -> Vec<&str> {
    let lines = page.lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[tokio::test]
async fn scrapers_get_the_format_that_they_ask_for() {
    let rig = Rig::laptop().await;
    rig.chat(&ask(MODEL, "hi")).await;
    for accept in ["", "*/*", "text/plain"] {
        let page = scrape(&rig, accept).await;
        assert_eq!(
            page.headers["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let text = page.text();
        assert!(text.contains("# TYPE bedrock_gateway_requests_total counter\n"));
        assert!(text.contains("# TYPE bedrock_gateway_build_info gauge\n"));
        assert!(!text.contains("# EOF"));
    }
    let page = scrape(&rig, OPEN_METRICS).await;
    assert_eq!(
        page.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(page.headers["vary"], "accept");
    assert!(
        page.text()
            .contains("# TYPE bedrock_gateway_requests counter\n")
    );
    assert!(page.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_gateway_of_the_operator_names_its_bedrockaccess() {
    let rig = Rig::with_document(
        "{access: {namespace: team-a, name: chat}, clients: {anonymous: true}, allow: ['*']}",
    )
    .await;
    let info =
        "bedrock_gateway_access_info{bedrockaccess_namespace=\"team-a\",bedrockaccess=\"chat\"}";
    assert_eq!(rig.metric(info).await, Some(1.0));
    assert!(rig.metric("process_resident_memory_bytes").await > Some(0.0));
    // The key of the rig does not expire.
    let expiration = "bedrock_gateway_credentials_expiration_timestamp_seconds";
    assert_eq!(rig.metric(expiration).await, None);
}

/// Requests that fail in every way.
async fn every_error(rig: &Rig, key: &str, model: &str) {
    for error in [
        "ValidationException",
        "AccessDeniedException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ConflictException",
        "ModelTimeoutException",
        "ThrottlingException",
        "ModelNotReadyException",
        "InternalServerException",
    ] {
        let body = ask(model, &format!("@error {error}")).to_string();
        assert!(send(rig, key, body).await.status.as_u16() >= 400, "{error}");
    }
    for prompt in [
        "@cut 1",
        "@end 1",
        "@midstream-exception ThrottlingException",
    ] {
        send(rig, key, ask_stream(model, prompt).to_string()).await;
    }
    let mut unsupported = ask(model, "hi");
    unsupported["logit_bias"] = json!({"1": 1});
    unsupported["n"] = json!(2);
    for body in [
        "no JSON".to_owned(),
        json!({"model": model}).to_string(),
        ask("no-such-model", "hi").to_string(),
        ask(model, &"x".repeat(5000)).to_string(),
        unsupported.to_string(),
    ] {
        send(rig, key, body).await;
    }
    send(rig, "wrong", ask(model, "hi").to_string()).await;
    rig.chat(&ask(model, "hi")).await;
    rig.get(CHAT).await;
    rig.get("/nowhere").await;
    rig.get("/v1/models").await;
}

/// Twenty keys call five models, each with success and server errors; every kind of error occurs, and every key reaches its limit.
#[tokio::test]
async fn many_clients_models_and_errors_stay_within_600_series_and_100_kilobytes() {
    let keys = tempfile::tempdir().unwrap();
    let names: Vec<String> = (1..=20)
        .map(|number| format!("application-{number:02}"))
        .collect();
    for name in &names {
        std::fs::write(keys.path().join(name), format!("sk-{name}")).unwrap();
    }
    let models: Vec<String> = ["sonnet", "haiku", "nova-pro", "nova-lite", "mistral-large"]
        .map(|name| format!("anthropic-or-amazon-{name}"))
        .to_vec();
    let document = |limit: u32| {
        let models: Vec<_> = models
            .iter()
            .map(|name| json!({"name": name, "targets": [{"modelId": MODEL}]}))
            .collect();
        json!({
            "access": {"namespace": "team-a", "name": "chat"},
            "clients": {
                "apiKeysDirectory": keys.path(), "apiKeyLimits": {"requestsPerMinute": limit},
            },
            "models": models,
            "limits": {"maxBodyBytes": 4096},
        })
        .to_string()
    };
    let rig = Rig::start(Plan {
        document: Some(document(100_000)),
        ..Plan::default()
    })
    .await;
    for (turn, key) in names.iter().enumerate() {
        for model in &models {
            for body in [ask(model, "hello"), ask_stream(model, "hello")] {
                let response = send(&rig, key, body.to_string()).await;
                assert_eq!(response.status, 200, "{}", response.text());
            }
        }
        // Each model fails for one key, since no label of an error has the client.
        if let Some(model) = models.get(turn) {
            let body = ask(model, "@error ModelErrorException").to_string();
            assert_eq!(send(&rig, key, body).await.status, 424);
            let body = ask(model, "@error ServiceUnavailableException").to_string();
            assert_eq!(send(&rig, key, body).await.status, 503);
        }
    }
    let (key, model) = (&names[0], &models[0]);
    every_error(&rig, key, model).await;
    rig.write_config(&document(1));
    for key in &names {
        eventually("each key reaches its limit", async || {
            send(&rig, key, ask(model, "hi").to_string()).await.status == 429
        })
        .await;
    }

    for accept in ["text/plain", OPEN_METRICS] {
        let page = scrape(&rig, accept).await.text();
        let series = series(&page);
        assert!(
            series.len() < 600 && page.len() < 100_000,
            "{} series, {} bytes:\n{}",
            series.len(),
            page.len(),
            by_metric(&series)
        );
        assert!(
            series.len() > 400,
            "the test is too small: {}",
            series.len()
        );
    }
    let page = scrape(&rig, "text/plain").await.text();
    assert_eq!(findings(&page), "", "{page}");
    let reasons: BTreeSet<&str> = page
        .split("reason=\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect();
    assert!(reasons.len() > 15, "{reasons:?}");
    assert!(!page.contains("no-such-model"));
    is_documented(&page);
}

/// Checks that the guide has every metric of a page.
fn is_documented(page: &str) {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/metrics.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let name = rest.split(' ').next().unwrap();
        let quoted = format!("`{name}`");
        assert!(
            guide.contains(&quoted),
            "docs/guide/metrics.md lacks {name}"
        );
    }
}

/// Number of series of each metric, for the message of a failed test.
fn by_metric(series: &[&str]) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for line in series {
        let name = line.split(['{', ' ']).next().unwrap();
        *counts.entry(name).or_default() += 1;
    }
    format!("{counts:#?}")
}
