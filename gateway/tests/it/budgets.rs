//! Budgets through a real Redis or Valkey server: every endpoint counts, and the errors of each dialect have the time of the reset.

use awsdouble::{Fault, FaultAction};
use http::Method;
use serde_json::{Value, json};

use crate::{
    bedrock_api::upstream::frames_of,
    cost,
    messages::CLAUDE,
    rig::{MODEL, Plan, Response, Rig, ask, ask_stream, eventually},
    store_server::Server,
};

const UP: &str = "bedrock_gateway_budget_store_up";
const WARNING: &str = "x-bedrock-gateway-budget";
/// Prices of Amazon Nova Lite, Titan Text Embeddings V2, Cohere Rerank 3.5 and Amazon Nova Canvas in nanodollars.
const NOVA_LITE: (u64, u64) = (60, 240);
const EMBEDDING: u64 = 20;
const RERANK: u64 = 2_000_000;
const IMAGE: u64 = 60_000_000;

/// A gateway with budgets of the BedrockAccess.
async fn gateway(server: &Server, budgets: &str) -> Rig {
    with(server, budgets, "").await
}

async fn with(server: &Server, budgets: &str, more: &str) -> Rig {
    let text = document(server, budgets, more);
    let rig = Rig::with_document(&text).await;
    store_up(&rig).await;
    rig
}

fn document(server: &Server, budgets: &str, more: &str) -> String {
    format!(
        "access: {{namespace: team-a, name: chat}}\nclients: {{anonymous: true}}\nallow: ['*']\nlimits: {{budgets: [{budgets}], {}}}\n{more}",
        server.store()
    )
}

async fn store_up(rig: &Rig) {
    eventually("the store is up", async || {
        rig.metric(UP).await == Some(1.0)
    })
    .await;
}

fn ratio(scope: &str, client: &str, period: &str, unit: &str) -> String {
    format!(
        "bedrock_gateway_budget_used_ratio{{scope=\"{scope}\",client=\"{client}\",period=\"{period}\",unit=\"{unit}\"}}"
    )
}

/// Waits until a budget of `limit` has spent exactly this.
async fn spent(rig: &Rig, unit: &str, limit: f64, expected: u64) {
    let metric = ratio("access", "", "month", unit);
    let what = format!("{expected} {unit} are spent");
    eventually(&what, async || {
        let used = rig.metric(&metric).await.unwrap_or_default() * limit;
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "small")]
        let expected = expected as f64;
        (used - expected).abs() < 0.5
    })
    .await;
}

async fn post(rig: &Rig, path: &str, body: &Value) -> Response {
    let response = rig.call(Method::POST, path, &[], body.to_string()).await;
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response
}

