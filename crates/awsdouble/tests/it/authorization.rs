//! Bedrock: policy evaluation for models and inference profiles, and the control plane.

use aws_sdk_bedrockruntime::error::ProvideErrorMetadata as _;
use awsdouble::allow_bedrock;
use awsdouble::config::InferenceProfile;
use serde_json::{Value, json};

use crate::bedrock::{MODEL, user_message};
use crate::client::*;
use crate::sources::{parse, statement};

async fn converse_under(policy: Value, model: &str) -> Result<(), String> {
    let (double, _) = irsa_with(|mut config| {
        config.users[0].policies = vec![policy];
        config.inference_profiles.push(InferenceProfile {
            id: "app1".to_owned(),
            model: MODEL.to_owned(),
            regions: vec!["us-east-1".to_owned()],
            application: true,
        });
        config
    })
    .await;
    let call = bedrock(&double, user())
        .converse()
        .model_id(model)
        .messages(user_message("hi"))
        .send()
        .await;
    call.map(|_| ())
        .map_err(|error| error.message().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn evaluates_permission_policies_for_models_and_profiles() {
    let model = |region: &str| format!("arn:aws:bedrock:{region}::foundation-model/{MODEL}");
    let profile = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{MODEL}");
    let us = format!("us.{MODEL}");
    converse_under(statement("bedrock:InvokeModel", &model("us-east-1")), MODEL)
        .await
        .unwrap();
    let denied = converse_under(
        statement("bedrock:InvokeModelWithResponseStream", "*"),
        MODEL,
    )
    .await;
    assert_eq!(
        denied.unwrap_err(),
        format!(
            "User: arn:aws:iam::123456789012:user/anna is not authorized to perform: bedrock:InvokeModel on resource: {} because no identity-based policy allows the bedrock:InvokeModel action",
            model("us-east-1")
        )
    );
    let only_profile = converse_under(statement("bedrock:InvokeModel", &profile), &us).await;
    assert!(only_profile.unwrap_err().contains(&model("us-east-1")));
    let whole = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": profile},
        {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": [model("us-east-1"), model("us-east-2"), model("us-west-2")],
         "Condition": {"StringEquals": {"bedrock:InferenceProfileArn": profile}}}]});
    converse_under(whole.clone(), &us).await.unwrap();
    assert!(
        converse_under(whole, MODEL).await.is_err(),
        "the model is allowed through the profile only"
    );
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "bedrock:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}}]});
    converse_under(deny.clone(), MODEL).await.unwrap();
    assert!(
        converse_under(deny, &us)
            .await
            .unwrap_err()
            .ends_with("with an explicit deny in an identity-based policy")
    );
    let application = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/app1";
    converse_under(allow_bedrock(), application).await.unwrap();
    assert_eq!(
        converse_under(allow_bedrock(), "app1").await.unwrap_err(),
        "The provided model identifier is invalid."
    );
}

#[tokio::test]
async fn a_global_profile_requires_permission_without_a_region() {
    let id = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let global = format!("global.{id}");
    let parts = |with_unspecified: bool| {
        let mut statements = vec![
            json!({"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{global}")}),
            json!({"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": format!("arn:aws:bedrock:us-east-1::foundation-model/{id}")}),
        ];
        if with_unspecified {
            statements.push(json!({"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": format!("arn:aws:bedrock:::foundation-model/{id}"),
                "Condition": {"StringEquals": {"aws:RequestedRegion": "unspecified"}}}));
        }
        json!({"Version": "2012-10-17", "Statement": statements})
    };
    converse_under(parts(true), &global).await.unwrap();
    assert!(
        converse_under(parts(false), &global)
            .await
            .unwrap_err()
            .contains(&format!("arn:aws:bedrock:::foundation-model/{id}"))
    );
    let plain = converse_under(allow_bedrock(), id).await.unwrap_err();
    assert!(
        plain.starts_with(&format!(
            "Invocation of model ID {id} with on-demand throughput isn\u{2019}t supported."
        )),
        "{plain}"
    );
}

#[tokio::test]
async fn the_control_plane_lists_models_and_profiles_of_a_region() {
    let (double, _) = irsa().await;
    let key = [("authorization", "Bearer bedrock-api-key-0123456789")];
    let get = async |path: &str| {
        let (status, _, body) = http(&double, "GET", path, &key, "").await;
        (status, parse(&body))
    };
    let (_, models) = get("/foundation-models?byProvider=anthropic").await;
    let models = models["modelSummaries"].as_array().unwrap();
    assert!(
        models.len() > 5
            && models
                .iter()
                .all(|model| model["providerName"] == "Anthropic")
    );
    let (_, one) = get(&format!("/foundation-models/{}", MODEL.replace(':', "%3A"))).await;
    assert_eq!(one["modelDetails"]["modelId"], MODEL);
    let mut ids = Vec::new();
    let mut path = "/inference-profiles?maxResults=7".to_owned();
    loop {
        let (status, page) = get(&path).await;
        assert_eq!(status, 200);
        ids.extend(
            page["inferenceProfileSummaries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p["inferenceProfileId"].to_string()),
        );
        let Some(next) = page["nextToken"].as_str() else {
            break;
        };
        path = format!("/inference-profiles?maxResults=7&nextToken={next}");
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert!(count > 14 && ids.len() == count, "{ids:?}");
    let (status, profile) = get(&format!("/inference-profiles/us.{MODEL}")).await;
    assert_eq!(
        (status, profile["models"].as_array().unwrap().len()),
        (200, 3)
    );
    assert_eq!(get("/inference-profiles/us.nothing").await.0, 404);
}
