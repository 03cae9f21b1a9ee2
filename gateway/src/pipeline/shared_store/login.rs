//! Credentials and certificates for the store's server, from the files of a Secret.
//!
//! Read for each connection, so that the next one uses changed files. Certificates have cert-manager's file names.

use std::path::Path;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};
use zeroize::Zeroizing;

const USERNAME_FILE: &str = "username";
const PASSWORD_FILE: &str = "password";
/// Certificate authorities of the server, instead of those of the image.
const AUTHORITY_FILE: &str = "ca.crt";
/// Client certificate.
const CERTIFICATE_FILE: &str = "tls.crt";
const KEY_FILE: &str = "tls.key";

/// A client for the server, with the credentials of the directory.
///
/// # Errors
/// When a certificate is invalid.
pub(super) async fn client(
    info: &ConnectionInfo,
    directory: Option<&Path>,
) -> Result<Client, RedisError> {
    let Some(directory) = directory else {
        return Client::open(info.clone());
    };
    let mut settings = info.redis_settings().clone();
    if let Some(username) = text(directory, USERNAME_FILE).await {
        settings = settings.set_username(username.as_str());
    }
    if let Some(password) = text(directory, PASSWORD_FILE).await {
        settings = settings.set_password(password.as_str());
    }
    let info = info.clone().set_redis_settings(settings);
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(info);
    }
    let file = |name| tokio::fs::read(directory.join(name));
    let client_tls = match (file(CERTIFICATE_FILE).await, file(KEY_FILE).await) {
        (Ok(client_cert), Ok(client_key)) => Some(ClientTlsConfig {
            client_cert,
            client_key,
        }),
        _ => None,
    };
    let root_cert = file(AUTHORITY_FILE).await.ok();
    let certificates = TlsCertificates {
        client_tls,
        root_cert,
    };
    Client::build_with_tls(info, certificates)
}

/// The trimmed content of a file; `None` if it is missing or blank.
async fn text(directory: &Path, name: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(tokio::fs::read_to_string(directory.join(name)).await.ok()?);
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| Zeroizing::new(trimmed.to_owned()))
}
