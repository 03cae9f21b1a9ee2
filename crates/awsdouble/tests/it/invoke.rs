//! InvokeModel, CountTokens and guardrails, with the AWS SDK as the client.

use aws_sdk_bedrockruntime::error::ProvideErrorMetadata as _;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::error::ResponseStreamError;
use aws_sdk_bedrockruntime::types::{
    CountTokensInput, GuardrailAction, GuardrailConfiguration, GuardrailContentBlock,
    GuardrailContentSource, GuardrailTextBlock, GuardrailTrace, InvokeModelTokensRequest,
    ResponseStream,
};
use awsdouble::config::Guardrail;
use awsdouble::{Double, Fault, FaultAction};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::bedrock::{MODEL, user_message};
use crate::client::*;

fn claude(text: &str) -> Value {
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1000,
        "messages": [{"role": "user", "content": text}]})
}

/// Returns the response body, or the error's code and message.
async fn invoke(double: &Double, model: &str, body: &Value) -> Result<Value, (String, String)> {
    let reply = bedrock(double, user())
        .invoke_model()
        .model_id(model)
        .content_type("application/json")
        .body(Blob::new(body.to_string()))
        .send()
        .await
        .map_err(|error| named(&error))?;
    Ok(serde_json::from_slice(reply.body().as_ref()).unwrap())
}

fn named(error: &impl aws_sdk_bedrockruntime::error::ProvideErrorMetadata) -> (String, String) {
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    (text(error.code()), text(error.message()))
}

/// Returns the streamed chunks, and the exception that ended the stream.
async fn invoke_streamed(double: &Double, model: &str, body: &Value) -> (Vec<Value>, String) {
    let mut reply = bedrock(double, user())
        .invoke_model_with_response_stream()
        .model_id(model)
        .body(Blob::new(body.to_string()))
        .send()
        .await
        .unwrap();
    let mut chunks = Vec::new();
    loop {
        match reply.body.recv().await {
            Ok(Some(ResponseStream::Chunk(part))) => {
                let bytes = part.bytes().unwrap();
                chunks.push(serde_json::from_slice(bytes.as_ref()).unwrap());
            }
            Ok(Some(_)) => {}
            Ok(None) => return (chunks, String::new()),
            Err(error) => {
                let error = error.into_service_error();
                let known = match &error {
                    ResponseStreamError::ThrottlingException(_) => "throttled",
                    ResponseStreamError::ModelStreamErrorException(_) => "model stream error",
                    _ => error.code().unwrap_or("other"),
                };
                return (chunks, known.to_owned());
            }
        }
    }
}

#[tokio::test]
async fn invokes_claude_with_anthropic_messages() {
    let (double, _) = irsa().await;
    let reply = invoke(&double, MODEL, &claude("Grüße, 世界"))
        .await
        .unwrap();
    assert_eq!(
        reply["content"],
        json!([{"type": "text", "text": "Grüße, 世界"}])
    );
    assert_eq!(
        (&reply["type"], &reply["stop_reason"], &reply["model"]),
        (
            &json!("message"),
            &json!("end_turn"),
            &json!("claude-3-haiku-20240307")
        )
    );
    let request = r#"@tool get_weather {"city":"Paris"}"#;
    let mut body = claude(request);
    body["tools"] = json!([{"name": "get_weather", "input_schema": {"type": "object"}}]);
    let reply = invoke(&double, MODEL, &body).await.unwrap();
    let call = &reply["content"][0];
    assert_eq!(call["input"], json!({"city": "Paris"}));
    assert!(call["id"].as_str().unwrap().starts_with("toolu_bdrk_01"));
    let call = &double.calls_of("InvokeModel")[0];
    assert_eq!(
        (call.status, call.model.as_deref()),
        (Some(200), Some(MODEL))
    );
    let (code, message) = invoke(&double, MODEL, &json!({"prompt": "x"}))
        .await
        .unwrap_err();
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "ValidationException",
            "prompt: Extra inputs are not permitted"
        )
    );
}

