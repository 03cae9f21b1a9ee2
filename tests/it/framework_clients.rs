//! Frameworks on top of the packages, with each API that they use: LangChain, Pydantic AI, instructor and the Vercel AI
//! SDK.

use serde_json::{Value, json};

use crate::{
    openai_clients::{PROMPT, rig},
    support::{
        clients::{node_client, python_client},
        gateway::KEY,
        lane,
    },
};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
const GPT_OSS: &str = "openai.gpt-oss-120b-1:0";

/// Rows of a script's output, one for each API and model.
#[track_caller]
fn rows(seen: &Value, count: usize) -> Vec<(&String, &Value)> {
    let rows: Vec<_> = seen.as_object().unwrap().iter().collect();
    assert_eq!(rows.len(), count, "{seen}");
    rows
}

#[track_caller]
fn ran_both_tools(row: &str, seen: &Value) {
    assert_eq!(seen["asked"], json!(["Paris", "Ulm"]), "{row}: {seen}");
    let answer = seen["answer"].as_str().unwrap();
    assert!(answer.contains("sunny in Paris"), "{row}: {answer}");
    assert!(answer.contains("sunny in Ulm"), "{row}: {answer}");
}

#[tokio::test]
async fn langchain_chats_streams_calls_tools_and_gets_objects_by_each_method() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let models = [CLAUDE, NOVA, GPT_OSS].join(",");
    let url = gateway.openai_url();
    let environment = [
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("MODELS", &models),
        ("PROMPT", PROMPT),
    ];
    let seen = python_client("langchain/chat.py", &environment).await;
    for (row, seen) in rows(&seen, 6) {
        assert_eq!(seen["plain"], PROMPT, "{row}");
        assert_eq!(seen["streamed"], PROMPT, "{row}");
        assert!(seen["usage"].as_u64() > Some(0), "{row}");
        assert_eq!(
            seen["calls"],
            json!([["GetWeather", {"city": "Paris"}]]),
            "{row}"
        );
        assert!(seen["after"].as_str().unwrap().contains("sunny"), "{row}");
        assert_eq!(
            seen["structured"],
            json!(["GetWeather", "GetWeather"]),
            "{row}"
        );
    }
}

#[tokio::test]
async fn pydantic_ai_streams_calls_tools_and_gets_objects_in_each_api() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let models = json!([
        ["chat", CLAUDE],
        ["chat", NOVA],
        ["chat", GPT_OSS],
        ["responses", CLAUDE],
        ["responses", NOVA],
        ["responses", GPT_OSS],
        ["anthropic", CLAUDE],
        ["bedrock", CLAUDE],
    ]);
    let (models, url) = (models.to_string(), gateway.url());
    let environment = [
        ("URL", url.as_str()),
        ("KEY", KEY),
        ("MODELS", &models),
        ("PROMPT", PROMPT),
        (
            "ERRORS",
            "ThrottlingException AccessDeniedException ValidationException",
        ),
    ];
    let seen = python_client("pydantic_ai/agent.py", &environment).await;
    for (row, seen) in rows(&seen, 8) {
        assert_eq!(seen["plain"], PROMPT, "{row}");
        assert_eq!(seen["streamed"], PROMPT, "{row}");
        assert!(seen["usage"].as_u64() > Some(0), "{row}");
        ran_both_tools(row, seen);
        assert_eq!(seen["by_tool"], "Ann", "{row}");
        assert_eq!(seen["native"], "Person", "{row}");
        assert_eq!(seen["failures"], json!([429, 403, 400]), "{row}");
    }
}

#[tokio::test]
async fn instructor_gets_objects_in_each_mode() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let models = json!([
        ["TOOLS", CLAUDE],
        ["TOOLS", NOVA],
        ["TOOLS", GPT_OSS],
        ["JSON_SCHEMA", CLAUDE],
        ["RESPONSES_TOOLS", CLAUDE],
        ["RESPONSES_TOOLS", NOVA],
        ["ANTHROPIC_TOOLS", CLAUDE],
        ["ANTHROPIC_TOOLS", NOVA],
    ]);
    let (models, url) = (models.to_string(), gateway.url());
    let environment = [("URL", url.as_str()), ("KEY", KEY), ("MODELS", &models)];
    let seen = python_client("instructor/modes.py", &environment).await;
    for (row, seen) in rows(&seen, 8) {
        assert_eq!(seen["person"], "Person", "{row}");
        assert_eq!(seen["failure"], "InstructorRetryException", "{row}");
    }
}

#[tokio::test]
async fn vercel_ai_sdk_streams_calls_tools_and_gets_objects_with_each_provider() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let providers = json!([
        ["compatible", CLAUDE],
        ["compatible", NOVA],
        ["compatible", GPT_OSS],
        ["chat", NOVA],
        ["responses", CLAUDE],
        ["responses", NOVA],
        ["anthropic", CLAUDE],
        ["anthropic", NOVA],
        ["bedrock", CLAUDE],
        ["bedrock", NOVA],
    ]);
    let (providers, url) = (providers.to_string(), gateway.url());
    let environment = [
        ("URL", url.as_str()),
        ("KEY", KEY),
        ("PROVIDERS", &providers),
        ("PROMPT", PROMPT),
    ];
    let seen = node_client("ai_sdk.mjs", &environment).await;
    for (row, seen) in rows(&seen, 10) {
        assert_eq!(seen["plain"], PROMPT, "{row}");
        assert_eq!(seen["streamed"], PROMPT, "{row}");
        assert_eq!(seen["finish"], "stop", "{row}");
        assert!(seen["usage"].as_u64() > Some(0), "{row}");
        ran_both_tools(row, seen);
        assert_eq!(seen["steps"], 2, "{row}");
        assert_eq!(seen["object"], json!(["name", "age"]), "{row}");
        assert_eq!(
            seen["failure"],
            json!(["AI_APICallError", 429, true]),
            "{row}"
        );
    }
}
