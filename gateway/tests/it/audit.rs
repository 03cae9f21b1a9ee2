//! Audit records of a running gateway: who, what, each attempt, and prompts only if they are turned on.

use std::path::{Path, PathBuf};

use awsdouble::Fault;
use http::Method;
use serde_json::{Value, json};

use crate::rig::{MODEL, Rig, ask, ask_stream, eventually};

const EMBED: &str = "amazon.titan-embed-text-v2:0";

/// A gateway with an API key `ci`, and the file of its records.
struct Audited {
    rig: Rig,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

const KEY: [(&str, &str); 2] = [
    ("authorization", "Bearer sk-secret"),
    ("x-request-id", "id-1"),
];

async fn start(audit: &str) -> Audited {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("ci"), "sk-secret").unwrap();
    let file = directory.path().join("audit.jsonl");
    let document = format!(
        "access: {{namespace: team-a, name: chat}}
clients: {{apiKeysDirectory: '{}'}}
models:
- {{name: both, targets: [{{modelId: '{MODEL}'}}, {{modelId: 'amazon.nova-micro-v1:0', priority: 1}}]}}
allow: ['*']
audit: {{output: '{}'{audit}}}",
        keys.display(),
        file.display()
    );
    Audited {
        rig: Rig::with_document(&document).await,
        file,
        _directory: directory,
    }
}

fn records(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The last line may be in the middle of its write.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

impl Audited {
    async fn send(&self, path: &str, body: &Value) -> u16 {
        let response = self.rig.call(Method::POST, path, &KEY, body.to_string());
        response.await.status.as_u16()
    }

    /// The only record so far.
    async fn record(&self) -> Value {
        self.nth(1).await
    }

    async fn nth(&self, number: usize) -> Value {
        eventually("a record", async || records(&self.file).len() >= number).await;
        let mut found = records(&self.file);
        assert_eq!(found.len(), number);
        found.pop().unwrap()
    }
}

#[tokio::test]
async fn a_record_has_the_client_its_address_and_the_attempt_with_the_id_of_aws() {
    let audited = start("").await;
    assert_eq!(
        audited
            .send("/v1/chat/completions", &ask("both", "hi"))
            .await,
        200
    );
    let record = audited.record().await;
    let call = audited.rig.calls().pop().unwrap();
    assert_eq!(record["request_id"], "id-1");
    assert_eq!(record["decision"], "allowed");
    assert_eq!(record["client"], "key:ci");
    assert_eq!(record["client_kind"], "api_key");
    assert_eq!(record["peer"], "127.0.0.1");
    assert_eq!(record["namespace"], "team-a");
    assert_eq!(record["model"], "both");
    let attempt = &record["attempts"][0];
    assert_eq!(attempt["aws_request_id"], call.request_id);
    assert_eq!(attempt["model"], MODEL);
    assert_eq!(attempt["operation"], "Converse");
    assert_eq!(attempt["result"], "ok");
    assert_eq!(attempt["tokens"], record["tokens"]);
    assert!(record["tokens"]["input"].as_u64().unwrap() > 0);
    let text = std::fs::read_to_string(&audited.file).unwrap();
    assert!(
        !text.contains("\"hi\"") && !text.contains("sk-secret"),
        "{text}"
    );
}

#[tokio::test]
async fn refused_requests_are_recorded_without_an_attempt() {
    let audited = start("").await;
    let body = ask("both", "hi").to_string();
    let wrong = [("authorization", "Bearer sk-wrong")];
    let path = "/v1/chat/completions";
    audited.rig.call(Method::POST, path, &wrong, body).await;
    let record = audited.record().await;
    assert_eq!(record["decision"], "refused");
    assert_eq!(record["status"], 401);
    assert_eq!(record["reason"], "invalid_api_key");
    assert_eq!(record["client_kind"], "unauthenticated");
    assert_eq!(record["attempts"], json!([]));
    assert_eq!(record["tokens"], Value::Null);
    assert_eq!(audited.send(path, &json!({"model": "both"})).await, 400);
    let record = audited.nth(2).await;
    assert_eq!(record["decision"], "refused");
    assert_eq!(record["client"], "key:ci");
    assert!(record["body_sha256"].is_string());
}

#[tokio::test]
async fn each_attempt_of_a_failover_has_its_id_and_only_the_last_has_tokens() {
    let audited = start("").await;
    let throttled = Fault::error("ConverseStream", 429, "ThrottlingException");
    audited.rig.double.inject(throttled.times(1));
    let path = "/v1/chat/completions";
    assert_eq!(audited.send(path, &ask_stream("both", "hi")).await, 200);
    let record = audited.record().await;
    let calls = audited.rig.calls();
    let attempts = record["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{record}");
    for (attempt, call) in attempts.iter().zip(&calls) {
        assert_eq!(attempt["aws_request_id"], call.request_id);
    }
    assert_ne!(attempts[0]["result"], "ok");
    assert_eq!(attempts[0]["tokens"], Value::Null);
    assert_eq!(attempts[1]["result"], "ok");
    assert_eq!(attempts[1]["tokens"], record["tokens"]);
    assert_eq!(record["decision"], "allowed");
}

#[tokio::test]
async fn each_call_of_a_batch_has_its_own_tokens() {
    let audited = start("").await;
    let body = json!({"model": EMBED, "input": ["one", "two words", "three more words"]});
    assert_eq!(audited.send("/v1/embeddings", &body).await, 200);
    let record = audited.record().await;
    let attempts = record["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    let of = |value: &Value| value["input"].as_u64().unwrap();
    let sum: u64 = attempts.iter().map(|attempt| of(&attempt["tokens"])).sum();
    assert_eq!(sum, of(&record["tokens"]));
    let ids: Vec<_> = attempts.iter().map(|one| &one["aws_request_id"]).collect();
    assert!(ids.iter().all(|id| id.is_string()), "{ids:?}");
}

#[tokio::test]
async fn prompts_are_recorded_with_redaction_if_they_are_turned_on() {
    let audited = start(r", prompts: true, redact: ['[a-z]+@[a-z.]+']").await;
    let body = ask("both", "I am ann@example.com");
    assert_eq!(audited.send("/v1/chat/completions", &body).await, 200);
    let record = audited.record().await;
    let text = &record["body"]["messages"][0]["content"];
    assert_eq!(text, "I am [REDACTED]");
}

#[tokio::test]
async fn records_can_be_turned_on_by_a_reload_and_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let open = "clients: {anonymous: true}\nallow: ['*']\n";
    let rig = Rig::with_document(open).await;
    rig.chat(&ask(MODEL, "hi")).await;
    rig.write_config(&format!("{open}audit: {{output: '{}'}}", file.display()));
    eventually("a record", async || {
        rig.chat(&ask(MODEL, "hi")).await;
        !records(&file).is_empty()
    })
    .await;
    let written = rig.metric("bedrock_gateway_audit_records_total").await;
    assert!(written.unwrap() >= 1.0);
}

#[tokio::test]
async fn the_last_records_are_written_before_the_gateway_ends() {
    let mut audited = start("").await;
    for _ in 0..50 {
        audited
            .send("/v1/chat/completions", &ask("both", "hi"))
            .await;
    }
    audited.rig.terminate();
    audited.rig.ended().await;
    assert_eq!(records(&audited.file).len(), 50);
}
