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

use crate::{leader::Leadership, webhook::CertificateSource};

/// How often the files of somebody else are looked at.
const FILE_CHECK: Duration = Duration::from_secs(10);
/// How soon a replica that does not make the certificate looks again for one that the leader is about to make.
const SOON: Duration = Duration::from_secs(1);

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

    /// The leader makes, renews and publishes; every replica reads and serves.
    async fn keep_own(
        self,
        keeper: secret::Keeper,
        check: Duration,
        leadership: Leadership,
        stop: CancellationToken,
    ) {
        loop {
            let leads = leadership.is_ours();
            let begun = Instant::now();
            let looked = if leads {
                keeper.step().await.map(Some)
            } else {
                keeper.look().await
            };
            match looked {
                Ok(Some(secret::Step { bundle, published })) => {
                    match certified(bundle.certificate.as_bytes(), bundle.key.as_bytes()) {
                        Ok(key) => self.use_from_now_on(key, published),
                        Err(error) => warn(&error),
                    }
                }
                Ok(None) => tracing::debug!("the leader has not made a certificate yet"),
                Err(error) => warn(&error),
            }
            let settled = leads || self.usable.is_cancelled();
            let wait = if settled { check } else { SOON.min(check) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(begun + wait) => {}
                Some(()) = async { leadership.won().next().await }, if !leads => {}
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
