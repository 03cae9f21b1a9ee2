//! Real clients of OpenAI's Responses against a real socket: `openai` for Python and Node, the Agents SDK;
//! and clients of images and reranking.

use serde_json::{Value, json};

use crate::{
    openai_clients::{PROMPT, rig, settings},
    support::{
        clients::{node_client, python_client},
        gateway::KEY,
        lane,
    },
};

const THINKING_MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

#[tokio::test]
async fn openai_package_streams_calls_parses_and_sends_reasoning_back() {
    let (double, gateway) = rig().await;
    let tools = "Two please.\n@tool get_weather {\"zone\":\"CET\",\"city\":\"Paris\"}\n@tool get_weather {\"city\":\"Rome\"}";
    let url = gateway.openai_url();
    let mut environment = settings(&url, PROMPT).to_vec();
    environment.push(("TOOLS_PROMPT", tools));
    environment.push(("THINKING_MODEL", THINKING_MODEL));
    let seen = python_client("openai/responses.py", &environment).await;

    assert_eq!(seen["plain"], PROMPT);
    assert_eq!(seen["status"], "completed");
    assert_eq!(seen["store"], false);
    assert_eq!(seen["streamed"], PROMPT);
    assert_eq!(seen["streamed_usage"], seen["usage"]);
    let numbers: Vec<u64> = serde_json::from_value(seen["numbers"].clone()).unwrap();
    assert!(
        numbers
            .iter()
            .zip(0..)
            .all(|(number, place)| *number == place),
        "{seen}"
    );
    let types: Vec<&str> = seen["types"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        types[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    assert_eq!(types.last(), Some(&"response.completed"));
    assert_eq!(
        seen["calls"],
        json!([
            ["get.weather", "{\"zone\":\"CET\",\"city\":\"Paris\"}"],
            ["get.weather", "{\"city\":\"Rome\"}"],
        ]),
        "names and key order as the client gave them"
    );
    assert!(seen["after"].as_str().unwrap().contains("thanks"), "{seen}");
    assert_eq!(seen["parsed"], "Person", "the object fits the class");
    assert_eq!(seen["thought"], json!(["reasoning", "function_call"]));
    assert_eq!(seen["summary"], "I should look.");
    assert!(
        seen["replayed"].as_str().unwrap().contains("blue"),
        "{seen}"
    );
    assert_eq!(seen["tampered"], json!([400, "input[1].encrypted_content"]));
    assert_eq!(
        seen["failed"],
        json!(["APIError", "ThrottlingException", 429])
    );

    // The simulated model accepted its own reasoning with its signature.
    let replayed = double
        .calls_of("Converse")
        .into_iter()
        .filter_map(|call| call.json().ok())
        .find(|body| {
            body.pointer("/messages/1/content/0/reasoningContent")
                .is_some()
        })
        .expect("a request with reasoning in it");
    let block = &replayed["messages"][1]["content"][0]["reasoningContent"]["reasoningText"];
    assert_eq!(block["text"], "I should look.");
    assert!(block["signature"].is_string());
}

#[tokio::test]
async fn openai_package_for_node_streams_calls_and_sees_failures() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let seen = node_client(
        "openai_responses.mjs",
        &settings(&gateway.openai_url(), PROMPT),
    )
    .await;
    assert_eq!(seen["streamed"], PROMPT);
    assert_eq!(seen["final"], PROMPT);
    assert_eq!(
        seen["calls"],
        json!([["get_weather", "{\"city\":\"Paris\"}"]])
    );
    assert_eq!(
        seen["refusal"],
        json!(["BadRequestError", 400, "previous_response_id"])
    );
    assert_eq!(seen["failure"], json!(["APIError", "ThrottlingException"]));
}

#[tokio::test]
async fn openai_agents_run_a_tool_to_the_end_with_reasoning() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = gateway.openai_url();
    let environment = [
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("MODEL", THINKING_MODEL),
        (
            "PROMPT",
            "@reason I should look.\n@tool get_weather {\"city\":\"Rome\"}",
        ),
    ];
    let seen = python_client("agents/run.py", &environment).await;
    assert_eq!(seen["asked"], json!(["Rome", "Rome"]));
    assert!(
        seen["final"].as_str().unwrap().contains("sunny in Rome"),
        "{seen}"
    );
    assert_eq!(seen["streamed"], seen["final"]);
    assert_eq!(
        seen["items"],
        json!([
            "reasoning_item",
            "tool_call_item",
            "tool_call_output_item",
            "message_output_item"
        ])
    );
}

#[tokio::test]
async fn openai_package_generates_images() {
    let (_double, gateway) = rig().await;
    let url = gateway.openai_url();
    let environment = [
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("MODEL", "amazon.nova-canvas-v1:0"),
    ];
    let seen = python_client("openai/images.py", &environment).await;
    assert_eq!(
        seen,
        json!({"png": [true, true, true], "different": 3, "created": true, "refused": [400, "response_format"]})
    );
}

#[tokio::test]
async fn cohere_package_ranks_documents() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = gateway.openai_url();
    let environment = [
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("MODEL", "cohere.rerank-v3-5:0"),
    ];
    let seen = python_client("cohere/rerank.py", &environment).await;
    assert_eq!(
        seen,
        json!({"newer": [1, 2], "older": [[1, "a red fox"], [2, "a fox"]], "falling": true, "units": 1.0})
    );
}
