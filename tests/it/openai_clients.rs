//! The `openai` Python package against a real socket.

use awsdouble::{Config, Double, allow_bedrock};
use serde_json::json;

use crate::support::{
    clients::python_client,
    gateway::{Gateway, KEY},
};

const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

async fn rig() -> (Double, Gateway) {
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
        "openai_chat.py",
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
        "openai_errors.py",
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
    // AWS refuses the id; the gateway has no list of its own here.
    assert!(
        matches!(seen["unknown model"]["status"].as_u64(), Some(400 | 404)),
        "{seen}"
    );
}
