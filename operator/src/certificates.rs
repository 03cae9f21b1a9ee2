//! The certificate of the webhook: made, renewed and published, or read from files; replaced in the
//! running server without a restart.
//!
//! Nobody but the API server has to trust it, so the operator is its own authority. A new authority
//! is published beside the old one before a certificate of it is used (`authority.rs`), and both are in
//! one Secret, so that replicas agree (`secret.rs`).

mod authority;
mod secret;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use kube::Client;
use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use crate::webhook::{CertificateSource, OwnCertificate};

/// How often the files of somebody else are looked at.
const FILE_CHECK: std::time::Duration = std::time::Duration::from_secs(10);

/// The certificate in force; none until there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    current: Arc<ArcSwapOption<CertifiedKey>>,
    /// Cancelled once there is a certificate that the API server trusts.
    usable: CancellationToken,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("unable to read {path}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{what} is not PEM of the right kind")]
    Pem {
        what: &'static str,
        source: rustls::pki_types::pem::Error,
    },
    #[error("certificate and key do not fit")]
    Key(#[source] rustls::Error),
    #[error("unable to make a certificate")]
    Make(#[from] authority::AuthorityError),
    #[error("unable to {action} {what}")]
    Api {
        action: &'static str,
        what: String,
        source: kube::Error,
    },
}

impl Certificates {
    /// Starts to keep a certificate, until cancelled.
    pub(crate) fn start(
        client: &Client,
        source: &CertificateSource,
        stop: CancellationToken,
    ) -> Self {
        let certificates = Self::default();
        let keeper = certificates.clone();
        match source.clone() {
            CertificateSource::Own(own) => {
                let client = client.clone();
                tokio::spawn(async move { keeper.keep_own(client, own, stop).await });
            }
            CertificateSource::Directory(folder) => {
                tokio::spawn(async move { keeper.keep_files(folder, stop).await });
            }
        }
        certificates
    }

    /// Done once there is a certificate that the API server trusts.
    pub(crate) async fn usable(&self) {
        self.usable.cancelled().await;
    }

    async fn keep_own(self, client: Client, own: OwnCertificate, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(own.rotation.check);
        let keeper = secret::Keeper::new(client, own);
        while tick(&mut ticks, &stop).await {
            match keeper.step().await {
                Ok(secret::Step { bundle, published }) => {
                    match certified(bundle.certificate.as_bytes(), bundle.key.as_bytes()) {
                        Ok(key) => self.use_from_now_on(key, published),
                        Err(error) => warn(&error),
                    }
                }
                Err(error) => warn(&error),
            }
        }
    }

    async fn keep_files(self, folder: PathBuf, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FILE_CHECK);
        while tick(&mut ticks, &stop).await {
            match from_files(&folder) {
                Ok(key) => self.use_from_now_on(key, true),
                Err(error) => warn(&error),
            }
        }
    }

    fn use_from_now_on(&self, key: CertifiedKey, trusted: bool) {
        let same = |before: &Arc<CertifiedKey>| before.cert == key.cert;
        if !self.current.load().as_ref().is_some_and(same) {
            self.current.store(Some(Arc::new(key)));
            tracing::info!("the webhook has a new certificate");
        }
        if trusted {
            self.usable.cancel();
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

async fn tick(ticks: &mut tokio::time::Interval, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        _ = ticks.tick() => true,
    }
}

fn warn(error: &CertificateError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "the webhook keeps the certificate it has");
}

fn from_files(folder: &Path) -> Result<CertifiedKey, CertificateError> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| CertificateError::File { path, source })
    };
    certified(&read("tls.crt")?, &read("tls.key")?)
}

fn certified(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let pem = |what| move |source| CertificateError::Pem { what, source };
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem("the certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(pem("the key"))?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(CertificateError::Key)
}

#[cfg(test)]
mod tests;
