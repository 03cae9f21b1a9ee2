//! Tests of decoding that depend on exact bytes, which golden files do not show.

use serde_json::Value;

use super::*;
use crate::{families::FamilyTable, translation::DecodeOptions};

fn upstream(model: &str, body: &str) -> String {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    let decoded = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap();
    serde_json::to_string(&decoded.request).unwrap()
}

#[test]
fn schemas_and_arguments_are_unchanged_byte_for_byte() {
    let schema = r#"{ "type":"object", "properties":{"z":{"maximum":1.00e2},"a":{"const":12345678901234567890123}} }"#;
    let arguments = r#"{ \"z\":1.50, \"a\":12345678901234567890123 }"#;
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":"{arguments}"}}}}]}},{{"role":"tool","tool_call_id":"c","content":"ok"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
    );
    let upstream = upstream("anthropic.claude-sonnet-4-6", &body);
    assert!(
        upstream.contains(&format!("\"json\":{schema}")),
        "{upstream}"
    );
    assert!(
        upstream.contains(r#""input":{ "z":1.50, "a":12345678901234567890123 }"#),
        "{upstream}"
    );
}

#[test]
fn texts_keep_the_escapes_of_the_client() {
    let text = r#"\u00e9\u00C9 \"q\" \ud83d\uDE00\n\t\/\b\u0000 \\u0041"#;
    let body = format!(
        r#"{{"messages":[{{"role":"system","content":"{text}"}},{{"role":"user","content":[{{"type":"text","text":"{text}"}},{{"type":"text","text":"\u0020\n\u00a0"}}]}},{{"role":"assistant","content":"{text}"}},{{"role":"user","content":"{text}"}}]}}"#
    );
    let upstream = upstream("anthropic.claude-sonnet-4-6", &body);
    let literal = format!("\"{text}\"");
    assert_eq!(upstream.matches(&literal).count(), 4, "{upstream}");
    // Blank text is left out, however it is written.
    assert!(!upstream.contains(r"\u0020"), "{upstream}");
    let sent: Value = serde_json::from_str(&upstream).unwrap();
    let decoded: String = serde_json::from_str(&literal).unwrap();
    assert_eq!(sent["messages"][0]["content"][0]["text"], decoded);
}

#[test]
fn a_last_assistant_text_is_trimmed_whatever_its_escapes() {
    let body = r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"so \"far\" \n\u0020\t"}]}"#;
    let upstream = upstream("anthropic.claude-sonnet-4-5", body);
    assert!(upstream.contains(r#""text":"so \"far\"""#), "{upstream}");
}

#[test]
fn images_are_borrowed_from_the_body() {
    let body = br#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAAN"}}]}]}"#;
    let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
    let decoded = decode(body, &DecodeOptions::new(&capabilities)).unwrap();
    let block = &decoded.request.messages[0].content[0];
    let bedrock::converse::ContentBlock::Image(image) = block else {
        panic!("{block:?}")
    };
    assert!(matches!(
        image.source,
        bedrock::converse::Source::Bytes(std::borrow::Cow::Borrowed("iVBORw0KGgoAAAAN"))
    ));
}

#[test]
fn rejects_bodies_that_are_not_objects_or_too_deep() {
    let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
    let deep = format!(
        r#"{{"messages":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for body in [
        "",
        "null",
        "[]",
        "7",
        "{",
        "{\"messages\":[",
        "\u{feff}{}",
        &deep,
    ] {
        let error = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap_err();
        assert_eq!(error.code, "invalid_json", "{error:?}");
    }
    let invalid = b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}";
    assert!(decode(invalid, &DecodeOptions::new(&capabilities)).is_err());
}

#[test]
fn rejects_documents_and_images_above_the_size_limit() {
    let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
    let data = "A".repeat(8 * 1024 * 1024);
    for part in [
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#),
        format!(
            r#"{{"type":"file","file":{{"filename":"a.pdf","file_data":"data:application/pdf;base64,{data}"}}}}"#
        ),
    ] {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"x"}},{part}]}}]}}"#
        );
        let error = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap_err();
        assert!(
            error.message.contains("may have at most"),
            "{}",
            error.message
        );
    }
}

#[test]
fn body_can_be_decoded_again_for_a_retry() {
    let body =
        br#"{"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}]}"#.to_vec();
    let capabilities = FamilyTable::builtin().resolve("amazon.nova-lite-v1:0", None);
    let other = FamilyTable::builtin().resolve("amazon.titan-text-express-v1", None);
    let first = decode(&body, &DecodeOptions::new(&capabilities)).unwrap();
    let second = decode(&body, &DecodeOptions::new(&other)).unwrap();
    assert_eq!(first.request.system.len(), 1);
    assert!(second.request.system.is_empty());
}
