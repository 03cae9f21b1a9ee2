//! Real clients of OpenAI's API against a real socket: `openai` for Python and Node.

use awsdouble::{Config, Double, allow_bedrock};
use serde_json::json;

use crate::support::{
    clients::{node_client, python_client},
    eventually,
    gateway::{Gateway, KEY},
};

pub(crate) const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

pub(crate) async fn rig() -> (Double, Gateway) {
    let config =
        Config::default().with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let gateway = Gateway::start(
        &[
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &double.url()),
            ("AWS_ENDPOINT_URL_STS", &double.url()),
        ],
        None,
    )
    .await;
    gateway.ready().await;
    (double, gateway)
}

#[tokio::test]
async fn openai_package_gets_the_same_answer_streamed_and_not() {
    let (double, gateway) = rig().await;
    let prompt = "The quick brown fox – über 5 € 🦊 – jumps over the lazy dog";
    let seen = python_client(
        "openai/chat.py",
        &[
            ("OPENAI_BASE_URL", &gateway.openai_url()),
            ("OPENAI_API_KEY", KEY),
            ("MODEL", MODEL),
            ("PROMPT", prompt),
        ],
    )
    .await;

    assert_eq!(
        seen["plain"]["text"], prompt,
        "the double echoes the last turn"
    );
    assert_eq!(seen["streamed"]["text"], seen["plain"]["text"]);
    assert_eq!(seen["streamed"]["finish"], "stop");
    assert_eq!(seen["plain"]["finish"], "stop");
    assert_eq!(seen["streamed"]["usage"], seen["plain"]["usage"]);
    let usage: Vec<u64> = serde_json::from_value(seen["plain"]["usage"].clone()).unwrap();
    assert!(
        usage[0] > 0 && usage[1] > 0 && usage[0] + usage[1] == usage[2],
        "{usage:?}"
    );
    assert_eq!(
        seen["streamed"]["roles"],
        json!(["assistant"]),
        "the role comes once"
    );
    assert_eq!(seen["streamed"]["ids"], 1, "one id for the whole stream");
    assert!(seen["streamed"]["chunks"].as_u64().unwrap() > 3, "{seen}");

    let calls = double.calls_of("Converse");
    let sent = calls[0].json().unwrap();
    assert_eq!(sent["system"], json!([{"text": "Answer in one line."}]));
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
    assert_eq!(
        sent["inferenceConfig"],
        json!({"maxTokens": 200, "temperature": 0.5})
    );
    let streamed = double.calls_of("ConverseStream");
    assert_eq!(
        streamed[0].body, calls[0].body,
        "equal requests give equal bytes"
    );
}

#[tokio::test]
async fn errors_reach_the_openai_package_as_its_own_exceptions() {
    let (_double, gateway) = rig().await;
    let seen = python_client(
        "openai/errors.py",
        &[
            ("OPENAI_BASE_URL", &gateway.openai_url()),
            ("OPENAI_API_KEY", KEY),
            ("MODEL", MODEL),
        ],
    )
    .await;
    let rows = [
        ("wrong key", "AuthenticationError", 401),
        ("no messages", "BadRequestError", 400),
        ("temperature", "BadRequestError", 400),
        ("n", "BadRequestError", 400),
        ("throttled", "RateLimitError", 429),
    ];
    for (case, class, status) in rows {
        assert_eq!(seen[case]["class"], class, "{case}: {seen}");
        assert_eq!(seen[case]["status"], status, "{case}: {seen}");
        assert!(
            seen[case]["request_id"]
                .as_str()
                .is_some_and(|id| !id.is_empty()),
            "{case}: {seen}"
        );
    }
    assert_eq!(seen["no messages"]["param"], "messages");
    assert_eq!(seen["temperature"]["param"], "temperature");
    assert_eq!(seen["n"]["param"], "n");
    // The gateway has no list of models here, so this is the error of AWS for an unknown id.
    assert_eq!(seen["unknown model"]["class"], "BadRequestError", "{seen}");
    assert_eq!(seen["unknown model"]["status"], 400, "{seen}");
}

pub(crate) fn settings<'a>(url: &'a str, prompt: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("OPENAI_BASE_URL", url),
        ("OPENAI_API_KEY", KEY),
        ("MODEL", MODEL),
        ("PROMPT", prompt),
    ]
}

pub(crate) const PROMPT: &str = "Grüße – 5 € – 🦊";

#[tokio::test]
async fn openai_package_calls_tools_gets_objects_shows_images_and_cancels() {
    let (double, gateway) = rig().await;
    // Bedrock rejects the dot in the name: the gateway sends another name and returns this one.
    let tools = "Two please.\n@tool get_weather {\"zone\":\"CET\",\"city\":\"Paris\"}\n@tool get_weather {\"city\":\"Rome\"}";
    let url = gateway.openai_url();
    let mut environment = settings(&url, PROMPT).to_vec();
    environment.push(("TOOLS_PROMPT", tools));
    let seen = python_client("openai/features.py", &environment).await;

    let calls = json!([
        ["get.weather", "{\"zone\":\"CET\",\"city\":\"Paris\"}"],
        ["get.weather", "{\"city\":\"Rome\"}"],
    ]);
    assert_eq!(
        seen["plain"], calls,
        "names and key order as the client gave them"
    );
    assert_eq!(seen["streamed"], calls);
    assert_eq!(seen["indexes"], json!([0, 1]));
    assert_eq!(seen["finish"], "tool_calls");
    assert!(seen["after"].as_str().unwrap().contains("thanks"), "{seen}");
    assert_eq!(seen["parsed"], true, "the object fits the class");
    assert_eq!(seen["parsed_finish"], "stop");
    assert!(
        seen["image"]
            .as_str()
            .unwrap()
            .contains("[image png, 70 bytes]"),
        "{seen}"
    );
    assert_eq!(seen["cancelled_after"], 3);

    let first = &double.calls_of("Converse")[0];
    let schema = r#"{"type":"object","properties":{"zone":{"type":"string"},"city":{"type":"string"}},"required":["city"]}"#;
    assert!(
        first.body.contains(schema),
        "key order of the schema survives: {}",
        first.body
    );
    eventually("the double notices that the client has gone", || async {
        let streams = double.calls_of("ConverseStream");
        match streams.last().and_then(|call| call.stream.clone()) {
            Some(outcome) if outcome.ended == "cancelled" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn openai_package_for_node_chats_streams_and_calls_tools() {
    let (_double, gateway) = rig().await;
    let seen = node_client("openai_chat.mjs", &settings(&gateway.openai_url(), PROMPT)).await;
    assert_eq!(seen["plain"], PROMPT);
    assert_eq!(seen["streamed"], PROMPT);
    assert_eq!(seen["finish"], "stop");
    assert_eq!(
        seen["calls"],
        json!([["get_weather", "{\"city\":\"Paris\"}"]])
    );
    assert_eq!(seen["refusal"], json!(["BadRequestError", 400, "messages"]));
}
