//! A gateway on this machine without client authentication answers no requests of foreign web pages.

use http::Method;
use serde_json::Value;

use crate::rig::{MODEL, Plan, Rig, ask};

const FOREIGN: [(&str, &str); 3] = [
    ("host", "evil.example:8000"),
    ("origin", "https://evil.example"),
    ("sec-fetch-site", "cross-site"),
];

#[tokio::test]
async fn rejects_foreign_pages_in_the_dialect_of_the_path() {
    let rig = Rig::laptop().await;
    let body = ask(MODEL, "hi").to_string();
    for header in FOREIGN {
        for (method, path, member) in [
            (Method::POST, "/v1/chat/completions", "/error/message"),
            (Method::POST, "/v1/messages", "/error/message"),
            (Method::GET, "/v1/models", "/error/message"),
            (Method::POST, "/model/m/converse", "/message"),
            (Method::GET, "/", "/error/message"),
            (Method::GET, "/aws/credentials", "/error/message"),
        ] {
            let headers = [header, ("content-type", "text/plain")];
            let response = rig.call(method, path, &headers, body.clone()).await;
            assert_eq!(
                response.status,
                403,
                "{path} {header:?}: {}",
                response.text()
            );
            let json = response.json();
            let message = json.pointer(member).and_then(Value::as_str).unwrap();
            assert!(message.contains("this machine only"), "{message}");
            assert!(!response.headers.contains_key("access-control-allow-origin"));
        }
    }
    assert!(rig.calls().is_empty());
    let headers = [
        ("origin", "http://localhost:3000"),
        ("sec-fetch-site", "same-site"),
    ];
    let path = "/v1/chat/completions";
    let local = rig.call(Method::POST, path, &headers, body).await;
    assert_eq!(local.status, 200, "{}", local.text());
}

#[tokio::test]
async fn with_a_key_or_beyond_this_machine_any_host_is_served() {
    let with_key = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-1"))),
        ..Plan::default()
    })
    .await;
    let beyond = Rig::start(Plan {
        document: Some("clients: {anonymous: true}\nallow: ['*']".to_owned()),
        settings: Box::new(|settings| settings.listen = ([0, 0, 0, 0], 0).into()),
        ..Plan::default()
    })
    .await;
    for rig in [with_key, beyond] {
        let headers = [
            ("host", "bedrock.team-a.svc"),
            ("origin", "https://app.example"),
            ("authorization", "Bearer sk-1"),
        ];
        let response = rig.call(Method::GET, "/v1/models", &headers, "").await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
}
