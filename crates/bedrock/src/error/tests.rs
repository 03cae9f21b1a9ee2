//! Tests of every kind of error in every form.

use bytes::Bytes;
use http::HeaderValue;

use super::*;
use crate::eventstream::MessageType;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

#[track_caller]
fn check(
    status: u16,
    pairs: &[(&'static str, &'static str)],
    body: &str,
    expected: (u16, &str, &str, Class),
) {
    let error = ServiceError::from_http(
        StatusCode::from_u16(status).unwrap(),
        &headers(pairs),
        body.as_bytes(),
    );
    let got = (
        error.status,
        error.name.as_str(),
        error.message.as_str(),
        error.class(),
    );
    assert_eq!(got, expected);
}

#[test]
fn name_is_read_from_the_header_and_message_from_the_body() {
    check(
        429,
        &[("x-amzn-errortype", "ThrottlingException")],
        r#"{"message":"Too many requests"}"#,
        (
            429,
            "ThrottlingException",
            "Too many requests",
            Class::Throttled,
        ),
    );
    check(
        400,
        &[(
            "x-amzn-errortype",
            "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        )],
        r#"{"message":"bad"}"#,
        (400, "ValidationException", "bad", Class::Validation),
    );
    check(
        403,
        &[],
        r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","Message":"no"}"#,
        (
            403,
            "UnrecognizedClientException",
            "no",
            Class::Authentication,
        ),
    );
}

#[test]
fn empty_body_with_error_headers_keeps_name_and_message() {
    check(
        400,
        &[
            ("x-amzn-errortype", "ValidationException"),
            ("x-amzn-errormessage", "The model returned: too long"),
        ],
        "{}",
        (
            400,
            "ValidationException",
            "The model returned: too long",
            Class::Validation,
        ),
    );
    check(
        400,
        &[("x-amzn-errortype", "ServiceQuotaExceededException")],
        "{}",
        (
            400,
            "ServiceQuotaExceededException",
            "AWS returned ServiceQuotaExceededException (HTTP status 400) without a message",
            Class::Quota,
        ),
    );
}

#[test]
fn message_in_an_envelope_of_openai_or_anthropic_is_read() {
    check(
        429,
        &[],
        r#"{"error":{"message":"slow down","type":"rate_limit_error","code":null}}"#,
        (429, "ThrottlingException", "slow down", Class::Throttled),
    );
    let document = serde_json::json!({
        "type": "error",
        "error": { "type": "overloaded_error", "message": "Overloaded" },
    });
    let error = ServiceError::from_json(&document).unwrap();
    assert_eq!((error.status, error.class()), (503, Class::Unavailable));
    assert_eq!(error.message, "Overloaded");
    assert_eq!(
        ServiceError::from_json(&serde_json::json!({ "type": "ping" })),
        None
    );
}

#[test]
fn name_takes_precedence_over_the_status() {
    check(
        400,
        &[("x-amzn-errortype", "ThrottlingException")],
        r#"{"message":"slow"}"#,
        (429, "ThrottlingException", "slow", Class::Throttled),
    );
}

#[test]
fn unknown_name_keeps_the_received_status() {
    check(
        418,
        &[("x-amzn-errortype", "TeapotException")],
        r#"{"message":"short and stout"}"#,
        (418, "TeapotException", "short and stout", Class::Validation),
    );
}

#[test]
fn error_page_of_a_proxy_keeps_its_text() {
    check(
        502,
        &[],
        "<html>bad gateway</html>",
        (
            502,
            "ServiceUnavailableException",
            "<html>bad gateway</html>",
            Class::Unavailable,
        ),
    );
}

fn class_of(name: &str, message: &str) -> Class {
    ServiceError {
        status: 403,
        name: name.to_owned(),
        message: message.to_owned(),
        request_id: None,
    }
    .class()
}

#[test]
fn expired_session_and_clock_skew_differ_from_an_invalid_key() {
    let text = r#"{"message":"The security token included in the request is expired"}"#;
    for name in ["ExpiredTokenException", "UnrecognizedClientException"] {
        check(
            403,
            &[("x-amzn-errortype", name)],
            text,
            (
                403,
                name,
                "The security token included in the request is expired",
                Class::ExpiredCredentials,
            ),
        );
    }
    let text = "Signature expired: 20240101T000000Z is now earlier than 20240101T001000Z";
    assert_eq!(
        class_of("InvalidSignatureException", text),
        Class::ClockSkew
    );
    let text = "The security token included in the request is invalid.";
    assert_eq!(
        class_of("UnrecognizedClientException", text),
        Class::Authentication
    );
}

#[test]
fn exception_frame_has_name_and_status_of_the_http_error() {
    for (event_type, name, status, class) in [
        (
            "throttlingException",
            "ThrottlingException",
            429,
            Class::Throttled,
        ),
        (
            "modelStreamErrorException",
            "ModelStreamErrorException",
            424,
            Class::Model,
        ),
        (
            "internalServerException",
            "InternalServerException",
            500,
            Class::Internal,
        ),
        (
            "serviceUnavailableException",
            "ServiceUnavailableException",
            503,
            Class::Unavailable,
        ),
        (
            "validationException",
            "ValidationException",
            400,
            Class::Validation,
        ),
        (
            "modelTimeoutException",
            "ModelTimeoutException",
            408,
            Class::Timeout,
        ),
    ] {
        let frame = Frame {
            message_type: MessageType::Exception,
            event_type: event_type.to_owned(),
            payload: Bytes::from_static(br#"{"message":"said so","originalStatusCode":400}"#),
        };
        let error = ServiceError::from_frame(&frame).with_request_id(Some("r-1".into()));
        assert_eq!(
            (error.status, error.name.as_str(), error.class()),
            (status, name, class)
        );
        assert_eq!(error.message, "said so");
        assert_eq!(error.request_id.as_deref(), Some("r-1"));
    }
}

#[test]
fn error_frame_with_plain_text_keeps_the_text() {
    let frame = Frame {
        message_type: MessageType::Error,
        event_type: "InternalError".to_owned(),
        payload: Bytes::from_static(b"broken"),
    };
    let error = ServiceError::from_frame(&frame);
    assert_eq!(
        (error.status, error.name.as_str(), error.message.as_str()),
        (500, "InternalError", "broken")
    );
}

#[test]
fn request_id_is_kept() {
    let error = ServiceError::from_http(
        StatusCode::BAD_REQUEST,
        &headers(&[("x-amzn-requestid", "abc")]),
        b"{}",
    );
    assert_eq!(error.request_id.as_deref(), Some("abc"));
}

#[test]
fn status_401_of_the_openai_endpoint_is_a_missing_permission_or_an_error_of_the_credentials() {
    for (kind, message, class, status) in [
        (
            "invalid_request_error",
            "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: bedrock:InvokeModel on resource: x because no identity-based policy allows the bedrock:InvokeModel action",
            Class::AccessDenied,
            403,
        ),
        ("permission_error", "no", Class::AccessDenied, 403),
        (
            "authentication_error",
            "The security token included in the request is expired",
            Class::ExpiredCredentials,
            403,
        ),
        (
            "authentication_error",
            "The security token included in the request is invalid.",
            Class::Authentication,
            403,
        ),
        (
            "invalid_request_error",
            "Signature expired: 20240101T000000Z is now earlier than 20240101T001000Z",
            Class::ClockSkew,
            403,
        ),
    ] {
        let body = serde_json::json!({"error": {"type": kind, "message": message}}).to_string();
        let error =
            ServiceError::from_http(StatusCode::UNAUTHORIZED, &HeaderMap::new(), body.as_bytes());
        assert_eq!((error.class(), error.status), (class, status), "{message}");
        assert_eq!(error.message, message);
    }
}
