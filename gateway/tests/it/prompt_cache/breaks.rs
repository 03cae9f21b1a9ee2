//! Planted cache breaks: sessions in which a client changes one thing, so that Bedrock no longer reads the whole prefix. The
//! metric and the response header name the part, in each dialect.

use awsdouble::Fault;
use http::Method;
use serde_json::{Value, json};

use super::{
    CLAUDE, OPUS,
    session::CLAUDE_CODE,
    wire::{Api, Wire},
};
use crate::rig::Rig;

/// Requests before the change.
const TURNS: usize = 6;

/// A change of the next request of a session, and the part that it breaks.
type Planted = (&'static str, fn(Api, &mut Value), &'static str);

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().unwrap()
}

/// The text of the first block of the system prompt.
fn system(api: Api, body: &mut Value) -> &mut Value {
    match api {
        Api::Chat => &mut body["messages"][0]["content"][0]["text"],
        Api::Responses => &mut body["instructions"],
        _ => &mut body["system"][0]["text"],
    }
}

/// The schema of the first tool.
fn schema(api: Api, body: &mut Value) -> &mut Value {
    let tool = &mut body["tools"][0];
    match api {
        Api::Chat => &mut tool["function"]["parameters"],
        Api::Responses => &mut tool["parameters"],
        _ => &mut tool["input_schema"],
    }
}

/// The messages or items, and the number of those before the first turn.
fn turns(api: Api, body: &mut Value) -> (&mut Vec<Value>, usize) {
    match api {
        Api::Chat => (list(&mut body["messages"]), 1),
        Api::Responses => (list(&mut body["input"]), 1),
        _ => (list(&mut body["messages"]), 0),
    }
}

fn append(text: &mut Value, more: &str) {
    *text = json!(format!("{}{more}", text.as_str().unwrap()));
}

/// Changes every cache point of a request.
fn each_point(value: &mut Value, change: fn(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|one| each_point(one, change)),
        Value::Object(members) => {
            members.values_mut().for_each(|one| each_point(one, change));
            if members.contains_key("cache_control") {
                change(members);
            }
        }
        _ => {}
    }
}

const PLANTED: [Planted; 12] = [
    (
        "a timestamp in the system prompt",
        |api, body| append(system(api, body), "\nIt is 12:01:07."),
        "system",
    ),
    (
        "reordered tools",
        |_, body| list(&mut body["tools"]).swap(0, 1),
        "tools",
    ),
    (
        "a changed schema",
        |api, body| schema(api, body)["properties"]["a"]["minimum"] = json!(2),
        "tools",
    ),
    (
        "reordered members of a schema",
        |api, body| {
            let properties = schema(api, body)["properties"].as_object_mut().unwrap();
            let first = properties.shift_remove("z").unwrap();
            properties.insert("z".to_owned(), first);
        },
        "tools",
    ),
    (
        "a tool more",
        |api, body| {
            let mut tool = body["tools"][0].clone();
            let named = if api == Api::Chat {
                &mut tool["function"]
            } else {
                &mut tool
            };
            named["name"] = json!("mcp__late");
            list(&mut body["tools"]).insert(0, tool);
        },
        "tools",
    ),
    (
        "a tool less",
        |_, body| drop(list(&mut body["tools"]).remove(0)),
        "tools",
    ),
    (
        "an edited turn",
        |api, body| {
            let (turns, first) = turns(api, body);
            let content = &mut turns[first]["content"];
            if content.is_string() {
                append(content, " Now.");
            } else {
                append(&mut content[0]["text"], " Now.");
            }
        },
        "messages",
    ),
    (
        "a compacted conversation",
        |api, body| {
            let (turns, first) = turns(api, body);
            // Without what follows the first turn, up to a turn of the user that has no results.
            let is_next = |index: &usize| {
                let [before, turn] = [index - 1, *index].map(|index| &turns[index]);
                let has_results = turn.to_string().contains("tool_result");
                before["role"] == "assistant" && turn["role"] == "user" && !has_results
            };
            let at = (first + 1..turns.len()).find(is_next).unwrap();
            turns.drain(first + 1..at);
        },
        "messages",
    ),
    (
        "another model",
        |_, body| append(&mut body["model"], "-other"),
        "model",
    ),
    (
        "a forced tool",
        |api, body| {
            body["tool_choice"] = match api {
                Api::Messages => json!({"type": "any"}),
                _ => json!("required"),
            };
        },
        "parameters",
    ),
    (
        "another lifetime",
        |_, body| each_point(body, |block| block["cache_control"]["ttl"] = json!("1h")),
        "cache_points",
    ),
    (
        "no cache points in the messages",
        |api, body| {
            let (turns, first) = turns(api, body);
            for turn in turns.iter_mut().skip(first) {
                each_point(turn, |block| drop(block.shift_remove("cache_control")));
            }
        },
        "cache_points",
    ),
];

