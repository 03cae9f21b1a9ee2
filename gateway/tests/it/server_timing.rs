//! `Server-Timing`: where the time of a request went, for clients that ask for it.

use serde_json::json;

use crate::rig::Rig;

/// Names and milliseconds of the header.
fn steps(value: &str) -> Vec<(String, f64)> {
    value
        .split(", ")
        .map(|step| {
            let (name, took) = step.split_once(";dur=").unwrap();
            (name.to_owned(), took.parse().unwrap())
        })
        .collect()
}

const ASK: (&str, &str) = ("x-bedrock-gateway-timing", "1");

#[tokio::test]
async fn whole_and_streamed_responses_have_the_time_of_each_step() {
    let rig = Rig::laptop().await;
    for stream in [false, true] {
        let body = json!({
            "model": "amazon.nova-lite-v1:0", "stream": stream,
            "messages": [{"role": "user", "content": "@first 200ms\nhello"}],
        });
        let body = body.to_string();
        let path = "/v1/chat/completions";
        let response = rig
            .call(http::Method::POST, path, &[ASK], body.clone())
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
        let steps = steps(response.headers["server-timing"].to_str().unwrap());
        let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["auth", "body", "limit", "decode", "upstream", "total"]
        );
        let sum: f64 = steps[..5].iter().map(|(_, took)| took).sum();
        let (upstream, total) = (steps[4].1, steps[5].1);
        assert!(upstream >= 200.0, "stream {stream}: {steps:?}");
        assert!(sum <= total + 0.01, "stream {stream}: {steps:?}");

        let plain = rig.call(http::Method::POST, path, &[], body.clone()).await;
        assert!(!plain.headers.contains_key("server-timing"));
    }
}

#[tokio::test]
async fn refused_requests_have_the_steps_that_they_reached() {
    let rig = Rig::laptop().await;
    let body = json!({"model": "amazon.nova-lite-v1:0"}).to_string();
    for (path, expected) in [
        ("/nowhere", vec!["total"]),
        (
            "/v1/chat/completions",
            vec!["auth", "body", "limit", "total"],
        ),
    ] {
        let response = rig
            .call(http::Method::POST, path, &[ASK], body.clone())
            .await;
        assert!(response.status.is_client_error());
        let steps = steps(response.headers["server-timing"].to_str().unwrap());
        let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "{path}");
    }
}

#[tokio::test]
async fn paths_of_bedrock_have_times_as_well() {
    let rig = Rig::laptop().await;
    let body = json!({"messages": [{"role": "user", "content": [{"text": "hello"}]}]});
    for operation in ["converse", "converse-stream"] {
        let path = format!("/model/amazon.nova-lite-v1:0/{operation}");
        let body = body.to_string();
        let response = rig
            .call(http::Method::POST, &path, &[ASK], body.clone())
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
        let steps = steps(response.headers["server-timing"].to_str().unwrap());
        assert_eq!(steps[4].0, "upstream", "{operation}: {steps:?}");
    }
}
