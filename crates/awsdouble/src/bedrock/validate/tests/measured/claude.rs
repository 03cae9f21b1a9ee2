//! Rules for models of Claude.

use super::*;

#[test]
fn claude_reads_no_images_and_documents_from_s3() {
    let in_s3 = json!({"s3Location": {"uri": "s3://bucket/key"}});
    let image = json!({"image": {"format": "png", "source": in_s3}});
    let rejected = "This model doesn't support the s3Uri field. Remove s3Uri and try again.";
    check("image", SONNET_4_5, &user(json!([image])), rejected);
    check("image, Nova", NOVA, &user(json!([image])), "");
    let body = after_call(result_of(json!([image])));
    check("image in a result", SONNET_4_5, &body, rejected);
    let pdf = document("pdf", in_s3);
    check(
        "document",
        SONNET_4_5,
        &user(json!([{"text": "a"}, pdf])),
        "messages.0.content.1.document.source.type: Field required",
    );
    // Recorded with status 200, although the model does not see the document.
    let body = after_call(result_of(json!([pdf])));
    check("document in a result", SONNET_4_5, &body, "");
}

#[test]
fn claude_compares_labels_with_bytes() {
    let image = |format: &str| json!({"image": {"format": format, "source": {"bytes": PNG}}});
    let rejected = "messages.0.content.0.image.source.base64: The image was specified using the image/jpeg media type, but the image appears to be a image/png image";
    check("the type", SONNET_4_5, &user(json!([image("png")])), "");
    check(
        "another",
        SONNET_4_5,
        &user(json!([image("jpeg")])),
        rejected,
    );
    check("another, Nova", NOVA, &user(json!([image("jpeg")])), "");
    let cited = |source: Value| {
        let mut block = document("txt", source);
        block["document"]["citations"] = json!({"enabled": true});
        user(json!([{"text": "a"}, block]))
    };
    check(
        "cited text",
        SONNET_4_5,
        &cited(json!({"text": "green"})),
        "",
    );
    let rejected = "The PDF specified was not valid.";
    check(
        "cited bytes",
        SONNET_4_5,
        &cited(json!({"bytes": "AAAA"})),
        rejected,
    );
    let plain = |source: Value| user(json!([{"text": "a"}, document("txt", source)]));
    check("bytes", SONNET_4_5, &plain(json!({"bytes": "AAAA"})), "");
    check(
        "text",
        SONNET_4_5,
        &plain(json!({"text": "green"})),
        "must set one of the following keys: bytes, s3Location",
    );
}

#[test]
fn claude_restricts_schemas_of_tools() {
    let tool = |schema: Value, strict: bool| {
        let spec =
            json!({"toolSpec": {"name": "get", "strict": strict, "inputSchema": {"json": schema}}});
        with("/toolConfig", json!({"tools": [spec]}))
    };
    let combined = json!({"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]});
    let rejected = "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level";
    check("root", CLAUDE, &tool(combined.clone(), false), rejected);
    check(
        "root, Nova",
        NOVA,
        &with(
            "/toolConfig",
            json!({"tools": [{"toolSpec": {"name": "get", "inputSchema": {"json": combined}}}]}),
        ),
        "",
    );
    let nested = json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}]}}});
    check("nested", CLAUDE, &tool(nested, false), "");
    let named = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}});
    let pattern = "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'";
    for name in ["Account Number", "filter[id]", "$top", &"a".repeat(65)] {
        check(name, CLAUDE, &tool(named(name), false), pattern);
    }
    check("a dot", CLAUDE, &tool(named("filter.id"), false), "");
    let limited = json!({"type": "object", "additionalProperties": false,
        "properties": {"n": {"type": ["integer", "null"], "minimum": 1}}});
    check("limits", CLAUDE_4_5, &tool(limited.clone(), false), "");
    check(
        "limits, strict",
        CLAUDE_4_5,
        &tool(limited, true),
        "For 'integer' type, property 'minimum' is not supported",
    );
}

#[test]
fn claude_supports_thinking_effort_and_sampling_by_version() {
    let adaptive = json!({"thinking": {"type": "adaptive"}});
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 2000}});
    let effort = |value: &str, flags: Value| json!({"output_config": {"effort": value}, "anthropic_beta": flags});
    let flag = json!(["effort-2025-11-24"]);
    let rows = [
        (
            "adaptive, 4.5",
            SONNET_4_5,
            adaptive.clone(),
            "adaptive thinking is not supported on this model",
        ),
        ("adaptive, 4.6", OPUS_4_6, adaptive, ""),
        ("budget, 4.6", OPUS_4_6, budget.clone(), ""),
        (
            "display, 4.7",
            OPUS_4_7,
            json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
            "",
        ),
        (
            "display of a beta, 4.7",
            OPUS_4_7,
            json!({"thinking": {"type": "adaptive", "display": "updates"}}),
            "thinking.adaptive.display: Input should be 'summarized' or 'omitted'",
        ),
        (
            "budget, 4.7",
            OPUS_4_7,
            budget.clone(),
            "\"thinking.type.enabled\" is not supported for this model.",
        ),
        (
            "budget, 3",
            CLAUDE,
            budget,
            "thinking: Extra inputs are not permitted",
        ),
        (
            "effort, Sonnet 4.5",
            SONNET_4_5,
            effort("low", json!([])),
            "does not support the effort parameter",
        ),
        (
            "effort, Opus 4.5 without its flag",
            OPUS_4_5,
            effort("low", json!([])),
            "output_config.effort: Extra inputs are not permitted",
        ),
        (
            "effort, Opus 4.5",
            OPUS_4_5,
            effort("low", flag.clone()),
            "",
        ),
        (
            "max, Opus 4.5",
            OPUS_4_5,
            effort("max", flag),
            "output_config.effort: Input should be 'low', 'medium' or 'high'",
        ),
        ("max, 4.6", OPUS_4_6, effort("max", json!([])), ""),
        (
            "xhigh, 4.6",
            OPUS_4_6,
            effort("xhigh", json!([])),
            "Input should be 'low', 'medium', 'high' or 'max'",
        ),
        ("xhigh, 4.7", OPUS_4_7, effort("xhigh", json!([])), ""),
        (
            "top_k, 4.7",
            OPUS_4_7,
            json!({"top_k": 5}),
            "`top_k` is deprecated for this model.",
        ),
    ];
    for (name, model, body, expected) in rows {
        check(name, model, &fields(body), expected);
    }
    let warm = with("/inferenceConfig", json!({"temperature": 0.5}));
    check("temperature, 4.6", OPUS_4_6, &warm, "");
    check(
        "temperature, 4.7",
        OPUS_4_7,
        &warm,
        "`temperature` is deprecated for this model.",
    );
    let effort = with("/outputConfig", json!({"effort": "high"}));
    check("Converse's effort, 4.7", OPUS_4_7, &effort, "");
    check(
        "Converse's effort, Nova",
        NOVA,
        &effort,
        "outputConfig.effort field",
    );
}

#[test]
fn claude_5_rejects_turns_of_reasoning_alone() {
    let data = crate::bedrock::reply::redacted_reasoning();
    let turn = assistant(json!([{"reasoningContent": {"redactedContent": data}}]));
    let body = json!({"messages": [user_text("a"), turn, user_text("b")]});
    check(
        "Claude 5",
        SONNET_5,
        &body,
        "does not support assistant message prefill",
    );
    check("Claude 4.6", OPUS_4_6, &body, "");
}
