//! Configuration reloads.

use crate::rig::{Plan, Rig, ask, eventually};

fn document(alias: &str) -> String {
    format!(
        "clients: {{anonymous: true}}\nmodels: [{{name: {alias}, targets: [{{modelId: 'amazon.nova-lite-v1:0'}}]}}]"
    )
}

#[tokio::test]
async fn reloads_a_changed_configuration_and_rejects_an_invalid_one() {
    let rig = Rig::with_document(&document("old")).await;
    assert_eq!(rig.chat(&ask("old", "hi")).await.status, 200);

    rig.write_config(&document("new"));
    eventually("the new alias works", async || {
        rig.chat(&ask("new", "hi")).await.status == 200
    })
    .await;
    assert_eq!(rig.chat(&ask("old", "hi")).await.status, 404);

    rig.write_config("models: [{name: '', targets: []}]");
    let rejected = "bedrock_gateway_config_reloads_total{result=\"refused\"}";
    eventually("the invalid configuration is rejected", async || {
        rig.metric(rejected).await == Some(1.0)
    })
    .await;
    assert_eq!(
        rig.metric("bedrock_gateway_config_last_reload_successful")
            .await,
        Some(0.0)
    );
    assert_eq!(rig.chat(&ask("new", "hi")).await.status, 200);

    rig.write_config(&document("newest"));
    eventually("a valid configuration is reloaded", async || {
        rig.chat(&ask("newest", "hi")).await.status == 200
    })
    .await;
    assert_eq!(
        rig.metric("bedrock_gateway_config_last_reload_successful")
            .await,
        Some(1.0)
    );
}

#[tokio::test]
async fn a_revoked_gateway_rejects_requests_with_the_reason_until_it_is_restored() {
    let rig = Rig::with_document(&document("fast")).await;
    assert_eq!(rig.chat(&ask("fast", "hi")).await.status, 200);
    rig.write_config(
        "clients: {anonymous: true}\nrevoked: BedrockAccess team-a/chat is not accepted",
    );
    eventually("requests are no longer served", async || {
        rig.chat(&ask("fast", "hi")).await.status != 200
    })
    .await;
    let response = rig.chat(&ask("fast", "hi")).await;
    assert_eq!(response.status, 403, "{}", response.text());
    assert!(
        response.text().contains("team-a/chat is not accepted"),
        "{}",
        response.text()
    );
    rig.write_config(&document("fast"));
    eventually("requests are served again", async || {
        rig.chat(&ask("fast", "hi")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn detects_the_swapped_link_of_a_mounted_config_map() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, alias: &str| {
        let data = directory.path().join(name);
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("gateway.yaml"), document(alias)).unwrap();
        // As the kubelet does: rename a new link over the old one.
        let link = directory.path().join("..data_tmp");
        std::os::unix::fs::symlink(name, &link).unwrap();
        std::fs::rename(&link, directory.path().join("..data")).unwrap();
    };
    write("..2026_01_01", "one");
    let path = directory.path().join("gateway.yaml");
    std::os::unix::fs::symlink("..data/gateway.yaml", &path).unwrap();
    let rig = Rig::start(Plan {
        settings: Box::new(move |settings| settings.config = Some(path)),
        ..Plan::default()
    })
    .await;
    assert_eq!(rig.chat(&ask("one", "hi")).await.status, 200);
    write("..2026_01_02", "two");
    eventually("the new configuration is active", async || {
        rig.chat(&ask("two", "hi")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn reloads_a_rotated_api_key() {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("ci"), "sk-old").unwrap();
    let rig = Rig::with_document(&format!(
        "clients: {{apiKeysDirectory: '{}'}}\nallow: ['*']",
        keys.path().display()
    ))
    .await;
    let status = async |key: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        rig.call(http::Method::GET, "/v1/models", &headers, "")
            .await
            .status
            .as_u16()
    };
    assert_eq!(status("sk-old").await, 200);
    assert_eq!(status("sk-newer").await, 401);
    std::fs::write(keys.path().join("ci"), "sk-newer").unwrap();
    eventually("the new key is accepted", async || {
        status("sk-newer").await == 200
    })
    .await;
    assert_eq!(status("sk-old").await, 401);
}

#[tokio::test]
async fn an_empty_or_torn_document_changes_nothing() {
    let closed = "clients: {apiKeysDirectory: '{keys}'}\nallow: ['*']\nguardrail: {identifier: gr-1, version: '1'}\n";
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("ci"), "sk-ci").unwrap();
    let rig =
        Rig::with_document(&closed.replace("{keys}", &keys.path().display().to_string())).await;
    let rejected = "bedrock_gateway_config_reloads_total{result=\"refused\"}";
    // The last one is cut before `clients`.
    let torn = ["", "\n# nothing yet\n---\n", "allow: ['*']\n"];
    for (count, document) in (1_u32..).zip(torn) {
        rig.write_config(document);
        eventually("the document is rejected", async || {
            rig.metric(rejected).await == Some(f64::from(count))
        })
        .await;
        assert_eq!(
            rig.chat(&ask("fast", "hi")).await.status,
            401,
            "{document:?}"
        );
    }
    rig.write_config("clients: {anonymous: true}\nallow: ['*']\n");
    eventually("an explicit change is active", async || {
        rig.get("/v1/models").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_removed_directory_of_keys_revokes_them() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("ci"), "sk-ci").unwrap();
    let rig = Rig::with_document(&format!(
        "clients: {{apiKeysDirectory: '{}'}}\nallow: ['*']",
        keys.display()
    ))
    .await;
    let status = async || {
        let headers = [("authorization", "Bearer sk-ci")];
        let response = rig
            .call(http::Method::GET, "/v1/models", &headers, "")
            .await;
        response.status.as_u16()
    };
    assert_eq!(status().await, 200);
    std::fs::rename(&keys, directory.path().join("gone")).unwrap();
    eventually("the key is revoked", async || status().await == 401).await;
    std::fs::rename(directory.path().join("gone"), &keys).unwrap();
    eventually("the key works again", async || status().await == 200).await;
}
