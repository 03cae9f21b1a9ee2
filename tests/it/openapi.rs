//! The OpenAPI document against validators of others, the golden requests, and the gateway itself.

use serde_json::json;

use crate::{
    openai_clients::rig,
    support::{clients::python_client, gateway::KEY},
};

#[tokio::test]
async fn openapi_document_is_valid_and_true() {
    let (_double, gateway) = rig().await;
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/dialects/testdata");
    let seen = python_client(
        "openapi/document.py",
        &[
            ("GATEWAY_URL", &gateway.url()),
            ("OPENAI_API_KEY", KEY),
            ("MODEL", "us.amazon.nova-2-lite-v1:0"),
            ("FAMILY", "Nova 2"),
            ("GOLDEN", golden),
        ],
    )
    .await;
    assert_eq!(seen["findings"], json!([]), "{seen:#}");
    assert_eq!(seen["version"], "3.1.0");
    assert!(seen["golden"].as_u64().unwrap() > 100, "{seen}");
    assert!(seen["fields"].as_u64().unwrap() > 80, "{seen}");
}
