//! Behaviour of real clients when a rate limit is reached.

use awsdouble::{Config, Double, allow_bedrock};
use serde_json::{Value, json};

use crate::{
    openai_clients::MODEL,
    support::{
        clients::python_client,
        gateway::{Gateway, KEY},
        lane,
    },
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A gateway with these limits.
async fn limited(double: &Double, limits: &str) -> Gateway {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("allow: ['*']\nlimits: {limits}")).unwrap();
    let gateway = Gateway::start(
        &[
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &double.url()),
        ],
        Some(file.path()),
    )
    .await;
    gateway.ready().await;
    gateway
}

/// Two requests per minute, and a daily quota that the first request exhausts.
async fn rig() -> (Double, Gateway, Gateway) {
    let config =
        Config::default().with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let minute = limited(&double, "{requestsPerMinute: 2}").await;
    let day = limited(&double, "{tokensPerDay: 1}").await;
    (double, minute, day)
}

fn waits(refusal: &Value) -> bool {
    let seconds = refusal["retry_after"].as_str().unwrap_or_default();
    seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 1)
}

#[tokio::test]
async fn openai_package_reads_the_limits_and_does_not_try_again_where_a_day_is_used_up() {
    let (_double, minute, day) = rig().await;
    let seen = python_client(
        "openai/limits.py",
        &[
            ("OPENAI_BASE_URL", &minute.openai_url()),
            ("BUDGET_URL", &day.openai_url()),
            ("OPENAI_API_KEY", KEY),
            ("MODEL", MODEL),
        ],
    )
    .await;
    assert_eq!(seen["headers"][0], "2", "{seen}");
    assert_eq!(seen["headers"][1], "1", "{seen}");
    let refused = &seen["minute"];
    assert_eq!(refused["code"], "rate_limit_exceeded", "{seen}");
    assert_eq!(refused["type"], "requests", "{seen}");
    assert_eq!(refused["remaining"], "0", "{seen}");
    assert!(waits(refused), "{seen}");
    let refused = &seen["day"];
    assert_eq!(refused["code"], "insufficient_quota", "{seen}");
    assert_eq!(refused["sent"], json!(1), "no second try: {seen}");
}

#[tokio::test]
async fn anthropic_package_reads_the_limits_and_does_not_try_again_where_a_day_is_used_up() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, minute, day) = rig().await;
    let seen = python_client(
        "anthropic/limits.py",
        &[
            ("ANTHROPIC_BASE_URL", &minute.url()),
            ("BUDGET_URL", &day.url()),
            ("ANTHROPIC_API_KEY", KEY),
            ("MODEL", MODEL),
        ],
    )
    .await;
    assert_eq!(seen["headers"][0], "2", "{seen}");
    assert_eq!(seen["headers"][1], "1", "{seen}");
    for case in ["minute", "day"] {
        let refused = &seen[case];
        assert_eq!(refused["type"], "rate_limit_error", "{seen}");
        assert_eq!(refused["sent"], json!(1), "{seen}");
        assert!(waits(refused), "{seen}");
    }
}
