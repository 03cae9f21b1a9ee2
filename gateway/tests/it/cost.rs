//! The cost of requests to every API, compared with what the published prices give.
//!
//! The simulated AWS reports the usage of the test, so that each expected cost is a product that anyone can check:
//! a dollar for a million tokens is 1,000 nanodollars for one.

use axum::{Json, Router, routing::post};
use http::Method;
use serde_json::{Value, json};

use crate::{
    messages::{CLAUDE, VERSION},
    rig::{MODEL, Plan, Response, Rig, ask, ask_stream, eventually},
};

const WANTED: (&str, &str) = ("x-bedrock-gateway-cost-report", "1");
const COST: &str = "x-bedrock-gateway-cost-usd";
/// Input, output, cache reads and cache writes of each request.
const USAGE: &str = r#"@usage {"inputTokens":1000,"outputTokens":200,"cacheReadInputTokens":4000,"cacheWriteInputTokens":2000}"#;
/// The same without a cache.
const PLAIN: &str = r#"@usage {"inputTokens":1000,"outputTokens":200,"cacheReadInputTokens":0,"cacheWriteInputTokens":0}"#;

/// Nova Lite: 0.06, 0.24, cache reads 0.015; writes cost the price of input.
const NOVA: u64 = 1_000 * 60 + 200 * 240 + 4_000 * 15 + 2_000 * 60;
/// Claude Sonnet 4.5 by a profile of the US: 3.30, 16.50, 0.33, 4.125.
const SONNET: u64 = 1_000 * 3_300 + 200 * 16_500 + 4_000 * 330 + 2_000 * 4_125;
/// gpt-oss-20b: 0.07, 0.30.
const GPT_OSS: u64 = 1_000 * 70 + 200 * 300;
/// GPT-5.6 Sol in a region and by a profile of the US: 4.40, 22.00.
const GPT: u64 = 1_000 * 4_400 + 200 * 22_000;

pub(crate) fn document(more: &str) -> String {
    format!(
        "clients: {{anonymous: true}}\nendpoints: {{bedrockMantle: '{{mantle}}'}}\n{more}\nmodels:\n\
         - {{name: nova, targets: [{{modelId: '{MODEL}'}}]}}\n\
         - {{name: pro, targets: [{{modelId: 'amazon.nova-pro-v1:0'}}]}}\n\
         - {{name: invoke, targets: [{{modelId: '{CLAUDE}'}}]}}\n\
         - {{name: converse, targets: [{{modelId: '{CLAUDE}', api: Converse}}]}}\n\
         - {{name: endpoint, targets: [{{modelId: '{CLAUDE}', api: Anthropic}}]}}\n\
         - {{name: oss, targets: [{{modelId: 'openai.gpt-oss-20b-1:0'}}]}}\n\
         - {{name: gpt, targets: [{{modelId: 'us.openai.gpt-5.6-sol'}}]}}\n\
         - {{name: mantle, targets: [{{modelId: 'openai.gpt-5.6-sol'}}]}}\n\
         - {{name: embed, targets: [{{modelId: 'amazon.titan-embed-text-v2:0'}}]}}\n\
         - {{name: canvas, targets: [{{modelId: 'amazon.nova-canvas-v1:0'}}]}}\n\
         - {{name: stable, targets: [{{modelId: 'stability.stable-image-core-v1:1', region: us-west-2}}]}}\n\
         - {{name: rank, targets: [{{modelId: 'cohere.rerank-v3-5:0'}}]}}\n"
    )
}

/// Nanodollars.
fn nano(dollars: f64) -> u64 {
    // The sum of no series is -0.
    format!("{:.0}", dollars.abs() * 1e9).parse().unwrap()
}

/// The cost in the header of a response.
#[track_caller]
fn header(response: &Response) -> u64 {
    assert_eq!(response.status, 200, "{}", response.text());
    let text = response.headers[COST].to_str().unwrap();
    nano(text.parse().unwrap())
}

impl Rig {
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        let headers = [WANTED, VERSION, ("content-type", "application/json")];
        self.call(Method::POST, path, &headers, body.to_string())
            .await
    }

    /// The sum of a counter over all its series.
    async fn sum(&self, counter: &str) -> f64 {
        let page = self.admin("/metrics").await.text();
        let prefix = format!("{counter}{{");
        let lines = page.lines().filter(|line| line.starts_with(&prefix));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    }

    pub(crate) async fn spent(&self) -> u64 {
        nano(self.sum("bedrock_gateway_cost_dollars_total").await)
    }

    /// Waits until the counter has this sum: a request is recorded when its response has been sent.
    async fn spends(&self, nanodollars: u64, what: &str) {
        eventually(&format!("{what}: {nanodollars} nanodollars"), async || {
            self.spent().await == nanodollars
        })
        .await;
    }
}

