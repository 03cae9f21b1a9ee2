//! Bedrock Runtime: authentication, responses, streams, scripts.

use aws_sdk_bedrockruntime::error::ProvideErrorMetadata as _;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput, Message,
};
use awsdouble::Double;

use crate::client::*;

pub(crate) const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";

pub(crate) fn user_message(text: &str) -> Message {
    Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(text.to_owned()))
        .build()
        .unwrap()
}

/// Returns the text of the response, or the error's code and message.
async fn ask(double: &Double, text: &str) -> Result<String, (String, String)> {
    let reply = bedrock(double, user())
        .converse()
        .model_id(MODEL)
        .messages(user_message(text))
        .send()
        .await
        .map_err(|error| {
            (
                error.code().unwrap_or_default().to_owned(),
                error.message().unwrap_or_default().to_owned(),
            )
        })?;
    let message = reply.output().unwrap().as_message().unwrap();
    Ok(message.content()[0].as_text().unwrap().clone())
}

/// Returns the streamed text and stop reason, or the error that ended the stream.
async fn ask_streamed(double: &Double, text: &str) -> Result<(String, String), String> {
    let mut reply = bedrock(double, user())
        .converse_stream()
        .model_id(MODEL)
        .messages(user_message(text))
        .send()
        .await
        .map_err(|error| error.code().unwrap_or_default().to_owned())?;
    let (mut received, mut stop) = (String::new(), String::new());
    loop {
        match reply.stream.recv().await {
            Ok(Some(ConverseStreamOutput::ContentBlockDelta(event))) => {
                if let Some(ContentBlockDelta::Text(text)) = event.delta() {
                    received.push_str(text);
                }
            }
            Ok(Some(ConverseStreamOutput::MessageStop(event))) => {
                event.stop_reason().as_str().clone_into(&mut stop);
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok((received, stop)),
            Err(error) => {
                let throttled = error
                    .as_service_error()
                    .is_some_and(ConverseStreamOutputError::is_throttling_exception);
                return Err(if throttled { "throttled" } else { "transport" }.to_owned());
            }
        }
    }
}

#[tokio::test]
async fn plain_and_streamed_responses_have_the_same_text() {
    let (double, _) = irsa().await;
    let text = "Grüße, 世界 🌍 — how are you today?";
    assert_eq!(ask(&double, text).await.unwrap(), text);
    let (received, stop) = ask_streamed(&double, text).await.unwrap();
    assert_eq!((received.as_str(), stop.as_str()), (text, "end_turn"));
    for shape in [
        "@split 1",
        "@split 7",
        "@coalesce",
        "@chunk 3",
        "@unknown-event",
        "@metadata-first",
    ] {
        let (received, _) = ask_streamed(&double, &format!("{text}\n{shape}"))
            .await
            .unwrap();
        assert_eq!(received, text, "{shape}");
    }
    let stream = double.calls_of("ConverseStream")[0].stream.clone().unwrap();
    assert_eq!(stream.ended, "complete");
    assert!(stream.events > 8, "{stream:?}");
}

#[tokio::test]
async fn sessions_can_be_expired_and_deleted() {
    let (double, issuer) = irsa().await;
    let credentials = assume(&double, &token(&issuer)).await;
    let call = || {
        bedrock(&double, credentials.clone())
            .converse()
            .model_id(MODEL)
            .messages(user_message("hi"))
            .send()
    };
    call().await.unwrap();
    assert_eq!(
        double.calls_of("Converse")[0]
            .identity
            .as_ref()
            .unwrap()
            .generation,
        1
    );
    double.revoke_sessions();
    let error = call().await.unwrap_err();
    assert_eq!(error.code(), Some("ExpiredTokenException"));
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
    double.forget_sessions();
    assert_eq!(
        call().await.unwrap_err().code(),
        Some("UnrecognizedClientException")
    );
}

#[tokio::test]
async fn credentials_expire_after_their_lifetime() {
    let (double, issuer) = irsa_with(|config| config.with_credential_lifetime(60)).await;
    let credentials = assume(&double, &token(&issuer)).await;
    let call = |credentials| {
        bedrock(&double, credentials)
            .converse()
            .model_id(MODEL)
            .messages(user_message("hi"))
            .send()
    };
    call(credentials.clone()).await.unwrap();
    double.set_clock_skew(61);
    assert_eq!(
        call(credentials).await.unwrap_err().code(),
        Some("ExpiredTokenException")
    );
}

#[tokio::test]
async fn a_wrong_secret_or_clock_skew_is_an_invalid_signature() {
    let (double, _) = irsa().await;
    let wrong = aws_credential_types::Credentials::new("AKIDEXAMPLE", "wrong", None, None, "test");
    let call = |credentials| {
        bedrock(&double, credentials)
            .converse()
            .model_id(MODEL)
            .messages(user_message("hi"))
            .send()
    };
    let error = call(wrong).await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidSignatureException"));
    assert!(
        error
            .message()
            .unwrap()
            .starts_with("The request signature we calculated does not match")
    );
    for (skew, text) in [
        (400, "Signature expired: "),
        (-400, "Signature not yet current: "),
    ] {
        double.set_clock_skew(skew);
        let error = call(user()).await.unwrap_err();
        assert_eq!(error.code(), Some("InvalidSignatureException"));
        assert!(error.message().unwrap().starts_with(text), "{error:?}");
    }
    let unknown = aws_credential_types::Credentials::new("AKIAUNKNOWN", "x", None, None, "test");
    double.set_clock_skew(0);
    assert_eq!(
        call(unknown).await.unwrap_err().code(),
        Some("UnrecognizedClientException")
    );
}

#[tokio::test]
async fn accepts_an_arn_in_the_signed_path() {
    let (double, _) = irsa().await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0";
    bedrock(&double, user())
        .converse()
        .model_id(arn)
        .messages(user_message("hi"))
        .send()
        .await
        .unwrap();
    let call = &double.calls()[0];
    assert_eq!(call.model.as_deref(), Some(arn));
    assert!(call.path.contains("arn%3Aaws%3Abedrock"), "{}", call.path);
}

#[tokio::test]
async fn rejects_a_request_with_a_missing_or_wrong_api_key() {
    let (double, _) = irsa().await;
    let path = "/model/m/converse";
    let (status, head, body) = http(&double, "POST", path, &[], "{}").await;
    assert_eq!(
        (status, body.as_str()),
        (403, r#"{"message":"Missing Authentication Token"}"#)
    );
    assert!(
        head.contains("x-amzn-errortype: missingauthenticationtokenexception"),
        "{head}"
    );
    assert!(head.contains("x-amzn-requestid: "), "{head}");
    let (status, _, body) = http(
        &double,
        "POST",
        path,
        &[("authorization", "Bearer nope")],
        "{}",
    )
    .await;
    assert_eq!(status, 403);
    assert!(
        body.contains("Please make sure your API Key is valid"),
        "{body}"
    );
    let key = [("authorization", "Bearer bedrock-api-key-0123456789")];
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let (status, _, body) = http(
        &double,
        "POST",
        &format!("/model/{MODEL}/converse"),
        &key,
        body,
    )
    .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(double.calls()[2].identity.as_ref().unwrap().kind, "bearer");
}

#[tokio::test]
async fn scripted_errors_have_the_format_of_aws() {
    let (double, _) = irsa().await;
    let (code, message) = ask(&double, "@error ThrottlingException")
        .await
        .unwrap_err();
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "ThrottlingException",
            "Too many requests, please wait before trying again."
        )
    );
    assert_eq!(
        ask(&double, "@error ModelTimeoutException too slow")
            .await
            .unwrap_err()
            .1,
        "too slow"
    );
    assert_eq!(
        ask_streamed(
            &double,
            "hello world, hello\n@midstream-exception throttlingException 2"
        )
        .await
        .unwrap_err(),
        "throttled"
    );
    assert_eq!(
        ask_streamed(&double, "hello\n@cut 2").await.unwrap_err(),
        "transport"
    );
    let (received, stop) = ask_streamed(&double, "hello world\n@end 2").await.unwrap();
    assert_eq!((received.as_str(), stop.as_str()), ("hell", ""));
    let ends: Vec<String> = double
        .calls_of("ConverseStream")
        .iter()
        .map(|call| call.stream.clone().unwrap().ended)
        .collect();
    assert_eq!(ends, ["complete", "cut", "complete"]);
}