fn number(value: &Value, name: &str) -> u64 {
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[tokio::test]
async fn each_endpoint_settles_the_cost_of_what_bedrock_reports() {
    let server = Server::start();
    let rig = gateway(
        &server,
        "{period: Month, usd: 9}, {period: Month, tokens: 1000000}",
    )
    .await;
    let (input, output) = NOVA_LITE;
    let (mut cost, mut tokens) = (0, 0);
    let mut chat = |prompt: u64, completion: u64| {
        cost += prompt * input + completion * output;
        tokens += prompt + completion;
    };

    let whole = post(&rig, "/v1/chat/completions", &ask(MODEL, "one two three"))
        .await
        .json();
    let usage = &whole["usage"];
    chat(
        number(usage, "prompt_tokens"),
        number(usage, "completion_tokens"),
    );

    let mut streamed = ask_stream(MODEL, "four five");
    streamed["stream_options"] = json!({"include_usage": true});
    let events = post(&rig, "/v1/chat/completions", &streamed).await.events();
    let usage = events
        .iter()
        .map(|event| &event["usage"])
        .rfind(|usage| usage.is_object())
        .unwrap();
    chat(
        number(usage, "prompt_tokens"),
        number(usage, "completion_tokens"),
    );

    let responses = json!({"model": MODEL, "input": "six", "max_output_tokens": 50});
    let usage = post(&rig, "/v1/responses", &responses).await.json()["usage"].clone();
    chat(
        number(&usage, "input_tokens"),
        number(&usage, "output_tokens"),
    );

    let messages = json!({"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "seven"}]});
    let usage = post(&rig, "/v1/messages", &messages).await.json()["usage"].clone();
    chat(
        number(&usage, "input_tokens"),
        number(&usage, "output_tokens"),
    );

    let converse = json!({"messages": [{"role": "user", "content": [{"text": "eight nine"}]}]});
    let usage = post(&rig, &format!("/model/{MODEL}/converse"), &converse)
        .await
        .json()["usage"]
        .clone();
    chat(
        number(&usage, "inputTokens"),
        number(&usage, "outputTokens"),
    );

    let stream = post(&rig, &format!("/model/{MODEL}/converse-stream"), &converse).await;
    let frames = frames_of(&stream.body);
    let metadata: Value = serde_json::from_str(&frames.last().unwrap().1).unwrap();
    chat(
        number(&metadata["usage"], "inputTokens"),
        number(&metadata["usage"], "outputTokens"),
    );

    let embedded =
        json!({"model": "amazon.titan-embed-text-v2:0", "input": ["ten", "eleven twelve"]});
    let usage = post(&rig, "/v1/embeddings", &embedded).await.json()["usage"].clone();
    let prompt = number(&usage, "prompt_tokens");
    assert!(prompt > 0);
    cost += prompt * EMBEDDING;
    tokens += prompt;
    spent(&rig, "tokens", 1e6, tokens).await;
    spent(&rig, "usd", 9e9, cost).await;

    let ranked =
        json!({"model": "cohere.rerank-v3-5:0", "query": "fox", "documents": ["a cat", "a fox"]});
    post(&rig, "/v1/rerank", &ranked).await;
    cost += RERANK;
    spent(&rig, "usd", 9e9, cost).await;

    let images =
        json!({"model": "amazon.nova-canvas-v1:0", "prompt": "a fox", "n": 2, "size": "1024x1024"});
    post(&rig, "/v1/images/generations", &images).await;
    cost += 2 * IMAGE;
    spent(&rig, "usd", 9e9, cost).await;

    // Counting tokens is free, and a rejected request, too.
    let count = json!({"model": CLAUDE, "messages": [{"role": "user", "content": "hello"}]});
    post(&rig, "/v1/messages/count_tokens", &count).await;
    let rejected = rig.chat(&json!({"model": MODEL, "messages": []})).await;
    assert_eq!(rejected.status, 400);
    post(&rig, "/v1/rerank", &ranked).await;
    cost += RERANK;
    spent(&rig, "usd", 9e9, cost).await;
}

#[tokio::test]
async fn a_budget_spends_what_the_requests_of_every_api_report() {
    let server = Server::start();
    let limits = format!(
        "access: {{namespace: team-a, name: chat}}\nlimits: {{budgets: [{{period: Month, usd: 9}}], {}}}",
        server.store()
    );
    let rig = Rig::with_document(&cost::document(&limits)).await;
    store_up(&rig).await;
    let mut expected = 0;
    let requests = cost::whole_requests().into_iter().chain(cost::streams());
    for (path, body, cost) in requests {
        let response = rig.post(path, &body).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        expected += cost;
    }
    let images = json!({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a fox"},
        "imageGenerationConfig": {"numberOfImages": 2, "width": 1024, "height": 1024}});
    post(&rig, "/model/canvas/invoke", &images).await;
    let ranked = json!({"api_version": 2, "query": "fox", "documents": ["a cat", "a fox"]});
    post(&rig, "/model/rank/invoke", &ranked).await;
    expected += 2 * IMAGE + RERANK;
    spent(&rig, "usd", 9e9, expected).await;
    assert_eq!(rig.spent().await, expected);
}

#[tokio::test]
async fn a_guardrail_without_a_model_is_spent() {
    let server = Server::start();
    let mut plan = Plan {
        document: Some(document(
            &server,
            "{period: Month, usd: 9}",
            "guardrail: {identifier: abc, version: '1'}",
        )),
        ..Plan::default()
    };
    let url = (
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(),
        cost::guardrails().await,
    );
    plan.environment.push(url);
    let rig = Rig::start(plan).await;
    store_up(&rig).await;
    let body = json!({"source": "INPUT", "content": [{"text": {"text": "hi"}}]});
    post(&rig, "/guardrail/abc/version/1/apply", &body).await;
    spent(&rig, "usd", 9e9, 550_000).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_is_charged_what_it_held() {
    let server = Server::start();
    let rig = gateway(&server, "{period: Month, tokens: 1000000}").await;
    let mut request = ask(MODEL, "hi");
    request["max_tokens"] = json!(700);
    let delay = FaultAction::Delay { milliseconds: 3000 };
    rig.double.inject(Fault::new("Converse", delay));
    let left = tokio::time::timeout(std::time::Duration::from_millis(700), rig.chat(&request));
    assert!(left.await.is_err(), "the response is slow");
    let metric = ratio("access", "", "month", "tokens");
    eventually("at least the maximum output is spent", async || {
        rig.metric(&metric).await.unwrap_or_default() * 1e6 > 699.5
    })
    .await;
}

#[tokio::test]
async fn each_dialect_gets_429_with_the_time_of_the_reset() {
    let server = Server::start();
    let rig = gateway(&server, "{period: Month, tokens: 1}").await;
    let until = |response: &Response| -> u64 {
        let text = response.headers["retry-after"].to_str().unwrap();
        text.parse().unwrap()
    };
    let openai = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(openai.status, 429);
    let error = openai.error();
    assert_eq!(error["code"], "insufficient_quota");
    assert_eq!(error["type"], "insufficient_quota");
    assert_eq!(openai.headers["x-should-retry"], "false");
    let message = error["message"].as_str().unwrap().to_owned();
    let left = "1 tokens is left of the budget of 1 tokens per month (budgets) of BedrockAccess team-a/chat";
    assert!(
        message.contains(left) && message.contains("starts again at 20"),
        "{message}"
    );
    assert!((1..=31 * 86_400).contains(&until(&openai)));

    let messages =
        json!({"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let anthropic = rig
        .call(Method::POST, "/v1/messages", &[], messages.to_string())
        .await;
    assert_eq!(anthropic.status, 429);
    assert_eq!(anthropic.json()["error"]["type"], "rate_limit_error");
    assert_eq!(until(&anthropic) / 60, until(&openai) / 60);

    let converse = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    let path = format!("/model/{MODEL}/converse");
    let bedrock = rig
        .call(Method::POST, &path, &[], converse.to_string())
        .await;
    assert_eq!(bedrock.status, 429);
    assert_eq!(bedrock.headers["x-amzn-errortype"], "ThrottlingException");
    assert!(bedrock.headers.contains_key("retry-after"));

    assert!(rig.calls().is_empty());
    let metric = "bedrock_gateway_limit_refusals_total{limit=\"budgets\",scope=\"access\",client=\"anonymous\"}";
    assert_eq!(rig.metric(metric).await, Some(3.0));
}

#[tokio::test]
async fn budget_warns_then_changes_the_model_then_stops() {
    let server = Server::start();
    let models = "models:\n- {name: fast, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}\n- {name: cheap, targets: [{modelId: 'amazon.nova-micro-v1:0'}]}";
    let budget = "{period: Week, tokens: 300, warnAt: 20, fallback: {at: 50, model: cheap}}";
    let rig = with(&server, budget, models).await;
    let mut request = ask("fast", "one two three four five");
    request["max_tokens"] = json!(20);
    let mut steps = Vec::new();
    for _ in 0..200 {
        let calls = rig.calls().len();
        let response = rig.chat(&request).await;
        let step = match response.status.as_u16() {
            429 => "stop",
            _ if rig.calls()[calls].path.contains("nova-micro") => "cheap",
            _ if response.headers.contains_key(WARNING) => "warn",
            _ => "plain",
        };
        if step == "cheap" {
            let warning = response.headers[WARNING].to_str().unwrap();
            assert!(
                warning.contains("% of 300 tokens per week spent by team-a/chat; resets 20"),
                "{warning}"
            );
            // The client gets the name that it requested.
            assert_eq!(response.json()["model"], "fast");
        }
        if steps.last() != Some(&step) {
            steps.push(step);
        }
        if step == "stop" {
            break;
        }
        // The cost of a request is settled before the next one.
        eventually("the cost is settled", async || {
            rig.metric("bedrock_gateway_in_flight_requests").await == Some(0.0)
        })
        .await;
    }
    assert_eq!(steps, ["plain", "warn", "cheap", "stop"]);
    let fallbacks = "bedrock_gateway_budget_fallbacks_total{client=\"anonymous\",model=\"cheap\"}";
    assert!(rig.metric(fallbacks).await.unwrap() >= 1.0);
}

#[tokio::test]
async fn model_without_a_price_is_rejected_under_a_budget_in_dollars() {
    let server = Server::start();
    let rig = gateway(&server, "{period: Month, usd: 5}").await;
    let response = rig.chat(&ask("acme.unpriced-v1:0", "hi")).await;
    assert_eq!(response.status, 403);
    let message = response.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has no price in us-east-1"), "{message}");
    assert!(rig.calls().is_empty());
    let other = gateway(&server, "{period: Month, tokens: 5000000}").await;
    let sent = other.chat(&ask("acme.unpriced-v1:0", "hi")).await;
    assert_ne!(sent.status, 403, "{}", sent.text());
}

#[tokio::test]
async fn gateways_share_a_budget_and_a_reload_keeps_it() {
    let server = Server::start();
    let one = gateway(&server, "{period: Month, tokens: 100000}").await;
    let other = gateway(&server, "{period: Month, tokens: 100000}").await;
    let usage = one.chat(&ask(MODEL, "one two")).await.json()["usage"].clone();
    let tokens = number(&usage, "total_tokens");
    spent(&one, "tokens", 1e5, tokens).await;
    let usage = other.chat(&ask(MODEL, "three")).await.json()["usage"].clone();
    spent(
        &other,
        "tokens",
        1e5,
        tokens + number(&usage, "total_tokens"),
    )
    .await;
    // The same counts under another amount.
    one.write_config(&document(&server, "{period: Month, tokens: 200000}", ""));
    spent(&one, "tokens", 2e5, tokens).await;
    one.write_config("clients: {anonymous: true}\nallow: ['*']");
    eventually("the budget is removed", async || {
        one.metric(UP).await.is_none()
    })
    .await;
}

#[tokio::test]
async fn closed_budget_responds_with_503_until_the_store_returns() {
    let mut server = Server::start();
    let rig = gateway(
        &server,
        "{period: Day, tokens: 100000, onStoreFailure: Closed}",
    )
    .await;
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    server.kill();
    let rejected = rig.chat(&ask(MODEL, "hi")).await;
    assert_eq!(rejected.status, 503);
    assert_eq!(rejected.error()["code"], "budget_store_unavailable");
    assert_eq!(rejected.headers["retry-after"], "1");
    let failures = "bedrock_gateway_budget_store_failures_total{decision=\"closed\"}";
    assert_eq!(rig.metric(failures).await, Some(1.0));
    server.restart();
    store_up(&rig).await;
    assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
}

#[tokio::test]
async fn budgets_work_with_tls_and_minimal_permissions() {
    let server = Server::encrypted();
    let rig = gateway(&server, "{period: Day, usd: 5}").await;
    for _ in 0..3 {
        assert_eq!(rig.chat(&ask(MODEL, "hi")).await.status, 200);
    }
    let failures = "bedrock_gateway_budget_store_failures_total{decision=\"open\"}";
    assert_eq!(rig.metric(failures).await, None);
}
