use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::*;

const DONE: Outcome<'_> = Outcome {
    request_id: "r-1",
    route: "/v1/chat/completions",
    client: "key:ci",
    model: "fast",
    stream: false,
    status: 200,
    reason: "",
    cancelled: false,
    duration_ms: 12,
    usage: None,
    cost_nanodollars: None,
};

fn open(path: &Path, more: &str, previous: Option<&Arc<Audit>>) -> Arc<Audit> {
    let text = format!(
        "{{access: {{namespace: team-a, name: chat}}, audit: {{output: '{}'{more}}}}}",
        path.display()
    );
    let config = GatewayConfig::from_yaml(&text).unwrap();
    Audit::open(&config, None, previous).unwrap().unwrap()
}

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("audit.jsonl")
}

async fn records(audit: &Audit, path: &Path) -> Vec<Value> {
    audit.flush().await;
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_440_938_160_250)
}

#[tokio::test]
async fn a_record_says_who_asked_what_from_where_and_what_became_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let audit = open(&path, "", None);
    let peer = Some(Ipv4Addr::new(10, 1, 2, 3).into());
    let mut entry = Entry::new(Arc::clone(&audit), peer);
    entry.set_body(&Bytes::from_static(b"secret prompt"));
    let index = entry.attempts().begin(Attempt {
        model: "amazon.nova-lite-v1:0".to_owned(),
        region: "us-east-1".to_owned(),
        operation: "Converse",
        service: "bedrock-runtime",
        role: Some("arn:aws:iam::210987654321:role/Models".to_owned()),
        aws_request_id: None,
        result: "ok".into(),
        tokens: None,
    });
    entry.attempts().update(index, |attempt| {
        attempt.aws_request_id = Some("aws-1".to_owned());
    });
    let usage = TokenUsage {
        input_tokens: 3,
        output_tokens: 4,
        cache_read_input_tokens: 5,
        cache_write_input_tokens: 6,
        cache_write_1h_input_tokens: 2,
        ..TokenUsage::default()
    };
    let outcome = Outcome {
        usage: Some(usage),
        cost_nanodollars: Some(77),
        ..DONE
    };
    entry.write(&outcome, at());
    let mut found = records(&audit, &path).await.pop().unwrap();
    let instance = found["instance"].take();
    assert_eq!(instance.as_str().unwrap().len(), 16);
    // Of `sha256sum`.
    let hash = "d6051e73b4e9a50e6a735ffba9494dd514acb71df325045501b0cbc8d206e20f";
    assert_eq!(
        found,
        json!({
            "time": "2015-08-30T12:36:00.25Z", "instance": null, "sequence": 1,
            "request_id": "r-1", "decision": "allowed", "status": 200,
            "client": "key:ci", "client_kind": "api_key", "peer": "10.1.2.3",
            "namespace": "team-a", "bedrock_access": "chat",
            "route": "/v1/chat/completions", "model": "fast", "stream": false,
            "tokens": {"input": 3, "output": 4, "cache_read": 5, "cache_write": 6, "cache_write_1h": 2},
            "cost_nanodollars": 77,
            "attempts": [{
                "model": "amazon.nova-lite-v1:0", "region": "us-east-1", "operation": "Converse",
                "service": "bedrock-runtime", "role": "arn:aws:iam::210987654321:role/Models",
                "aws_request_id": "aws-1", "result": "ok",
            }],
            "duration_ms": 12, "body_sha256": hash, "body_bytes": 13,
        })
    );
}

#[tokio::test]
async fn the_decision_distinguishes_refusals_failures_and_cancelled_requests() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let audit = open(&path, "", None);
    let attempt = Attempt {
        model: String::new(),
        region: String::new(),
        operation: "Converse",
        service: "bedrock-runtime",
        role: None,
        aws_request_id: None,
        result: "throttled".into(),
        tokens: None,
    };
    for (status, reason, cancelled, sent) in [
        (401, "invalid_api_key", false, false),
        (429, "rate_limited", false, false),
        (429, "throttled", false, true),
        (503, "credentials_unavailable", false, false),
        (499, "client_left", true, true),
    ] {
        let entry = Entry::new(Arc::clone(&audit), None);
        if sent {
            entry.attempts().begin(attempt.clone());
        }
        let outcome = Outcome {
            status,
            reason,
            cancelled,
            client: "",
            ..DONE
        };
        entry.write(&outcome, at());
    }
    let found = records(&audit, &path).await;
    let decisions: Vec<_> = found.iter().map(|record| &record["decision"]).collect();
    assert_eq!(
        decisions,
        ["refused", "refused", "failed", "failed", "cancelled"]
    );
    assert_eq!(found[0]["client_kind"], "unauthenticated");
    let numbers: Vec<_> = found.iter().map(|record| &record["sequence"]).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn prompts_are_recorded_only_if_turned_on_and_without_what_the_rules_match() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let audit = open(&path, r", prompts: true, redact: ['\d{3}-\d{4}']", None);
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(MAX_PROMPT_BYTES));
    for body in [r#"{"text":"call 555-0199"}"#.to_owned(), large] {
        let mut entry = Entry::new(Arc::clone(&audit), None);
        entry.set_body(&Bytes::from(body));
        entry.write(&DONE, at());
    }
    let found = records(&audit, &path).await;
    assert_eq!(found[0]["body"], json!({"text": "call [REDACTED]"}));
    let omitted = found[1]["body"].as_str().unwrap();
    assert!(omitted.starts_with("not recorded: 262"), "{omitted}");
}

#[tokio::test]
async fn a_reload_with_the_same_output_continues_its_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let first = open(&path, "", None);
    Entry::new(Arc::clone(&first), None).write(&DONE, at());
    let second = open(&path, ", prompts: true", Some(&first));
    Entry::new(Arc::clone(&second), None).write(&DONE, at());
    let found = records(&second, &path).await;
    assert_eq!(found[1]["sequence"], 2);
    assert_eq!(found[0]["instance"], found[1]["instance"]);
}

#[test]
fn an_unusable_stream_is_rejected_with_its_field() {
    let open = |audit: &str| {
        let config = GatewayConfig::from_yaml(&format!("audit: {audit}")).unwrap();
        Audit::open(&config, None, None).unwrap_err().to_string()
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("missing/audit.jsonl");
    let missing = open(&format!("{{output: '{}'}}", file.display()));
    assert!(missing.starts_with("audit.output: "), "{missing}");
    let pattern = open("{redact: ['(']}");
    assert!(pattern.starts_with("audit.redact[0]: "), "{pattern}");
}
