//! Where cache points are: for each rule a form that Bedrock rejects, and what the gateway makes of requests that ask for
//! it, in each dialect.

use serde_json::{Value, json};

use super::{
    CLAUDE, NOVA, gateway,
    wire::{Api, Wire},
};

const CSV: &str = "YSxiCjEsMgo=";

/// A request and the places of its cache points upstream: the block before each, and its lifetime.
pub(super) type Sent = (Api, &'static str, Value, &'static [&'static str]);

/// Sends requests of clients through the gateway, and checks their cache points and whether they have a warning.
pub(super) async fn sends(rule: &str, warned: bool, requests: Vec<Sent>) {
    let rig = gateway(false).await;
    for (api, model, mut body, expected) in requests {
        body["model"] = json!(model);
        if api == Api::Messages {
            body["max_tokens"] = json!(100);
        }
        let path = match api {
            Api::Chat => "/v1/chat/completions",
            Api::Responses => "/v1/responses",
            _ => "/v1/messages",
        };
        let response = rig.call(http::Method::POST, path, &[], body.to_string());
        let response = response.await;
        let name = format!("{rule}, {api:?} to {model}");
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        let sent = rig.calls().pop().unwrap();
        let sent = sent.json().unwrap();
        assert_eq!(points(&sent), expected, "{name}: {sent}");
        // `store` of Responses has a warning of its own, which `store: false` avoids.
        let header = response.headers.get("x-bedrock-gateway-warning");
        assert_eq!(header.is_some(), warned, "{name}: {header:?}");
    }
}

/// Checks that Bedrock rejects a request, and with which words.
pub(super) async fn rejects(api: Api, model: &str, mut body: Value, expected: &str) {
    if api == Api::InvokeModel {
        body["anthropic_version"] = json!("bedrock-2023-05-31");
        body["max_tokens"] = json!(100);
    }
    let (status, text) = Wire::direct(api, model).await.post(&body).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains(expected), "{text}");
}

/// The cache points of an upstream request, as `PLACE.INDEX:LIFETIME` with the index of the block before the point.
fn points(request: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut list = |place: &str, blocks: &Value| {
        let mut index = 0;
        for block in blocks.as_array().into_iter().flatten() {
            let is_point = !block["cachePoint"].is_null();
            let point = if is_point {
                &block["cachePoint"]
            } else {
                &block["cache_control"]
            };
            index += usize::from(!is_point);
            if !point.is_null() {
                let ttl = point["ttl"].as_str().unwrap_or("5m");
                found.push(format!("{place}.{}:{ttl}", index - 1));
            }
        }
    };
    let config = &request["toolConfig"]["tools"];
    list(
        "tools",
        if config.is_null() {
            &request["tools"]
        } else {
            config
        },
    );
    list("system", &request["system"]);
    let messages = request["messages"].as_array().into_iter().flatten();
    for (index, message) in messages.enumerate() {
        list(&format!("messages.{index}"), &message["content"]);
    }
    found
}

fn point() -> Value {
    json!({"cachePoint": {"type": "default"}})
}

pub(super) fn marked(mut block: Value, ttl: &str) -> Value {
    block["cache_control"] = json!({"type": "ephemeral", "ttl": ttl});
    block
}

pub(super) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

pub(super) fn input(text: &str) -> Value {
    json!({"type": "input_text", "text": text})
}

pub(super) fn message(role: &str, content: Value) -> Value {
    Value::from_iter([("role", json!(role)), ("content", content)])
}

pub(super) fn converse(messages: Value) -> Value {
    Value::from_iter([("messages", messages)])
}

/// A request of each dialect with this conversation; Responses has `store: false`.
pub(super) fn chat(messages: Value) -> Value {
    Value::from_iter([("messages", messages)])
}

pub(super) fn responses(input: Value) -> Value {
    Value::from_iter([("input", input), ("store", json!(false))])
}

#[tokio::test]
async fn a_point_first_in_a_message_goes_to_the_message_before() {
    let broken = converse(json!([
        message("user", json!([{"text": "a"}])),
        message("assistant", json!([{"text": "b"}])),
        message("user", json!([point(), {"text": "c"}])),
    ]));
    rejects(Api::Converse, CLAUDE, broken, "can't be the first block").await;
    let blank = || marked(text(" "), "5m");
    let asked = || {
        chat(json!([
            message("user", json!("a")),
            message("assistant", json!("b")),
            message("user", json!([blank(), text("c")])),
        ]))
    };
    let items = responses(json!([
        message("user", json!("a")),
        message("assistant", json!("b")),
        message("user", json!([marked(input(" "), "5m"), input("c")])),
    ]));
    sends(
        "never first",
        true,
        vec![
            (Api::Chat, "converse", asked(), &["messages.1.0:5m"]),
            (Api::Responses, "converse", items, &["messages.1.0:5m"]),
            (Api::Messages, "converse", asked(), &["messages.1.0:5m"]),
            (Api::Messages, "invoke", asked(), &["messages.1.0:5m"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_point_after_reasoning_goes_before_it() {
    let signature = awsdouble::reasoning_signature("Hm.");
    let broken = converse(json!([
        message("user", json!([{"text": "a"}])),
        message(
            "assistant",
            json!([
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": signature}}}, point(), {"text": "b"}])
        ),
        message("user", json!([{"text": "c"}])),
    ]));
    rejects(
        Api::Converse,
        CLAUDE,
        broken,
        "Cache point cannot be inserted after reasoning block",
    )
    .await;
    let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": signature});
    let mut answer = message("assistant", json!([marked(text(" "), "1h"), text("b")]));
    answer["thinking_blocks"] = json!([thinking]);
    let asked = chat(json!([
        message("user", json!("a")),
        answer,
        message("user", json!("c"))
    ]));
    let messages = || {
        json!({"messages": [
            message("user", json!("a")),
            message("assistant", json!([marked(thinking.clone(), "1h"), text("b")])),
            message("user", json!("c")),
        ]})
    };
    // The item as a client received it.
    let rig = gateway(false).await;
    let body = json!({"model": "converse", "input": "a\n@reason Hm.", "store": false});
    let received = rig.call(http::Method::POST, "/v1/responses", &[], body.to_string());
    let reasoning = received.await.json()["output"][0].take();
    assert_eq!(reasoning["type"], "reasoning");
    let output = |text: &str| json!({"type": "output_text", "text": text});
    let answer = json!([marked(output(" "), "1h"), output("b")]);
    let items = responses(json!([
        message("user", json!("a")),
        reasoning,
        message("assistant", answer),
        message("user", json!("c")),
    ]));
    sends(
        "never after reasoning",
        true,
        vec![
            (Api::Chat, "converse", asked, &["messages.0.0:1h"]),
            (Api::Responses, "converse", items, &["messages.0.0:1h"]),
            (Api::Messages, "converse", messages(), &["messages.0.0:1h"]),
            (Api::Messages, "invoke", messages(), &["messages.0.0:1h"]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_point_after_a_document_that_bedrock_converts_goes_before_it() {
    let document = json!({"document": {"format": "csv", "name": "t", "source": {"bytes": CSV}}});
    let broken = converse(json!([message(
        "user",
        json!([{"text": "a"}, document, point()])
    )]));
    rejects(
        Api::Converse,
        CLAUDE,
        broken,
        "messages.0.content.2.type: Field required",
    )
    .await;
    let data = format!("data:text/csv;base64,{CSV}");
    let file = json!({"type": "file", "file": {"filename": "t.csv", "file_data": data}});
    let asked = chat(json!([message(
        "user",
        json!([text("a"), marked(file, "5m")])
    )]));
    let file = json!({"type": "input_file", "filename": "t.csv", "file_data": data});
    let items = responses(json!([message(
        "user",
        json!([input("a"), marked(file, "5m")])
    )]));
    let document = || {
        let source = json!({"type": "text", "media_type": "text/plain", "data": "a,b"});
        marked(json!({"type": "document", "source": source}), "5m")
    };
    let messages = || json!({"messages": [message("user", json!([text("a"), document()]))]});
    sends(
        "never behind a converted document",
        true,
        vec![
            (Api::Chat, "converse", asked, &["messages.0.0:5m"]),
            (Api::Responses, "converse", items, &["messages.0.0:5m"]),
            (Api::Messages, "converse", messages(), &["messages.0.0:5m"]),
        ],
    )
    .await;
    // Claude's own API takes the document as it is.
    let kept = vec![(
        Api::Messages,
        "invoke",
        messages(),
        &["messages.0.1:5m"][..],
    )];
    sends("a document of Claude", false, kept).await;
}

#[tokio::test]
async fn an_hour_after_five_minutes_is_lowered_and_lifetimes_are_kept() {
    let long = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let mut broken = converse(json!([message("user", json!([{"text": "a"}, long]))]));
    broken["system"] = json!([{"text": "s"}, point()]);
    rejects(
        Api::Converse,
        CLAUDE,
        broken,
        "a ttl='1h' cache_control block must not come after",
    )
    .await;
    let requests = |first: &str, second: &str| {
        let schema = json!({"type": "object"});
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
        let mut asked = chat(json!([
            message("system", json!([marked(text("s"), second)])),
            message("user", json!([marked(text("a"), second)])),
        ]));
        asked["tools"] = json!([marked(tool, first)]);
        let tool = json!({"type": "function", "name": "f", "parameters": schema});
        let mut items = responses(json!([
            message("developer", json!([marked(input("s"), second)])),
            message("user", json!([marked(input("a"), second)])),
        ]));
        items["tools"] = json!([marked(tool, first)]);
        let messages = json!({
            "tools": [marked(json!({"name": "f", "input_schema": schema}), first)],
            "system": [marked(text("s"), second)],
            "messages": [message("user", json!([marked(text("a"), second)]))]});
        [asked, items, messages]
    };
    for (first, second, warned, expected) in [
        (
            "5m",
            "1h",
            true,
            &["tools.0:5m", "system.0:5m", "messages.0.0:5m"][..],
        ),
        (
            "1h",
            "5m",
            false,
            &["tools.0:1h", "system.0:5m", "messages.0.0:5m"],
        ),
        (
            "1h",
            "1h",
            false,
            &["tools.0:1h", "system.0:1h", "messages.0.0:1h"],
        ),
    ] {
        let [asked, items, messages] = requests(first, second);
        let requests = vec![
            (Api::Chat, "converse", asked, expected),
            (Api::Responses, "converse", items, expected),
            (Api::Messages, "converse", messages.clone(), expected),
            (Api::Messages, "invoke", messages, expected),
        ];
        sends("lifetimes", warned, requests).await;
    }
}

#[tokio::test]
async fn the_last_four_points_are_kept() {
    let five = |block: &dyn Fn(String) -> Value| -> Value {
        (0..5).map(|index| block(format!("{index}"))).collect()
    };
    let blocks: Vec<Value> = (0..5)
        .flat_map(|index| [json!({"text": format!("{index}")}), point()])
        .collect();
    let broken = converse(json!([message("user", json!(blocks))]));
    rejects(
        Api::Converse,
        CLAUDE,
        broken,
        "A maximum of 4 blocks with cache_control",
    )
    .await;
    let asked = || {
        chat(json!([message(
            "user",
            five(&|one| marked(text(&one), "5m"))
        )]))
    };
    let items = responses(json!([message(
        "user",
        five(&|one| marked(input(&one), "5m"))
    )]));
    let expected = &[
        "messages.0.1:5m",
        "messages.0.2:5m",
        "messages.0.3:5m",
        "messages.0.4:5m",
    ];
    sends(
        "at most four",
        true,
        vec![
            (Api::Chat, "converse", asked(), expected),
            (Api::Responses, "converse", items, expected),
            (Api::Messages, "converse", asked(), expected),
            (Api::Messages, "invoke", asked(), expected),
        ],
    )
    .await;
}

#[tokio::test]
async fn automatic_caching_is_a_point_on_the_last_blocks_that_may_have_one() {
    let ask = || {
        let mut body = chat(json!([
            message("system", json!("s")),
            message("user", json!("a"))
        ]));
        body["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
        body
    };
    let mut messages = json!({"system": "s", "messages": [message("user", json!([text("a")]))]});
    messages["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
    rejects(
        Api::InvokeModel,
        CLAUDE,
        messages.clone(),
        "cache_control: Extra inputs",
    )
    .await;
    let mut items = responses(json!([
        message("developer", json!("s")),
        message("user", json!("a"))
    ]));
    items["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
    // Beside points of the client it is one more.
    let mut own = messages.clone();
    own["system"] = json!([marked(text("s"), "1h")]);
    let both = &["system.0:1h", "messages.0.0:1h"];
    sends(
        "automatic",
        false,
        vec![
            (Api::Chat, "converse", ask(), both),
            (Api::Responses, "converse", items, both),
            (Api::Messages, "converse", messages.clone(), both),
            (Api::Messages, "invoke", messages, &["messages.0.0:1h"]),
            (Api::Messages, "converse", own.clone(), both),
            (Api::Messages, "invoke", own, both),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_point_after_a_result_goes_before_it_where_the_family_rejects_it() {
    let tool = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}});
    let broken = json!({"toolConfig": {"tools": [tool]}, "messages": [
        message("user", json!([{"text": "a"}])),
        message("assistant", json!([{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}])),
        message("user", json!([{"toolResult": {"toolUseId": "t1", "content": [{"text": "ok"}]}}, point()])),
    ]});
    rejects(Api::Converse, NOVA, broken, "extraneous key [cachePoint]").await;
    let mut answer = message("assistant", Value::Null);
    answer["tool_calls"] =
        json!([{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let result = marked(
        json!({"role": "tool", "tool_call_id": "t1", "content": "ok"}),
        "5m",
    );
    let mut asked = chat(json!([message("user", json!("a")), answer, result]));
    asked["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let result = marked(
        json!({"type": "tool_result", "tool_use_id": "t1", "content": "ok"}),
        "5m",
    );
    let messages = json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [
        message("user", json!("a")),
        message("assistant", json!([{"type": "tool_use", "id": "t1", "name": "f", "input": {}}])),
        message("user", json!([result])),
    ]});
    let mut items = responses(json!([
        message("user", json!("a")),
        json!({"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"}),
        json!({"type": "function_call_output", "call_id": "t1", "output": [marked(input("ok"), "5m")]}),
    ]));
    items["tools"] = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    sends(
        "never after a result of Nova",
        true,
        vec![
            (Api::Chat, "nova", asked, &["messages.1.0:5m"]),
            (Api::Responses, "nova", items, &["messages.1.0:5m"]),
            (Api::Messages, "nova", messages, &["messages.1.0:5m"]),
        ],
    )
    .await;
}
