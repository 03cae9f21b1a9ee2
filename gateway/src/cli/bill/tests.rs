use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::*;

fn line(sequence: u64, request: &str, attempts: &Value) -> String {
    json!({"instance": "i", "sequence": sequence, "request_id": request, "attempts": attempts})
        .to_string()
}

fn attempt(aws: Option<&str>, result: &str, tokens: Option<(u64, u64)>) -> Value {
    let tokens = tokens.map(|(input, output)| {
        json!({"input": input, "output": output, "cache_read": 0, "cache_write": 0, "cache_write_1h": 0})
    });
    json!({"aws_request_id": aws, "operation": "Converse", "service": "bedrock-runtime",
        "region": "us-east-1", "model": "m", "result": result, "tokens": tokens})
}

fn logged(aws: &str, gateway: Option<&str>, (input, output): (u64, u64)) -> Value {
    let mut record = json!({"schemaType": "ModelInvocationLog", "requestId": aws, "modelId": "m",
        "timestamp": "2026-11-29T00:00:00Z", "identity": {"arn": "arn:aws:iam::1:user/x"},
        "input": {"inputTokenCount": input}, "output": {"outputTokenCount": output}});
    if let Some(id) = gateway {
        record["requestMetadata"] = json!({"requestId": id});
    }
    record
}

fn write(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n")).unwrap();
}

fn compared(ledger: &Path, log: Option<&Path>, cur: Option<&Path>) -> (bool, Value) {
    let args = Args {
        ledger: vec![ledger.to_owned()],
        invocation_logs: log.map(ToOwned::to_owned),
        cur: cur.map(ToOwned::to_owned),
        principal: None,
        output: Output::Json,
    };
    let mut out = Vec::new();
    let equal = run(&args, &mut out).unwrap();
    let document: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(document["equal"], equal);
    let text = Args {
        output: Output::Text,
        ..args
    };
    let mut out = Vec::new();
    run(&text, &mut out).unwrap();
    let agrees = String::from_utf8(out).unwrap().contains("agrees");
    assert_eq!(agrees, equal);
    (equal, document)
}

#[test]
fn calls_are_matched_by_the_id_of_aws_and_then_by_that_of_the_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("audit.jsonl");
    let logs = directory.path().join("logs");
    fs::create_dir_all(logs.join("2026/11")).unwrap();
    write(
        &ledger,
        &[
            line(1, "r1", &json!([attempt(Some("a1"), "ok", Some((1, 2)))])),
            line(2, "r2", &json!([attempt(Some("a2"), "ok", Some((1, 2)))])),
            line(
                3,
                "r3",
                &json!([
                    attempt(Some("a3"), "throttled", None),
                    attempt(None, "abandoned", None)
                ]),
            ),
            line(4, "r4", &json!([attempt(Some("a4"), "ok", Some((7, 7)))])),
        ],
    );
    let records = [
        logged("a1", Some("r1"), (1, 2)),
        logged("a2", Some("r2"), (1, 3)),
        logged("b3", Some("r3"), (4, 5)),
        logged("b5", Some("r5"), (6, 6)),
        logged("c1", None, (9, 9)),
    ];
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    let file = fs::File::create(logs.join("2026/11/a.json.gz")).unwrap();
    let mut gzip = GzEncoder::new(file, Compression::fast());
    gzip.write_all(lines.join("\n").as_bytes()).unwrap();
    gzip.finish().unwrap();
    let (equal, found) = compared(&ledger, Some(&logs), None);
    assert!(!equal);
    let log = &found["invocationLog"];
    assert_eq!(log["records"], 5);
    assert_eq!(log["same"], 1);
    assert_eq!(log["ofOthers"], 1);
    let ids = |name: &str| -> Vec<Value> {
        let list = log[name].as_array().unwrap();
        list.iter().map(|one| one["awsRequestId"].clone()).collect()
    };
    assert_eq!(ids("tokensDiffer"), ["a2"]);
    assert_eq!(ids("tokensUnknown"), ["b3"]);
    assert_eq!(ids("missingInLedger"), ["b5"]);
    assert_eq!(ids("missingInLog"), ["a4"]);
    assert_eq!(found["ledger"]["callsWithoutTokens"], 1);
}

