use serde_json::Value;

use super::{Found, matching, request::RequestReport, request_ids};

const RETRY: &str = r#"{"timestamp":"2026-01-01T00:00:01Z","level":"WARN","message":"Bedrock call failed; retrying","target":"gateway::upstream","request_id":"req_1","model":"us.amazon.nova-2-lite-v1:0","region":"us-east-1","reason":"throttled","wait_ms":0,"failover":true}"#;
const END: &str = r#"{"timestamp":"2026-01-01T00:00:02Z","level":"INFO","message":"request","target":"gateway::pipeline","request_id":"req_1","route":"/v1/chat/completions","status":200,"reason":"","client":"team-a/app","model":"fast","target_model":"us.amazon.nova-2-lite-v1:0","region":"us-west-2","stream":true,"attempts":2,"duration_ms":1200,"first_byte_ms":300,"input_tokens":12,"output_tokens":40,"aws_request_id":"1b2c3d4e-0000-4000-8000-123456789abc","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#;

fn found(lines: &[&str]) -> Vec<Found> {
    lines
        .iter()
        .map(|line| Found {
            access: "team-a/chat".to_owned(),
            pod: "chat-gateway-1".to_owned(),
            fields: serde_json::from_str(line).unwrap(),
        })
        .collect()
}

fn text(lines: &[&str]) -> String {
    let report = RequestReport::new("req_1", &found(lines)).unwrap();
    let mut out = anstream::StripStream::new(Vec::new());
    report.tree().write(&mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn request_is_found_by_each_of_its_ids_and_no_other_text() {
    for id in [
        "req_1",
        "1b2c3d4e-0000-4000-8000-123456789abc",
        "0af7651916cd43dd8448eb211c80319c",
    ] {
        assert!(matching(END, &[id.to_owned()]).is_some(), "{id}");
    }
    for id in ["fast", "req_", "us-west-2"] {
        assert!(matching(END, &[id.to_owned()]).is_none(), "{id}");
    }
    assert_eq!(request_ids(&found(&[END, RETRY])), ["req_1"]);
}

#[test]
fn request_shows_its_attempts_its_target_and_the_ids_of_aws_and_of_the_trace() {
    insta::assert_snapshot!(text(&[END, RETRY]));
}

#[test]
fn failed_request_has_its_reason_and_a_fix() {
    let end = END
        .replace("200", "403")
        .replace(r#""reason":"""#, r#""reason":"AccessDenied""#);
    let text = text(&[&end]);
    assert!(
        text.starts_with("✗ Request req_1  403 AccessDenied"),
        "{text}"
    );
    assert!(text.contains("Fix:"), "{text}");
}

#[test]
fn request_without_its_last_line_is_in_progress() {
    let text = text(&[RETRY]);
    assert!(text.starts_with("! Request req_1  in progress"), "{text}");
}

#[test]
fn json_has_the_attempts_and_the_fields_of_the_last_line() {
    let report = RequestReport::new("req_1", &found(&[RETRY, END])).unwrap();
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["status"], 200);
    assert_eq!(value["failedAttempts"][0]["reason"], "throttled");
    assert_eq!(
        value["fields"]["aws_request_id"],
        "1b2c3d4e-0000-4000-8000-123456789abc"
    );
    assert_eq!(value["fields"]["message"], Value::Null);
}
