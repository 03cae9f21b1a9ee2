use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use kube_runtime::{reflector, watcher::Event};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::fixtures::{self, Scripted};

async fn send(routes: &Router, body: String) -> (StatusCode, Value) {
    let request = http::Request::post("/inject")
        .body(Body::from(body))
        .unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES)
        .await
        .unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn review(account: &str, dry_run: bool) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "namespace": "team-a", "dryRun": dry_run, "operation": "CREATE",
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"generateName": "app-", "labels": {"bedrockaccess.dev/inject": "chat"}},
                "spec": {"serviceAccountName": account, "containers": [{"name": "app"}]},
            },
        },
    })
    .to_string()
}

#[tokio::test]
async fn reviews_get_a_patch_or_a_rejection_and_are_counted() {
    let api = Scripted::default();
    let (access_store, mut writer) = reflector::store();
    let access = fixtures::access("sidecar: {serviceAccounts: [{name: app}]}");
    let url = "/apis/bedrockaccess.dev/v1alpha1/namespaces/team-a/bedrockaccesses/chat";
    api.put(url, serde_json::to_value(&access).unwrap());
    writer.apply_watcher_event(&Event::Apply(kube::core::DeserializeGuard(Ok(access))));
    let (_sender, keys) = watch::channel(Some(fixtures::keys()));
    let mut registry = Registry::default();
    let policies = fixtures::PolicyCaches::new(false).policies;
    let metrics = WebhookMetrics::default();
    metrics.register(&mut registry);
    let routes = routes(Webhook {
        reviewer: Arc::new(Reviewer {
            client: api.client(),
            policies: policies.clone(),
            settings: fixtures::settings(),
        }),
        admitter: Arc::new(Admitter {
            client: api.client(),
            access_store,
            keys,
            policies,
            settings: fixtures::settings(),
        }),
        metrics,
    });

    let (status, response) = send(&routes, review("app", false)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(response["response"]["uid"], "705ab4f5");
    assert_eq!(response["response"]["allowed"], true);
    assert_eq!(response["response"]["patchType"], "JSONPatch");
    let patch = STANDARD
        .decode(response["response"]["patch"].as_str().unwrap())
        .unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert!(
        patch.to_string().contains("/spec/initContainers"),
        "{patch}"
    );

    let (_, response) = send(&routes, review("stranger", false)).await;
    assert_eq!(response["response"]["allowed"], false);
    assert_eq!(response["response"]["status"]["code"], 403);
    let message = response["response"]["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.sidecar.serviceAccounts"),
        "{message}"
    );

    let (_, response) = send(&routes, review("app", true)).await;
    assert_eq!(response["response"]["allowed"], true);

    for body in [
        String::new(),
        "{}".to_owned(),
        review("app", false).replace("admission.k8s.io/v1", "admission.k8s.io/v2"),
    ] {
        assert_eq!(send(&routes, body).await.0, StatusCode::BAD_REQUEST);
    }

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "bedrock_access_operator_sidecar_admissions_total{result=\"injected\"} 1",
        "bedrock_access_operator_sidecar_admissions_total{result=\"ServiceAccountNotAllowed\"} 1",
        "controller_runtime_webhook_requests_total{webhook=\"/inject\",code=\"200\"} 3",
        "controller_runtime_webhook_requests_total{webhook=\"/inject\",code=\"400\"} 3",
        "controller_runtime_webhook_requests_in_flight{webhook=\"/inject\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

/// A certificate of an authority, as the files of both ends.
fn issued(issuer: &rcgen::Issuer<'_, rcgen::KeyPair>) -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (params.signed_by(&key, issuer).unwrap(), key)
}

#[derive(Debug)]
struct Fixed(Arc<rustls::sign::CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn with_a_client_authority_only_clients_with_its_certificate_are_answered() {
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    crate::install_tls_provider();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let directory = std::env::temp_dir();
    let path = directory.join(format!("webhook-client-ca-{}.crt", std::process::id()));
    std::fs::write(&path, authority.pem()).unwrap();

    let der = |key: &rcgen::KeyPair| PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let (own, own_key) = issued(&issuer);
    let provider = rustls::crypto::ring::default_provider();
    let own_key = provider
        .key_provider
        .load_private_key(der(&own_key))
        .unwrap();
    let own = rustls::sign::CertifiedKey::new(vec![own.der().clone()], own_key);
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let settings = WebhookSettings {
        address,
        certificate: CertificateSource::Directory(directory),
        client_authority: Some(path.clone()),
    };
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let routes = Router::new().route("/", axum::routing::get(|| async { "answered" }));
    serve(&settings, Arc::new(Fixed(Arc::new(own))), routes, stop)
        .await
        .unwrap();

    let (certificate, client_key) = issued(&issuer);
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let config = || rustls::ClientConfig::builder().with_root_certificates(roots.clone());
    let known = config()
        .with_client_auth_cert(vec![certificate.der().clone()], der(&client_key))
        .unwrap();
    for (config, answered) in [(known, true), (config().with_no_client_auth(), false)] {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut text = String::new();
        if let Ok(mut stream) = connector.connect(name, stream).await {
            let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(request).await;
            let _ = stream.read_to_string(&mut text).await;
        }
        assert_eq!(text.contains("answered"), answered, "{text}");
    }

    std::fs::write(&path, "no certificate").unwrap();
    let certificate = Arc::new(crate::certificates::Certificates::default());
    let stop = CancellationToken::new();
    let error = serve(&settings, certificate, Router::new(), stop).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("CA certificates of clients"), "{error}");
    std::fs::remove_file(&path).unwrap();
}
