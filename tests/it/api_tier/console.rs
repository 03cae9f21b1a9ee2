//! The console of the operator against a real API server: who sees what, and the page in a real browser.

mod browser;
mod world;

use ::http::Method;
use serde_json::{Value, json};

use self::world::World;
use super::rig::{OPERATOR_NAMESPACE, TEAM};
use crate::{
    support::{eventually, http},
    token_exchange::expired_copy,
};

/// Status and body of a path for the user of a token.
async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("{}/{path}", world.url);
    let answer = http::request(Method::GET, &url, headers, "").await.unwrap();
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status.as_u16(), body)
}

async fn get_as(world: &World, path: &str, token: &str) -> (u16, Value) {
    let value = format!("Bearer {token}");
    get(world, path, &[("authorization", &value)]).await
}

/// The objects that a user sees.
fn names(overview: &Value) -> Vec<String> {
    let objects = overview["objects"].as_array().unwrap().iter();
    objects
        .map(|object| format!("{}/{}", object["namespace"], object["name"]).replace('"', ""))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_the_objects_that_the_api_server_lets_them_list() {
    let world = World::start().await;
    world.apply("team-a", "chat").await;
    world.apply("team-b", "other").await;
    let admin = world.token(OPERATOR_NAMESPACE, "reader").await;
    let team = world.token(TEAM, "member").await;
    let outsider = world.token(TEAM, "outsider").await;
    eventually("the console lists both objects", || async {
        let (status, overview) = get_as(&world, "api/overview", &admin).await;
        if status == 200 && names(&overview).len() == 2 {
            Ok(())
        } else {
            Err(format!("{status}: {overview}"))
        }
    })
    .await;
    let (_, overview) = get_as(&world, "api/overview", &admin).await;
    assert_eq!(overview["allNamespaces"], true);
    assert!(overview["user"].as_str().unwrap().ends_with(":reader"));

    let (_, overview) = get_as(&world, "api/overview", &team).await;
    assert_eq!(names(&overview), ["team-a/chat"]);
    assert_eq!(overview["allNamespaces"], false);
    let detail = "api/bedrockaccesses/team-a/chat";
    assert_eq!(get_as(&world, detail, &team).await.0, 200);
    let (status, hidden) = get_as(&world, "api/bedrockaccesses/team-b/other", &team).await;
    let (_, missing) = get_as(&world, "api/bedrockaccesses/team-b/missing", &team).await;
    assert_eq!(status, 404);
    assert_eq!(
        hidden["error"]
            .as_str()
            .unwrap()
            .replace("other", "missing"),
        missing["error"].as_str().unwrap()
    );

    let (status, overview) = get_as(&world, "api/overview", &outsider).await;
    assert_eq!((status, names(&overview).len()), (200, 0));
    assert_eq!(overview["total"], 0);
    assert_eq!(get_as(&world, detail, &outsider).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_an_accepted_token_or_from_other_sites_get_no_data() {
    let world = World::start().await;
    let good = world.token(OPERATOR_NAMESPACE, "reader").await;
    let key = world.rig.cluster().service_account_signing_key().unwrap();
    let expired = expired_copy(&good, &key);
    let foreign = world.token_for(TEAM, "member", "elsewhere").await;
    for (token, part) in [
        ("sk-wrong", "does not accept"),
        (foreign.as_str(), "does not accept"),
        (expired.as_str(), "expired"),
    ] {
        let (status, body) = get_as(&world, "api/overview", token).await;
        let error = body["error"].as_str().unwrap();
        assert_eq!(status, 401, "{body}");
        assert!(error.contains(part) && !error.contains(token), "{error}");
    }
    assert_eq!(get(&world, "api/overview", &[]).await.0, 401);
    let bearer = format!("Bearer {good}");
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let headers = [("authorization", bearer.as_str()), (name, value)];
        assert_eq!(get(&world, "api/overview", &headers).await.0, 403, "{name}");
    }
    let url = format!("{}/api/overview", world.url);
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        let answer = http::request(method, &url, &[("authorization", &bearer)], "{}").await;
        assert_eq!(answer.unwrap().status, 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn detail_has_the_usage_and_the_credentials_of_running_gateways() {
    let world = World::start().await;
    world.apply("team-a", "chat").await;
    let gateways = world.gateways().await;
    world
        .run_pods("chat", world::Gateways::well_ip(), true)
        .await;
    gateways.chat(3).await;
    let admin = world.token(OPERATOR_NAMESPACE, "reader").await;
    let detail = eventually("the gateway is read", || async {
        let (_, detail) = get_as(&world, "api/bedrockaccesses/team-a/chat", &admin).await;
        if detail["counted"] == 1 {
            Ok(detail)
        } else {
            Err(detail.to_string())
        }
    })
    .await;
    let usage = &detail["clientsSinceStart"][0];
    assert_eq!(usage["requests"], 3, "{detail}");
    assert!(usage["outputTokens"].as_u64().unwrap() > 0, "{detail}");
    assert!(usage["costUsd"].as_f64().unwrap() > 0.0, "{detail}");
    let pod = &detail["pods"][0];
    assert_eq!(
        (&pod["ready"], &pod["kind"]),
        (&json!(true), &json!("gateway"))
    );
    assert!(pod["credentialsExpire"].is_string(), "{detail}");
    assert!(detail["countedSince"].is_string(), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_today_and_the_month_and_the_fix_of_each_problem_are_shown() {
    let world = World::start().await;
    world.apply("team-a", "chat").await;
    let unpriced =
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6";
    let mut spec = world::spec();
    spec["models"] = json!([{"name": "own", "modelId": unpriced}]);
    world.apply_spec("team-b", "contracts", &spec).await;
    let spent = world::Spent {
        model: "us.amazon.nova-2-lite-v1:0",
        requests: 10,
        input: 1_000_000,
        cached: 0,
        output: 100_000,
    };
    world.spent("team-a", "chat", spent).await;
    let unknown = world::Spent {
        model: unpriced,
        ..spent
    };
    world.spent("team-b", "contracts", unknown).await;
    let admin = world.token(OPERATOR_NAMESPACE, "reader").await;
    let overview = eventually("the console has the usage of both", || async {
        let (_, overview) = get_as(&world, "api/overview", &admin).await;
        let objects = overview["objects"].as_array().cloned().unwrap_or_default();
        let known = |object: &Value| object["usage"]["month"].is_object();
        if objects.len() == 2 && objects.iter().all(known) {
            Ok(overview)
        } else {
            Err(overview.to_string())
        }
    })
    .await;
    let of = |name: &str| {
        let objects = overview["objects"].as_array().unwrap().iter();
        let mut named = objects.filter(|object| object["name"] == name);
        named.next().unwrap()["usage"].clone()
    };
    // A million input tokens at $0.33, and 100,000 output tokens at $2.75 a million, the prices of the profile.
    assert_eq!(of("chat")["today"]["costUsd"], "0.605", "{overview}");
    assert_eq!(of("chat")["month"]["costUsd"], "12.10", "{overview}");
    let contracts = of("contracts");
    assert_eq!(contracts["today"]["costUsd"], Value::Null, "{overview}");
    assert_eq!(contracts["today"]["unpricedTokens"], 1_100_000);
    let sum = &overview["usage"]["month"];
    assert_eq!(
        (&sum["costUsd"], &sum["unpricedTokens"]),
        (&json!("12.10"), &json!(22_000_000))
    );
    // A user sees the sum of the objects that this user can list.
    let team = world.token(TEAM, "member").await;
    let (_, overview) = get_as(&world, "api/overview", &team).await;
    assert_eq!(
        overview["usage"]["month"]["unpricedTokens"], 0,
        "{overview}"
    );

    let (_, detail) = get_as(&world, "api/bedrockaccesses/team-b/contracts", &admin).await;
    let findings = detail["findings"].as_array().unwrap();
    let fix_of = |about: &str| {
        let mut found = findings
            .iter()
            .filter(|one| one["about"].to_string().contains(about));
        found
            .next()
            .map(|one| one["fix"].as_str().unwrap().to_owned())
    };
    let no_price = fix_of("no price of arn:aws:bedrock").unwrap();
    assert!(no_price.contains("spec.prices.models"), "{detail}");
    assert!(fix_of("Ready (").is_some(), "{detail}");
}
