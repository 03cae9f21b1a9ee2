//! The certificate of the webhook: created, renewed and published, or read from files. The running server uses a new
//! certificate without a restart.
//!
//! Only the API server needs to trust it, so the operator is its own CA. A new CA is published beside the previous one
//! before a certificate of it is used (`authority.rs`). Both are in one Secret, so that all replicas use the same
//! (`secret.rs`).

pub(crate) mod authority;
mod secret;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures::StreamExt;
use kube::Client;
use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{error_chain::error_chain, leader::Leadership, webhook::CertificateSource};

/// Interval between checks of certificate files that another component renews.
const FILE_CHECK: Duration = Duration::from_secs(10);
/// Interval between checks of a standby replica for the first certificate of the leader.
const SOON: Duration = Duration::from_secs(1);

/// The current certificate; empty until it exists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    current: Arc<ArcSwapOption<CertifiedKey>>,
    /// Cancelled once the certificate exists and the API server trusts it.
    usable: CancellationToken,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("failed to read {path}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("failed to parse {what} as PEM")]
    Pem {
        what: &'static str,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the certificate and the key do not match")]
    Key(#[source] rustls::Error),
    #[error("failed to create a certificate")]
    Make(#[from] authority::AuthorityError),
    #[error("failed to {action} {what}")]
    Api {
        action: &'static str,
        what: String,
        source: kube::Error,
    },
}

impl Certificates {
    /// Starts to manage the certificate, until cancelled.
    pub(crate) fn start(
        client: &Client,
        source: &CertificateSource,
        validates: bool,
        leadership: Leadership,
        stop: CancellationToken,
    ) -> Self {
        let certificates = Self::default();
        let keeper = certificates.clone();
        match source.clone() {
            CertificateSource::Own(own) => {
                let check = own.rotation.check;
                let secret = secret::Keeper::new(client, own, validates);
                tokio::spawn(async move { keeper.keep_own(secret, check, leadership, stop).await });
            }
            CertificateSource::Directory(directory) => {
                tokio::spawn(async move { keeper.keep_files(directory, stop).await });
            }
        }
        certificates
    }

    /// Completes once the certificate exists and the API server trusts it.
    pub(crate) async fn usable(&self) {
        self.usable.cancelled().await;
    }

    /// The leader creates, renews and publishes; every replica reads and serves.
    async fn keep_own(
        self,
        keeper: secret::Keeper,
        check: Duration,
        leadership: Leadership,
        stop: CancellationToken,
    ) {
        loop {
            let leads = leadership.is_ours();
            let started = Instant::now();
            let looked = if leads {
                keeper.step().await.map(Some)
            } else {
                keeper.look().await
            };
            match looked {
                Ok(Some(secret::Step { bundle, published })) => {
                    match certified(bundle.certificate.as_bytes(), bundle.key.as_bytes()) {
                        Ok(key) => self.activate(key, published),
                        Err(error) => warn(&error),
                    }
                }
                Ok(None) => tracing::debug!("waiting for the leader to create the certificate"),
                Err(error) => warn(&error),
            }
            let settled = leads || self.usable.is_cancelled();
            let wait = if settled { check } else { SOON.min(check) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(started + wait) => {}
                Some(()) = async { leadership.acquired().next().await }, if !leads => {}
            }
        }
    }

    async fn keep_files(self, directory: PathBuf, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FILE_CHECK);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            match from_files(&directory) {
                Ok(key) => self.activate(key, true),
                Err(error) => warn(&error),
            }
        }
    }

    fn activate(&self, key: CertifiedKey, trusted: bool) {
        let same = |before: &Arc<CertifiedKey>| before.cert == key.cert;
        if !self.current.load().as_ref().is_some_and(same) {
            self.current.store(Some(Arc::new(key)));
            tracing::info!("the webhook uses a new certificate");
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

fn warn(error: &CertificateError) {
    tracing::warn!(
        error = error_chain(error),
        "failed to update the webhook's certificate; the current one stays in use"
    );
}

fn from_files(directory: &Path) -> Result<CertifiedKey, CertificateError> {
    let read = |name: &str| {
        let path = directory.join(name);
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
