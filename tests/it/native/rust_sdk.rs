//! `aws-sdk-bedrockruntime`, the SDK's own signer, frame reader and errors against the gateway.

use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{Credentials, Region, Token, retry::RetryConfig},
    error::ProvideErrorMetadata as _,
    primitives::Blob,
    types::{
        ContentBlock, ConversationRole, ConverseStreamOutput, Message,
        error::ConverseStreamOutputError,
    },
};
use serde_json::{Value, json};

use super::{KEY, MODEL, PROFILE, PROMPT, rig, url};
use crate::support::gateway::Gateway;

/// What AWS_BEARER_TOKEN_BEDROCK gives it, or an access key.
fn client(gateway: &Gateway, access_key: Option<(&str, &str)>) -> Client {
    let config = Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .endpoint_url(url(gateway))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled());
    Client::from_conf(match access_key {
        None => config.bearer_token(Token::new(KEY, None)).build(),
        Some((id, secret)) => config
            .credentials_provider(Credentials::new(id, secret, None, None, "test"))
            .build(),
    })
}

fn turn(text: &str) -> Message {
    Message::builder()
        .role(ConversationRole::User)
        .content(ContentBlock::Text(text.to_owned()))
        .build()
        .unwrap()
}

async fn converse(client: &Client, model: &str, text: &str) -> Result<String, (String, String)> {
    let reply = client
        .converse()
        .model_id(model)
        .messages(turn(text))
        .send()
        .await
        .map_err(|error| {
            let code = error.code().unwrap_or_default().to_owned();
            (code, error.message().unwrap_or_default().to_owned())
        })?;
    let message = reply.output.unwrap().as_message().unwrap().clone();
    Ok(message.content[0].as_text().unwrap().clone())
}

#[tokio::test]
async fn aws_sdk_for_rust_converses_and_invokes_by_bearer_token_or_signature() {
    let (_double, gateway) = rig().await;
    let bearer = client(&gateway, None);
    assert_eq!(
        converse(&bearer, MODEL, PROMPT).await.as_deref(),
        Ok(PROMPT)
    );
    assert_eq!(
        converse(&bearer, PROFILE, PROMPT).await.as_deref(),
        Ok(PROMPT)
    );
    let signed = client(&gateway, Some(("default", KEY)));
    assert_eq!(
        converse(&signed, PROFILE, PROMPT).await.as_deref(),
        Ok(PROMPT)
    );
    let wrong = client(&gateway, Some(("default", "another key")));
    let (code, message) = converse(&wrong, MODEL, PROMPT).await.unwrap_err();
    assert_eq!(code, "UnrecognizedClientException");
    assert!(message.contains("secret access key"), "{message}");

    let body = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": PROMPT }],
    });
    let reply = bearer
        .invoke_model()
        .model_id(MODEL)
        .body(Blob::new(body.to_string()))
        .send()
        .await
        .unwrap();
    let reply: Value = serde_json::from_slice(reply.body.as_ref()).unwrap();
    assert_eq!(reply["content"][0]["text"], PROMPT);
}

#[tokio::test]
async fn aws_sdk_for_rust_reads_the_stream_and_raises_what_is_in_it() {
    let (_double, gateway) = rig().await;
    let client = client(&gateway, None);
    for (prompt, ends_well) in [
        (PROMPT.to_owned(), true),
        (
            "words and words\n@midstream-exception ThrottlingException 2 slow down".to_owned(),
            false,
        ),
    ] {
        let request = client
            .converse_stream()
            .model_id(MODEL)
            .messages(turn(&prompt));
        let mut stream = request.send().await.unwrap().stream;
        let mut text = String::new();
        let end = loop {
            match stream.recv().await {
                Ok(Some(ConverseStreamOutput::ContentBlockDelta(delta))) => {
                    text.push_str(delta.delta.unwrap().as_text().unwrap());
                }
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into_service_error()),
            }
        };
        match end {
            Ok(()) => assert_eq!((text.as_str(), ends_well), (PROMPT, true)),
            Err(ConverseStreamOutputError::ThrottlingException(error)) => {
                assert!(!ends_well);
                assert_eq!(error.message(), Some("slow down"));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let (code, message) = converse(&client, "no.such-model", PROMPT)
        .await
        .unwrap_err();
    assert_eq!(
        (code.as_str(), message.is_empty()),
        ("ValidationException", false)
    );
}
