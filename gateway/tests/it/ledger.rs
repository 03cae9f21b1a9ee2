//! The ledger against the bill of the simulated AWS: mixed calls of all APIs with forgeries, faults and clients that leave,
//! and a gateway that is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    time::Duration,
};

use awsdouble::{Call, Config, Double, Fault, FaultAction, allow_bedrock};
use futures::{StreamExt, stream};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::{
    process::Process,
    rig::{ACCESS_KEY, MODEL, Plan, Rig, SECRET_KEY, ask, ask_stream, eventually},
};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
/// Billionths of a dollar for an input and an output token in us-east-1 on AWS's page of prices of 2025-07-20, not from the gateway's
/// table.
const PUBLISHED: [(&str, u64, u64); 3] = [
    (MODEL, 60, 240),
    ("amazon.nova-micro-v1:0", 35, 140),
    (CLAUDE, 250, 1250),
];
/// Calls of the usual test, and of the long one.
const FEW: usize = 600;
const MANY: usize = 10_000;
const CONCURRENT: usize = 16;
/// Kinds of calls in `kind`.
const KINDS: usize = 20;
/// Times that the gateway is killed in the usual test, and in the long one.
const FEW_KILLS: usize = 5;
const MANY_KILLS: usize = 100;

pub(crate) fn document(file: &Path) -> String {
    format!(
        "access: {{namespace: team-a, name: chat}}
clients: {{anonymous: true}}
endpoints: {{bedrockMantle: '{{mantle}}'}}
models:
- {{name: both, targets: [{{modelId: '{MODEL}'}}, {{modelId: 'amazon.nova-micro-v1:0', priority: 1}}]}}
- {{name: oss, targets: [{{modelId: 'openai.gpt-oss-20b-1:0'}}]}}
- {{name: mantle, targets: [{{modelId: 'openai.gpt-oss-20b'}}]}}
- {{name: sol, targets: [{{modelId: 'us.openai.gpt-5.6-sol'}}]}}
allow: ['*']
audit: {{output: '{}'}}",
        file.display()
    )
}

/// A request: path, headers and body.
type Request = (String, Vec<(&'static str, &'static str)>, Value);

fn request(number: usize) -> Request {
    let text = format!("call {number} says {}", "word ".repeat(number % 7));
    let hello = json!([{"role": "user", "content": [{"text": text}]}]);
    let claude = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99,
        "messages": [{"role": "user", "content": text}]});
    let messages = |stream: bool| {
        json!({"model": CLAUDE, "max_tokens": 99, "stream": stream,
            "messages": [{"role": "user", "content": text}]})
    };
    let chat = "/v1/chat/completions";
    let forged = [
        (
            "x-amzn-bedrock-request-metadata",
            r#"{"namespace":"team-b"}"#,
        ),
        ("x-amzn-bedrock-projectidentifier", "team-b"),
    ];
    let (path, headers, body): (&str, &[(&str, &str)], Value) = match number % KINDS {
        0 => (chat, &[], ask("both", &text)),
        1 => (chat, &[], ask_stream("both", &text)),
        2 => ("/v1/messages", &[], messages(false)),
        3 => ("/v1/messages", &[], messages(true)),
        4 => (
            "/v1/responses",
            &[],
            json!({"model": "both", "input": text}),
        ),
        5 => (
            "/v1/responses",
            &[],
            json!({"model": "sol", "input": text, "stream": true}),
        ),
        6 => (chat, &[], ask("oss", &text)),
        7 => (chat, &[], ask_stream("mantle", &text)),
        8 => (
            "/v1/embeddings",
            &[],
            json!({"model": "amazon.titan-embed-text-v2:0", "input": [text, "two"]}),
        ),
        9 => (
            "/v1/images/generations",
            &[],
            json!({"model": "amazon.nova-canvas-v1:0", "prompt": text}),
        ),
        10 => (
            "/v1/rerank",
            &[],
            json!({"model": "cohere.rerank-v3-5:0", "query": "a", "documents": [text, "b"]}),
        ),
        11 => (
            "/model/both/converse",
            &forged,
            json!({"messages": hello, "projectIdentifier": "team-b",
                "requestMetadata": {"namespace": "team-b", "requestId": "forged"}}),
        ),
        12 => (
            "/model/both/converse-stream",
            &[],
            json!({"messages": hello, "requestMetadata": {"caller": "team-b"}}),
        ),
        13 => (
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke",
            &forged,
            claude,
        ),
        14 => (
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke-with-response-stream",
            &forged,
            claude,
        ),
        15 => ("/v1/messages/count_tokens", &[], messages(false)),
        16 => (chat, &[], ask_stream("both", &format!("{text}\n@cut 2"))),
        17 => (chat, &[], json!({"model": "both"})),
        18 => (chat, &[], ask_stream("both", &format!("{text}\n@slow 5"))),
        _ => {
            let mut body = ask("both", &text);
            body["metadata"] = json!({"namespace": "team-b"});
            (chat, &[], body)
        }
    };
    (path.to_owned(), headers.to_vec(), body)
}

