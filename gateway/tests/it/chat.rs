//! Successful chat completions.

use http::Method;
use serde_json::{Value, json};

use crate::rig::{MODEL, Rig, ask, ask_stream, signed_blocks, streamed_text};

#[tokio::test]
async fn streamed_and_plain_responses_are_equal() {
    let rig = Rig::laptop().await;
    let mut body = json!({
        "model": MODEL,
        "temperature": 0.5,
        "max_tokens": 200,
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "first" },
            { "role": "assistant", "content": "one" },
            { "role": "user", "content": "Zweitens: äöü, \"quoted\", 日本語 and a\nnew line" },
        ],
    });
    let plain = rig.chat(&body).await;
    assert_eq!(plain.status, 200, "{}", plain.text());
    let plain_answer = plain.json();
    assert_eq!(plain_answer["object"], "chat.completion");
    assert_eq!(plain_answer["model"], MODEL);

    body["stream"] = Value::from(true);
    body["stream_options"] = json!({ "include_usage": true });
    let streamed = rig.chat(&body).await;
    assert_eq!(streamed.status, 200);
    assert_eq!(
        streamed.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let events = streamed.events();
    assert_eq!(events.last().unwrap(), "[DONE]");
    let message = &plain_answer["choices"][0]["message"];
    assert_eq!(streamed_text(&events), message["content"].as_str().unwrap());
    assert!(streamed_text(&events).contains("日本語"));
    let usage = &events[events.len() - 2]["usage"];
    assert_eq!(*usage, plain_answer["usage"]);
    assert_eq!(
        events[events.len() - 3]["choices"][0]["finish_reason"],
        plain_answer["choices"][0]["finish_reason"]
    );

    // Both calls sent the same conversation upstream.
    let (first, second) = (
        rig.double.calls_of("Converse"),
        rig.double.calls_of("ConverseStream"),
    );
    assert_eq!(first[0].body, second[0].body);
    assert_eq!(first[0].region.as_deref(), Some("us-east-1"));
}

#[tokio::test]
async fn streamed_and_plain_tool_calls_are_equal() {
    let rig = Rig::laptop().await;
    let mut body = ask(MODEL, "@tool weather {\"city\":\"Ulm\",\"days\":3}");
    body["tools"] = json!([{ "type": "function", "function": {
        "name": "weather",
        "parameters": { "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } },
    } }]);
    let plain = rig.chat(&body).await.json();
    let call = &plain["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(plain["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(call["function"]["name"], "weather");

    body["stream"] = Value::from(true);
    let events = rig.chat(&body).await.events();
    let deltas: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|delta| delta.is_object())
        .collect();
    assert_eq!(deltas[0]["id"], call["id"]);
    let arguments: String = deltas
        .iter()
        .filter_map(|delta| delta["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, call["function"]["arguments"].as_str().unwrap());
}

#[tokio::test]
async fn an_alias_resolves_to_its_model_and_region() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'us.amazon.nova-lite-v1:0', region: us-west-2}]}]",
    )
    .await;
    let response = rig.chat(&ask("fast", "hello")).await;
    assert_eq!(response.json()["model"], "fast", "{}", response.text());
    let call = &rig.double.calls_of("Converse")[0];
    assert_eq!(call.model.as_deref(), Some("us.amazon.nova-lite-v1:0"));
    assert_eq!(call.region.as_deref(), Some("us-west-2"));
    assert_eq!(call.path, "/model/us.amazon.nova-lite-v1%3A0/converse");
}

#[tokio::test]
async fn an_arn_is_one_path_segment_with_a_valid_signature() {
    let rig = Rig::laptop().await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    let response = rig.chat(&ask(arn, "hello")).await;
    assert_eq!(response.status, 200, "{}", response.text());
    let call = &rig.double.calls_of("Converse")[0];
    assert_eq!(call.model.as_deref(), Some(arn));
    assert!(
        call.path.contains("inference-profile%2Fus"),
        "{}",
        call.path
    );
}

#[tokio::test]
async fn lists_models_in_openais_format() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]\nallow: ['meta.llama3-*']",
    )
    .await;
    let list = rig.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "fast");
    assert_eq!(list["data"][0]["owned_by"], "amazon");
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert!(ids[1..].iter().all(|id| id.starts_with("meta.llama3-")));

    assert_eq!(rig.get("/v1/models/fast").await.json()["id"], "fast");
    let unknown = rig.get("/v1/models/slow").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.error()["code"], "model_not_found");
}

