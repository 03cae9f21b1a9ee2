//! Exceptions of AWS, as responses and in streams.

use awsdouble::{Fault, FaultAction};

use super::{CONVERSE, STREAM, check_error, post, prompt, upstream::frames_of};
use crate::rig::Rig;

/// Every exception of Bedrock Runtime with its status.
const EXCEPTIONS: [(&str, u16); 11] = [
    ("ValidationException", 400),
    ("ServiceQuotaExceededException", 400),
    ("AccessDeniedException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ModelErrorException", 424),
    ("ModelStreamErrorException", 424),
    ("ThrottlingException", 429),
    ("ModelNotReadyException", 429),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
];

#[tokio::test]
async fn forwards_each_aws_exception_unchanged() {
    let rig = Rig::laptop().await;
    for (name, status) in EXCEPTIONS {
        for (path, operation) in [(CONVERSE, "Converse"), (STREAM, "ConverseStream")] {
            for empty_body in [false, true] {
                rig.double.clear_faults();
                let message = format!("AWS's message for {name}");
                rig.double.inject(Fault::new(
                    operation,
                    FaultAction::Error {
                        status,
                        code: name.to_owned(),
                        message: message.clone(),
                        empty_body,
                    },
                ));
                let response = post(&rig, path, &[], &prompt("x")).await;
                assert_eq!(response.status, status, "{name}");
                // As at AWS, some names are followed by a colon and a namespace.
                let kind = response.headers["x-amzn-errortype"].to_str().unwrap();
                assert!(kind.starts_with(name), "{kind}");
                if empty_body {
                    assert_eq!(response.text(), "{}", "{name}");
                    assert_eq!(response.headers["x-amzn-errormessage"], message.as_str());
                } else {
                    assert_eq!(response.json()["message"], message);
                }
                let id = rig
                    .double
                    .calls_of(operation)
                    .last()
                    .unwrap()
                    .request_id
                    .clone();
                assert_eq!(
                    response.headers["x-amzn-requestid"],
                    id.as_str(),
                    "AWS's own request id"
                );
            }
        }
    }
}

#[tokio::test]
async fn forwards_an_exception_in_a_stream_at_its_position() {
    let rig = Rig::laptop().await;
    for (name, status) in EXCEPTIONS {
        let inject = |after| {
            rig.double.clear_faults();
            rig.double.inject(Fault::new(
                "ConverseStream",
                FaultAction::StreamException {
                    after,
                    code: name.to_owned(),
                    message: format!("about {name}"),
                },
            ));
        };
        inject(0);
        let response = post(&rig, STREAM, &[], &prompt("x")).await;
        check_error(&response, status, name, &format!("about {name}"));
        inject(3);
        let response = post(&rig, STREAM, &[], &prompt("a long enough answer")).await;
        assert_eq!(response.status, 200);
        let frames = frames_of(&response.body);
        assert_eq!(frames.len(), 4, "{name}");
        let (kind, payload) = frames.last().unwrap();
        assert!(kind.eq_ignore_ascii_case(name), "{kind}");
        assert!(payload.contains(&format!("about {name}")), "{payload}");
    }
}

#[tokio::test]
async fn a_stream_cut_between_frames_ends_with_a_modeled_exception() {
    let rig = Rig::laptop().await;
    rig.double.inject(Fault::new(
        "ConverseStream",
        FaultAction::StreamCut { after: 3 },
    ));
    let response = post(&rig, STREAM, &[], &prompt("a long enough answer")).await;
    let frames = frames_of(&response.body);
    let (kind, payload) = frames.last().unwrap();
    assert_eq!(kind, "serviceUnavailableException");
    assert!(payload.contains("ended early"), "{payload}");
    let failed = "bedrock_gateway_requests_total{route=\"/model/{id}/converse-stream\",status=\"502\",reason=\"stream_cut\"}";
    assert_eq!(rig.metric(failed).await, Some(1.0));
}
