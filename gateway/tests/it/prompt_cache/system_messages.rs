//! Where system messages within a conversation are, and their cache points: forms that Bedrock rejects, and what the
//! gateway makes of requests that ask for them, in each dialect.

use serde_json::{Value, json};

use super::{
    CLAUDE, OPUS,
    places::{chat, converse, input, marked, message, rejects, responses, sends, text},
    wire::Api,
};

#[tokio::test]
async fn a_system_message_stays_in_its_place_with_its_point() {
    let turns = |system: &str| {
        json!([
            message("user", json!("a")),
            message("assistant", json!("b")),
            message("user", json!("c")),
            message(system, json!([marked(text("Mind it."), "5m")])),
        ])
    };
    let blocks = |text: &str| json!([{"text": text}]);
    let broken = converse(json!([
        message("user", blocks("a")),
        message("system", blocks("b"))
    ]));
    rejects(Api::Converse, CLAUDE, broken, "support the system role").await;
    let own = json!({"messages": turns("system")});
    rejects(Api::InvokeModel, CLAUDE, own.clone(), "Unexpected role").await;
    let items = responses(json!([
        message("user", json!("a")),
        message("assistant", json!("b")),
        message("user", json!("c")),
        message("developer", json!([marked(input("Mind it."), "5m")])),
    ]));
    sends(
        "system in mid-conversation",
        true,
        vec![
            (
                Api::Chat,
                "converse",
                chat(turns("developer")),
                &["messages.2.1:5m"],
            ),
            (Api::Responses, "converse", items, &["messages.2.1:5m"]),
            (Api::Messages, "converse", own.clone(), &["messages.2.1:5m"]),
            (Api::Messages, "invoke", own.clone(), &["messages.3.0:5m"]),
        ],
    )
    .await;
    // This model takes the role.
    let kept = vec![(Api::Messages, "opus", own, &["messages.3.0:5m"][..])];
    sends("the role of Opus 4.8", false, kept).await;
}

#[tokio::test]
async fn a_system_message_between_calls_and_results_follows_the_results() {
    let call = json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "ok"});
    let system = || message("system", json!([marked(text("Mind it."), "5m")]));
    let messages = || {
        json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [
            message("user", json!("a")),
            message("assistant", json!([call])),
            system(),
            message("user", json!([result])),
        ]})
    };
    let between = "`tool_use` ids were found without `tool_result` blocks immediately after";
    rejects(Api::InvokeModel, OPUS, messages(), between).await;
    let broken = json!({
    "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]},
    "messages": [
        message("user", json!([{"text": "a"}])),
        message("assistant", json!([{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}])),
        message("user", json!([{"text": "Mind it."}])),
    ]});
    rejects(Api::Converse, CLAUDE, broken, "Expected toolResult blocks").await;
    let function = json!({"name": "f", "parameters": {"type": "object"}});
    let mut answer = message("assistant", Value::Null);
    answer["tool_calls"] =
        json!([{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let mut asked = chat(json!([
        message("user", json!("a")),
        answer,
        system(),
        json!({"role": "tool", "tool_call_id": "t1", "content": "ok"}),
    ]));
    asked["tools"] = json!([{"type": "function", "function": function}]);
    let mut items = responses(json!([
        message("user", json!("a")),
        json!({"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"}),
        message("developer", json!([marked(input("Mind it."), "5m")])),
        json!({"type": "function_call_output", "call_id": "t1", "output": "ok"}),
    ]));
    items["tools"] = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    sends(
        "after pending results",
        true,
        vec![
            (Api::Chat, "converse", asked, &["messages.2.1:5m"]),
            (Api::Responses, "converse", items, &["messages.2.1:5m"]),
            (Api::Messages, "converse", messages(), &["messages.2.1:5m"]),
            (Api::Messages, "invoke", messages(), &["messages.2.1:5m"]),
        ],
    )
    .await;
    let own = vec![(Api::Messages, "opus", messages(), &["messages.3.0:5m"][..])];
    sends("the role of Opus 4.8", false, own).await;
}
