//! How a server is reached: its address from the configuration, and from files what it asks for.
//!
//! The files are those of a Secret, read at each connection, so that what was changed is used at the next one. Those
//! of certificates have the names that cert-manager gives them.

use std::path::Path;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};
use zeroize::Zeroizing;

const USERNAME_FILE: &str = "username";
const PASSWORD_FILE: &str = "password";
/// Authorities of the server's certificate, instead of those that the image trusts.
const AUTHORITY_FILE: &str = "ca.crt";
/// What a server that asks for a client's certificate is shown.
const CERTIFICATE_FILE: &str = "tls.crt";
const KEY_FILE: &str = "tls.key";

/// A client for the server, with what the folder holds.
///
/// # Errors
/// When a certificate is none.
pub(super) async fn client(
    info: &ConnectionInfo,
    folder: Option<&Path>,
) -> Result<Client, RedisError> {
    let Some(folder) = folder else {
        return Client::open(info.clone());
    };
    let mut settings = info.redis_settings().clone();
    if let Some(username) = text(folder, USERNAME_FILE).await {
        settings = settings.set_username(username.as_str());
    }
    if let Some(password) = text(folder, PASSWORD_FILE).await {
        settings = settings.set_password(password.as_str());
    }
    let info = info.clone().set_redis_settings(settings);
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(info);
    }
    let file = |name| tokio::fs::read(folder.join(name));
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

/// What a file holds, without the white space around it; `None` where there is no such file, or nothing in it.
async fn text(folder: &Path, name: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(tokio::fs::read_to_string(folder.join(name)).await.ok()?);
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| Zeroizing::new(trimmed.to_owned()))
}
