use super::*;

#[test]
fn validates_conversations_like_bedrock() {
    let body = |messages: Value| json!({"messages": messages});
    let two = json!([
        user_text("a"),
        assistant(json!([{"text": "b"}])),
        user_text("c")
    ]);
    check("proper turns", CLAUDE, &body(two), "");
    check(
        "no messages",
        CLAUDE,
        &body(json!([])),
        "The value at messages is empty",
    );
    check(
        "two user messages",
        CLAUDE,
        &body(json!([user_text("a"), user_text("b")])),
        "A conversation must alternate between user and assistant roles.",
    );
    let first = json!([assistant(json!([{"text": "a"}])), user_text("b")]);
    check("assistant first, Claude", CLAUDE, &body(first.clone()), "");
    check(
        "assistant first, Nova",
        NOVA,
        &body(first),
        "A conversation must start with a user message.",
    );
    check(
        "blank",
        CLAUDE,
        &body(json!([user_text(" \n")])),
        "The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to the text field, and try again.",
    );
    check(
        "no content",
        CLAUDE,
        &body(json!([{"role": "user", "content": []}])),
        "The content field in the Message object at messages.0 is empty.",
    );
    check(
        "unknown role",
        CLAUDE,
        &body(json!([{"role": "tool", "content": [{"text": "a"}]}])),
        "Value 'tool' at 'messages.1.member.role'",
    );
    check(
        "unknown block",
        CLAUDE,
        &body(json!([{"role": "user", "content": [{"poem": "a"}]}])),
        "The ContentBlock object at messages.0.content.0 must set one of the following keys",
    );
    let prefill = json!([user_text("a"), assistant(json!([{"text": "b "}]))]);
    check(
        "prefill with a space",
        CLAUDE,
        &body(prefill),
        "final assistant content cannot end with trailing whitespace",
    );
    let prefill = json!([user_text("a"), assistant(json!([{"text": "b"}]))]);
    check("prefill", CLAUDE, &body(prefill.clone()), "");
    check(
        "prefill on a later Claude",
        "anthropic.claude-opus-4-6-v1",
        &body(prefill),
        "does not support assistant message prefill",
    );
}

#[test]
fn rejects_tool_calls_and_results_that_do_not_match() {
    let body = |turn: Value, reply: Value| json!({"toolConfig": tools(), "messages": [user_text("a"), assistant(turn), {"role": "user", "content": reply}]});
    check(
        "paired",
        CLAUDE,
        &body(
            json!([call("t1"), call("t2")]),
            json!([result("t2"), result("t1")]),
        ),
        "",
    );
    check(
        "one missing",
        CLAUDE,
        &body(json!([call("t1"), call("t2")]), json!([result("t1")])),
        "Expected toolResult blocks at messages.2.content for the following Ids: t2",
    );
    check(
        "one too many",
        CLAUDE,
        &body(json!([call("t1")]), json!([result("t1"), result("t2")])),
        "The number of toolResult blocks at messages.2.content exceeds the number of toolUse blocks of previous turn.",
    );
    check(
        "another id",
        CLAUDE,
        &body(json!([call("t1")]), json!([result("t9")])),
        "following Ids: t1",
    );
    check(
        "no tools declared",
        CLAUDE,
        &json!({"messages": [user_text("a"), assistant(json!([call("t1")])), {"role": "user", "content": [result("t1")]}]}),
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    );
    let array = json!([{"toolResult": {"toolUseId": "t1", "content": [{"json": [1]}]}}]);
    check(
        "an array as JSON",
        CLAUDE,
        &body(json!([call("t1")]), array),
        "The format of the value at messages.2.content.0.toolResult.content.0.json is invalid. Provide a json object for the field and try again.",
    );
    let empty = json!([{"toolResult": {"toolUseId": "t1", "content": []}}]);
    check(
        "an empty result",
        CLAUDE,
        &body(json!([call("t1")]), empty),
        "",
    );
    let status = json!([{"toolResult": {"toolUseId": "t1", "content": [], "status": "error"}}]);
    check(
        "status, Claude",
        CLAUDE,
        &body(json!([call("t1")]), status.clone()),
        "",
    );
    // Recorded with Llama 4, Pixtral and Kimi; Palmyra alone rejects it (pydantic-ai's tests).
    check(
        "status, Llama",
        LLAMA,
        &body(json!([call("t1")]), status.clone()),
        "",
    );
    check(
        "status, Palmyra",
        "writer.palmyra-x5-v1:0",
        &body(json!([call("t1")]), status),
        "toolResult.status field",
    );
    check(
        "ids of Mistral",
        "mistral.mistral-large-2402-v1:0",
        &body(json!([call("t1")]), json!([result("t1")])),
        "with a length of 9",
    );
    let point = json!([result("t1"), {"cachePoint": {"type": "default"}}]);
    check(
        "a cache point after a result, Claude",
        CLAUDE,
        &body(json!([call("t1")]), point.clone()),
        "",
    );
    check(
        "a cache point after a result, Nova",
        NOVA,
        &body(json!([call("t1")]), point),
        "Malformed input request: #/messages/2/content/1: extraneous key [cachePoint] is not permitted",
    );
}

#[test]
fn accepts_reasoning_only_with_its_signature() {
    let body = |reasoning: Value| json!({"messages": [user_text("a"), assistant(json!([{"reasoningContent": reasoning}, {"text": "b"}])), user_text("c")]});
    let signature = super::super::super::reply::reasoning_signature("why");
    check(
        "unchanged",
        CLAUDE,
        &body(json!({"reasoningText": {"text": "why", "signature": signature}})),
        "",
    );
    check(
        "changed",
        CLAUDE,
        &body(json!({"reasoningText": {"text": "why ", "signature": signature}})),
        "Invalid `signature` in `thinking` block",
    );
    check(
        "unsigned",
        CLAUDE,
        &body(json!({"reasoningText": {"text": "why"}})),
        "thinking.signature: Field required",
    );
    check(
        "unsigned, DeepSeek",
        "deepseek.v3-v1:0",
        &body(json!({"reasoningText": {"text": "why"}})),
        "",
    );
    check(
        "not supported",
        LLAMA,
        &body(json!({"reasoningText": {"text": "why"}})),
        "reasoningContent field",
    );
}

#[test]
fn allows_at_most_four_cache_points() {
    let five: Vec<Value> = (0..5)
        .flat_map(|n| {
            [
                json!({"text": format!("{n}")}),
                json!({"cachePoint": {"type": "default"}}),
            ]
        })
        .collect();
    check(
        "five cache points",
        CLAUDE,
        &with("/system", json!(five)),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    );
}
