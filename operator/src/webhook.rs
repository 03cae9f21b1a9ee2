//! The webhook server: TLS, HTTP, and the path from an admission review to its response.
//!
//! The decisions are made in `sidecar/admit.rs` and `admission.rs`. The webhook configuration in the chart selects only
//! pods with the label, so that an unavailable operator does not block other pods. A review only gets an answer: nothing is
//! written. Its sender is known only if the API server has a client certificate (`client_authority`).
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

pub(crate) mod metrics;
mod review;
mod settings;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::names;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
    server::{ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use settings::{CertificateSource, OwnCertificate, Rotation, WebhookSettings};

use self::{
    metrics::WebhookMetrics,
    review::{Refusal, Request},
};
use crate::{
    admission::{AccessRefused, Reviewer},
    sidecar::{
        admit::{Admission, Admitter},
        refused::Refused,
    },
};

/// Largest review that is read, in bytes: etcd accepts objects of 1.5 MiB, and a review may contain two.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Timeout of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long open requests may take to complete on shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept, usually caused by a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// State that all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) admitter: Arc<Admitter>,
    pub(crate) reviewer: Arc<Reviewer>,
    pub(crate) metrics: WebhookMetrics,
}

/// Why the webhook cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("failed to listen")]
    Listen(#[source] std::io::Error),
    /// The TLS configuration is invalid.
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
    /// The CA certificates of clients cannot be used.
    #[error("failed to read the CA certificates of clients from {path}: {problem}")]
    ClientAuthority {
        /// The file.
        path: PathBuf,
        /// Why it cannot be used.
        problem: String,
    },
}

/// The server's routes.
pub(crate) fn routes(webhook: Webhook) -> Router {
    Router::new()
        .route(names::SIDECAR_WEBHOOK_PATH, post(inject))
        .route(names::VALIDATION_WEBHOOK_PATH, post(validate))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(webhook)
}

/// Serves until cancelled; requests in progress are completed.
///
/// # Errors
/// When the address cannot be bound, or TLS cannot be configured.
pub(crate) async fn serve(
    settings: &WebhookSettings,
    certificate: Arc<dyn ResolvesServerCert>,
    routes: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let address = settings.address;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?;
    let config = match &settings.client_authority {
        None => config.with_no_client_auth(),
        Some(path) => config.with_client_cert_verifier(client_verifier(path, provider)?),
    };
    let mut config = config.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address)
        .await
        .map_err(ServeError::Listen)?;
    tokio::spawn(async move {
        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept(&listener, &acceptor, &routes, &graceful) => {}
        }
        drop(listener);
        let _ended = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    });
    Ok(())
}

/// Accepts only clients with a certificate of these authorities.
fn client_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, ServeError> {
    let failed = |error: &dyn fmt::Display| ServeError::ClientAuthority {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let mut authorities = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        let authority = authority.map_err(|error| failed(&error))?;
        authorities.add(authority).map_err(|error| failed(&error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .build()
        .map_err(|error| failed(&error))
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    routes: &Router,
    graceful: &GracefulShutdown,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let watcher = graceful.watcher();
                let (acceptor, routes) = (acceptor.clone(), routes.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, &acceptor, routes, watcher).await {
                        // Usually a client that does not trust the certificate.
                        tracing::debug!(%error, %peer, "webhook connection failed");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a webhook connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    routes: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let _ = stream.set_nodelay(true);
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new());
    let connection = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .into_owned();
    watcher.watch(connection).await
}

/// Handles a review of a pod.
async fn inject(State(webhook): State<Webhook>, body: Bytes) -> Response {
    let path = names::SIDECAR_WEBHOOK_PATH;
    respond(&webhook.metrics, path, &body, async |request| {
        let decided = match request.pod() {
            Ok(pod) => webhook.admitter.admit(&request.namespace, &pod).await,
            Err(error) => Err(Refused::Unparsable(error.to_string())),
        };
        let result = match &decided {
            Ok(admission) if admission.patch.is_empty() => "unchanged",
            Ok(_) => "injected",
            Err(refused) => refused.reason(),
        };
        if !request.dry_run {
            webhook.metrics.decided(result);
        }
        decided.map_err(|refused| Refusal::new(refused.code(), refused.reason(), &refused))
    })
    .await
}

/// Handles a review of a `BedrockAccess`.
async fn validate(State(webhook): State<Webhook>, body: Bytes) -> Response {
    let path = names::VALIDATION_WEBHOOK_PATH;
    respond(&webhook.metrics, path, &body, async |request| {
        let decided = webhook
            .reviewer
            .review(
                &request.namespace,
                &request.object,
                request.before(),
                &request.user_info,
            )
            .await;
        if !request.dry_run {
            let result = decided
                .as_ref()
                .map_or_else(AccessRefused::reason, |()| "allowed");
            webhook.metrics.reviewed(result);
        }
        decided
            .map(|()| Admission {
                warnings: Reviewer::warnings(&request.object, request.before()),
                ..Admission::default()
            })
            .map_err(|refused| Refusal::new(refused.code(), refused.reason(), &refused))
    })
    .await
}

/// Parses a review, decides and responds; counts and times the request.
async fn respond(
    metrics: &WebhookMetrics,
    path: &'static str,
    body: &[u8],
    decide: impl AsyncFnOnce(&Request) -> Result<Admission, Refusal>,
) -> Response {
    let started = Instant::now();
    let _in_flight = metrics.begin(path);
    let request = match review::parse(body) {
        Ok(request) => request,
        Err(error) => {
            metrics.responded(path, 400, started.elapsed());
            return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
        }
    };
    let decided = decide(&request).await;
    if let Err(refusal) = &decided {
        tracing::info!(
            path,
            namespace = request.namespace,
            name = request.name(),
            reason = refusal.reason,
            dry_run = request.dry_run,
            message = refusal.message,
            "rejected"
        );
    }
    let response = review::response(&request.uid, decided);
    metrics.responded(path, 200, started.elapsed());
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, json, response).into_response()
}

#[cfg(test)]
mod tests;