/// Sends a call; every twentieth client leaves, and every twentieth call follows a fault.
async fn send(rig: &Rig, number: usize) {
    let (path, mut headers, body) = request(number);
    let id = format!("call-{number}");
    if number % KINDS == 19 {
        rig.double
            .inject(Fault::error("Converse", 429, "ThrottlingException").times(1));
        rig.double
            .inject(Fault::new("InvokeModel", FaultAction::Disconnect).times(1));
    }
    headers.push(("anthropic-version", "2023-06-01"));
    let own: Vec<(&str, &str)> = headers
        .iter()
        .copied()
        .chain([("x-request-id", id.as_str())])
        .collect();
    let response = rig.open(Method::POST, &path, &own, body.to_string()).await;
    let mut body = response.into_body();
    if number % KINDS == 18 {
        // Drops the body after its first part.
        let _first = body.frame().await;
        return;
    }
    // A cut stream of Bedrock can end with an error of the connection.
    let _whole = body.collect().await;
}

pub(crate) fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

/// The comparison of `bedrock-gateway bill`, and its exit code.
pub(crate) fn bill(directory: &Path, double: &Double) -> (Value, i32) {
    let log: Vec<String> = double
        .invocation_log()
        .iter()
        .map(ToString::to_string)
        .collect();
    std::fs::write(directory.join("log.jsonl"), log.join("\n")).unwrap();
    std::fs::write(directory.join("report.csv"), double.cost_and_usage()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .current_dir(directory)
        .args([
            "bill",
            "--ledger",
            "audit.jsonl",
            "--invocation-logs",
            "log.jsonl",
        ])
        .args(["--cur", "report.csv", "-o", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let found = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {error}"));
    (found, output.status.code().unwrap())
}

/// Checks the cost of each request in the ledger against what AWS bills for it, to the billionth of a dollar. Returns their number
/// and the sum.
fn check_costs(file: &Path, double: &Double) -> (usize, u64) {
    let log = double.invocation_log();
    let tokens: BTreeMap<&str, (u64, u64)> = log
        .iter()
        .map(|record| {
            let count = |part: &str, name: &str| record[part][name].as_u64().unwrap_or_default();
            let counts = (
                count("input", "inputTokenCount"),
                count("output", "outputTokenCount"),
            );
            (record["requestId"].as_str().unwrap(), counts)
        })
        .collect();
    let (mut checked, mut sum) = (0, 0);
    for line in lines(file) {
        let record: Value = serde_json::from_str(&line).unwrap();
        let Some(cost) = record["cost_nanodollars"].as_u64() else {
            continue;
        };
        let billed = record["attempts"].as_array().unwrap().iter();
        let billed: Option<u64> = billed
            // AWS bills no call that it rejects, and logs none of bedrock-mantle.
            .filter(|attempt| attempt["result"] == "ok")
            .map(|attempt| {
                let (input, output) = tokens.get(attempt["aws_request_id"].as_str()?)?;
                let model = attempt["model"].as_str()?;
                let (_, of_input, of_output) = PUBLISHED.iter().find(|one| one.0 == model)?;
                Some(input * of_input + output * of_output)
            })
            .sum();
        if let Some(billed) = billed {
            assert_eq!(cost, billed, "{record}");
            checked += 1;
            sum += cost;
        }
    }
    (checked, sum)
}

/// The metadata that AWS has recorded for a call, if its API has any.
fn metadata(call: &Call) -> Option<Value> {
    match call.operation.as_str() {
        "Converse" | "ConverseStream" => Some(call.json().unwrap()["requestMetadata"].clone()),
        "InvokeModel" | "InvokeModelWithResponseStream" => {
            let header = &call.headers["x-amzn-bedrock-request-metadata"];
            Some(serde_json::from_str(header).unwrap())
        }
        _ => None,
    }
}

fn has_the_attribution_of_the_gateway(call: &Call) -> bool {
    assert!(
        !call
            .headers
            .contains_key("x-amzn-bedrock-projectidentifier")
    );
    let Some(metadata) = metadata(call) else {
        return false;
    };
    assert_eq!(metadata["namespace"], "team-a", "{metadata}");
    assert_eq!(metadata["bedrockAccess"], "chat", "{metadata}");
    assert_eq!(metadata["caller"], "anonymous", "{metadata}");
    let id = metadata["requestId"].as_str().unwrap();
    assert!(id.starts_with("call-"), "{metadata}");
    let members = metadata.as_object().unwrap().len();
    assert_eq!(members, 4 + usize::from(metadata.get("client").is_some()));
    assert!(call.json().unwrap().get("projectIdentifier").is_none());
    true
}

async fn mixed_calls(count: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let rig = Rig::start(Plan {
        document: Some(document(&file)),
        double: Config {
            keep_calls: 4 * count,
            ..Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock())
        },
        ..Plan::default()
    })
    .await;
    stream::iter(0..count)
        .for_each_concurrent(CONCURRENT, |number| send(&rig, number))
        .await;
    eventually("all records", async || lines(&file).len() >= count).await;
    assert_eq!(lines(&file).len(), count);

    let calls = rig.double.calls();
    let attributed = calls
        .iter()
        .filter(|call| has_the_attribution_of_the_gateway(call))
        .count();
    assert!(attributed > count / 2, "{attributed} of {count}");

    let (found, code) = bill(directory.path(), &rig.double);
    let log = &found["invocationLog"];
    for nothing in ["tokensDiffer", "missingInLedger", "missingInLog"] {
        assert_eq!(log[nothing], json!([]), "{nothing}");
    }
    assert_eq!(log["ofOthers"], 0);
    assert!(log["same"].as_u64().unwrap() > u64::try_from(count / 2).unwrap());
    for nothing in ["cutLines", "droppedRecords", "missingRecords"] {
        assert_eq!(found["ledger"][nothing], 0, "{nothing}");
    }
    let (checked, sum) = check_costs(&file, &rig.double);
    assert!(checked > count / 2, "{checked} of {count} have a price");
    assert!(sum > 0);
    // Only streams that broke, or whose client left, and abandoned calls of a batch have no usage. Everything else in the report is in the ledger.
    let unknown = log["tokensUnknown"].as_array().unwrap();
    assert_eq!(code, if unknown.is_empty() { 0 } else { 5 });
    let broken = |one: &&Value| {
        let id = one["requestId"]
            .as_str()
            .unwrap()
            .trim_start_matches("call-");
        [8, 16, 18].contains(&(id.parse::<usize>().unwrap() % KINDS))
    };
    let others: Vec<&Value> = unknown.iter().filter(|one| !broken(one)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(unknown.len() >= count / KINDS, "{}", unknown.len());
    let differences = found["cur"]["differences"].as_array().unwrap();
    for (kind, name) in [("input", "input"), ("output", "output")] {
        let unknown: u64 = unknown
            .iter()
            .map(|one| one["aws"][name].as_u64().unwrap())
            .sum();
        let of_kind = differences.iter().filter(|one| one["kind"] == kind);
        let missing: u64 = of_kind
            .map(|one| one["aws"].as_u64().unwrap() - one["ledger"].as_u64().unwrap())
            .sum();
        assert_eq!(missing, unknown, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_calls_carry_the_attribution_and_the_ledger_equals_the_bill() {
    mixed_calls(FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: ten thousand calls"]
async fn ten_thousand_mixed_calls_carry_the_attribution_and_the_ledger_equals_the_bill() {
    mixed_calls(MANY).await;
}

async fn killed(times: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let config = directory.path().join("gateway.yaml");
    let double = Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, allow_bedrock());
    let double = Double::start(double).await.unwrap();
    let document = document(&file).replace("{mantle}", &double.mantle_url());
    std::fs::write(&config, document).unwrap();
    for round in 0..times {
        let process = Process::start(&double, &config).await;
        let calls = stream::iter(0..1000).for_each_concurrent(8, |number| {
            let process = &process;
            async move {
                Process::status(&process.address, &format!("call-{round}-{number}")).await;
            }
        });
        // sleep: until a random moment among the calls.
        let moment = tokio::time::sleep(Duration::from_millis(fastrand::u64(0..60)));
        tokio::select! {
            () = calls => {}
            () = moment => {}
        }
    }
    let mut whole = BTreeSet::new();
    // Requests whose clients left before Bedrock responded.
    let mut left = BTreeSet::new();
    let mut cut = 0;
    for line in lines(&file) {
        match serde_json::from_str::<Value>(&line) {
            Ok(record) => {
                for attempt in record["attempts"].as_array().unwrap() {
                    match attempt["aws_request_id"].as_str() {
                        Some(id) => whole.insert(id.to_owned()),
                        None => left.insert(record["request_id"].to_string()),
                    };
                }
            }
            Err(_) if line.is_empty() => {}
            Err(_) => cut += 1,
        }
    }
    // What a gateway had sent before it was killed can still arrive while the bill is made.
    let mut made = None;
    eventually("a bill without further calls", async || {
        let billed = double.invocation_log();
        let (found, _) = bill(directory.path(), &double);
        let is_whole = double.invocation_log().len() == billed.len();
        made = is_whole.then_some((found, billed));
        is_whole
    })
    .await;
    let (found, billed) = made.unwrap();
    assert_eq!(found["ledger"]["cutLines"], cut);
    let log = &found["invocationLog"];
    assert_eq!(log["ofOthers"], 0, "every call names its gateway");
    assert_eq!(log["tokensDiffer"], json!([]));
    let missing: BTreeSet<String> = log["missingInLedger"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["awsRequestId"].as_str().unwrap().to_owned())
        .collect();
    let expected: BTreeSet<String> = billed
        .into_iter()
        .filter(|record| !left.contains(&record["requestMetadata"]["requestId"].to_string()))
        .map(|record| record["requestId"].as_str().unwrap().to_owned())
        .filter(|id| !whole.contains(id))
        .collect();
    let differ: Vec<&String> = missing.symmetric_difference(&expected).collect();
    assert!(differ.is_empty(), "what is missing is named: {differ:?}");
    assert!(!whole.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_leaves_whole_lines_and_the_bill_names_what_is_missing() {
    killed(FEW_KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: a hundred kills"]
async fn a_hundred_kills_leave_whole_lines_and_the_bill_names_what_is_missing() {
    killed(MANY_KILLS).await;
}
