use super::*;

#[test]
fn validates_tool_specifications() {
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
fn rejects_inference_settings_out_of_range() {
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
fn structured_output_requires_a_closed_schema_as_text() {
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
fn validates_thinking() {
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
            "no tokens left",
            thinking(2000, json!({"inferenceConfig": {"maxTokens": 2000}})),
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            "low temperature",
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
                json!({"toolConfig": tools(), "messages": [user_text("a"), assistant(json!([call("t1")])), {"role": "user", "content": [result("t1")]}]}),
            ),
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
    ];
    for (name, body, expected) in rows {
        check(name, CLAUDE_4_5, &body, expected);
    }
}

#[test]
fn rejects_fields_that_a_family_does_not_support() {
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
            with("/system", json!([{"text": " "}])),
            "system.0 is blank",
        ),
        (
            "empty system",
            CLAUDE,
            with("/system", json!([{"text": ""}])),
            "Value '' at 'system.1.member.text'",
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
