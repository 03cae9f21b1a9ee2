//! How a gateway starts, or refuses to.

use std::net::{Ipv4Addr, SocketAddr};

use gateway::{LoadError, ServeError, Server, Settings, State, app};
use http::Request;
use tower::ServiceExt;

use crate::rig::settings;

fn environment() -> Vec<(String, String)> {
    vec![
        ("AWS_REGION".into(), "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID".into(), "AKIATEST".into()),
        ("AWS_SECRET_ACCESS_KEY".into(), "secret".into()),
    ]
}

fn everywhere(settings: &mut Settings) {
    settings.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
}

async fn refusal(settings: Settings) -> LoadError {
    match Server::bind(settings).await {
        Err(ServeError::Load(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn document(text: &str) -> (tempfile::NamedTempFile, Settings) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut settings = settings(environment());
    settings.config = Some(file.path().to_owned());
    (file, settings)
}

#[tokio::test]
async fn missing_region_is_told_with_all_the_ways_to_set_it() {
    let mut without = environment();
    without.remove(0);
    let error = refusal(settings(without)).await;
    assert_eq!(error.reason(), "region_missing");
    let text = error.to_string();
    assert!(
        text.contains("AWS_REGION") && text.contains("profile"),
        "{text}"
    );
}

#[tokio::test]
async fn without_client_authentication_it_listens_on_this_machine_alone() {
    let mut open = settings(environment());
    everywhere(&mut open);
    let error = refusal(open).await;
    assert!(matches!(error, LoadError::Open(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("--api-key-file") && text.contains("anonymous"),
        "{text}"
    );

    let mut with_key = settings(environment());
    everywhere(&mut with_key);
    with_key.api_key = Some(gateway::ApiKey::new("sk-test"));
    assert!(Server::bind(with_key).await.is_ok());

    let (_file, mut anonymous) = document("clients: {anonymous: true}\nallow: ['*']");
    everywhere(&mut anonymous);
    assert!(Server::bind(anonymous).await.is_ok());

    let (_file, mut unsaid) = document("allow: ['*']");
    everywhere(&mut unsaid);
    assert!(matches!(refusal(unsaid).await, LoadError::Open(_)));
}

#[tokio::test]
async fn document_that_is_missing_or_wrong_ends_the_start_naming_file_and_field() {
    let mut missing = settings(environment());
    missing.config = Some("/nowhere/gateway.yaml".into());
    let error = refusal(missing).await;
    assert!(
        error.to_string().contains("/nowhere/gateway.yaml"),
        "{error}"
    );

    let (file, wrong) = document("models: [{name: a, targets: []}]");
    let text = refusal(wrong).await.to_string();
    assert!(text.contains("models[0].targets"), "{text}");
    assert!(text.contains(file.path().to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn taken_port_is_told_and_a_taken_admin_port_is_only_a_warning() {
    let first = Server::bind(settings(environment())).await.unwrap();
    let mut second = settings(environment());
    second.listen = first.local_addr();
    assert!(matches!(
        Server::bind(second).await,
        Err(ServeError::Bind { address, .. }) if address == first.local_addr()
    ));
    let mut third = settings(environment());
    third.admin_listen = first.admin_addr();
    assert_eq!(
        Server::bind(third.clone()).await.unwrap().admin_addr(),
        None
    );
    third.admin_required = true;
    assert!(Server::bind(third).await.is_err());
}

#[tokio::test]
async fn app_answers_without_any_socket() {
    let state = State::try_new(settings(environment())).await.unwrap();
    let request = Request::get("/healthz")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = app(state).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("x-request-id"));
}
