#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

use serde_json::json;

use super::super::catalog::Catalog;
use super::*;
use crate::config::Config;

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const CLAUDE_4_5: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const LLAMA: &str = "meta.llama3-1-8b-instruct-v1:0";

fn target(model: &str) -> Target {
    let catalog = Catalog::new(&Config::default()).expect("the built-in data");
    let model = catalog.model(model).expect(model);
    Target {
        model_arn: String::new(),
        profile: None,
        model,
    }
}

#[track_caller]
fn check(name: &str, model: &str, body: &Value, expected: &str) {
    let found = request(body, &target(model), false)
        .err()
        .map(|error| error.message);
    match found {
        None => assert_eq!("", expected, "{name}: was taken"),
        Some(message) => {
            assert!(!expected.is_empty(), "{name}: refused: {message}");
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}

fn says(text: &str) -> Value {
    json!({"role": "user", "content": [{"text": text}]})
}

fn answers(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn call(id: &str) -> Value {
    json!({"toolUse": {"toolUseId": id, "name": "get", "input": {}}})
}

fn result(id: &str) -> Value {
    json!({"toolResult": {"toolUseId": id, "content": [{"text": "ok"}]}})
}

fn tools() -> Value {
    json!({"tools": [{"toolSpec": {"name": "get", "inputSchema": {"json": {"type": "object"}}}}]})
}

/// A body with a member changed or added.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = json!({"messages": [says("hi")]});
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let mut place = &mut body;
    for part in parent.split('/').skip(1) {
        place = match place {
            Value::Array(list) => &mut list[part.parse::<usize>().expect(part)],
            other => other
                .as_object_mut()
                .expect(part)
                .entry(part)
                .or_insert_with(|| json!({})),
        };
    }
    place[name] = value;
    body
}

#[test]
fn conversations_are_held_to_bedrocks_rules() {
    let body = |messages: Value| json!({"messages": messages});
    let two = json!([says("a"), answers(json!([{"text": "b"}])), says("c")]);
    check("proper turns", CLAUDE, &body(two), "");
    check(
        "no messages",
        CLAUDE,
        &body(json!([])),
        "The value at messages is empty",
    );
    check(
        "two of the user's",
        CLAUDE,
        &body(json!([says("a"), says("b")])),
        "A conversation must alternate between user and assistant roles.",
    );
    let first = json!([answers(json!([{"text": "a"}])), says("b")]);
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
        &body(json!([says(" \n")])),
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
    let prefill = json!([says("a"), answers(json!([{"text": "b "}]))]);
    check(
        "prefill with a space",
        CLAUDE,
        &body(prefill),
        "final assistant content cannot end with trailing whitespace",
    );
    let prefill = json!([says("a"), answers(json!([{"text": "b"}]))]);
    check("prefill", CLAUDE, &body(prefill.clone()), "");
    check(
        "prefill on a later Claude",
        "anthropic.claude-opus-4-6-v1",
        &body(prefill),
        "does not support assistant message prefill",
    );
}

#[test]
fn tool_calls_and_results_are_paired() {
    let body = |turn: Value, reply: Value| json!({"toolConfig": tools(), "messages": [says("a"), answers(turn), {"role": "user", "content": reply}]});
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
        &json!({"messages": [says("a"), answers(json!([call("t1")])), {"role": "user", "content": [result("t1")]}]}),
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
    check(
        "status, Llama",
        LLAMA,
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
fn tool_specifications_follow_their_constraints() {
    let spec = |name: &str, extra: Value| {
        let mut spec = json!({"name": name, "inputSchema": {"json": {"type": "object"}}});
        for (key, value) in extra.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        with("/toolConfig", json!({"tools": [{"toolSpec": spec}]}))
    };
    check("good", CLAUDE, &spec("get-it_1", json!({})), "");
    check(
        "a dot",
        CLAUDE,
        &spec("a.b", json!({})),
        "Value 'a.b' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
    );
    check(
        "too long",
        CLAUDE,
        &spec(&"a".repeat(65), json!({})),
        "length less than or equal to 64",
    );
    check(
        "empty description",
        CLAUDE,
        &spec("a", json!({"description": ""})),
        "toolSpec.description",
    );
    check(
        "schema of another type",
        CLAUDE,
        &spec("a", json!({"inputSchema": {"json": {"type": "string"}}})),
        "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type must be one of the following: object.",
    );
    check(
        "no tools",
        CLAUDE,
        &with("/toolConfig", json!({"tools": []})),
        "toolConfig.tools",
    );
    let choice = |choice: Value| {
        let mut config = tools();
        config["toolChoice"] = choice;
        with("/toolConfig", config)
    };
    check(
        "any, Llama",
        LLAMA,
        &choice(json!({"any": {}})),
        "This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try again.",
    );
    check("auto, Llama", LLAMA, &choice(json!({"auto": {}})), "");
    check(
        "a tool, Claude",
        CLAUDE,
        &choice(json!({"tool": {"name": "get"}})),
        "",
    );
    check(
        "a missing tool",
        CLAUDE,
        &choice(json!({"tool": {"name": "put"}})),
        "Tool 'put' not found",
    );
    check(
        "a family without tools",
        "mistral.mistral-7b-instruct-v0:2",
        &with("/toolConfig", tools()),
        "doesn't support tool use",
    );
}

#[test]
fn documents_and_images_have_limits() {
    let body = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let document = |name: &str| json!({"document": {"format": "pdf", "name": name, "source": {"bytes": "AAAA"}}});
    let image = |format: &str| json!({"image": {"format": format, "source": {"bytes": "AAAA"}}});
    let text = json!({"text": "look"});
    check(
        "both",
        CLAUDE,
        &body(json!([text, document("a (1)"), image("png")])),
        "",
    );
    check(
        "no text",
        CLAUDE,
        &body(json!([document("a")])),
        "A text block must be included when using documents.",
    );
    check(
        "the same name twice",
        CLAUDE,
        &body(json!([text, document("a"), document("a")])),
        "Messages can't contain duplicate document names. Rename the document and retry your request.",
    );
    check(
        "a dot in the name",
        CLAUDE,
        &body(json!([text, document("a.pdf")])),
        "The document file name can only contain alphanumeric characters",
    );
    check(
        "two spaces in the name",
        CLAUDE,
        &body(json!([text, document("a  b")])),
        "more than one consecutive whitespace",
    );
    let six: Vec<Value> = std::iter::once(text.clone())
        .chain((0..6).map(|n| document(&format!("d{n}"))))
        .collect();
    check(
        "six documents",
        CLAUDE,
        &body(json!(six)),
        "You can't include more than 5 documents in a request.",
    );
    let many: Vec<Value> = (0..21).map(|_| image("png")).collect();
    check(
        "21 images",
        CLAUDE,
        &body(json!(many)),
        "more than 20 images",
    );
    check(
        "an unknown format",
        CLAUDE,
        &body(json!([image("bmp")])),
        "Member must satisfy enum value set: [png, jpeg, gif, webp]",
    );
    check(
        "no base64",
        CLAUDE,
        &body(json!([{"image": {"format": "png", "source": {"bytes": "!!"}}}])),
        "as base64",
    );
    check(
        "a URL",
        CLAUDE,
        &body(json!([{"image": {"format": "png", "source": {"url": "https://x"}}}])),
        "must set one of the following keys: bytes, s3Location",
    );
    check(
        "a family without images",
        "openai.gpt-oss-20b-1:0",
        &body(json!([image("png")])),
        "This model doesn't support the image content block that you provided",
    );
    let large = "A".repeat(3_932_160 / 3 * 4 + 4);
    check(
        "too large",
        CLAUDE,
        &body(json!([{"image": {"format": "png", "source": {"bytes": large}}}])),
        "image exceeds 3.75 MB maximum",
    );
}

#[test]
fn inference_settings_stay_in_their_ranges() {
    let rows = [
        (
            "temperature",
            CLAUDE,
            json!({"temperature": 1.5}),
            "Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1",
        ),
        (
            "negative",
            CLAUDE,
            json!({"topP": -0.1}),
            "greater than or equal to 0",
        ),
        (
            "both, old",
            CLAUDE,
            json!({"temperature": 0.5, "topP": 0.5}),
            "",
        ),
        (
            "both, new",
            CLAUDE_4_5,
            json!({"temperature": 0.5, "topP": 0.5}),
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ),
        (
            "no tokens",
            CLAUDE,
            json!({"maxTokens": 0}),
            "greater than or equal to 1",
        ),
        (
            "too many tokens",
            LLAMA,
            json!({"maxTokens": 9000}),
            "The maximum tokens you requested exceeds the model limit of 8192.",
        ),
        (
            "an empty stop sequence",
            CLAUDE,
            json!({"stopSequences": [""]}),
            "inferenceConfig.stopSequences.1.member",
        ),
        (
            "five stop sequences, Nova",
            NOVA,
            json!({"stopSequences": ["a", "b", "c", "d", "e"]}),
            "expected maximum item count: 4, found: 5",
        ),
        (
            "stop sequences, gpt-oss",
            "openai.gpt-oss-20b-1:0",
            json!({"stopSequences": []}),
            "This model doesn't support the stopSequences field. Remove stopSequences and try again.",
        ),
        (
            "a text",
            CLAUDE,
            json!({"maxTokens": "5"}),
            "STRING_VALUE can not be converted to an Integer",
        ),
    ];
    for (name, model, config, expected) in rows {
        check(name, model, &with("/inferenceConfig", config), expected);
    }
}

#[test]
fn structured_output_needs_a_closed_schema_as_text() {
    let format = |schema: Value| {
        with(
            "/outputConfig",
            json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "a", "schema": schema}}}}),
        )
    };
    let closed = json!(
        r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#
    );
    check("closed", CLAUDE_4_5, &format(closed.clone()), "");
    check(
        "open",
        CLAUDE_4_5,
        &format(json!(r#"{"type":"object","properties":{}}"#)),
        "'additionalProperties' must be explicitly set to false",
    );
    check(
        "an object instead of text",
        CLAUDE_4_5,
        &format(json!({"type": "object"})),
        "START_OBJECT can not be converted to a String",
    );
    check(
        "a family without it",
        NOVA,
        &format(closed),
        "This model doesn't support the outputConfig.textFormat field.",
    );
}

#[test]
fn thinking_has_rules_of_its_own() {
    let thinking = |budget: u64, extra: Value| {
        let mut body = with(
            "/additionalModelRequestFields",
            json!({"thinking": {"type": "enabled", "budget_tokens": budget}}),
        );
        for (key, value) in extra.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let mut forced = tools();
    forced["toolChoice"] = json!({"any": {}});
    let rows = [
        (
            "good",
            thinking(2000, json!({"inferenceConfig": {"maxTokens": 3000}})),
            "",
        ),
        (
            "a small budget",
            thinking(100, json!({})),
            "greater than or equal to 1024",
        ),
        (
            "no room",
            thinking(2000, json!({"inferenceConfig": {"maxTokens": 2000}})),
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            "cold",
            thinking(2000, json!({"inferenceConfig": {"temperature": 0.5}})),
            "`temperature` may only be set to 1",
        ),
        (
            "forced tool",
            thinking(2000, json!({"toolConfig": forced})),
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (
            "a turn that starts with a call",
            thinking(
                2000,
                json!({"toolConfig": tools(), "messages": [says("a"), answers(json!([call("t1")])), {"role": "user", "content": [result("t1")]}]}),
            ),
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
    ];
    for (name, body, expected) in rows {
        check(name, CLAUDE_4_5, &body, expected);
    }
}

#[test]
fn reasoning_comes_back_with_its_signature() {
    let body = |reasoning: Value| json!({"messages": [says("a"), answers(json!([{"reasoningContent": reasoning}, {"text": "b"}])), says("c")]});
    let signature = super::super::reply::reasoning_signature("why");
    check(
        "bit for bit",
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
        "not taken",
        LLAMA,
        &body(json!({"reasoningText": {"text": "why"}})),
        "reasoningContent field",
    );
}

#[test]
fn families_refuse_what_they_do_not_take() {
    let rows = [
        (
            "unknown member",
            CLAUDE,
            with("/frequency_penalty", json!(1)),
            "extraneous key [frequency_penalty] is not permitted",
        ),
        (
            "system, none",
            "mistral.mistral-7b-instruct-v0:2",
            with("/system", json!([{"text": "a"}])),
            "This model doesn't support system messages.",
        ),
        (
            "blank system",
            CLAUDE,
            with("/system", json!([{"text": ""}])),
            "system.0 is blank",
        ),
        (
            "extra field, Claude",
            CLAUDE,
            with("/additionalModelRequestFields", json!({"logprobs": true})),
            "logprobs: Extra inputs are not permitted",
        ),
        (
            "extra field, Nova",
            NOVA,
            with("/additionalModelRequestFields", json!({"top_k": 1})),
            "extraneous key [top_k] is not permitted",
        ),
        (
            "known field, Nova",
            NOVA,
            with(
                "/additionalModelRequestFields",
                json!({"inferenceConfig": {"topK": 1}}),
            ),
            "",
        ),
        (
            "beta flag",
            CLAUDE,
            with(
                "/additionalModelRequestFields",
                json!({"anthropic_beta": ["nonsense-2026"]}),
            ),
            "invalid beta flag",
        ),
        (
            "tool choice without tools",
            CLAUDE,
            with(
                "/additionalModelRequestFields",
                json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            ),
            "may only be specified while providing tools",
        ),
        (
            "metadata",
            CLAUDE,
            with("/requestMetadata", json!({"a": "b*c"})),
            "requestMetadata",
        ),
        (
            "tier",
            CLAUDE,
            with("/serviceTier", json!({"type": "auto"})),
            "serviceTier.type",
        ),
        (
            "cache, none",
            "cohere.command-r-v1:0",
            with(
                "/system",
                json!([{"text": "a"}, {"cachePoint": {"type": "default"}}]),
            ),
            "did not allow prompt caching",
        ),
        (
            "embeddings",
            "amazon.titan-embed-text-v2:0",
            with("/system", json!([])),
            "does not support Converse",
        ),
    ];
    for (name, model, body, expected) in rows {
        check(name, model, &body, expected);
    }
}

#[test]
fn cache_points_are_four_at_most() {
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
