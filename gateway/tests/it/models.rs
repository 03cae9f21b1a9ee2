//! `/v1/models` of a gateway without a configuration file: what Bedrock lists if permitted, the built-in table otherwise.

use std::time::Duration;

use awsdouble::{Config, Fault, FaultAction};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rig::{ACCESS_KEY, Plan, Rig, SECRET_KEY};

/// A model that no table contains.
const NEW: &str = "amazon.nova-9-new-v1:0";

/// An account with a new model.
fn plan(policy: Value) -> Plan {
    let mut double = Config::default().with_user("dev", ACCESS_KEY, SECRET_KEY, policy);
    let new = json!({"id": NEW, "on_demand": false, "profiles": ["us"]});
    double.models.push(serde_json::from_value(new).unwrap());
    Plan {
        double,
        ..Plan::default()
    }
}

fn allow(actions: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": actions, "Resource": "*"}]})
}

async fn ids(rig: &Rig) -> Vec<String> {
    let list = rig.get("/v1/models").await.json();
    let data = list["data"].as_array().unwrap();
    let id = |model: &Value| model["id"].as_str().unwrap().to_owned();
    data.iter().map(id).collect()
}

#[tokio::test]
async fn open_gateway_lists_what_bedrock_lists() {
    let rig = Rig::start(plan(awsdouble::allow_bedrock())).await;
    let ids = ids(&rig).await;
    assert!(ids.contains(&format!("us.{NEW}")), "{ids:?}");
    assert!(
        !ids.contains(&NEW.to_owned()),
        "only by its profile: {ids:?}"
    );
    assert!(ids.is_sorted(), "{ids:?}");

    let one = rig.get(&format!("/v1/models/us.{NEW}")).await;
    assert_eq!(one.json()["id"], format!("us.{NEW}"));
    for wrong in [
        "us.amazon.nova-9-mew-v1:0",
        NEW,
        "fast",
        "eu.amazon.nova-lite-v1:0",
    ] {
        let missing = rig.get(&format!("/v1/models/{wrong}")).await;
        assert_eq!(missing.status, 404, "{wrong}");
        assert_eq!(missing.error()["code"], "model_not_found", "{wrong}");
    }
    let typo = rig.get("/v1/models/us.amazon.nova-9-mew-v1:0").await;
    let message = typo.error()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains(&format!("us.{NEW}")),
        "similar ids first: {message}"
    );
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2";
    assert_eq!(rig.get(&format!("/v1/models/{arn}")).await.status, 200);

    let calls = rig.double.calls_of("ListFoundationModels");
    assert_eq!(calls.len(), 1, "the list is cached");
}

#[tokio::test]
async fn gateway_that_may_not_list_uses_the_built_in_table() {
    let rig = Rig::start(plan(allow(&["bedrock:InvokeModel"]))).await;
    let ids = ids(&rig).await;
    assert!(!ids.contains(&format!("us.{NEW}")), "{ids:?}");
    assert!(
        ids.contains(&"us.amazon.nova-2-lite-v1:0".to_owned()),
        "{ids:?}"
    );
    assert_eq!(
        rig.get("/v1/models/us.amazon.nova-2-lite-v1:0")
            .await
            .status,
        200
    );
    assert_eq!(
        rig.get("/v1/models/us.amazon.nova-2-light-v1:0")
            .await
            .status,
        404
    );
    assert_eq!(rig.double.calls_of("ListFoundationModels").len(), 1);
}

#[tokio::test]
async fn profiles_come_from_the_table_if_only_models_may_be_listed() {
    let rig = Rig::start(plan(allow(&["bedrock:ListFoundationModels"]))).await;
    let ids = ids(&rig).await;
    assert!(
        ids.contains(&"us.amazon.nova-2-lite-v1:0".to_owned()),
        "{ids:?}"
    );
}

