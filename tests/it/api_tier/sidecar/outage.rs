//! The webhook down, silent, or with an expired certificate: labelled pods are refused and say why,
//! others never notice.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use operator::CertificateSource;
use serde_json::json;
use tokio::{net::TcpListener, time::Instant};

use super::rig::{SidecarRig, authority, calm, has_sidecar, pod};
use crate::support::eventually;

const LABEL: &str = api::names::INJECT_LABEL;
/// What the API server may take for a pod that no webhook is asked about, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A pod without the label is made at once; one with it is refused, and the words are given.
async fn as_designed(sidecar: &SidecarRig, name: &str) -> String {
    let begun = Instant::now();
    for (which, label) in [("none", json!(null)), ("false", json!("false"))] {
        let other = pod(
            &format!("{name}-{which}"),
            &json!({LABEL: label}),
            &json!({}),
        );
        assert!(!has_sidecar(&sidecar.create(&other).await.unwrap()));
    }
    assert!(
        begun.elapsed() < AT_ONCE,
        "others were held up: {:?}",
        begun.elapsed()
    );
    let labelled = pod(&format!("{name}-labelled"), &json!({}), &json!({}));
    let refusal = sidecar.create(&labelled).await.unwrap_err();
    assert!(refusal.contains("sidecar.bedrockaccess.dev"), "{refusal}");
    assert!(
        sidecar
            .pods()
            .get_opt(&format!("{name}-labelled"))
            .await
            .unwrap()
            .is_none()
    );
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_that_is_down_or_silent_blocks_labelled_pods_only() {
    let mut sidecar = SidecarRig::start(calm()).await;
    sidecar.rig.stop_operator().await;
    let refusal = eventually("no process listens any more", || async {
        tokio::net::TcpStream::connect(sidecar.webhook)
            .await
            .err()
            .ok_or_else(|| "listens".to_owned())
    });
    refusal.await;
    let refusal = as_designed(&sidecar, "down").await;
    assert!(refusal.contains("connection refused"), "{refusal}");

    // A server that accepts connections and sends nothing.
    let silent = TcpListener::bind(sidecar.webhook).await.unwrap();
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let begun = Instant::now();
    let refusal = as_designed(&sidecar, "silent").await;
    assert!(
        refusal.contains("deadline") || refusal.contains("timeout"),
        "{refusal}"
    );
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(15),
        "bounded by timeoutSeconds: {took:?}"
    );
    held.abort();
    let _ = held.await;

    // The next operator uses its certificate; no new one is needed.
    sidecar.start_operator(calm()).await;
    sidecar.ready().await;
    let made = sidecar
        .create(&pod("again", &json!({}), &json!({})))
        .await
        .unwrap();
    assert!(has_sidecar(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_certificate_blocks_labelled_pods_only_until_its_files_are_renewed() {
    let mut sidecar = SidecarRig::without_operator().await;
    let (authority, certificate) = authority();
    let directory = tempfile::tempdir().unwrap();
    let write = |days| {
        let (certificate, key) = certificate(days);
        std::fs::write(directory.path().join("tls.crt"), certificate).unwrap();
        std::fs::write(directory.path().join("tls.key"), key).unwrap();
    };
    write(-1);
    sidecar.configure(&json!(STANDARD.encode(authority))).await;
    sidecar
        .start_operator_with(CertificateSource::Directory(directory.path().to_owned()))
        .await;
    eventually("the webhook is up with its old certificate", || async {
        let labelled = pod("probe", &json!({}), &json!({}));
        let refusal = sidecar.create(&labelled).await.err().unwrap_or_default();
        if refusal.contains("expired") {
            Ok(())
        } else {
            Err(refusal)
        }
    })
    .await;
    let refusal = as_designed(&sidecar, "expired").await;
    assert!(refusal.contains("expired"), "{refusal}");
    write(10);
    sidecar.ready().await;
}