fn messages(model: &str, prompt: &str) -> Value {
    json!({"model": model, "max_tokens": 4000, "messages": [{"role": "user", "content": prompt}]})
}

/// Requests of every chat API, each with its cost.
pub(crate) fn whole_requests() -> Vec<(&'static str, Value, u64)> {
    let with_cache = format!("hi\n{USAGE}");
    let plain = format!("hi\n{PLAIN}");
    let converse = json!({"messages": [{"role": "user", "content": [{"text": with_cache}]}]});
    let anthropic = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100,
        "messages": [{"role": "user", "content": with_cache}]});
    let input = |model: &str| json!({"model": model, "input": plain});
    vec![
        ("/v1/chat/completions", ask("nova", &with_cache), NOVA),
        ("/v1/chat/completions", ask("converse", &with_cache), SONNET),
        ("/v1/chat/completions", ask("oss", &plain), GPT_OSS),
        ("/v1/messages", messages("nova", &with_cache), NOVA),
        ("/v1/messages", messages("invoke", &with_cache), SONNET),
        ("/v1/messages", messages("converse", &with_cache), SONNET),
        ("/v1/messages", messages("endpoint", &with_cache), SONNET),
        (
            "/v1/responses",
            json!({"model": "nova", "input": with_cache}),
            NOVA,
        ),
        ("/v1/responses", input("gpt"), GPT),
        ("/v1/responses", input("mantle"), GPT),
        ("/model/nova/converse", converse.clone(), NOVA),
        ("/model/converse/converse", converse, SONNET),
        ("/model/invoke/invoke", anthropic, SONNET),
    ]
}

#[tokio::test]
async fn every_chat_api_reports_the_published_price_of_its_usage() {
    let rig = Rig::with_document(&document("")).await;
    let mut expected = 0;
    for (path, body, cost) in whole_requests() {
        let response = rig.post(path, &body).await;
        assert_eq!(header(&response), cost, "{path} {}", body["model"]);
        expected += cost;
        rig.spends(expected, path).await;
    }
    let report = rig.admin("/readyz").await.json()["spend"].clone();
    for period in ["today", "month"] {
        assert_eq!(report[period]["costNanodollars"], expected, "{report}");
        assert_eq!(report[period]["requests"], 13, "{report}");
        assert_eq!(report[period]["unpricedTokens"], 0, "{report}");
    }
    assert!(report["since"].as_u64().unwrap() > 0);
}

/// Requests for streams of every chat API, each with its cost.
pub(crate) fn streams() -> Vec<(&'static str, Value, u64)> {
    let with_cache = format!("hi\n{USAGE}");
    let plain = format!("hi\n{PLAIN}");
    let streamed = |mut body: Value| {
        body["stream"] = Value::from(true);
        body
    };
    let converse = json!({"messages": [{"role": "user", "content": [{"text": with_cache}]}]});
    let anthropic = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100,
        "messages": [{"role": "user", "content": with_cache}]});
    vec![
        (
            "/v1/chat/completions",
            ask_stream("nova", &with_cache),
            NOVA,
        ),
        ("/v1/chat/completions", ask_stream("oss", &plain), GPT_OSS),
        (
            "/v1/messages",
            streamed(messages("invoke", &with_cache)),
            SONNET,
        ),
        (
            "/v1/messages",
            streamed(messages("converse", &with_cache)),
            SONNET,
        ),
        (
            "/v1/messages",
            streamed(messages("endpoint", &with_cache)),
            SONNET,
        ),
        (
            "/v1/responses",
            json!({"model": "nova", "input": with_cache, "stream": true}),
            NOVA,
        ),
        (
            "/v1/responses",
            json!({"model": "gpt", "input": plain, "stream": true}),
            GPT,
        ),
        ("/model/nova/converse-stream", converse, NOVA),
        (
            "/model/invoke/invoke-with-response-stream",
            anthropic,
            SONNET,
        ),
    ]
}