#[tokio::test]
async fn returns_the_clients_request_id_or_a_generated_one() {
    let rig = Rig::laptop().await;
    let with = rig
        .call(Method::GET, "/healthz", &[("x-request-id", "mine-1")], "")
        .await;
    assert_eq!(with.headers["x-request-id"], "mine-1");
    let first = rig.get("/healthz").await;
    let second = rig.get("/nowhere").await;
    assert_ne!(
        first.headers["x-request-id"],
        second.headers["x-request-id"]
    );
}

#[tokio::test]
async fn counts_usage_and_result_once_per_request() {
    let rig = Rig::with_document(
        "clients: {anonymous: true}\nmodels: [{name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}]",
    )
    .await;
    rig.chat(&ask("fast", "12345678")).await;
    rig.chat(&ask_stream("fast", "12345678")).await;
    rig.chat(&ask("nope", "x")).await;
    let labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"fast\"";
    for (name, expected) in [
        (
            format!("gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type=\"input\"}}"),
            4.0,
        ),
        (
            format!("gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type=\"output\"}}"),
            4.0,
        ),
        (
            format!("gen_ai_server_request_duration_seconds_count{{{labels},error_type=\"\"}}"),
            2.0,
        ),
        (
            format!("gen_ai_server_time_to_first_token_seconds_count{{{labels}}}"),
            1.0,
        ),
        (
            format!("gen_ai_server_time_per_output_token_seconds_count{{{labels}}}"),
            1.0,
        ),
        (
            "bedrock_gateway_tokens_total{client=\"anonymous\",model=\"fast\",type=\"input\"}".to_owned(),
            4.0,
        ),
        (
            "bedrock_gateway_client_requests_total{client=\"anonymous\"}".to_owned(),
            2.0,
        ),
        (
            "bedrock_gateway_requests_total{route=\"/v1/chat/completions\",status=\"404\",reason=\"model_not_found\"}".to_owned(),
            1.0,
        ),
        (
            "bedrock_gateway_upstream_attempts_total{region=\"us-east-1\",result=\"ok\"}".to_owned(),
            2.0,
        ),
        ("bedrock_gateway_in_flight_requests".to_owned(), 0.0),
    ] {
        assert_eq!(rig.metric(&name).await, Some(expected), "{name}");
    }
    let page = rig.admin("/metrics").await.text();
    assert!(
        !page.contains("nope"),
        "metrics must not contain model names invented by clients"
    );
}

#[tokio::test]
async fn rejects_image_urls_unless_fetching_is_enabled_and_the_address_is_public() {
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "what is this?" },
        { "type": "image_url", "image_url": { "url": "https://127.0.0.1/a.png" } },
    ] }] });
    let off = Rig::laptop().await;
    let response = off.chat(&body).await;
    assert_eq!(response.status, 400);
    let on = Rig::with_document("clients: {anonymous: true}\nallow: ['*']\nfetchRemoteMedia: true")
        .await;
    let guarded = on.chat(&body).await;
    assert_eq!(guarded.status, 400);
    let error = guarded.error();
    assert_eq!(error["param"], "messages[0].content[1].image_url.url");
    assert!(
        error["message"].as_str().unwrap().contains("not public"),
        "{error}"
    );
}

#[tokio::test]
async fn six_turns_of_thinking_and_tools_replay_every_signed_block_unchanged() {
    let rig = Rig::laptop().await;
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let mut messages = Vec::new();
    for turn in 0..6 {
        let prompt = format!("@reason Thought {turn} \"ü\" \u{2028}.\n@tool look {{\"n\":{turn}}}");
        messages.push(json!({"role": "user", "content": prompt}));
        let body = json!({"model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "messages": messages,
            "tools": tools, "reasoning_effort": "low"});
        let response = rig.chat(&body).await;
        assert_eq!(response.status, 200, "turn {turn}: {}", response.text());
        let message = response.json()["choices"][0]["message"].clone();
        let id = message["tool_calls"][0]["id"].clone();
        assert!(message["thinking_blocks"][0]["signature"].is_string());
        messages.push(message);
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": "seen"}));
    }
    // The double rejects a block whose signature does not match its text; compare the blocks, too.
    let blocks = signed_blocks(&rig.double.calls_of("Converse").pop().unwrap());
    assert_eq!(blocks.len(), 5);
    let sent = messages
        .iter()
        .filter(|message| message["role"] == "assistant");
    for (turn, (block, sent)) in blocks.into_iter().zip(sent).enumerate() {
        assert_eq!(block["text"], format!("Thought {turn} \"ü\" \u{2028}."));
        assert_eq!(block["signature"], sent["thinking_blocks"][0]["signature"]);
    }
}
