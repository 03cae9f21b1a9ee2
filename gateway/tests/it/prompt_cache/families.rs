//! Cache points in places that a family does not support: forms that Bedrock rejects, and what the gateway makes of requests
//! that ask for them, in each dialect.

use serde_json::json;

use super::{
    NOVA,
    places::{chat, converse, marked, message, rejects, responses, sends},
    wire::Api,
};

#[tokio::test]
async fn a_point_in_tools_is_dropped_where_the_family_rejects_it() {
    let tool = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}});
    let point = json!({"cachePoint": {"type": "default"}});
    let mut broken = converse(json!([message("user", json!([{"text": "a"}]))]));
    broken["toolConfig"] = json!({"tools": [tool, point]});
    rejects(Api::Converse, NOVA, broken, "extraneous key [cachePoint]").await;
    let schema = json!({"type": "object"});
    let mut asked = chat(json!([message("user", json!("a"))]));
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": schema}});
    asked["tools"] = json!([marked(tool, "5m")]);
    let mut items = responses(json!([message("user", json!("a"))]));
    let tool = json!({"type": "function", "name": "f", "parameters": schema});
    items["tools"] = json!([marked(tool, "5m")]);
    let mut messages = chat(json!([message("user", json!("a"))]));
    messages["tools"] = json!([marked(json!({"name": "f", "input_schema": schema}), "5m")]);
    sends(
        "never in the tools of Nova",
        true,
        vec![
            (Api::Chat, "nova", asked, &[]),
            (Api::Responses, "nova", items, &[]),
            (Api::Messages, "nova", messages, &[]),
        ],
    )
    .await;
}
