//! Cache points: where they go, how long they live, and how many there are.

use super::*;

#[test]
fn points_of_thinking_and_blank_text_go_to_the_block_before() {
    let point = r#""cache_control":{"type":"ephemeral"}"#;
    let thinking = r#"{"type":"thinking","thinking":"","signature":"c""#;
    let text = |point: &str| format!(r#"{{{point}"type":"text","text":"a"}}"#);
    let body = |user: &str, answer: &str| {
        format!(
            r#""messages":[{{"role":"user","content":{user}}},{{"role":"assistant","content":[{answer}]}}]"#
        )
    };
    let marked = format!(r#"[{{"type":"text","text":"q",{point}}}]"#);
    adapts(
        SONNET,
        &body("\"q\"", &format!("{thinking},{point}}},{}", text(""))),
        &body(&marked, &format!("{thinking}}},{}", text(""))),
        &["cache_control"],
    );
    let blank = format!(r#"{{"type":"text","text":" ",{point}}}"#);
    adapts(
        SONNET,
        &body("\"q\"", &format!("{},{blank}", text(""))),
        &body("\"q\"", &text(&format!("{point},"))),
        &["cache_control", "messages[].content"],
    );
    // The block before has one already.
    adapts(
        SONNET,
        &body(&marked, &format!("{thinking},{point}}},{}", text(""))),
        &body(&marked, &format!("{thinking}}},{}", text(""))),
        &["cache_control"],
    );
}

#[test]
fn automatic_caching_is_a_point_on_the_last_block() {
    let given = |control: &str, content: &str| {
        format!(r#""cache_control":{control},"messages":[{{"role":"user","content":{content}}}]"#)
    };
    let sent = |content: &str| format!(r#""messages":[{{"role":"user","content":{content}}}]"#);
    let short = r#"{"type":"ephemeral"}"#;
    let long = r#"{"type":"ephemeral","ttl":"1h"}"#;
    let lowered = r#"{"type":"ephemeral","ttl":"5m"}"#;
    for (control, content, expected, warnings) in [
        (
            short,
            r#""hi""#.to_owned(),
            format!(r#"[{{"type":"text","text":"hi","cache_control":{short}}}]"#),
            &[][..],
        ),
        (
            long,
            r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#.to_owned(),
            format!(
                r#"[{{"type":"text","text":"a"}},{{"cache_control":{long},"type":"text","text":"b"}}]"#
            ),
            &[],
        ),
        (
            long,
            format!(
                r#"[{{"type":"text","text":"a","cache_control":{short}}},{{"type":"text","text":"b"}}]"#
            ),
            format!(
                r#"[{{"type":"text","text":"a","cache_control":{short}}},{{"cache_control":{lowered},"type":"text","text":"b"}}]"#
            ),
            &["cache_control.ttl"],
        ),
        // The last block that may have one.
        (
            short,
            r#"[{"type":"text","text":"a"},{"type":"text","text":" "}]"#.to_owned(),
            format!(r#"[{{"cache_control":{short},"type":"text","text":"a"}}]"#),
            &["messages[].content"],
        ),
    ] {
        adapts(
            SONNET,
            &given(control, &content),
            &sent(&expected),
            warnings,
        );
    }
}

#[test]
fn hours_after_five_minutes_are_lowered_in_the_order_of_bedrock() {
    let point = |ttl: &str| format!(r#""cache_control":{{"type":"ephemeral"{ttl}}}"#);
    let body = |first: &str, second: &str| {
        format!(
            r#""messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"text","text":"x",{}}}]}}]}}],"system":[{{"type":"text","text":"s",{}}}],"tools":[]"#,
            point(second),
            point(first),
        )
    };
    let (short, hour) = ("", r#","ttl":"1h""#);
    keeps(SONNET, &body(hour, short));
    keeps(SONNET, &body(hour, hour));
    adapts(
        SONNET,
        &body(short, hour),
        &body(short, r#","ttl":"5m""#),
        &["cache_control.ttl"],
    );
    adapts(
        SONNET,
        r#""messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"c","cache_control":{"type":"ephemeral"}},{"type":"text","text":"a"}]}]"#,
        r#""messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"c"},{"type":"text","text":"a"}]}]"#,
        &["cache_control"],
    );
}

#[test]
fn only_the_last_four_cache_points_are_kept() {
    let block = |text: &str, point: &str| format!(r#"{{"type":"text","text":"{text}"{point}}}"#);
    let point = r#","cache_control":{"type":"ephemeral"}"#;
    let body = |first: &str, second: &str| {
        format!(
            r#""tools":[{{"name":"f","input_schema":{{}}{first}}}],"system":[{}],"messages":[{{"role":"user","content":[{},{},{},{}]}}]"#,
            block("s", second),
            block("a", point),
            block("b", point),
            block("c", point),
            block("d", point)
        )
    };
    adapts(
        SONNET,
        &body(point, point),
        &body("", ""),
        &["cache_control"],
    );
    keeps(SONNET, &body("", ""));
}
