//! Rules from recordings and measured reports; `rules.rs` names the sources.

mod claude;

use super::*;

const SONNET_4_5: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS_4_5: &str = "anthropic.claude-opus-4-5-20251101-v1:0";
const OPUS_4_6: &str = "anthropic.claude-opus-4-6-v1";
const OPUS_4_7: &str = "anthropic.claude-opus-4-7";
const SONNET_5: &str = "anthropic.claude-sonnet-5";
const NOVA_2: &str = "amazon.nova-2-lite-v1:0";
const PIXTRAL: &str = "mistral.pixtral-large-2502-v1:0";
const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

fn user(blocks: Value) -> Value {
    json!({"messages": [{"role": "user", "content": blocks}]})
}

fn point(ttl: Option<&str>) -> Value {
    match ttl {
        Some(ttl) => json!({"cachePoint": {"type": "default", "ttl": ttl}}),
        None => json!({"cachePoint": {"type": "default"}}),
    }
}

fn document(format: &str, source: Value) -> Value {
    json!({"document": {"format": format, "name": "doc", "source": source}})
}

fn bytes(format: &str) -> Value {
    document(format, json!({"bytes": "AAAA"}))
}

/// A body whose last message has these blocks after a call.
fn after_call(blocks: Value) -> Value {
    json!({"toolConfig": tools(), "messages": [
        user_text("a"), assistant(json!([call("abcdefghi")])), {"role": "user", "content": blocks}]})
}

fn result_of(content: Value) -> Value {
    json!([{"toolResult": {"toolUseId": "abcdefghi", "content": content}}])
}

fn fields(fields: Value) -> Value {
    with("/additionalModelRequestFields", fields)
}

#[test]
fn a_longer_lifetime_does_not_follow_a_shorter_one() {
    let body = |tools_ttl: Option<&str>, messages_ttl: Option<&str>| {
        let mut config = tools();
        config["tools"]
            .as_array_mut()
            .expect("a list")
            .push(point(tools_ttl));
        let mut body = user(json!([{"text": "long"}, point(messages_ttl)]));
        body["toolConfig"] = config;
        body
    };
    let rejected = "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m'";
    check("same", SONNET_4_5, &body(Some("1h"), Some("1h")), "");
    check("shorter", SONNET_4_5, &body(Some("1h"), None), "");
    check("longer", SONNET_4_5, &body(None, Some("1h")), rejected);
    check(
        "longer, explicit",
        SONNET_4_5,
        &body(Some("5m"), Some("1h")),
        rejected,
    );
}

#[test]
fn cache_points_do_not_follow_reasoning_or_converted_documents() {
    let signature = super::super::super::reply::reasoning_signature("why");
    let turn = assistant(json!([
        {"reasoningContent": {"reasoningText": {"text": "why", "signature": signature}}},
        point(None),
        {"text": "b"}
    ]));
    let body = json!({"messages": [user_text("a"), turn, user_text("c")]});
    check(
        "reasoning",
        CLAUDE_4_5,
        &body,
        "Cache point cannot be inserted after reasoning block.",
    );
    for format in ["csv", "txt", "md", "html", "docx", "xlsx"] {
        let body = user(json!([{"text": "a"}, bytes(format), point(None)]));
        check(
            format,
            SONNET_4_5,
            &body,
            "messages.0.content.2.type: Field required",
        );
    }
    let pdf = user(json!([{"text": "a"}, bytes("pdf"), point(None)]));
    check("a PDF", SONNET_4_5, &pdf, "");
    let between = user(json!([bytes("csv"), {"text": "a"}, point(None)]));
    check("text between", SONNET_4_5, &between, "");
}

#[test]
fn families_restrict_what_is_beside_a_tool_result() {
    let beside = |block: Value| {
        let mut blocks = result_of(json!([{"text": "ok"}]));
        let list = blocks.as_array_mut().expect("a list");
        list.push(json!({"text": "and"}));
        list.push(block);
        after_call(blocks)
    };
    let text = json!({"text": "more"});
    let rows = [
        ("text, Claude", SONNET_4_5, text.clone(), ""),
        ("PDF, Claude", SONNET_4_5, bytes("pdf"), ""),
        (
            "text document, Claude",
            SONNET_4_5,
            bytes("txt"),
            "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: abcdefghi",
        ),
        ("text document, Nova", NOVA_2, bytes("txt"), ""),
        (
            "text, Llama",
            LLAMA,
            text.clone(),
            "Expected toolResult blocks at messages.2.content for the following Ids: abcdefghi",
        ),
        (
            "text, Pixtral",
            PIXTRAL,
            text.clone(),
            "Expected toolResult blocks",
        ),
        (
            "text, Palmyra",
            "writer.palmyra-x5-v1:0",
            text,
            "Expected toolResult blocks",
        ),
    ];
    for (name, model, block, expected) in rows {
        check(name, model, &beside(block), expected);
    }
    let alone = after_call(result_of(json!([{"text": "ok"}])));
    check("alone, Llama", LLAMA, &alone, "");
}

