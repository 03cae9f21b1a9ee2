//! Readiness reports of gateways reach the status.

use std::sync::atomic::AtomicUsize;

use api::v1alpha1::status::{UsagePeriod, UsageStatus};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::*;

/// A world with one gateway pod with this `/readyz` response, and a counter of its requests.
async fn world(status: StatusCode, response: &'static str) -> (World, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let routes = axum::Router::new().route(
        "/readyz",
        axum::routing::get(move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            (status, response)
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut world = World::new();
    Arc::get_mut(&mut world.context).unwrap().readiness =
        Box::new(HttpReadiness::new(port, Duration::from_secs(5)));
    let ready = if status.is_success() { "True" } else { "False" };
    world.caches.put_pod(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "chat-gateway-1", "namespace": "team-a", "labels": {"bedrockaccess.dev/access": "chat"}},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
    }));
    (world, requests)
}

#[tokio::test]
async fn reason_of_a_pod_without_credentials_reaches_the_status() {
    let (world, _) = world(
        StatusCode::SERVICE_UNAVAILABLE,
        r#"{"ready":false,"reason":"AccessDenied","message":"not authorized to perform sts:AssumeRoleWithWebIdentity"}"#,
    )
    .await;
    world.reconcile(fixtures::access("")).await.unwrap();
    let status = with_status(&world.api.requests()).status.unwrap();
    let credentials = status::find(&status, condition::CREDENTIALS_READY).unwrap();
    assert_eq!(credentials.reason, "AccessDenied");
    assert!(
        credentials
            .message
            .contains("sts:AssumeRoleWithWebIdentity")
    );
    assert_eq!(
        status::find(&status, condition::READY).unwrap().reason,
        "AccessDenied"
    );
}

/// The object with the gateways' spend, which was read just now.
fn with_usage(spec: &str) -> BedrockAccess {
    let mut access = fixtures::access(spec);
    let usage = UsageStatus {
        updated_at: Time(Timestamp::now()),
        today: UsagePeriod::default(),
        month: UsagePeriod::default(),
        unread: None,
        processes: Vec::new(),
        ended: None,
    };
    access.status.get_or_insert_default().usage = Some(usage);
    access
}

#[tokio::test]
async fn spend_of_ready_pods_reaches_the_status() {
    let now = Timestamp::now();
    let report = json!({"ready": true, "spend": {"since": 1,
        "today": {"date": now.strftime("%Y-%m-%d").to_string(), "costNanodollars": 5_000_000, "requests": 2},
        "month": {"date": now.strftime("%Y-%m").to_string(), "costNanodollars": 7_000_000, "requests": 3}}});
    let (mut world, requests) = world(StatusCode::OK, report.to_string().leak()).await;
    world.reconcile(fixtures::access("")).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    world.catch_up();
    let status = with_status(&world.api.requests()).status.unwrap();
    let usage = status.usage.unwrap();
    assert_eq!(
        (usage.today.cost_usd.as_str(), usage.month.cost_usd.as_str()),
        ("0.005", "0.007")
    );
    assert_eq!((usage.today.requests, usage.month.requests), (2, 3));
}

#[tokio::test]
async fn ready_pods_are_queried_only_for_spend_and_if_a_target_has_a_role() {
    let (mut world, requests) = world(
        StatusCode::OK,
        r#"{"ready":true,"roles":[{"role":"arn:aws:iam::210987654321:role/Models","ready":false,"reason":"AccessDenied","message":"not authorized to perform sts:AssumeRole"}]}"#,
    )
    .await;
    world.reconcile(with_usage("")).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    world.catch_up();
    world.api.requests();
    let spec = "models: [{name: fast, targets: [{modelId: anthropic.claude-3-haiku-20240307-v1:0, assumeRole: {roleArn: 'arn:aws:iam::210987654321:role/Models'}}]}]";
    world.reconcile(with_usage(spec)).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    let requests = world.api.requests();
    let status = with_status(&requests).status.unwrap();
    let roles = status::find(&status, condition::TARGET_ROLES_READY).unwrap();
    assert_eq!(
        (roles.status.as_str(), roles.reason.as_str()),
        ("False", "AccessDenied")
    );
    let mut events = requests
        .iter()
        .filter(|request| request.path.contains("/events"));
    assert!(
        events.any(|event| event.body["reason"] == "AccessDenied"),
        "{requests:?}"
    );
}