/// Two models by each API, and a model with two regions.
async fn gateway() -> Rig {
    let targets = [
        ("converse", ", api: Converse", CLAUDE),
        ("converse-other", ", api: Converse", OPUS),
        ("invoke", "", CLAUDE),
        ("invoke-other", "", OPUS),
    ];
    let models = targets.map(|(name, api, model)| {
        format!("- {{name: {name}, targets: [{{modelId: '{model}'{api}}}]}}")
    });
    let regions = ["us-east-1", "us-west-2"]
        .map(|region| format!("{{modelId: '{CLAUDE}', region: {region}}}"))
        .join(", ");
    let models = models.join("\n");
    let document = format!(
        "clients: {{anonymous: true}}\nmodels:\n{models}\n- {{name: regions, targets: [{regions}]}}\n"
    );
    Rig::with_document(&document).await
}

/// The parts of all counted breaks.
async fn breaks(rig: &Rig) -> Vec<String> {
    let page = rig.admin("/metrics").await.text();
    let lines = page.lines().filter_map(|line| {
        let labels = line.strip_prefix("bedrock_gateway_cache_breaks_total{")?;
        let (_, rest) = labels.split_once("part=\"")?;
        let (part, _) = rest.split_once('"')?;
        let (_, count) = line.rsplit_once(' ')?;
        let count: f64 = count.parse().ok()?;
        (count > 0.0).then(|| format!("{part} {count}"))
    });
    lines.collect()
}

/// Begins a session, which reads its cache; returns its next request.
async fn session(rig: &Rig, (api, model): (Api, &str)) -> Value {
    let mut client = Wire::of_client(api, model, rig);
    let mut last = 0;
    let next = client
        .run_until(&CLAUDE_CODE, TURNS, |tokens| last = tokens)
        .await;
    assert!(last > 2000, "{api:?}: {last}");
    next
}

/// Sends a request; returns the part that the response header names.
async fn send(rig: &Rig, api: Api, body: &Value) -> String {
    let path = match api {
        Api::Chat => "/v1/chat/completions",
        Api::Responses => "/v1/responses",
        _ => "/v1/messages",
    };
    let headers = [("x-bedrock-gateway-cache-report", "1")];
    let response = rig.call(Method::POST, path, &headers, body.to_string());
    let response = response.await;
    assert_eq!(response.status, 200, "{api:?}: {}", response.text());
    let report = response.headers["x-bedrock-gateway-cache"]
        .to_str()
        .unwrap();
    let (changed, tokens) = report
        .split_once("; cached-tokens=")
        .unwrap_or((report, "0"));
    assert!(tokens.parse::<u64>().unwrap() > 2000, "{api:?}: {report}");
    let part = changed.strip_prefix("changed=").unwrap();
    part.split('[').next().unwrap_or_default().to_owned()
}

async fn names_each_planted_break(api: Api, model: &str) {
    for (name, change, part) in PLANTED {
        let rig = gateway().await;
        let mut next = session(&rig, (api, model)).await;
        assert_eq!(
            breaks(&rig).await,
            Vec::<String>::new(),
            "{api:?}: before {name}"
        );
        change(api, &mut next);
        assert_eq!(send(&rig, api, &next).await, part, "{api:?}: {name}");
        assert_eq!(breaks(&rig).await, [format!("{part} 1")], "{api:?}: {name}");
    }
}

#[tokio::test]
async fn twelve_planted_breaks_of_messages_have_the_name_of_what_changed() {
    names_each_planted_break(Api::Messages, "invoke").await;
}

#[tokio::test]
async fn twelve_planted_breaks_of_messages_by_converse_have_the_name_of_what_changed() {
    names_each_planted_break(Api::Messages, "converse").await;
}

#[tokio::test]
async fn twelve_planted_breaks_of_chat_completions_have_the_name_of_what_changed() {
    names_each_planted_break(Api::Chat, "converse").await;
}

#[tokio::test]
async fn twelve_planted_breaks_of_responses_have_the_name_of_what_changed() {
    names_each_planted_break(Api::Responses, "converse").await;
}

#[tokio::test]
async fn a_request_that_another_target_serves_is_a_break_of_the_target() {
    let rig = gateway().await;
    let next = session(&rig, (Api::Messages, "regions")).await;
    let fault = Fault::error("InvokeModel", 429, "ThrottlingException");
    rig.double.inject(fault.times(1));
    assert_eq!(send(&rig, Api::Messages, &next).await, "none");
    assert_eq!(breaks(&rig).await, ["target 1"]);
}