#[tokio::test]
async fn every_stream_costs_the_same_as_a_whole_response() {
    let rig = Rig::with_document(&document("")).await;
    let mut expected = 0;
    for (path, body, cost) in streams() {
        let response = rig.post(path, &body).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert!(
            !response.headers.contains_key(COST),
            "{path}: not known yet"
        );
        expected += cost;
        rig.spends(expected, path).await;
    }
}

#[tokio::test]
async fn embeddings_images_and_reranking_have_prices_of_their_own() {
    let rig = Rig::with_document(&document("")).await;
    let embedded = rig
        .post(
            "/v1/embeddings",
            &json!({"model": "embed", "input": ["a fox", "two foxes"]}),
        )
        .await;
    // Titan Text Embeddings V2: 0.02.
    let tokens = embedded.json()["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(tokens > 0);
    assert_eq!(header(&embedded), tokens * 20);
    for (model, price) in [("canvas", 60_000_000), ("stable", 40_000_000)] {
        let body = json!({"model": model, "prompt": "a fox", "n": 7, "size": "1024x1024"});
        let response = rig.post("/v1/images/generations", &body).await;
        assert_eq!(header(&response), 7 * price, "{model}");
    }
    let body = json!({"model": "rank", "query": "fox", "documents": ["a cat", "a fox"]});
    assert_eq!(header(&rig.post("/v1/rerank", &body).await), 2_000_000);
    // The same models by Bedrock's own API.
    let body = json!({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a fox"},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 1024, "height": 1024}});
    let response = rig.post("/model/canvas/invoke", &body).await;
    assert_eq!(header(&response), 2 * 60_000_000);
    let body = json!({"api_version": 2, "query": "fox", "documents": ["a cat", "a fox"]});
    assert_eq!(
        header(&rig.post("/model/rank/invoke", &body).await),
        2_000_000
    );
    let all = tokens * 20 + 7 * 100_000_000 + 2 * 2_000_000 + 2 * 60_000_000;
    rig.spends(all, "all").await;
}

#[tokio::test]
async fn cache_writes_for_an_hour_cost_more_than_those_for_five_minutes() {
    let rig = Rig::with_document(&document("")).await;
    let system = "The quick brown fox jumps over the lazy dog. ".repeat(400);
    let cached = json!([{"type": "text", "text": system, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
    let mut body = messages("invoke", "hi");
    body["system"] = cached;
    let mut native = body.clone();
    native["anthropic_version"] = json!("bedrock-2023-05-31");
    native.as_object_mut().unwrap().remove("model");
    native["system"][0]["text"] = json!(format!("Another prefix. {system}"));
    let mut expected = 0;
    for (path, body) in [
        ("/v1/messages", body.clone()),
        ("/model/invoke/invoke", native),
    ] {
        let response = rig.post(path, &body).await;
        let usage = response.json()["usage"].clone();
        let count = |name: &str| usage.pointer(name).and_then(Value::as_u64).unwrap();
        let written = count("/cache_creation/ephemeral_1h_input_tokens");
        assert!(written > 1_000, "{path}: {usage}");
        assert_eq!(written, count("/cache_creation_input_tokens"), "{usage}");
        let cost =
            count("/input_tokens") * 3_300 + count("/output_tokens") * 16_500 + written * 6_600;
        assert_eq!(header(&response), cost, "{path}: {usage}");
        expected += cost;
    }
    // The stream of Bedrock's own API reports the lifetime in its first event only.
    let mut native = body;
    native["anthropic_version"] = json!("bedrock-2023-05-31");
    native.as_object_mut().unwrap().remove("model");
    native["system"][0]["text"] = json!(format!("A third prefix. {system}"));
    let before = rig.sum("bedrock_gateway_cache_write_1h_tokens_total").await;
    let response = rig
        .post("/model/invoke/invoke-with-response-stream", &native)
        .await;
    assert_eq!(response.status, 200);
    eventually("tokens of an hour", async || {
        rig.sum("bedrock_gateway_cache_write_1h_tokens_total").await > before
    })
    .await;
    assert!(rig.spent().await > expected);
}

#[tokio::test]
async fn the_tier_that_bedrock_reports_sets_the_price() {
    let rig = Rig::with_document(&document("")).await;
    let mut body = ask("pro", &format!("hi\n{PLAIN}"));
    // Nova Pro: 0.80 and 3.20; priority 1.40 and 5.60; flex 0.40 and 1.60.
    for (tier, input, output) in [
        ("default", 800, 3_200),
        ("priority", 1_400, 5_600),
        ("flex", 400, 1_600),
    ] {
        body["service_tier"] = json!(tier);
        let response = rig.post("/v1/chat/completions", &body).await;
        assert_eq!(header(&response), 1_000 * input + 200 * output, "{tier}");
    }
    let before = rig.spent().await;
    let mut stream = ask_stream("pro", &format!("hi\n{PLAIN}"));
    stream["service_tier"] = json!("priority");
    rig.chat(&stream).await;
    rig.spends(before + 1_000 * 1_400 + 200 * 5_600, "stream")
        .await;
}

#[tokio::test]
async fn tokens_without_a_price_are_counted_and_cost_is_unknown_and_never_zero() {
    let rig = Rig::with_document(&document("")).await;
    // The source has no price of Nova Lite in this tier.
    let mut body = ask("nova", &format!("hi\n{PLAIN}"));
    body["service_tier"] = json!("flex");
    let response = rig.post("/v1/chat/completions", &body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.headers[COST], "unknown");
    eventually("unpriced tokens", async || {
        let counter = "bedrock_gateway_unpriced_tokens_total{client=\"anonymous\",model=\"nova\"}";
        rig.metric(counter).await == Some(1_200.0)
    })
    .await;
    assert_eq!(rig.spent().await, 0);
    let report = rig.admin("/readyz").await.json()["spend"]["today"].clone();
    assert_eq!(report["unpricedTokens"], 1_200, "{report}");
}

#[tokio::test]
async fn counting_tokens_and_errors_cost_nothing_and_a_report_is_sent_on_request_only() {
    let rig = Rig::with_document(&document("")).await;
    let counted = rig
        .post(
            "/v1/messages/count_tokens",
            &messages("invoke", "how long is this?"),
        )
        .await;
    assert_eq!(header(&counted), 0);
    let refused = rig
        .post(
            "/v1/chat/completions",
            &ask("nova", "hi\n@error ValidationException no"),
        )
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(refused.headers[COST], "0.00");
    let plain = rig.chat(&ask("nova", "hi")).await;
    assert!(!plain.headers.contains_key(COST));
    let page = rig.admin("/metrics").await.text();
    assert!(!page.contains("unpriced_tokens_total{"), "{page}");
}

/// The URL of a Bedrock that applies every guardrail for 0.00055 dollars.
pub(crate) async fn guardrails() -> String {
    let apply = async || {
        Json(
            json!({"action": "NONE", "outputs": [], "assessments": [], "usage": {
            "contentPolicyUnits": 2, "topicPolicyUnits": 1, "wordPolicyUnits": 9,
            "sensitiveInformationPolicyUnits": 1, "sensitiveInformationPolicyFreeUnits": 5,
            "contextualGroundingPolicyUnits": 0}}),
        )
    };
    let router = Router::new().route("/guardrail/{id}/version/{version}/apply", post(apply));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_guardrail_without_a_model_costs_its_units() {
    let url = guardrails().await;
    let mut plan = Plan::default();
    plan.environment
        .push(("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(), url));
    let rig = Rig::start(plan).await;
    let body = json!({"source": "INPUT", "content": [{"text": {"text": "hi"}}]});
    let response = rig.post("/guardrail/abc/version/1/apply", &body).await;
    // 2 × 0.00015 + 0.00015 + 0.0001 dollars.
    assert_eq!(header(&response), 550_000);
    rig.spends(550_000, "guardrail").await;
}

#[tokio::test]
async fn prices_of_the_configuration_replace_public_ones_from_the_next_request_on() {
    let prices = |amount: &str| {
        document(&format!(
            "prices: {{discountPercent: '50', models: [{{model: 'amazon.nova-pro-v1:0', input: '{amount}', output: '2'}}]}}"
        ))
    };
    let rig = Rig::with_document(&prices("1")).await;
    let ask_for = async |model: &str| {
        let body = ask(model, &format!("hi\n{PLAIN}"));
        header(&rig.post("/v1/chat/completions", &body).await)
    };
    assert_eq!(ask_for("nova").await, 1_000 * 30 + 200 * 120);
    assert_eq!(ask_for("pro").await, 1_000 * 1_000 + 200 * 2_000);
    let changed = prices("3").replace("{mantle}", &rig.double.mantle_url());
    rig.write_config(&changed);
    eventually("the new price", async || {
        ask_for("pro").await == 1_000 * 3_000 + 200 * 2_000
    })
    .await;
}