#[test]
fn cut_dropped_and_missing_records_are_differences() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("audit.jsonl");
    let log = directory.path().join("log.jsonl");
    let one = json!([attempt(Some("a1"), "ok", Some((1, 2)))]);
    write(&log, &[logged("a1", Some("r1"), (1, 2)).to_string()]);
    write(&ledger, &[line(1, "r1", &one), line(2, "r2", &json!([]))]);
    assert!(compared(&ledger, Some(&log), None).0);
    write(
        &ledger,
        &[
            line(1, "r1", &one),
            line(1, "r1", &one),
            r#"{"instance":"i","seq"#.to_owned(),
            line(4, "r4", &json!([])),
        ],
    );
    let (equal, found) = compared(&ledger, Some(&log), None);
    assert!(!equal);
    let summary = &found["ledger"];
    assert_eq!(summary["records"], 2);
    assert_eq!(summary["cutLines"], 1);
    assert_eq!(summary["missingRecords"], 2);
    let mut dropped: Value = serde_json::from_str(&line(2, "r2", &json!([]))).unwrap();
    dropped["dropped"] = json!(3);
    write(&ledger, &[line(1, "r1", &one), dropped.to_string()]);
    let (equal, found) = compared(&ledger, Some(&log), None);
    assert!(!equal);
    assert_eq!(found["ledger"]["droppedRecords"], 3);
}

#[test]
fn a_report_is_compared_by_region_and_kind() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("audit.jsonl");
    let cur = directory.path().join("report.csv");
    write(
        &ledger,
        &[line(
            1,
            "r1",
            &json!([attempt(Some("a1"), "ok", Some((1200, 30)))]),
        )],
    );
    let header = "line_item_product_code,line_item_usage_type,line_item_usage_amount,product_region_code,pricing_unit,line_item_iam_principal";
    let row = |kind: &str, amount: &str| {
        format!("AmazonBedrock,USE1-NovaLite-{kind},{amount},us-east-1,1K tokens,arn:x")
    };
    let other = "AmazonS3,Requests,5,us-east-1,Requests,";
    write(
        &cur,
        &[
            header.to_owned(),
            row("input-tokens", "1.200"),
            row("output-tokens", "0.030"),
            other.to_owned(),
        ],
    );
    let (equal, found) = compared(&ledger, None, Some(&cur));
    assert!(equal, "{found}");
    assert_eq!(found["cur"]["rows"], 2);
    write(&cur, &[header.to_owned(), row("input-tokens", "1.201")]);
    let (equal, found) = compared(&ledger, None, Some(&cur));
    assert!(!equal);
    assert_eq!(
        found["cur"]["differences"],
        json!([
            {"region": "us-east-1", "kind": "input", "ledger": 1200, "aws": 1201},
            {"region": "us-east-1", "kind": "output", "ledger": 30, "aws": 0},
        ])
    );
}

#[test]
fn files_of_another_format_are_rejected_with_a_fix() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    write(&path("audit.jsonl"), &[line(1, "r1", &json!([]))]);
    fs::write(path("log.txt"), "2026 INFO request\n").unwrap();
    fs::write(path("report.parquet"), b"PAR1....").unwrap();
    fs::write(path("report.csv"), "a,b\n1,2\n").unwrap();
    fs::write(path("other.json"), "{}").unwrap();
    for (ledger, log, cur, expected) in [
        ("log.txt", Some("other.json"), None, "audit.output"),
        (
            "audit.jsonl",
            Some("other.json"),
            None,
            "ModelInvocationLog",
        ),
        ("audit.jsonl", Some("log.txt"), None, "not JSON"),
        (
            "audit.jsonl",
            None,
            Some("report.parquet"),
            "Fix: select text/csv",
        ),
        (
            "audit.jsonl",
            None,
            Some("report.csv"),
            "line_item_product_code",
        ),
        ("missing", None, Some("report.csv"), "failed to read"),
    ] {
        let args = Args {
            ledger: vec![path(ledger)],
            invocation_logs: log.map(path),
            cur: cur.map(path),
            principal: None,
            output: Output::Text,
        };
        let error = run(&args, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
