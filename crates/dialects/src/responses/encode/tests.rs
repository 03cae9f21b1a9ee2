//! Tests of encoding besides golden files: end of streams, errors, values for the request record.

use bedrock::converse::StreamEvent;
use bytes::BytesMut;

use super::*;
use crate::{
    responses::{checker, golden::identity},
    translation::openai_shapes::error::ErrorBody,
};

fn send(encoder: &mut StreamEncoder, kind: &str, payload: &str, out: &mut BytesMut) {
    let event = StreamEvent::from_frame_parts(kind, payload.as_bytes()).unwrap();
    encoder.event(&event, out).unwrap();
}

fn throttled() -> ErrorBody {
    let mut error = ErrorBody {
        status: 429,
        code: Some("ThrottlingException".to_owned()),
        message: "slow down".to_owned(),
        ..ErrorBody::default()
    };
    error.extra.insert("request_id".to_owned(), "r".into());
    error
}

#[test]
fn error_event_has_status_and_extra_members_and_a_failed_response_follows() {
    let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity());
    let mut out = BytesMut::new();
    send(
        &mut encoder,
        "contentBlockDelta",
        r#"{"delta":{"text":"x"}}"#,
        &mut out,
    );
    encoder.error(&throttled(), &mut out);
    encoder.finish(&mut out);
    let read = checker::read(&out);
    let error = read.error.unwrap();
    assert_eq!(error["code"], "ThrottlingException");
    assert_eq!(error["error"]["type"], "rate_limit_error");
    assert_eq!(error["error"]["status"], 429);
    assert_eq!(error["error"]["request_id"], "r");
    assert_eq!(read.response["error"]["code"], "rate_limit_exceeded");
    assert_eq!(read.response["error"]["message"], "slow down");
    assert_eq!(read.response["output"][0]["status"], "incomplete");
}

#[test]
fn error_before_any_event_gives_a_complete_stream() {
    let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity());
    let mut out = BytesMut::new();
    encoder.error(&throttled(), &mut out);
    assert_eq!(checker::read(&out).last, "response.failed");
}

#[test]
fn encoder_reports_usage_status_and_stop_reason() {
    let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity());
    let mut out = BytesMut::new();
    assert_eq!(encoder.finish_reason(), None);
    send(
        &mut encoder,
        "messageStop",
        r#"{"stopReason":"max_tokens"}"#,
        &mut out,
    );
    send(
        &mut encoder,
        "metadata",
        r#"{"usage":{"inputTokens":2,"outputTokens":3,"totalTokens":5}}"#,
        &mut out,
    );
    assert_eq!(encoder.finish_reason(), Some("incomplete"));
    assert_eq!(
        encoder.stop_reason().map(StopReason::as_str),
        Some("max_tokens")
    );
    assert_eq!(encoder.usage().map(|usage| usage.output_tokens), Some(3));
}
