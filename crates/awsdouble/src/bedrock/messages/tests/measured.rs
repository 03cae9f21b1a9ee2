//! Rules from recordings and measured reports; `rules.rs` names the sources.

use super::*;

const OPUS_4_5: &str = "anthropic.claude-opus-4-5-20251101-v1:0";
const OPUS_4_8: &str = "anthropic.claude-opus-4-8";
const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

#[test]
fn the_system_role_depends_on_the_version() {
    let body = turns(json!([
        assistant(json!("ok")),
        user(json!("continue")),
        {"role": "system", "content": "Reminder."}
    ]));
    check("4.5", CLAUDE_4_5, &body, "Unexpected role \"system\"");
    check("4.8", OPUS_4_8, &body, "");
}

#[test]
fn references_to_tools_require_the_flag_of_the_tool_search() {
    let body = |flags: Value| {
        let mut body = turns(json!([
            assistant(json!([call("a")])),
            user(json!([{"type": "tool_result", "tool_use_id": "a",
                "content": [{"type": "tool_reference", "tool_name": "later"}]}]))
        ]));
        body["tools"] = json!([tool()]);
        body["anthropic_beta"] = flags;
        body
    };
    let flag = json!(["tool-search-tool-2025-10-19"]);
    let mut deferred = body(flag.clone());
    deferred["tools"] = json!([tool(),
        {"name": "later", "input_schema": {"type": "object"}, "defer_loading": true}]);
    check("with the flag, 4.5", CLAUDE_4_5, &deferred, "");
    check("with the flag, 4.8", OPUS_4_8, &deferred, "");
    check("an older model", CLAUDE, &body(flag), "invalid beta flag");
    check(
        "without",
        CLAUDE_4_5,
        &body(json!([])),
        "Input tag 'tool_reference' found",
    );
}

#[test]
fn images_have_the_type_of_their_label() {
    let image = |kind: &str| json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": PNG}});
    let message = |block: Value| with("messages", json!([user(json!([block]))]));
    check("the type", CLAUDE, &message(image("image/png")), "");
    let rejected = "image.source.base64: The image was specified using the image/jpeg media type, but the image appears to be a image/png image";
    check("another", CLAUDE, &message(image("image/jpeg")), rejected);
    let mut inside = turns(json!([
        assistant(json!([call("a")])),
        user(
            json!([{"type": "tool_result", "tool_use_id": "a", "content": [image("image/jpeg")]}])
        )
    ]));
    inside["tools"] = json!([tool()]);
    check("in a result", CLAUDE, &inside, rejected);
}

#[test]
fn a_longer_lifetime_does_not_follow_a_shorter_one() {
    let block = |ttl: &str| json!({"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": ttl}});
    let body = |system: &str, message: &str| {
        let mut body = with("messages", json!([user(json!([block(message)]))]));
        body["system"] = json!([block(system)]);
        body
    };
    check("shorter", CLAUDE_4_5, &body("1h", "5m"), "");
    check(
        "longer",
        CLAUDE_4_5,
        &body("5m", "1h"),
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after",
    );
}

#[test]
fn schemas_have_claudes_restrictions() {
    let with_tool = |schema: Value| with("tools", json!([{"name": "get", "input_schema": schema}]));
    check(
        "root",
        CLAUDE,
        &with_tool(json!({"type": "object", "oneOf": []})),
        "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
    );
    check(
        "name",
        CLAUDE,
        &with_tool(json!({"type": "object", "properties": {"a b": {}}})),
        "Property keys should match pattern",
    );
    let format = |schema: Value| {
        with(
            "output_config",
            json!({"format": {"type": "json_schema", "schema": schema}}),
        )
    };
    check(
        "limit",
        CLAUDE_4_5,
        &format(json!({"type": "object", "additionalProperties": false,
            "properties": {"n": {"type": "number", "maximum": 5}}})),
        "output_config.format.schema: For 'number' type, property 'maximum' is not supported",
    );
}

#[test]
fn thinking_effort_and_sampling_depend_on_the_version() {
    let adaptive = with("thinking", json!({"type": "adaptive"}));
    let budget = with(
        "thinking",
        json!({"type": "enabled", "budget_tokens": 1024}),
    );
    let effort = |value: &str| with("output_config", json!({"effort": value}));
    let flags = with("anthropic_beta", json!(["thinking-token-count-2026-05-13"]));
    let warm = with("temperature", json!(0.5));
    let long = with("max_tokens", json!(4097));
    let rows = [
        (
            "adaptive, 4.5",
            CLAUDE_4_5,
            &adaptive,
            "adaptive thinking is not supported on this model",
        ),
        ("adaptive, 4.6", CLAUDE_4_6, &adaptive, ""),
        (
            "budget, 4.8",
            OPUS_4_8,
            &budget,
            "\"thinking.type.enabled\" is not supported",
        ),
        (
            "effort, 4.5",
            CLAUDE_4_5,
            &effort("low"),
            "does not support the effort parameter",
        ),
        (
            "effort, Opus 4.5",
            OPUS_4_5,
            &effort("low"),
            "Extra inputs are not permitted",
        ),
        (
            "xhigh, 4.6",
            CLAUDE_4_6,
            &effort("xhigh"),
            "output_config.effort: Input should be",
        ),
        ("temperature, 4.6", CLAUDE_4_6, &warm, ""),
        (
            "temperature, 4.8",
            OPUS_4_8,
            &warm,
            "`temperature` is deprecated",
        ),
        ("limit", CLAUDE, &long, "max_tokens: 4097 > 4096"),
        ("a flag of 4.8", OPUS_4_8, &flags, ""),
        (
            "a flag of 4.8, 4.5",
            CLAUDE_4_5,
            &flags,
            "invalid beta flag",
        ),
    ];
    for (name, model, body, expected) in rows {
        check(name, model, body, expected);
    }
}

#[test]
fn rejects_half_of_a_surrogate_pair() {
    let body = br#"{"messages":[{"role":"user","content":"fine \ud83d"}]}"#;
    assert!(serde_json::from_slice::<Value>(body).is_err());
}