#[tokio::test]
async fn events_have_anthropics_order_and_the_last_one_has_metrics() {
    let (double, _) = irsa().await;
    let body = claude("hello you\n@reason because\n@tool get {\"a\":1}");
    let (events, ended) = invoke_streamed(&double, MODEL, &body).await;
    assert_eq!(ended, "");
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let mut short = kinds.clone();
    short.dedup();
    assert_eq!(
        short,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let metrics = &events.last().unwrap()["amazon-bedrock-invocationMetrics"];
    assert!(
        metrics["outputTokenCount"].as_u64().unwrap() > 3,
        "{metrics}"
    );
    // The stream and the plain response have the same content.
    let plain = invoke(&double, MODEL, &body).await.unwrap();
    let received = |kind: &str, field: &str| -> String {
        events
            .iter()
            .filter(|event| event["delta"]["type"] == kind)
            .map(|event| event["delta"][field].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        plain["content"][0]["thinking"],
        received("thinking_delta", "thinking")
    );
    assert_eq!(
        plain["content"][0]["signature"],
        received("signature_delta", "signature")
    );
    assert_eq!(plain["content"][1]["text"], received("text_delta", "text"));
    assert_eq!(
        plain["content"][2]["input"].to_string(),
        received("input_json_delta", "partial_json")
    );
    // The content is accepted in the next request.
    let mut next = claude("x");
    next["messages"] = json!([{"role": "user", "content": "hi"},
        {"role": "assistant", "content": plain["content"].clone()},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": plain["content"][2]["id"], "content": "7"}]}]);
    let reply = invoke(&double, MODEL, &next).await.unwrap();
    assert!(
        reply["content"][0]["text"]
            .as_str()
            .unwrap()
            .ends_with("success: 7")
    );
}

#[tokio::test]
async fn an_exception_within_a_stream_is_a_separate_frame() {
    let (double, _) = irsa().await;
    let body = claude("hello world\n@midstream-exception throttlingException 3");
    let (events, ended) = invoke_streamed(&double, MODEL, &body).await;
    assert_eq!((events.len(), ended.as_str()), (3, "throttled"));
    double.inject(
        Fault::new(
            "InvokeModelWithResponseStream",
            FaultAction::StreamException {
                after: 1,
                code: "ModelStreamErrorException".to_owned(),
                message: String::new(),
            },
        )
        .times(1),
    );
    let (events, ended) = invoke_streamed(&double, MODEL, &claude("hello")).await;
    assert_eq!((events.len(), ended.as_str()), (1, "model stream error"));
}

#[tokio::test]
async fn responses_have_token_counts_in_headers() {
    let (double, _) = irsa().await;
    let body = claude("12345678").to_string();
    let target = format!("/model/{MODEL}/invoke");
    let headers = [("x-amzn-bedrock-service-tier", "priority")];
    let (status, head, _) = signed(&double, "bedrock", "POST", &target, &headers, &body).await;
    assert_eq!(status, 200, "{head}");
    for line in [
        "x-amzn-bedrock-input-token-count: 2",
        "x-amzn-bedrock-output-token-count: 2",
        "x-amzn-bedrock-invocation-latency: 42",
        "x-amzn-bedrock-service-tier: priority",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
}

#[tokio::test]
async fn supports_the_body_formats_of_llama_mistral_and_nova() {
    let (double, _) = irsa_with(|mut config| {
        config.regions.clear();
        config
    })
    .await;
    let rows = [
        (
            "us.meta.llama3-3-70b-instruct-v1:0",
            json!({"prompt": "<|begin_of_text|>hello you", "max_gen_len": 100}),
            "/generation",
            "hello you",
        ),
        (
            "mistral.mistral-7b-instruct-v0:2",
            json!({"prompt": "<s>[INST] hello you [/INST]", "max_tokens": 100}),
            "/outputs/0/text",
            "hello you",
        ),
        (
            "amazon.nova-lite-v1:0",
            json!({"schemaVersion": "messages-v1", "messages": [{"role": "user", "content": [{"text": "hello you"}]}],
                "inferenceConfig": {"maxTokens": 50, "topK": 20}}),
            "/output/message/content/0/text",
            "hello you",
        ),
    ];
    for (model, body, pointer, received) in rows {
        let reply = invoke(&double, model, &body).await.unwrap();
        assert_eq!(reply.pointer(pointer).unwrap(), received, "{model}");
        let (chunks, _) = invoke_streamed(&double, model, &body).await;
        let metrics = &chunks.last().unwrap()["amazon-bedrock-invocationMetrics"];
        assert!(
            metrics["inputTokenCount"].as_u64().unwrap() > 0,
            "{model}: {chunks:?}"
        );
    }
}

#[tokio::test]
async fn embeddings_images_and_ranks_depend_on_the_request() {
    let (double, _) = irsa().await;
    let near = |one: &Value, other: &Value| -> f64 {
        let numbers = |v: &Value| -> Vec<f64> {
            v.as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_f64().unwrap())
                .collect()
        };
        numbers(one)
            .iter()
            .zip(numbers(other))
            .map(|(a, b)| a * b)
            .sum()
    };
    let titan = |text: &str| json!({"inputText": text, "dimensions": 256, "normalize": true});
    let model = "amazon.titan-embed-text-v2:0";
    let one = invoke(&double, model, &titan("red apples are sweet"))
        .await
        .unwrap();
    let two = invoke(&double, model, &titan("Red apples")).await.unwrap();
    let other = invoke(&double, model, &titan("steel bridge"))
        .await
        .unwrap();
    assert_eq!(one["embedding"].as_array().unwrap().len(), 256);
    assert!(
        near(&one["embedding"], &two["embedding"]) > 0.5
            && near(&one["embedding"], &other["embedding"]) < 0.3
    );
    let cohere = json!({"texts": ["a", "b", "c"], "input_type": "search_document"});
    let reply = invoke(&double, "cohere.embed-english-v3", &cohere)
        .await
        .unwrap();
    assert_eq!(reply["embeddings"].as_array().unwrap().len(), 3);
    let nova = json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {
        "embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 384,
        "text": {"truncationMode": "END", "value": "hello"}}});
    let reply = invoke(&double, "amazon.nova-2-multimodal-embeddings-v1:0", &nova)
        .await
        .unwrap();
    assert_eq!(
        reply["embeddings"][0]["embedding"]
            .as_array()
            .unwrap()
            .len(),
        384
    );
    let rank = json!({"query": "capital of France", "api_version": 2, "top_n": 2,
        "documents": ["a dog", "Paris is the capital of France", "capital letters"]});
    let reply = invoke(&double, "cohere.rerank-v3-5:0", &rank)
        .await
        .unwrap();
    let indexes: Vec<&Value> = reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["index"])
        .collect();
    assert_eq!(indexes, [1, 2]);
    let canvas = json!({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a cat"},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 1024, "height": 1024}});
    let reply = invoke(&double, "amazon.nova-canvas-v1:0", &canvas)
        .await
        .unwrap();
    let images = reply["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_ne!(images[0], images[1]);
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(images[0].as_str().unwrap())
        .unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82"));
    let (_, message) = invoke(&double, "amazon.titan-embed-text-v1", &titan("x"))
        .await
        .unwrap_err();
    assert!(
        message.contains("extraneous key [dimensions] is not permitted"),
        "{message}"
    );
}

#[tokio::test]
async fn counts_tokens_for_supported_models_only() {
    let (double, _) = irsa().await;
    let count = async |model: &str, body: &Value| {
        let request = InvokeModelTokensRequest::builder()
            .body(Blob::new(body.to_string()))
            .build()
            .unwrap();
        bedrock(&double, user())
            .count_tokens()
            .model_id(model)
            .input(CountTokensInput::InvokeModel(request))
            .send()
            .await
            .map(|reply| reply.input_tokens())
            .map_err(|error| named(&error).1)
    };
    assert_eq!(count(MODEL, &claude("12345678")).await, Ok(2));
    let unsupported = Err("The provided model doesn't support counting tokens.".to_owned());
    for model in [
        "us.anthropic.claude-3-haiku-20240307-v1:0",
        "amazon.nova-lite-v1:0",
        "anthropic.claude-opus-4-7",
    ] {
        assert_eq!(count(model, &claude("x")).await, unsupported, "{model}");
    }
}

#[tokio::test]
async fn a_guardrail_replaces_the_response() {
    let (double, _) = irsa_with(|mut config| {
        config.guardrails.push(Guardrail {
            id: "gr1".to_owned(),
            version: "1".to_owned(),
            blocked_words: vec!["forbidden".to_owned()],
            message: "No.".to_owned(),
        });
        config
    })
    .await;
    let client = bedrock(&double, user());
    let ask = async |text: &str| {
        let guardrail = GuardrailConfiguration::builder()
            .guardrail_identifier("gr1")
            .guardrail_version("1")
            .trace(GuardrailTrace::Enabled)
            .build();
        let reply = client
            .converse()
            .model_id(MODEL)
            .messages(user_message(text))
            .guardrail_config(guardrail)
            .send()
            .await
            .unwrap();
        let message = reply.output().unwrap().as_message().unwrap();
        let received = message.content()[0].as_text().unwrap().clone();
        let trace = reply.trace().unwrap().guardrail().unwrap().clone();
        (received, reply.stop_reason().as_str().to_owned(), trace)
    };
    let (received, stop, _) = ask("fine").await;
    assert_eq!((received.as_str(), stop.as_str()), ("fine", "end_turn"));
    let (received, stop, trace) = ask("something FORBIDDEN here").await;
    assert_eq!(
        (received.as_str(), stop.as_str()),
        ("No.", "guardrail_intervened")
    );
    let words = trace.input_assessment().unwrap()["gr1"]
        .word_policy()
        .unwrap();
    assert_eq!(words.custom_words()[0].r#match(), "forbidden");
    let reply = client
        .apply_guardrail()
        .guardrail_identifier("gr1")
        .guardrail_version("1")
        .source(GuardrailContentSource::Output)
        .content(GuardrailContentBlock::Text(
            GuardrailTextBlock::builder()
                .text("forbidden")
                .build()
                .unwrap(),
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.action(), &GuardrailAction::GuardrailIntervened);
    assert_eq!(reply.outputs()[0].text(), Some("No."));
    let headers = [
        ("x-amzn-bedrock-guardrailidentifier", "gr1"),
        ("x-amzn-bedrock-guardrailversion", "1"),
    ];
    let body = claude("forbidden").to_string();
    let target = format!("/model/{MODEL}/invoke");
    let (_, _, body) = signed(&double, "bedrock", "POST", &target, &headers, &body).await;
    let reply: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(reply["amazon-bedrock-guardrailAction"], "INTERVENED");
    assert_eq!(reply["content"][0]["text"], "No.");
    let unknown = client
        .apply_guardrail()
        .guardrail_identifier("gr-2")
        .guardrail_version("1")
        .source(GuardrailContentSource::Input)
        .content(GuardrailContentBlock::Text(
            GuardrailTextBlock::builder().text("x").build().unwrap(),
        ))
        .send()
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn each_operation_requires_its_own_permission() {
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}]});
    let (double, _) = irsa_with(|mut config| {
        config.users[0].policies = vec![policy];
        config
    })
    .await;
    invoke(&double, MODEL, &claude("x")).await.unwrap();
    let body = claude("x").to_string();
    for (target, action) in [
        (
            format!("/model/{MODEL}/invoke-with-response-stream"),
            "bedrock:InvokeModelWithResponseStream",
        ),
        (
            format!("/model/{MODEL}/count-tokens"),
            "bedrock:CountTokens",
        ),
        (
            "/guardrail/gr1/version/1/apply".to_owned(),
            "bedrock:ApplyGuardrail",
        ),
    ] {
        let (status, _, reply) = signed(&double, "bedrock", "POST", &target, &[], &body).await;
        assert_eq!(status, 403, "{reply}");
        let wanted = format!("is not authorized to perform: {action} on resource");
        assert!(reply.contains(&wanted), "{reply}");
    }
}
