//! Start of a gateway, and errors that prevent it.

use std::net::{Ipv4Addr, SocketAddr};

use gateway::{LoadError, ServeError, Server, Settings};
use http::Request;

use crate::rig::settings;

fn environment() -> Vec<(String, String)> {
    vec![
        ("AWS_REGION".into(), "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID".into(), "AKIATEST".into()),
        ("AWS_SECRET_ACCESS_KEY".into(), "secret".into()),
    ]
}

fn listen_on_all_addresses(settings: &mut Settings) {
    settings.listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
}

async fn load_error(settings: Settings) -> LoadError {
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
async fn a_missing_region_is_an_error_that_lists_how_to_set_it() {
    let mut without = environment();
    without.remove(0);
    let error = load_error(settings(without)).await;
    assert_eq!(error.reason(), "region_missing");
    let text = error.to_string();
    assert!(
        text.contains("AWS_REGION") && text.contains("profile"),
        "{text}"
    );
}

#[tokio::test]
async fn without_client_authentication_it_listens_on_loopback_only() {
    let mut open = settings(environment());
    listen_on_all_addresses(&mut open);
    let error = load_error(open).await;
    assert!(matches!(error, LoadError::Open(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("--api-key-file") && text.contains("anonymous"),
        "{text}"
    );

    let mut with_key = settings(environment());
    listen_on_all_addresses(&mut with_key);
    with_key.api_key = Some(gateway::ApiKey::new("sk-test"));
    assert!(Server::bind(with_key).await.is_ok());

    let (_file, mut anonymous) = document("clients: {anonymous: true}\nallow: ['*']");
    listen_on_all_addresses(&mut anonymous);
    assert!(Server::bind(anonymous).await.is_ok());

    let (_file, mut without_clients) = document("allow: ['*']");
    listen_on_all_addresses(&mut without_clients);
    assert!(matches!(
        load_error(without_clients).await,
        LoadError::Open(_)
    ));
}

#[tokio::test]
async fn a_missing_or_invalid_configuration_is_an_error_that_names_file_and_field() {
    let mut missing = settings(environment());
    missing.config = Some("/nowhere/gateway.yaml".into());
    let error = load_error(missing).await;
    assert!(
        error.to_string().contains("/nowhere/gateway.yaml"),
        "{error}"
    );

    let (file, wrong) = document("models: [{name: a, targets: []}]");
    let text = load_error(wrong).await.to_string();
    assert!(text.contains("models[0].targets"), "{text}");
    assert!(text.contains(file.path().to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_and_an_admin_port_in_use_a_warning() {
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
async fn serves_a_unix_socket_and_replaces_a_stale_one() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.sock");
    // A killed process left its socket.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut with_socket = settings(environment());
    with_socket.socket = Some(path.clone());
    let server = Server::bind(with_socket).await.unwrap();
    let port = server.local_addr();
    let task = tokio::spawn(server.run(std::future::pending()));

    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "applications run as other users");
    let by_socket = healthy(tokio::net::UnixStream::connect(&path).await.unwrap()).await;
    let by_port = healthy(tokio::net::TcpStream::connect(port).await.unwrap()).await;
    assert_eq!((by_socket.as_u16(), by_port.as_u16()), (200, 200));
    task.abort();
}

async fn healthy(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) -> http::StatusCode {
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/healthz")
        .header("host", "localhost")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    sender.send_request(request).await.unwrap().status()
}

#[tokio::test]
async fn does_not_replace_a_file_that_is_not_a_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    std::fs::write(&path, "precious").unwrap();
    let mut with_socket = settings(environment());
    with_socket.socket = Some(path.clone());
    let error = Server::bind(with_socket).await.unwrap_err();
    assert!(matches!(error, ServeError::Socket { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
