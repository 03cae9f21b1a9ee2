//! A local port that adds TLS: plain connections to it become TLS connections to a gateway behind a forwarded port, whose
//! certificate is verified for the name of its Service.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

/// A local port; connections end with this value.
#[derive(Debug)]
pub(crate) struct Tunnel {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// Listens on a free port of this machine for connections to `target`.
    ///
    /// # Errors
    /// `authorities` contains no certificate, or the port cannot be opened.
    pub(crate) async fn open(
        target: String,
        server_name: &str,
        authorities: &str,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(authorities.as_bytes());
        let (added, _) = roots.add_parsable_certificates(certificates.flatten());
        anyhow::ensure!(added > 0, "ca.crt contains no certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(server_name.to_owned())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("failed to open a local port")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (connector, name, target) = (connector.clone(), name.clone(), target.clone());
                tokio::spawn(async move {
                    let connected = async {
                        let server = TcpStream::connect(&target).await?;
                        connector.connect(name, server).await
                    };
                    match connected.await {
                        // A connection that breaks ends for both sides.
                        Ok(mut server) => {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        }
                        Err(error) => report(&error),
                    }
                });
            }
        });
        Ok(Self { address, task })
    }

    /// The address on this machine.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Prints why a connection failed: the client sees only that it ended.
fn report(error: &std::io::Error) {
    use std::io::Write as _;
    // A closed standard error leaves no place to report to.
    let _ = writeln!(
        anstream::stderr(),
        "failed to connect to the gateway with TLS: {error}"
    );
}

#[cfg(test)]
mod tests {
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const NAME: &str = "chat-gateway.team-a.svc";

    /// A server that echoes four bytes of each connection, and its certificate.
    async fn server() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let Ok(mut connection) = acceptor.accept(connection).await else {
                    continue;
                };
                let mut bytes = [0; 4];
                connection.read_exact(&mut bytes).await.unwrap();
                connection.write_all(&bytes).await.unwrap();
                connection.shutdown().await.unwrap();
            }
        });
        (address, pair.cert.pem())
    }

    async fn echoed(tunnel: &Tunnel) -> String {
        let mut client = TcpStream::connect(tunnel.address()).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut text = String::new();
        // A rejected connection ends with an error or without bytes.
        let _ = client.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn connection_is_encrypted_for_the_name_of_the_service() {
        let (target, authority) = server().await;
        let tunnel = Tunnel::open(target.clone(), NAME, &authority)
            .await
            .unwrap();
        assert_eq!(echoed(&tunnel).await, "ping");
        let other = Tunnel::open(target, "other.team-a.svc", &authority).await;
        assert_eq!(echoed(&other.unwrap()).await, "");
    }

    #[tokio::test]
    async fn authorities_without_a_certificate_are_an_error() {
        let error = Tunnel::open(String::new(), NAME, "none").await.unwrap_err();
        assert_eq!(error.to_string(), "ca.crt contains no certificate");
    }
}