#[tokio::test]
async fn spellings_of_a_model_share_one_metric_label() {
    let rig = Rig::with_document("clients: {anonymous: true}\nallow: ['*']").await;
    for model in [
        "amazon.nova-lite-v1:0",
        "us.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
    ] {
        let response = rig.chat(&crate::rig::ask(model, "hi")).await;
        assert_eq!(response.status, 200, "{model}: {}", response.text());
    }
    let metrics = rig.admin("/metrics").await.text();
    let labels: std::collections::BTreeSet<&str> = metrics
        .split("gen_ai_request_model=\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect();
    assert_eq!(
        labels.into_iter().collect::<Vec<_>>(),
        ["amazon.nova-lite-v1:0"]
    );
}

#[tokio::test]
async fn silent_control_plane_delays_neither_chats_nor_later_lists() {
    let rig = Rig::start(plan(awsdouble::allow_bedrock())).await;
    rig.double
        .inject(Fault::new("ListFoundationModels", FaultAction::Hang));
    let started = Instant::now();
    assert!(
        ids(&rig)
            .await
            .contains(&"us.amazon.nova-2-lite-v1:0".to_owned())
    );
    let first = started.elapsed();
    assert!(
        first < Duration::from_secs(8),
        "the timeout of the call is 10 s: {first:?}"
    );
    let again = Instant::now();
    ids(&rig).await;
    assert!(again.elapsed() < Duration::from_secs(1), "no second wait");
    let chat = json!({"model": "us.amazon.nova-2-lite-v1:0", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(rig.chat(&chat).await.status, 200);
    assert_eq!(
        rig.double.calls_of("ListFoundationModels").len(),
        1,
        "one at a time"
    );
}

#[tokio::test]
async fn client_without_a_key_causes_no_call_to_bedrock() {
    let plan = Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-1"))),
        ..plan(awsdouble::allow_bedrock())
    };
    let rig = Rig::start(plan).await;
    assert_eq!(rig.get("/v1/models").await.status, 401);
    assert!(rig.double.calls_of("ListFoundationModels").is_empty());
}

#[tokio::test]
async fn gateway_with_a_configuration_lists_the_table_without_a_call() {
    let document = "clients: {anonymous: true}\nallow: ['*']";
    let rig = Rig::start(Plan {
        document: Some(document.to_owned()),
        ..plan(awsdouble::allow_bedrock())
    })
    .await;
    let ids = ids(&rig).await;
    assert!(!ids.contains(&format!("us.{NEW}")), "{ids:?}");
    assert!(ids.contains(&"us.amazon.nova-2-lite-v1:0".to_owned()));
    assert_eq!(rig.get("/v1/models/model.of-tomorrow").await.status, 200);
    assert!(rig.double.calls_of("ListFoundationModels").is_empty());
}

#[tokio::test]
async fn a_signed_request_gets_the_list_of_bedrock() {
    let plan = Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-1"))),
        ..plan(awsdouble::allow_bedrock())
    };
    let rig = Rig::start(plan).await;
    let signer = crate::signer::Signer::new("default", "sk-1");
    let list = signer
        .call(&rig, http::Method::GET, "/inference-profiles", "")
        .await;
    assert_eq!(list.status, 200, "{}", list.text());
    let text = list.text();
    assert!(text.contains(&format!("us.{NEW}")), "{text}");
}

#[tokio::test]
async fn one_throttled_listing_keeps_the_known_list() {
    for operation in ["ListFoundationModels", "ListInferenceProfiles"] {
        let rig = Rig::start(plan(awsdouble::allow_bedrock())).await;
        let new = format!("us.{NEW}");
        assert!(ids(&rig).await.contains(&new));
        let throttle = FaultAction::Error {
            status: 429,
            code: "ThrottlingException".to_owned(),
            message: "Rate exceeded".to_owned(),
            empty_body: false,
        };
        rig.double.inject(Fault::new(operation, throttle));
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(11)).await;
        tokio::time::resume();
        // The client's connection is closed as idle.
        tokio::time::sleep(Duration::from_millis(200)).await;
        ids(&rig).await;
        crate::rig::eventually("the listing was repeated", async || {
            rig.double.calls_of(operation).len() == 2
        })
        .await;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(ids(&rig).await.contains(&new), "{operation}");
        }
    }
}
