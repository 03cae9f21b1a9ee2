//! Parses paths of Bedrock's API. Pure.
//!
//! The id is decoded here and encoded again for Bedrock as AWS's SDKs encode it. Both sides see the same id, and no
//! other part of the client's path reaches Bedrock.

use percent_encoding::percent_decode_str;

use crate::{
    telemetry::OTHER,
    upstream::operation::{Framing, Operation},
};

/// An operation on a model or a guardrail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ApiRequest {
    pub(super) operation: Operation,
    /// Id of the model from the client, or of the guardrail.
    pub(super) id: String,
    pub(super) guardrail_version: Option<String>,
}

impl ApiRequest {
    /// Parses an encoded path.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/guardrail/") {
            let (id, version) = rest.strip_suffix("/apply")?.rsplit_once("/version/")?;
            return Some(Self {
                operation: Operation::ApplyGuardrail,
                id: decoded(id)?,
                guardrail_version: Some(decoded(version)?),
            });
        }
        let (id, last) = path.strip_prefix("/model/")?.rsplit_once('/')?;
        let operation = match last {
            "converse" => Operation::Converse,
            "converse-stream" => Operation::ConverseStream,
            "invoke" => Operation::InvokeModel,
            "invoke-with-response-stream" => Operation::InvokeModelWithResponseStream,
            "count-tokens" => Operation::CountTokens,
            _ => return None,
        };
        Some(Self {
            operation,
            id: decoded(id)?,
            guardrail_version: None,
        })
    }

    /// Labels of route and operation for metrics.
    pub(super) fn labels(&self) -> (&'static str, &'static str) {
        match self.operation {
            Operation::Converse => ("/model/{id}/converse", "chat"),
            Operation::ConverseStream => ("/model/{id}/converse-stream", "chat"),
            Operation::InvokeModel => ("/model/{id}/invoke", "invoke_model"),
            Operation::InvokeModelWithResponseStream => {
                ("/model/{id}/invoke-with-response-stream", "invoke_model")
            }
            Operation::CountTokens => ("/model/{id}/count-tokens", "count_tokens"),
            Operation::ApplyGuardrail => {
                ("/guardrail/{id}/version/{version}/apply", "apply_guardrail")
            }
            Operation::Passthrough { .. } => (OTHER, ""),
        }
    }

    /// Whether it is a request to a model for a response.
    pub(super) fn is_chat(&self) -> bool {
        !matches!(
            self.operation,
            Operation::CountTokens | Operation::ApplyGuardrail
        )
    }

    pub(super) fn is_stream(&self) -> bool {
        self.operation.framing() != Framing::Whole
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str =
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2";

    #[test]
    fn parses_encoded_and_plain_ids() {
        for (path, operation, id) in [
            (
                "/model/amazon.nova-lite-v1%3A0/converse",
                Operation::Converse,
                "amazon.nova-lite-v1:0",
            ),
            (
                "/model/amazon.nova-lite-v1:0/converse-stream",
                Operation::ConverseStream,
                "amazon.nova-lite-v1:0",
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2/invoke",
                Operation::InvokeModel,
                PROFILE,
            ),
            (
                "/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2/invoke-with-response-stream",
                Operation::InvokeModelWithResponseStream,
                PROFILE,
            ),
            (
                "/model/team/fast/count-tokens",
                Operation::CountTokens,
                "team/fast",
            ),
            (
                "/model/a%2Fconverse/converse",
                Operation::Converse,
                "a/converse",
            ),
        ] {
            let request = ApiRequest::parse(path).unwrap();
            assert_eq!(
                (request.operation, request.id.as_str()),
                (operation, id),
                "{path}"
            );
            assert_eq!(request.guardrail_version, None);
        }
    }

    #[test]
    fn parses_id_and_version_of_a_guardrail() {
        for path in [
            "/guardrail/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aguardrail%2Fabc/version/1/apply",
            "/guardrail/arn:aws:bedrock:us-east-1:1:guardrail/abc/version/1/apply",
        ] {
            let request = ApiRequest::parse(path).unwrap();
            assert_eq!(request.operation, Operation::ApplyGuardrail);
            assert_eq!(request.id, "arn:aws:bedrock:us-east-1:1:guardrail/abc");
            assert_eq!(request.guardrail_version.as_deref(), Some("1"));
        }
    }

    #[test]
    fn rejects_other_paths() {
        for path in [
            "/model/converse",
            "/model//converse",
            "/model/x/async-invoke",
            "/model/x/",
            "/model/%ff/converse",
            "/guardrail/x/apply",
            "/guardrail/x/version/1",
        ] {
            assert_eq!(ApiRequest::parse(path), None, "{path}");
        }
    }
}