#[test]
fn families_restrict_media_within_a_tool_result() {
    let image = json!({"image": {"format": "png", "source": {"bytes": PNG}}});
    let rejected = "The model returned the following errors: Malformed input request: #/messages/2/content/0: extraneous key [toolResult]";
    let in_s3 = json!({"s3Location": {"uri": "s3://bucket/key"}});
    let video = json!({"video": {"format": "mp4", "source": {"bytes": "AAAA"}}});
    let rows = [
        ("PDF, Claude", SONNET_4_5, bytes("pdf"), ""),
        ("PDF, Nova 2", NOVA_2, bytes("pdf"), rejected),
        ("text, Nova 2", NOVA_2, bytes("txt"), ""),
        (
            "text in S3, Nova 2",
            NOVA_2,
            document("txt", in_s3.clone()),
            rejected,
        ),
        ("video, Nova 2", NOVA_2, video, rejected),
        ("image, Nova 2", NOVA_2, image.clone(), ""),
        (
            "image, Llama 4",
            "meta.llama4-maverick-17b-instruct-v1:0",
            image.clone(),
            "",
        ),
        (
            "image, Pixtral",
            PIXTRAL,
            image,
            "This model doesn't support the image content block",
        ),
        ("PDF, Pixtral", PIXTRAL, bytes("pdf"), ""),
    ];
    for (name, model, content, expected) in rows {
        check(
            name,
            model,
            &after_call(result_of(json!([content]))),
            expected,
        );
    }
}

#[test]
fn converse_rejects_the_flags_of_the_tool_search() {
    for flag in ["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"] {
        let body = fields(json!({"anthropic_beta": [flag]}));
        check(
            flag,
            SONNET_4_5,
            &body,
            "not currently supported on the Converse and ConverseStream APIs",
        );
        check("an older model", CLAUDE, &body, "invalid beta flag");
    }
}

#[test]
fn gpt_has_its_own_field_for_effort() {
    let gpt = "openai.gpt-5.6-sol";
    check(
        "nested",
        gpt,
        &fields(json!({"reasoning": {"effort": "xhigh"}})),
        "",
    );
    check(
        "flat",
        gpt,
        &fields(json!({"reasoning_effort": "high"})),
        "\"message\":\"Unknown parameter: 'reasoning_effort'.\"",
    );
    let oss = "openai.gpt-oss-120b-1:0";
    check(
        "flat, gpt-oss",
        oss,
        &fields(json!({"reasoning_effort": "high"})),
        "",
    );
}

#[test]
fn output_limits_are_those_of_the_model() {
    let rows = [
        (CLAUDE, 4096),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", 8192),
        (SONNET_4_5, 64_000),
        ("anthropic.claude-opus-4-1-20250805-v1:0", 32_000),
        (OPUS_4_6, 128_000),
        (NOVA, 10_000),
        (NOVA_2, 65_536),
    ];
    for (model, limit) in rows {
        let body = |tokens: u64| with("/inferenceConfig", json!({"maxTokens": tokens}));
        check(model, model, &body(limit), "");
        let rejected = format!("exceeds the model limit of {limit}.");
        check(model, model, &body(limit + 1), &rejected);
    }
}

#[test]
fn accepts_what_recordings_show() {
    // Whitespace beside other blocks (Claude 4.5), long ids (Pixtral), schemas (GLM 4.7 Flash), repeated roles (Titan).
    let spaces = user(json!([{"text": "a"}, {"text": "\n"}]));
    check("spaces, Claude", SONNET_4_5, &spaces, "");
    check("spaces, Nova", NOVA, &spaces, "is blank");
    check(
        "only spaces, Claude",
        SONNET_4_5,
        &user(json!([{"text": "\n"}])),
        "is blank",
    );
    let id = "tooluse_daIKOZu4g4GrvIIv9wdqy4";
    let body = json!({"toolConfig": tools(), "messages": [
        user_text("a"), assistant(json!([call(id)])), {"role": "user", "content": [result(id)]}]});
    check("Pixtral", PIXTRAL, &body, "");
    let format = json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{\"type\":\"object\",\"additionalProperties\":false}"}}}});
    check(
        "GLM",
        "zai.glm-4.7-flash",
        &with("/outputConfig", format),
        "",
    );
}

#[test]
fn accepts_statuses_of_results_as_recorded() {
    for model in [
        "meta.llama4-maverick-17b-instruct-v1:0",
        PIXTRAL,
        "moonshotai.kimi-k2.5",
    ] {
        let mut with_status = result("abcdefghi");
        with_status["toolResult"]["status"] = json!("success");
        check(model, model, &after_call(json!([with_status])), "");
    }
}

#[test]
fn rejects_video_with_the_recorded_text() {
    let video = json!({"video": {"format": "mp4", "source": {"bytes": "AAAA"}}});
    let rejected = "This model doesn't support the video content block that you provided. Update the content block and try again.";
    check("Claude", SONNET_4_5, &user(json!([video])), rejected);
}

#[test]
fn rejects_half_of_a_surrogate_pair() {
    let body = br#"{"messages":[{"role":"user","content":[{"text":"fine \ud83d"}]}]}"#;
    let error = super::super::super::converse::parse(body).expect_err("half a pair");
    assert_eq!(error.code, "SerializationException");
}
