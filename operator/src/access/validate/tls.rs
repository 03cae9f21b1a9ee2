//! `spec.gateway.tls`: where the certificate of the gateway pods comes from, and who vouches for it.

use api::{
    names,
    v1alpha1::{client_config_name, gateway_name, tls::IssuerRef, tls::TlsSpec},
};

use super::Problems;

/// TLS of the gateway pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Source of the certificate.
    pub(crate) source: CertificateSource,
    /// ConfigMap whose key `ca.crt` has the CA of the certificate, if known.
    pub(crate) ca_config_map: Option<String>,
    /// DNS names of the Service, the shortest first.
    pub(crate) names: Vec<String>,
}

/// Source of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CertificateSource {
    /// The operator creates it, see `certify.rs`.
    Own {
        /// CA certificates, PEM; `None` until the certificate exists.
        authorities: Option<String>,
    },
    /// cert-manager writes it to a Secret of its own.
    Issuer(IssuerRef),
    /// An existing Secret.
    Secret(String),
}

/// Where the certificate is: a Secret, and its keys with the certificate and the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) secret: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Tls {
    /// Where the certificate of a `BedrockAccess` is.
    pub(crate) fn entry(&self, access: &str) -> Entry {
        let gateway = gateway_name(access);
        let secret = match &self.source {
            CertificateSource::Own { .. } => {
                return Entry {
                    secret: names::TLS_SECRET.to_owned(),
                    certificate: format!("{gateway}.crt"),
                    key: format!("{gateway}.key"),
                };
            }
            CertificateSource::Issuer(_) => issued_secret(access),
            CertificateSource::Secret(name) => name.clone(),
        };
        Entry {
            secret,
            certificate: "tls.crt".to_owned(),
            key: "tls.key".to_owned(),
        }
    }
}

/// Name of the Secret to which cert-manager writes the certificate.
pub(crate) fn issued_secret(access: &str) -> String {
    format!("{}-tls", gateway_name(access))
}

pub(super) fn tls(
    spec: &TlsSpec,
    namespace: &str,
    access: &str,
    cluster_domain: &str,
    problems: &mut Problems,
) -> Tls {
    let field = "spec.gateway.tls";
    let source = match (&spec.secret_name, &spec.issuer_ref) {
        (None, None) => CertificateSource::Own { authorities: None },
        (None, Some(issuer)) => CertificateSource::Issuer(issuer.clone()),
        (Some(secret), other) => {
            if other.is_some() {
                problems.add(field, "set secretName or issuerRef, not both");
            }
            CertificateSource::Secret(secret.clone())
        }
    };
    let is_own = matches!(source, CertificateSource::Own { .. });
    if is_own && spec.ca_config_map_name.is_some() {
        problems.add(field, "caConfigMapName requires secretName or issuerRef");
    }
    let own = is_own.then(|| client_config_name(access));
    let service = gateway_name(access);
    Tls {
        source,
        ca_config_map: own.or_else(|| spec.ca_config_map_name.clone()),
        names: vec![
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{cluster_domain}"),
        ],
    }
}
