//! Errors in the Anthropic dialect: its types and statuses, with AWS's message and a hint.
//! <https://docs.claude.com/en/api/errors>

use axum::response::Response;
use bedrock::Class;
use dialects::{
    anthropic::{ErrorBody, OVERLOADED as OVERLOADED_ERROR},
    translation::{THREAD_NOT_FOUND, THREAD_UNSUPPORTED},
};
use http::StatusCode;
use serde_json::json;

use super::GatewayError;

/// Anthropic's status for an overloaded API.
const OVERLOADED: u16 = 529;

impl GatewayError {
    /// The status that Anthropic's SDKs expect: they retry 429 and all from 500 up.
    fn anthropic_status(&self) -> StatusCode {
        let overloaded = || StatusCode::from_u16(OVERLOADED).unwrap_or(self.status());
        match self {
            Self::Busy { .. } | Self::BudgetStore | Self::ShuttingDown => overloaded(),
            Self::Service(_) if self.is_context_overflow() => StatusCode::BAD_REQUEST,
            Self::Service(refusal) => match refusal.error.class() {
                Class::Throttled | Class::Quota => StatusCode::TOO_MANY_REQUESTS,
                Class::NotReady | Class::Unavailable => overloaded(),
                Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
                Class::Model => StatusCode::INTERNAL_SERVER_ERROR,
                _ => self.status(),
            },
            _ => self.status(),
        }
    }

    /// The error for a client, in a body or as the last event of a stream.
    pub(crate) fn anthropic(&self, request_id: &str) -> ErrorBody {
        let body = self.body(request_id);
        let mut extra = body.extra;
        // This dialect has it beside the error.
        extra.shift_remove("request_id");
        if let Some(code) = body.code {
            extra.insert("code".to_owned(), code.into());
        }
        if let Self::Request(error) = self
            && [THREAD_UNSUPPORTED, THREAD_NOT_FOUND].contains(&error.code)
        {
            // Anthropic's SDKs read this and send the whole conversation.
            let details = if error.code == THREAD_UNSUPPORTED {
                json!({"error_code": error.code, "unsupported": ["thread"]})
            } else {
                json!({"error_code": error.code})
            };
            extra.insert("details".to_owned(), details);
        }
        ErrorBody {
            status: self.anthropic_status().as_u16(),
            // 503 would mean `overloaded_error`.
            kind: match self {
                Self::Credentials(_) => "api_error",
                // Clients retry it.
                Self::StreamCut | Self::StreamUnstarted => OVERLOADED_ERROR,
                _ => "",
            },
            message: self.anthropic_message(),
            request_id: Some(request_id.to_owned()),
            extra,
        }
    }

    /// The error as a response.
    pub(crate) fn anthropic_response(&self, request_id: &str) -> Response {
        self.with_headers(self.anthropic_status(), self.anthropic(request_id).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use bedrock::ServiceError;
    use serde_json::Value;

    use super::*;
    use crate::http::error::Refusal;

    fn service(name: &str, status: u16) -> GatewayError {
        GatewayError::Service(Box::new(Refusal {
            error: ServiceError {
                status,
                name: name.to_owned(),
                message: "AWS's own words".to_owned(),
                request_id: Some("aws-1".to_owned()),
            },
            model_id: "m".to_owned(),
            region: "us-east-1".to_owned(),
            original: None,
        }))
    }

    #[test]
    fn maps_each_exception_of_aws_to_a_type_and_status_of_anthropic() {
        for (name, received, status, kind) in [
            ("ValidationException", 400, 400, "invalid_request_error"),
            (
                "ServiceQuotaExceededException",
                400,
                429,
                "rate_limit_error",
            ),
            ("AccessDeniedException", 403, 403, "permission_error"),
            ("ResourceNotFoundException", 404, 404, "not_found_error"),
            ("ModelTimeoutException", 408, 504, "timeout_error"),
            ("ModelErrorException", 424, 500, "api_error"),
            ("ModelStreamErrorException", 424, 500, "api_error"),
            ("ThrottlingException", 429, 429, "rate_limit_error"),
            ("ModelNotReadyException", 429, 529, "overloaded_error"),
            ("InternalServerException", 500, 500, "api_error"),
            ("ServiceUnavailableException", 503, 529, "overloaded_error"),
            ("UnrecognizedClientException", 403, 502, "api_error"),
            ("ExpiredTokenException", 403, 502, "api_error"),
            (
                "RequestEntityTooLargeException",
                413,
                413,
                "request_too_large",
            ),
        ] {
            let error = service(name, received);
            let body: Value = serde_json::from_slice(&error.anthropic("req_1").to_vec()).unwrap();
            assert_eq!(error.anthropic_status().as_u16(), status, "{name}");
            assert_eq!(body["type"], "error");
            assert_eq!(body["error"]["type"], kind, "{name}");
            let message = body["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("AWS's own words"), "{message}");
            assert_eq!(body["error"]["code"], name);
            assert_eq!(body["error"]["aws_request_id"], "aws-1");
            assert_eq!(body["request_id"], "req_1");
        }
    }

    #[test]
    fn maps_errors_of_the_gateway_to_types_of_anthropic() {
        for (error, status, kind) in [
            (GatewayError::Busy { limit: 1 }, 529, "overloaded_error"),
            (GatewayError::ShuttingDown, 529, "overloaded_error"),
            (
                GatewayError::BodyTooLarge { limit: 1 },
                413,
                "request_too_large",
            ),
            (GatewayError::Timeout { seconds: 1 }, 504, "timeout_error"),
            (GatewayError::StreamCut, 502, "overloaded_error"),
            (
                GatewayError::Unauthenticated {
                    message: "who?".to_owned(),
                    code: "missing_api_key",
                },
                401,
                "authentication_error",
            ),
            (
                GatewayError::TokensUncounted {
                    model: "m".to_owned(),
                    why: "so",
                },
                404,
                "not_found_error",
            ),
        ] {
            let body: Value = serde_json::from_slice(&error.anthropic("r").to_vec()).unwrap();
            assert_eq!(error.anthropic_status().as_u16(), status);
            assert_eq!(body["error"]["type"], kind, "{error}");
        }
    }
}
