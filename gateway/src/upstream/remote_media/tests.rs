use axum::{Router, response::Redirect, routing::get};

use super::*;
use crate::http::client::tls;

#[test]
fn allows_only_addresses_of_the_public_internet() {
    for text in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "169.254.170.23",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2002:7f00:1::",
    ] {
        assert!(!is_public(text.parse().unwrap()), "{text}");
    }
    for text in [
        "1.1.1.1",
        "52.94.236.248",
        "100.63.0.1",
        "172.32.0.1",
        "2600:1f18::1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ] {
        assert!(is_public(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn rejects_internal_urls_before_sending_a_request() {
    for text in [
        "http://example.com/a.png",
        "file:///etc/passwd",
        "https://example.com:8443/a.png",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://user@example.com/a.png",
        "example.com/a.png",
        "",
    ] {
        assert!(Guard::Public.check(text).is_err(), "{text}");
    }
    assert!(Guard::Public.check("https://example.com/a.png").is_ok());
    assert!(
        Guard::Public
            .check("https://example.com:443/a.png?b=c")
            .is_ok()
    );
}

#[tokio::test]
async fn rejects_a_name_that_resolves_to_an_internal_address() {
    let fetcher = Fetcher::new(tls().unwrap());
    let error = fetcher
        .fetch_all(&[wanted("https://localhost/a.png", FetchKind::Image)])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no public address"), "{error}");
    assert!(error.to_string().starts_with("messages[0]"), "{error}");
}

fn wanted(url: &str, kind: FetchKind) -> Fetch {
    Fetch {
        url: url.to_owned(),
        param: "messages[0].content[1].image_url.url".to_owned(),
        kind,
        max_bytes: 10,
    }
}

/// Starts a server on loopback and returns its URL.
async fn server() -> String {
    let router = Router::new()
        .route(
            "/small",
            get(async || ([(header::CONTENT_TYPE, "image/png")], "small")),
        )
        .route(
            "/large",
            get(async || ([(header::CONTENT_TYPE, "image/png")], "x".repeat(11))),
        )
        .route(
            "/page",
            get(async || ([(header::CONTENT_TYPE, "text/html")], "<p>")),
        )
        .route("/elsewhere", get(async || Redirect::temporary("/small")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn fetches_matching_media_and_rejects_the_rest_with_the_cause() {
    let base = server().await;
    let fetcher = Fetcher::with_guard(tls().unwrap(), Guard::None);
    let url = format!("{base}/small");
    let found = fetcher
        .fetch_all(&[wanted(&url, FetchKind::Image)])
        .await
        .unwrap();
    assert_eq!(found[&url].bytes, b"small");
    assert_eq!(found[&url].content_type.as_deref(), Some("image/png"));
    for (path, kind, expected) in [
        ("/large", FetchKind::Image, "larger than 10 bytes"),
        ("/page", FetchKind::Image, "expected image/*"),
        ("/small", FetchKind::Video, "expected video/*"),
        ("/elsewhere", FetchKind::Image, "redirects are not followed"),
        ("/nothing", FetchKind::Image, "404"),
    ] {
        let error = fetcher
            .fetch_all(&[wanted(&format!("{base}{path}"), kind)])
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{path}: {error}");
        assert_eq!(error.status(), 400);
    }
}

#[tokio::test]
async fn rejects_too_many_urls() {
    let fetcher = Fetcher::new(tls().unwrap());
    let many: Vec<Fetch> = (0..21)
        .map(|n| wanted(&format!("https://example.com/{n}"), FetchKind::Image))
        .collect();
    let error = fetcher.fetch_all(&many).await.unwrap_err();
    assert!(error.to_string().contains("at most 20"), "{error}");
}
