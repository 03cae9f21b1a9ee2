//! Tests of encoding besides golden files: end of streams, errors, values for the request record.

use bedrock::converse::{StopReason, StreamEvent};
use bytes::BytesMut;

use super::{
    super::{ErrorBody, ReplyContext, ResponseIdentity},
    *,
};

fn identity(model: &str) -> ResponseIdentity {
    ResponseIdentity {
        id: "i".to_owned(),
        created: 1,
        model: model.to_owned(),
    }
}

fn send(encoder: &mut StreamEncoder, kind: &str, payload: &str, out: &mut BytesMut) {
    let event = StreamEvent::from_frame_parts(kind, payload.as_bytes()).unwrap();
    encoder.event(&event, out).unwrap();
}

#[test]
fn nothing_follows_the_end_of_a_stream() {
    let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity("m"));
    let mut out = BytesMut::new();
    send(
        &mut encoder,
        "messageStop",
        r#"{"stopReason":"end_turn"}"#,
        &mut out,
    );
    encoder.finish(&mut out);
    assert!(out.ends_with(b"data: [DONE]\n\n"));
    let length = out.len();
    send(
        &mut encoder,
        "contentBlockDelta",
        r#"{"delta":{"text":"late"}}"#,
        &mut out,
    );
    encoder.finish(&mut out);
    encoder.error(&ErrorBody::default(), &mut out);
    assert_eq!(out.len(), length);
}

#[test]
fn error_event_has_status_and_extra_members_and_no_done_follows() {
    let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity("m"));
    let mut out = BytesMut::new();
    send(
        &mut encoder,
        "contentBlockDelta",
        r#"{"delta":{"text":"x"}}"#,
        &mut out,
    );
    let mut error = ErrorBody {
        status: 429,
        code: Some("ThrottlingException".to_owned()),
        message: "slow down".to_owned(),
        ..ErrorBody::default()
    };
    error.extra.insert("request_id".to_owned(), "r".into());
    encoder.error(&error, &mut out);
    encoder.finish(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    assert!(text.ends_with(
        "data: {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":\"ThrottlingException\",\"status\":429,\"request_id\":\"r\"}}\n\n"
    ), "{text}");
}

#[test]
fn encoder_reports_usage_finish_reason_and_stop_reason() {
    let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity("m"));
    let mut out = BytesMut::new();
    assert_eq!(encoder.finish_reason(), None);
    send(
        &mut encoder,
        "messageStop",
        r#"{"stopReason":"guardrail_intervened"}"#,
        &mut out,
    );
    send(
        &mut encoder,
        "metadata",
        r#"{"usage":{"inputTokens":2,"outputTokens":3,"totalTokens":5}}"#,
        &mut out,
    );
    assert_eq!(encoder.finish_reason(), Some("content_filter"));
    assert_eq!(
        encoder.stop_reason().map(StopReason::as_str),
        Some("guardrail_intervened")
    );
    assert_eq!(encoder.usage().map(|usage| usage.output_tokens), Some(3));
}

#[test]
fn fingerprint_is_stable_and_differs_by_model() {
    assert_eq!(identity("a").fingerprint(), identity("a").fingerprint());
    assert_ne!(identity("a").fingerprint(), identity("b").fingerprint());
}