#[tokio::test]
async fn records_a_client_that_disconnects() {
    let (double, _) = irsa().await;
    let mut reply = bedrock(&double, user())
        .converse_stream()
        .model_id(MODEL)
        .messages(user_message("@repeat 1000 word\n@slow 20ms"))
        .send()
        .await
        .unwrap();
    reply.stream.recv().await.unwrap();
    drop(reply);
    let ended = || double.calls()[0].stream.clone().unwrap().ended;
    for _ in 0..200 {
        if ended() != "open" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(ended(), "cancelled");
}

#[tokio::test]
async fn admin_endpoints_inject_faults_and_return_calls() {
    let (double, _) = irsa().await;
    let fault = r#"{"operation":"Converse","times":1,"action":{"kind":"error","status":503,"code":"ServiceUnavailableException"}}"#;
    let (status, _, _) = http(&double, "POST", "/_double/faults", &[], fault).await;
    assert_eq!(status, 200);
    assert_eq!(
        ask(&double, "hi").await.unwrap_err().0,
        "ServiceUnavailableException"
    );
    assert_eq!(ask(&double, "hi").await.unwrap(), "hi");
    let (_, _, body) = http(&double, "GET", "/_double/calls?operation=Converse", &[], "").await;
    let calls: Vec<awsdouble::Call> = serde_json::from_str(&body).unwrap();
    assert_eq!(calls, double.calls());
    let (status, _, body) = http(
        &double,
        "POST",
        "/_double/faults",
        &[],
        r#"{"action":{"kind":"explode"}}"#,
    )
    .await;
    assert_eq!(status, 400, "{body}");
}
