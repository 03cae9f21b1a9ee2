//! The landing page and the OpenAPI document.

use base64::Engine as _;
use http::Method;
use sha2::Digest as _;

use crate::rig::{Plan, Rig};

const DOCUMENT: &str = "
region: us-west-2
access: {namespace: team-a, name: chat}
models:
  - {name: secret-project, targets: [{modelId: amazon.nova-lite-v1:0}]}
clients: {apiKeysDirectory: KEYS}
";

/// A gateway whose only client has the key `sk-right`.
async fn guarded() -> (Rig, tempfile::TempDir) {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("ci"), "sk-right").unwrap();
    let document = DOCUMENT.replace("KEYS", keys.path().to_str().unwrap());
    (Rig::with_document(&document).await, keys)
}

#[tokio::test]
async fn without_credentials_the_page_has_public_facts_only() {
    let (rig, _keys) = guarded().await;
    for headers in [&[][..], &[("authorization", "Bearer sk-wrong")]] {
        for accept in ["*/*", "text/html"] {
            let mut headers = headers.to_vec();
            headers.push(("accept", accept));
            let page = rig.call(Method::GET, "/", &headers, "").await;
            let text = page.text();
            assert_eq!(page.status, 200, "{text}");
            for public in [
                env!("CARGO_PKG_VERSION"),
                "Bearer",
                "/v1/chat/completions",
                "openapi.json",
            ] {
                assert!(text.contains(public), "{public}: {text}");
            }
            for secret in ["secret-project", "nova", "us-west-2", "team-a", "sk-", "ci"] {
                let found = text
                    .split(|c: char| !c.is_alphanumeric() && c != '-')
                    .any(|word| word == secret);
                assert!(!found, "{secret}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn an_authenticated_caller_sees_its_models_and_the_gateway() {
    let (rig, _keys) = guarded().await;
    let headers = [("authorization", "Bearer sk-right")];
    let text = rig.call(Method::GET, "/", &headers, "").await.text();
    let base = format!("http://{}/v1", rig.address);
    for shown in [
        "secret-project",
        "us-west-2",
        "team-a/chat",
        "key:ci",
        &base,
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("sk-right"), "{text}");
}

#[tokio::test]
async fn the_page_is_html_for_browsers_and_has_a_strict_policy() {
    let rig = Rig::laptop().await;
    let accept = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let page = rig.call(Method::GET, "/", &accept, "").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let text = page.text();
    assert!(text.starts_with("<!doctype html>"), "{text}");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for part in [
        "; script-src 'sha256-",
        "; connect-src 'self';",
        "require-trusted-types-for 'script'; trusted-types 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for foreign in ["src=", "href=", "url(", "style=", "//cdn", "onclick"] {
        assert!(!text.contains(foreign), "{foreign}: {text}");
    }
    // The only script is the one whose hash the policy has.
    let (_, rest) = text.split_once("<script>").unwrap();
    let (script, rest) = rest.split_once("</script>").unwrap();
    assert!(!rest.contains("<script"), "{rest}");
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script));
    assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
    assert!(text.len() < 16_000, "{} bytes", text.len());

    let plain = rig.get("/").await;
    assert_eq!(plain.headers["content-type"], "text/plain; charset=utf-8");
    assert!(plain.text().contains("and "), "{}", plain.text());
}

#[tokio::test]
async fn a_head_request_has_the_headers_of_the_page_and_other_methods_are_rejected() {
    let rig = Rig::laptop().await;
    for path in ["/", "/openapi.json"] {
        let head = rig.call(Method::HEAD, path, &[], "").await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
        assert!(head.headers.contains_key("content-type"), "{path}");
        let post = rig.call(Method::POST, path, &[], "{}").await;
        assert_eq!(post.status, 405, "{path}");
        assert_eq!(post.error()["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn a_host_header_cannot_add_markup_to_the_page() {
    // Without a key, only local hosts are served.
    let rig = Rig::start(Plan {
        settings: Box::new(|settings| settings.api_key = Some(gateway::ApiKey::new("sk-1"))),
        ..Plan::default()
    })
    .await;
    let headers = [
        ("accept", "text/html"),
        ("host", "x\"><script>alert(1)</script>"),
    ];
    let page = rig.call(Method::GET, "/", &headers, "").await;
    assert!(!page.text().contains("alert(1)"), "{}", page.text());
}

#[tokio::test]
async fn every_documented_path_is_served_and_every_route_is_documented() {
    let rig = Rig::laptop().await;
    let document = rig.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let concrete = path.replace(['{', '}'], "");
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let response = rig.call(method, &concrete, &[], "{}").await;
            let text = response.text();
            assert!(
                !text.contains("unknown_path") && response.status != 405,
                "{path}: {text}"
            );
        }
    }
    // The routes with a rest of any length serve several documented paths.
    let routes = include_str!("../../src/server/router.rs")
        .matches(".route(")
        .count();
    let below = |start: &str| paths.keys().filter(|path| path.starts_with(start)).count();
    let merged = below("/model/") + below("/guardrail/");
    assert_eq!(
        paths.len() - merged + 2,
        routes,
        "document each route in openapi/base.json"
    );
}

#[tokio::test]
async fn a_simulated_gateway_says_so_in_every_response() {
    let plan = Plan {
        settings: Box::new(|settings| settings.simulated = true),
        ..Plan::default()
    };
    let rig = Rig::start(plan).await;
    for path in ["/", "/v1/models", "/nowhere", "/healthz"] {
        let response = rig.get(path).await;
        assert_eq!(
            response.headers["x-bedrock-gateway-simulated"], "true",
            "{path}"
        );
    }
    assert!(rig.get("/").await.text().contains("SIMULATED AWS"));
    let real = Rig::laptop().await.get("/").await;
    assert!(!real.headers.contains_key("x-bedrock-gateway-simulated"));
    assert!(!real.text().contains("SIMULATED"));
}
