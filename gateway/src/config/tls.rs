//! The gateway's own certificate, where the configuration names one: connections of clients are encrypted then.
//!
//! Read with the document and again when the files change, as the kubelet or cert-manager renew them;
//! connections that are open go on with what they began with. Calls of Bedrock are `upstream`'s business.

use std::{path::Path, sync::Arc};

use api::config::Tls;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// Why a certificate is not usable.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that is not there, or holds no PEM of this kind.
    #[error("tls: {field}: failed to read {path}")]
    Read {
        /// Field of the document.
        field: &'static str,
        /// The file.
        path: String,
        /// What is wrong.
        source: pem::Error,
    },
    /// Files that do not belong together, or of a kind that is not supported.
    #[error("tls: the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// What connections are accepted with.
///
/// # Errors
/// When a file cannot be read, or the key is not the certificate's.
pub(crate) fn server(tls: &Tls) -> Result<Arc<ServerConfig>, CertificateError> {
    let unreadable = |field, path: &str| {
        let path = path.to_owned();
        move |source| CertificateError::Read {
            field,
            path,
            source,
        }
    };
    let certificates: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_file_iter(Path::new(&tls.cert_file)).and_then(Iterator::collect);
    let certificates = certificates.map_err(unreadable("certFile", &tls.cert_file))?;
    let key = PrivateKeyDer::from_pem_file(Path::new(&tls.key_file))
        .map_err(unreadable("keyFile", &tls.key_file))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
