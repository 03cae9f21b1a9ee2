//! The gateway's own TLS certificate, if the configuration names one.
//!
//! Read with the configuration and reloaded when the files change; open connections keep their certificate. TLS for
//! calls to Bedrock is in `http::client`.

use std::{path::Path, sync::Arc};

use api::config::Tls;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// An unusable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A missing file, or a file without PEM data of this kind.
    #[error("tls: {field}: failed to read {path}")]
    Read {
        /// Field of the configuration.
        field: &'static str,
        /// The file.
        path: String,
        /// The cause.
        source: pem::Error,
    },
    /// A key that does not match the certificate, or an unsupported kind of key.
    #[error("tls: invalid certificate or key")]
    Unusable(#[from] rustls::Error),
}

/// TLS settings for accepted connections.
///
/// # Errors
/// When a file cannot be read, or the key does not match the certificate.
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
