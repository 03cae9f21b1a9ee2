//! `/v1/chat/completions` for models with this API on Bedrock: forwarded unchanged and signed.

use awsdouble::{Fault, FaultAction};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{
    MODEL, Plan, Rig, ask, ask_stream, events, eventually, read_until, streamed_text,
};

const PATH: &str = "/v1/chat/completions";
const DOCUMENT: &str = "clients: {anonymous: true}\nendpoints: {bedrockMantle: '{mantle}'}\nmodels:\n- {name: runtime, targets: [{modelId: 'openai.gpt-oss-20b-1:0'}]}\n- {name: mantle, targets: [{modelId: 'openai.gpt-oss-20b'}]}\n- {name: converse, targets: [{modelId: 'openai.gpt-oss-20b-1:0', api: Converse}]}\n- {name: responses-only, targets: [{modelId: 'openai.gpt-5.5'}]}\n- {name: mixed, targets: [{modelId: 'openai.gpt-oss-20b-1:0'}, {modelId: 'amazon.nova-lite-v1:0', priority: 1}]}";
const PASSTHROUGH: [&str; 2] = ["runtime", "mantle"];

fn tool_call(model: &str, stream: bool) -> Value {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut body = ask(model, "two\n@tool f {\"z\":1,\"a\":2}\n@tool g {}");
    body["tools"] = json!([tool("f"), tool("g")]);
    body["stream"] = Value::from(stream);
    body
}

#[tokio::test]
async fn forwards_the_request_unchanged_except_for_the_model() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (alias, model) in [
        ("runtime", "openai.gpt-oss-20b-1:0"),
        ("mantle", "openai.gpt-oss-20b"),
    ] {
        rig.double.clear_calls();
        let body = |model: &str| {
            format!(
                "{{ \"messages\":[{{\"content\":\"h\\u0069\",\"role\":\"user\"}}], \"model\" : \"{model}\" ,\"seed\":7,\"logprobs\":true,\"top_logprobs\":2,\"moderation\":{{}},\"logit_bias\":{{\"50256\":-100}},\"frequency_penalty\":0.50,\"new_field\":{{\"n\":1.0}} }}"
            )
        };
        let response = rig.call(Method::POST, PATH, &[], body(alias)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let completion = response.json();
        assert_eq!(completion["choices"][0]["message"]["content"], "hi");
        assert_eq!(
            completion["model"], alias,
            "the response has the client's model name"
        );
        assert!(response.headers.contains_key("x-amzn-requestid"));
        let calls = rig.double.calls_of("ChatCompletions");
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].body, body(model));
    }
}

#[tokio::test]
async fn forwards_the_stream_with_the_clients_model_and_counts_its_tokens() {
    for model in PASSTHROUGH {
        let rig = Rig::with_document(DOCUMENT).await;
        let response = rig.chat(&ask_stream(model, "hello there – 🦊")).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let events = response.events();
        assert_eq!(streamed_text(&events), "hello there – 🦊");
        assert_eq!(events.last().unwrap(), "[DONE]");
        let chunks = &events[..events.len() - 1];
        assert!(chunks.iter().all(|chunk| chunk["model"] == model));
        let usage = &chunks.last().unwrap()["usage"];
        let tokens = usage["completion_tokens"].as_u64().unwrap();
        let page = rig.admin("/metrics").await.text();
        let counted = page.lines().any(|line| {
            let sum = line.contains("token_usage") && line.contains("_sum") && line.contains(model);
            sum && line.contains("\"output\"") && line.ends_with(&format!(" {tokens}.0"))
        });
        assert!(counted, "{tokens}: {page}");
    }
}

#[tokio::test]
async fn numbers_streamed_tool_calls_from_zero() {
    for model in PASSTHROUGH {
        let rig = Rig::with_document(DOCUMENT).await;
        let whole = rig.chat(&tool_call(model, false)).await.json();
        let calls = whole["choices"][0]["message"]["tool_calls"]
            .as_array()
            .unwrap();
        assert_eq!(calls[0]["function"]["arguments"], "{\"z\":1,\"a\":2}");
        let events = rig.chat(&tool_call(model, true)).await.events();
        let mut arguments = vec![String::new(), String::new()];
        for event in &events {
            for call in event["choices"][0]["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                arguments[index].push_str(call["function"]["arguments"].as_str().unwrap());
            }
        }
        assert_eq!(arguments, ["{\"z\":1,\"a\":2}", "{}"], "{model}");
    }
}

