//! Tests of errors in the OpenAI dialect.

use serde_json::Value;

use super::*;

pub(super) fn service(name: &str, status: u16, message: &str) -> GatewayError {
    GatewayError::Service(Box::new(Refusal {
        error: ServiceError {
            status,
            name: name.to_owned(),
            message: message.to_owned(),
            request_id: Some("aws-1".to_owned()),
        },
        model_id: "m".to_owned(),
        region: "us-east-1".to_owned(),
        original: None,
    }))
}

#[test]
fn keeps_the_status_of_aws_errors_except_those_about_the_gateways_credentials() {
    for (name, received, expected) in [
        ("ValidationException", 400, 400),
        ("AccessDeniedException", 403, 403),
        ("ResourceNotFoundException", 404, 404),
        ("ModelTimeoutException", 408, 408),
        ("ModelErrorException", 424, 424),
        ("ThrottlingException", 429, 429),
        ("ModelNotReadyException", 429, 429),
        ("InternalServerException", 500, 500),
        ("ServiceUnavailableException", 503, 503),
        ("UnrecognizedClientException", 403, 502),
        ("ExpiredTokenException", 403, 502),
        ("InvalidSignatureException", 403, 502),
        ("SomethingNewException", 418, 418),
    ] {
        let error = service(name, received, "text");
        assert_eq!(error.status().as_u16(), expected, "{name}");
        assert_eq!(error.reason(), name);
    }
}

#[test]
fn body_has_awss_message_both_request_ids_and_a_hint() {
    let error = service(
        "ValidationException",
        400,
        "The provided model identifier is invalid.",
    );
    assert!(!error.is_local());
    let body: Value = serde_json::from_slice(&error.body("req_1").to_vec()).unwrap();
    let error = &body["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("The provided model identifier is invalid. "));
    assert!(message.ends_with(error["hint"].as_str().unwrap()));
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["code"], "ValidationException");
    assert_eq!(error["request_id"], "req_1");
    assert_eq!(error["aws_request_id"], "aws-1");
    assert!(error["hint"].as_str().unwrap().contains("region"));
}

#[test]
fn unknown_model_error_lists_at_most_20_allowed_models() {
    let allowed: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    let error = GatewayError::UnknownModel {
        model: "x".to_owned(),
        allowed,
    };
    let text = error.to_string();
    assert!(text.contains("m0, m1") && text.contains("m19, …") && !text.contains("m20"));
    assert_eq!(error.status(), StatusCode::NOT_FOUND);
}
