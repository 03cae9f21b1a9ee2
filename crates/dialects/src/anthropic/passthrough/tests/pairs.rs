//! Tests of calls without results, results without calls, and tool choices without tools.

use super::*;

const CALL: &str = r#"{"type":"tool_use","id":"a","name":"f","input":{}}"#;
const OTHER_CALL: &str = r#"{"type":"tool_use","id":"b","name":"f","input":{ "x" : 1.0 }}"#;
const RESULT: &str = r#"{"type":"tool_result","tool_use_id":"a","content":"r","cache_control":{"type":"ephemeral"}}"#;
const OTHER_RESULT: &str = r#"{"type":"tool_result","tool_use_id":"b","is_error":true}"#;
const TEXT: &str = r#"{"type":"text","text":"continue"}"#;
const ADDED: &str = r#"{"type":"tool_result","tool_use_id":"a","content":"No result was given."}"#;
const ADDED_OTHER: &str =
    r#"{"type":"tool_result","tool_use_id":"b","content":"No result was given."}"#;
const LEAD: &str = r#"{"type":"text","text":"Result of an earlier tool call:"}"#;

fn assistant(blocks: &[&str]) -> String {
    format!(r#"{{"role":"assistant","content":[{}]}}"#, blocks.join(","))
}

fn user(blocks: &[&str]) -> String {
    format!(r#"{{"role":"user", "content" : [{}]}}"#, blocks.join(","))
}

/// Compares the messages upstream, and the names of the warnings.
#[track_caller]
fn sends(given: &[String], expected: &[String], warnings: &[&str]) {
    let question = r#"{"role":"user","content":"q"}"#;
    let body = |messages: &[String]| {
        let messages: Vec<&str> = std::iter::once(question)
            .chain(messages.iter().map(String::as_str))
            .collect();
        format!(
            r#"{{"anthropic_version":"bedrock-2023-05-31","messages":[{}],"tools":[{{"name":"f","input_schema":{{"type":"object"}}}}]}}"#,
            messages.join(",")
        )
    };
    check(&body(given), &[], &body(expected), warnings);
}

#[track_caller]
fn keeps(given: &[String]) {
    sends(given, given, &[]);
}

#[test]
fn complete_conversations_keep_their_bytes() {
    keeps(&[assistant(&[CALL]), user(&[RESULT])]);
    keeps(&[
        assistant(&[TEXT, CALL, OTHER_CALL]),
        user(&[OTHER_RESULT, RESULT, TEXT]),
    ]);
    keeps(&[
        assistant(&[CALL]),
        user(&[RESULT]),
        assistant(&[OTHER_CALL]),
        user(&[OTHER_RESULT, TEXT]),
    ]);
    keeps(&[
        assistant(&[CALL]),
        assistant(&[OTHER_CALL]),
        user(&[RESULT, OTHER_RESULT]),
    ]);
    keeps(&[assistant(&[TEXT]), user(&[TEXT])]);
}

#[test]
fn a_call_without_a_result_gets_a_placeholder() {
    let param = ["messages[].content"];
    sends(
        &[assistant(&[CALL]), user(&[TEXT])],
        &[assistant(&[CALL]), user(&[ADDED, TEXT])],
        &param,
    );
    sends(
        &[
            assistant(&[CALL, OTHER_CALL]),
            user(&[OTHER_RESULT, TEXT]),
            assistant(&[TEXT]),
            user(&[TEXT]),
        ],
        &[
            assistant(&[CALL, OTHER_CALL]),
            user(&[OTHER_RESULT, ADDED, TEXT]),
            assistant(&[TEXT]),
            user(&[TEXT]),
        ],
        &param,
    );
    let string = r#"{"role":"user","content":"continue"}"#.to_owned();
    let blocks = format!(r#"{{"role":"user","content":[{ADDED},{TEXT}]}}"#);
    sends(
        &[assistant(&[CALL]), string],
        &[assistant(&[CALL]), blocks],
        &param,
    );
    // The conversation ends with the call.
    let added = format!(r#"{{"role":"user","content":[{ADDED},{ADDED_OTHER}]}}"#);
    sends(
        &[assistant(&[CALL]), assistant(&[OTHER_CALL])],
        &[assistant(&[CALL]), assistant(&[OTHER_CALL]), added],
        &param,
    );
}

#[test]
fn a_result_without_a_call_is_text() {
    let param = ["messages[].content[].tool_use_id"];
    let text = r#"{"type":"text","text":"r"}"#;
    sends(&[user(&[RESULT])], &[user(&[LEAD, text])], &param);
    sends(
        &[assistant(&[TEXT]), user(&[RESULT, TEXT])],
        &[assistant(&[TEXT]), user(&[LEAD, text, TEXT])],
        &param,
    );
    // The call is not in the previous turn, and another one has its result after it.
    sends(
        &[
            assistant(&[CALL]),
            user(&[RESULT]),
            assistant(&[OTHER_CALL]),
            user(&[RESULT, OTHER_RESULT]),
        ],
        &[
            assistant(&[CALL]),
            user(&[RESULT]),
            assistant(&[OTHER_CALL]),
            user(&[OTHER_RESULT, LEAD, text]),
        ],
        &param,
    );
    let inside = r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}"#;
    let list = format!(
        r#"{{"type":"tool_result","tool_use_id":"a","content":[{TEXT},{inside},{{"type":"tool_reference","tool_name":"g"}}]}}"#
    );
    let reference = r#"{"type":"text","text":"The tool g is available."}"#;
    sends(
        &[user(&[&list])],
        &[user(&[LEAD, TEXT, inside, reference])],
        &param,
    );
    sends(
        &[assistant(&[CALL]), user(&[RESULT, RESULT])],
        &[assistant(&[CALL]), user(&[RESULT, LEAD, text])],
        &param,
    );
    // A call and a result of different ids.
    sends(
        &[assistant(&[OTHER_CALL]), user(&[RESULT])],
        &[assistant(&[OTHER_CALL]), user(&[ADDED_OTHER, LEAD, text])],
        &["messages[].content[].tool_use_id", "messages[].content"],
    );
}

#[test]
fn results_come_first_and_in_one_message() {
    sends(
        &[assistant(&[CALL]), user(&[TEXT, RESULT])],
        &[assistant(&[CALL]), user(&[RESULT, TEXT])],
        &[],
    );
    sends(
        &[
            assistant(&[CALL, OTHER_CALL]),
            user(&[RESULT]),
            user(&[OTHER_RESULT]),
            user(&[TEXT]),
        ],
        &[
            assistant(&[CALL, OTHER_CALL]),
            user(&[RESULT, OTHER_RESULT]),
            user(&[TEXT]),
        ],
        &[],
    );
    // Blank text before a result is left out anyway.
    let blank = r#"{"type":"text","text":" "}"#;
    sends(
        &[assistant(&[CALL]), user(&[blank, RESULT])],
        &[assistant(&[CALL]), user(&[RESULT])],
        &["messages[].content"],
    );
}

#[test]
fn repeated_ids_of_calls_become_unique() {
    let again = |block: &str| block.replace("\"a\"", "\"ax2\"");
    sends(
        &[
            assistant(&[CALL]),
            user(&[RESULT]),
            assistant(&[CALL, OTHER_CALL]),
            user(&[RESULT, OTHER_RESULT, TEXT]),
        ],
        &[
            assistant(&[CALL]),
            user(&[RESULT]),
            assistant(&[&again(CALL), OTHER_CALL]),
            user(&[&again(RESULT), OTHER_RESULT, TEXT]),
        ],
        &[],
    );
    sends(
        &[assistant(&[CALL, CALL]), user(&[RESULT, RESULT])],
        &[
            assistant(&[CALL, &again(CALL)]),
            user(&[RESULT, &again(RESULT)]),
        ],
        &[],
    );
}

#[test]
fn a_system_message_after_a_call_follows_the_placeholder() {
    let system = r#"{"role":"system","content":"Mind it."}"#.to_owned();
    sends(
        &[assistant(&[CALL]), system],
        &[
            assistant(&[CALL]),
            format!(r#"{{"role":"user","content":[{ADDED},{{"type":"text","text":"Mind it."}}]}}"#),
        ],
        &["messages[].role", "messages[].content"],
    );
}

#[test]
fn ids_and_blocks_of_a_completed_conversation_are_adapted() {
    let call = r#"{"type":"tool_use","id":"list:0","name":"f","input":{}}"#;
    let body = format!(r#"{{"messages":[{}]}}"#, assistant(&[call]));
    let sent = on(SONNET, &body, &[], Endpoint::InvokeModel).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    let id = &sent["messages"][0]["content"][0]["id"];
    assert_eq!(&sent["messages"][1]["content"][0]["tool_use_id"], id);
    assert!(!id.as_str().unwrap().contains(':'), "{id}");
}

#[test]
fn strict_mode_rejects_incomplete_conversations() {
    let capabilities = FamilyTable::builtin().resolve(SONNET, None);
    let mut options = DecodeOptions::new(&capabilities);
    options.strict = true;
    for messages in [assistant(&[CALL]), user(&[RESULT])] {
        let body = format!(r#"{{"messages":[{messages}]}}"#);
        let error = passthrough(body.as_bytes(), &[], Endpoint::InvokeModel, &options).unwrap_err();
        assert!(error.param.unwrap().starts_with("messages[]"));
    }
}

#[test]
fn a_tool_choice_without_tools_is_left_out() {
    let version = r#""anthropic_version":"bedrock-2023-05-31""#;
    for choice in ["auto", "any", "none"] {
        for tools in ["", r#","tools":[]"#] {
            let given = format!(
                r#"{{{version},"tool_choice":{{"type":"{choice}"}},"messages":[]{tools}}}"#
            );
            let expected = format!(r#"{{{version},"messages":[]{tools}}}"#);
            check(&given, &[], &expected, &[]);
        }
    }
}

#[test]
fn what_claude_rejects_without_loss_is_left_out() {
    let version = r#""anthropic_version":"bedrock-2023-05-31""#;
    let sends = |given: &str, expected: &str, warnings: &[&str]| {
        check(
            &format!("{{{version},{given}}}"),
            &[],
            &format!("{{{version}{expected}}}"),
            warnings,
        );
    };
    sends(
        r#""stop_sequences":["", "END","\n"]"#,
        r#","stop_sequences":["END"]"#,
        &["stop_sequences"],
    );
    sends(r#""stop_sequences":[""]"#, "", &[]);
    let last = |content: &str| {
        format!(
            r#""messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":{content}}}]"#
        )
    };
    for (given, expected) in [
        (r#""So: \n""#, r#""So:""#),
        (
            r#"[{"type":"text","text":"So: "},{"type":"text","text":" "}]"#,
            r#"[{"type":"text","text":"So:"}]"#,
        ),
        ("[]", "[]"),
        (r#""""#, r#""""#),
        (r#""So:""#, r#""So:""#),
    ] {
        let blank = given.contains(r#"" ""#);
        let warnings: &[&str] = if blank { &["messages[].content"] } else { &[] };
        sends(&last(given), &format!(",{}", last(expected)), warnings);
    }
    // An empty list in the conversation.
    let message = |content: &str| {
        format!(
            r#""messages":[{{"role":"assistant","content":{content}}},{{"role":"user","content":"q"}}]"#
        )
    };
    sends(
        &message("[]"),
        &format!(",{}", message(r#"[{"type":"text","text":"."}]"#)),
        &["messages[].content"],
    );
}

#[test]
fn beta_flags_in_the_member_of_the_sdk_are_flags() {
    check(
        r#"{"betas":["context-1m-2025-08-07","files-api-2025-04-14"],"messages":[]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["context-1m-2025-08-07"],"messages":[]}"#,
        &["anthropic-beta"],
    );
    let endpoint = Endpoint::Anthropic { model: "up" };
    let body = r#"{"model":"m","betas":["context-1m-2025-08-07"],"messages":[]}"#;
    let sent = on(SONNET, body, &[], endpoint).unwrap();
    assert_eq!(sent.betas, ["context-1m-2025-08-07"]);
    assert_eq!(sent.body, br#"{"model":"up","messages":[]}"#);
}

#[test]
fn null_is_absent() {
    check(
        r#"{"system":null,"tools":null,"tool_choice":null,"betas":null,"context_management":null,"speed":null,"max_tokens":5,"output_format":null,"messages":[]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[]}"#,
        &[],
    );
    check(
        r#"{"output_config":{"effort":null},"messages":[]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","messages":[]}"#,
        &[],
    );
    check(
        r#"{"output_config":{"format":null},"output_format":{"type":"json_schema","schema":{"type":"object","additionalProperties":false}}}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","output_config":{"format":{"type":"json_schema","schema":{"type":"object","additionalProperties":false}}}}"#,
        &[],
    );
    check(
        r#"{"cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":[{"type":"text","text":"q","cache_control":null}]}]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":[{"type":"text","text":"q","cache_control":{"type":"ephemeral"}}]}]}"#,
        &[],
    );
}

#[test]
fn blank_text_is_named_by_its_field() {
    let blank = r#"{"type":"text","text":" "}"#;
    for (system, expected) in [
        (
            format!("[{blank},{TEXT}]"),
            format!(r#""system":[{TEXT}],"#),
        ),
        (format!("[{blank}]"), String::new()),
    ] {
        check(
            &format!(r#"{{"system":{system},"messages":[]}}"#),
            &[],
            &format!(r#"{{"anthropic_version":"bedrock-2023-05-31",{expected}"messages":[]}}"#),
            &["system"],
        );
    }
    let result = |content: &str| {
        format!(r#"{{"type":"tool_result","tool_use_id":"a","content":[{content}]}}"#)
    };
    sends(
        &[
            assistant(&[CALL]),
            user(&[&result(&format!("{blank},{TEXT}"))]),
        ],
        &[assistant(&[CALL]), user(&[&result(TEXT)])],
        &["messages[].content[].content"],
    );
}