#[tokio::test]
async fn reasoning_in_the_text_is_in_its_own_field() {
    let rig = Rig::with_document(DOCUMENT).await;
    let script = "hello you\n@reason why";
    let plain = rig.chat(&ask("runtime", script)).await.json();
    let message = &plain["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "why", "{plain}");
    assert_eq!(message["content"], "hello you");
    let response = rig.chat(&ask_stream("runtime", script)).await;
    let events = response.events();
    assert_eq!(streamed_text(&events), "hello you");
    let reasoning: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["reasoning_content"].as_str())
        .collect();
    assert_eq!(reasoning, "why");
}

#[tokio::test]
async fn a_target_can_select_converse() {
    let rig = Rig::with_document(DOCUMENT).await;
    let mut body = ask("converse", "hi");
    body["guardrailConfig"] = Value::Null;
    for stream in [false, true] {
        body["stream"] = stream.into();
        let response = rig.chat(&body).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(rig.double.calls_of("Converse").len(), 1);
    assert_eq!(rig.double.calls_of("ConverseStream").len(), 1);
    assert!(rig.double.calls_of("ChatCompletions").is_empty());
}

#[tokio::test]
async fn rejects_fields_and_models_that_bedrocks_endpoint_does_not_support() {
    let rig = Rig::with_document(DOCUMENT).await;
    for field in [
        "thinking",
        "guardrailConfig",
        "additionalModelRequestFields",
    ] {
        let mut body = ask("runtime", "hi");
        body[field] = json!({"type": "enabled"});
        let rejected = rig.chat(&body).await;
        assert_eq!(rejected.status, 400, "{}", rejected.text());
        assert_eq!(rejected.error()["param"], field);
    }
    let unsupported = rig.chat(&ask("responses-only", "hi")).await;
    assert_eq!(unsupported.status, 400, "{}", unsupported.text());
    assert_eq!(unsupported.error()["param"], "model");
    let message = unsupported.error()["message"].to_string();
    assert!(message.contains("/v1/responses"), "{message}");
    assert!(
        rig.double
            .calls()
            .iter()
            .all(|call| call.service != "bedrock-runtime")
    );
}

#[tokio::test]
async fn errors_of_bedrocks_endpoint_keep_status_message_and_request_id() {
    let rig = Rig::with_document(DOCUMENT).await;
    // An error about the gateway's permissions must not look like an error about the client's key.
    for (code, status, expected) in [
        ("ValidationException", 400, 400),
        ("ThrottlingException", 429, 429),
        ("ServiceUnavailableException", 503, 503),
        ("AccessDeniedException", 403, 403),
        ("UnrecognizedClientException", 403, 502),
    ] {
        for (model, stream) in [("runtime", false), ("runtime", true), ("mantle", false)] {
            rig.double.clear_faults();
            let message = match code {
                "AccessDeniedException" => "User: arn:aws:iam::1:user/u is not authorized to perform: bedrock:InvokeModel on resource: x".to_owned(),
                code => format!("Bedrock's message for {code}"),
            };
            let error = FaultAction::Error {
                status,
                code: code.to_owned(),
                message: message.clone(),
                empty_body: false,
            };
            rig.double
                .inject(Fault::new("ChatCompletions", error).times(9));
            let mut body = ask(model, "hi");
            body["stream"] = stream.into();
            let response = rig.chat(&body).await;
            assert_eq!(response.status, expected, "{}", response.text());
            let error = response.error();
            let text = error["message"].as_str().unwrap();
            assert!(text.starts_with(&message), "{text}");
            assert_eq!(error["code"], code);
            assert!(error["request_id"].is_string(), "{error}");
            assert!(error["aws_request_id"].is_string(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_cut_stream_ends_with_an_error_event_and_without_done() {
    let rig = Rig::with_document(DOCUMENT).await;
    for model in PASSTHROUGH {
        for (prompt, code) in [
            (
                "@midstream-exception throttlingException 4 slow down\nhello there",
                "ThrottlingException",
            ),
            ("@end 4\nhello there", "stream_cut"),
            ("@cut 4\nhello there", "stream_cut"),
        ] {
            let response = rig.chat(&ask_stream(model, prompt)).await;
            assert_eq!(response.status, 200);
            let text = response.text();
            let last = events(&text).pop().unwrap();
            assert_eq!(last["error"]["code"], code, "{model} {prompt}: {text}");
            assert!(last["error"]["status"].is_u64(), "{text}");
            assert!(!text.contains("[DONE]"), "{text}");
        }
    }
}

#[tokio::test]
async fn fails_over_to_converse_only_before_the_first_byte() {
    let rig = Rig::with_document(DOCUMENT).await;
    for stream in [false, true] {
        rig.double.clear_calls();
        rig.double.clear_faults();
        rig.double
            .inject(Fault::error("ChatCompletions", 503, "ServiceUnavailableException").times(9));
        let mut body = ask("mixed", "hello");
        body["stream"] = stream.into();
        let response = rig.chat(&body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.text().contains("hell"), "{}", response.text());
        assert_eq!(rig.double.calls_of("ChatCompletions").len(), 1);
    }
    rig.double.clear_faults();
    rig.double.clear_calls();
    let prompt = "@midstream-exception throttlingException 4 slow down\nhello there";
    let response = rig.chat(&ask_stream("mixed", prompt)).await;
    assert!(response.text().contains("slow down"), "{}", response.text());
    assert!(rig.double.calls_of("ConverseStream").is_empty());
}

#[tokio::test]
async fn cancels_the_call_when_the_client_disconnects() {
    let rig = Rig::with_document(DOCUMENT).await;
    let mut response = rig
        .open_chat(&ask_stream("runtime", "@slow 60s\nhello"))
        .await;
    read_until(response.body_mut(), "assistant").await;
    drop(response);
    eventually("the call is cancelled", async || {
        let calls = rig.double.calls_of("ChatCompletions");
        let stream = calls.first().and_then(|call| call.stream.clone());
        stream.is_some_and(|stream| stream.ended == "cancelled")
    })
    .await;
}

#[tokio::test]
async fn sends_the_forced_guardrail_in_headers_or_rejects_the_request() {
    let document = format!("{DOCUMENT}\nguardrail: {{identifier: 'abc123def456', version: '1'}}");
    let mut plan = Plan {
        document: Some(document),
        ..Plan::default()
    };
    plan.double.guardrails.push(awsdouble::config::Guardrail {
        id: "abc123def456".to_owned(),
        version: "1".to_owned(),
        blocked_words: vec!["forbidden".to_owned()],
        message: "No.".to_owned(),
    });
    let rig = Rig::start(plan).await;
    let blocked = rig.chat(&ask("runtime", "this is forbidden")).await;
    assert_eq!(blocked.status, 200, "{}", blocked.text());
    let choice = &blocked.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter", "{choice}");
    let call = rig.double.calls_of("ChatCompletions").remove(0);
    assert_eq!(
        call.headers["x-amzn-bedrock-guardrailidentifier"],
        "abc123def456"
    );
    let mantle = rig.chat(&ask("mantle", "hi")).await;
    assert_eq!(mantle.status, 400, "{}", mantle.text());
    assert_eq!(mantle.error()["param"], "model");
    assert_eq!(rig.double.calls_of("ChatCompletions").len(), 1);
    let other = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(
        other.status,
        404,
        "only configured models are served: {}",
        other.text()
    );
}

#[tokio::test]
async fn renews_expired_credentials_as_with_converse() {
    let (rig, _directory) = crate::credentials::web_identity("chat").await;
    let error = FaultAction::Error {
        status: 403,
        code: "ExpiredTokenException".to_owned(),
        message: String::new(),
        empty_body: false,
    };
    rig.double
        .inject(Fault::new("ChatCompletions", error).times(1));
    let response = rig.chat(&ask("openai.gpt-oss-20b-1:0", "hi")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(rig.double.calls_of("ChatCompletions").len(), 2);
}
